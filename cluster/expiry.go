package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// expiry ends orphans after the grace. It counts from when this replica has first seen them as
// leader, so that neither an election nor a jump of a clock ends them early.
type expiry struct {
	age  map[fsm.OrphanGroup]time.Duration
	term uint64 // in which it counts
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

// due lets the groups of orphans grow older, and returns the changes that end those which are as
// old as the grace.
func (e *expiry) due(step, grace time.Duration, groups []fsm.OrphanGroup) []fsm.Change {
	ages := make(map[fsm.OrphanGroup]time.Duration, len(groups))
	var changes []fsm.Change
	for _, g := range groups {
		age, known := e.age[g]
		if known {
			age += step
		}
		ages[g] = age
		if age >= grace {
			changes = append(changes, fsm.ExpireReplica(g.Replica, g.Incarnation))
		}
	}
	e.age = ages
	return changes
}

// watchOrphans expires orphans while this replica leads, until the context ends.
func (r *Replica) watchOrphans(ctx context.Context) error {
	var e expiry
	pace(ctx, periodFor(r.cfg.ReplicaGrace), func(step time.Duration) {
		back := r.found.take()
		if term := r.raft.CurrentTerm(); !r.leads() || term != e.term {
			e = expiry{term: term}
		}
		for g := range e.age {
			if back[g.Replica] {
				delete(e.age, g)
			}
		}
		if !r.leads() {
			return
		}
		if changes := e.due(step, r.cfg.ReplicaGrace, r.registry.State().Orphans()); len(changes) > 0 {
			r.decide(changes...)
		}
	})
	return nil
}
