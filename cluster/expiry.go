package cluster

import (
	"context"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// expiry ends orphans after the grace. It counts from when this replica has first seen them as
// leader, so that neither an election nor a jump of a clock ends them early.
type expiry struct {
	age map[fsm.OrphanGroup]time.Duration
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
		if !r.leads() {
			e = expiry{}
			return
		}
		if changes := e.due(step, r.cfg.ReplicaGrace, r.registry.State().Orphans()); len(changes) > 0 {
			r.decide(changes...)
		}
	})
	return nil
}
