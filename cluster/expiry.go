package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// ages are for how long this replica has seen each group of orphans. Every replica measures them, so that a
// new leader goes on where the old one was.
type ages map[fsm.OrphanGroup]time.Duration

// agesTick is what one step adds to ages.
type agesTick struct {
	step   time.Duration
	groups []fsm.OrphanGroup
	// heard says that a leader was known during the whole step. Without one no nsqd can be taken anywhere,
	// so that no orphan may grow older.
	heard bool
	// isolated says that there was none for the isolation timeout: the nsqds were sent away, and get the
	// whole grace to come back.
	isolated bool
	// led says that this replica led in one term during the whole step. Only then groups of level 0 grow,
	// because they do not tell the orphans of today from those of yesterday.
	led   bool
	found map[string]bool // replicas that were heard of again, so that their groups of level 0 are new ones
}

// older returns the ages after a step, of the groups that there are. It never counts a time in which this
// replica may not have seen the group.
func (a ages) older(tick agesTick) ages {
	next := make(ages, len(tick.groups))
	for _, g := range tick.groups {
		age, known := a[g]
		grows, begins := tick.heard, tick.isolated
		if g.Since == 0 {
			grows, begins = tick.led, tick.isolated || !tick.led || tick.found[g.Replica]
		}
		switch {
		case !known || begins:
			age = 0
		case grows:
			age += tick.step
		}
		next[g] = age
	}
	return next
}

// due returns the decisions that end the groups which are as old as the grace, in the order of the groups.
func (a ages) due(grace time.Duration, level uint64, groups []fsm.OrphanGroup) []fsm.Change {
	var changes []fsm.Change
	for _, g := range groups {
		switch {
		case a[g] < grace:
		case level >= fsm.KindExpireOrphans.Level():
			changes = append(changes, fsm.ExpireOrphans(g))
		default:
			changes = append(changes, fsm.ExpireReplica(g.Replica, g.Incarnation))
		}
	}
	return changes
}

// found collects the replicas that were heard of again: what they leave next is counted anew.
type found struct {
	mu  sync.Mutex
	ids map[string]bool
}

func (f *found) note(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ids == nil {
		f.ids = make(map[string]bool)
	}
	f.ids[id] = true
}

func (f *found) take() map[string]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := f.ids
	f.ids = nil
	return ids
}

// watchOrphans measures the ages of orphans, and expires them while this replica leads, until the context
// ends.
func (r *Replica) watchOrphans(ctx context.Context) error {
	seen := make(ages)
	var term uint64 // in which this replica led at the last tick, 0 for none
	heard := false  // there was a leader at the last tick
	pace(ctx, periodFor(r.cfg.ReplicaGrace), func(step time.Duration) {
		leads, now := r.leads(), r.raft.CurrentTerm()
		state := r.registry.State()
		groups, known := state.Orphans(), r.leader() != ""
		seen = seen.older(agesTick{step: step, groups: groups, heard: heard && known,
			isolated: r.isolated.Load(), led: leads && now == term, found: r.found.take()})
		heard, term = known, 0
		if !leads {
			return
		}
		term = now
		if changes := seen.due(r.cfg.ReplicaGrace, state.Level(), groups); len(changes) > 0 {
			r.decide(changes...)
		}
	})
	return nil
}
