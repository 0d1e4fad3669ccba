package cluster

import (
	"context"
	"errors"
	"time"
)

// replaceDead takes dead voters out while this replica leads, until the context ends: those that a
// newcomer has taken the place of. It counts for how long each has been dead while this replica
// leads in one term, so that no election and no clock can call somebody dead too early.
func (r *Replica) replaceDead(ctx context.Context) error {
	age := make(map[string]time.Duration)
	var term uint64
	pace(ctx, periodFor(r.cfg.DeadAfter), func(step time.Duration) {
		if now := r.raft.CurrentTerm(); !r.leads() || now != term {
			clear(age)
			term = now
		}
		if !r.leads() {
			return
		}
		var oldest string
		for id := range r.voters() {
			if id == r.data.ID || !r.dead(id) {
				delete(age, id)
				continue
			}
			age[id] += step
			if oldest == "" || age[id] > age[oldest] {
				oldest = id
			}
		}
		if oldest != "" && age[oldest] >= r.cfg.DeadAfter {
			r.takeOut(ctx, oldest)
		}
	})
	return nil
}

// takeOut removes a dead voter from a cluster with an even number of voters: with one voter less
// that bears the loss of as many as before. With an odd number the dead one stays, for without it
// the cluster would bear less; a newcomer makes the number even.
func (r *Replica) takeOut(ctx context.Context, dead string) {
	err := r.removeServer(dead, func() error {
		if len(r.voters())%2 != 0 {
			return errNoReplacement
		}
		if err := r.stillDead(dead); err != nil {
			return err
		}
		return r.keepsQuorum(ctx, dead)
	})
	if err == nil {
		r.log.Warn("took a dead replica out: another votes in its place", "name", r.nameOf(dead), "id", dead,
			"dead_after", r.cfg.DeadAfter)
	} else {
		r.log.Debug("a dead replica is not replaced yet", "name", r.nameOf(dead), "error", err)
	}
}

var errNoReplacement = errors.New("no other votes in its place")
