package cluster

import (
	"context"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// checkpointEvery is after how many entries the leader states its fingerprint; a registry
// remembers more of them than that.
const checkpointEvery = 1024

// checkpoints states the registry's fingerprint every so many entries while this replica leads,
// until the context ends. An idle cluster needs none, and gets none.
func (r *Replica) checkpoints(ctx context.Context) error {
	var last uint64
	pace(ctx, time.Second, func(time.Duration) {
		s := r.registry.State()
		if !r.leads() || s.Index() < last+checkpointEvery {
			return
		}
		last = s.Index()
		r.decide(fsm.Checkpoint(s.Index(), s.Fingerprint()))
	})
	return nil
}

// diverged is told that the registry differs from what the leader's was at an index.
func (r *Replica) diverged(e fsm.Event) {
	r.divergences.Add(1)
	r.diverges.Store(true)
	r.log.Error("this replica's registry differs from the leader's: it is not ready; stop it, "+
		"move its data path away and start it again", "index", e.ID, "have", e.Have, "want", e.Want)
}
