package cluster

import (
	"context"
	"errors"
	"time"
)

// deadAges are for how long this replica has seen each dead voter dead. Every replica measures them, so that a
// new leader goes on where the old one was.
type deadAges map[string]time.Duration

// older returns the ages after a step, of those that are dead. They do not grow without a leader: a replica
// that is cut off sees all the others dead.
func (a deadAges) older(step time.Duration, heard bool, dead []string) deadAges {
	next := make(deadAges, len(dead))
	for _, id := range dead {
		age, known := a[id]
		if known && heard {
			age += step
		}
		next[id] = age
	}
	return next
}

// oldest returns the voter that has been dead the longest, "" when none has been for as long as the limit.
func (a deadAges) oldest(limit time.Duration) string {
	var oldest string
	for id, age := range a {
		if age >= limit && (oldest == "" || age > a[oldest] || age == a[oldest] && id < oldest) {
			oldest = id
		}
	}
	return oldest
}

// replaceDead measures the ages of dead voters, and takes out those that a newcomer has taken the place of
// while this replica leads, until the context ends.
func (r *Replica) replaceDead(ctx context.Context) error {
	age := make(deadAges)
	var heard, led bool // at the last tick
	pace(ctx, periodFor(r.cfg.DeadAfter), func(step time.Duration) {
		var dead []string
		for id := range r.voters() {
			if id != r.data.ID && r.dead(id) {
				dead = append(dead, id)
			}
		}
		known, leads := r.leader() != "", r.leads()
		age = age.older(step, heard && known, dead)
		// One tick after the election, because then this replica has applied what the others had.
		if oldest := age.oldest(r.cfg.DeadAfter); oldest != "" && leads && led {
			r.takeOut(ctx, oldest)
		}
		heard, led = known, leads
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
