package cluster

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// handOver gives leadership to a voter that has caught up, so that a planned stop costs no
// election timeout. It takes a second at most; when it fails, the others elect somebody.
func (r *Replica) handOver() {
	if !r.leads() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), transportTimeout)
	defer cancel()
	to, ok := r.successor(ctx)
	if !ok {
		return
	}
	start := time.Now()
	err := awaitFuture(ctx, r.raft.LeadershipTransferToServer(to, raft.ServerAddress(to)))
	if err != nil {
		r.log.Warn("leadership was not handed over: the others elect a leader", "error", err)
		return
	}
	r.log.Info("handed leadership over", "to", r.nameOf(string(to)), "took", time.Since(start))
}

// successor is the voter that is furthest with the log and answers now. The library's own choice
// does not ask whether it is alive.
func (r *Replica) successor(ctx context.Context) (best raft.ServerID, ok bool) {
	var furthest uint64
	for id, server := range r.servers() {
		if id == r.data.ID || server.Suffrage != raft.Voter {
			continue
		}
		s, err := r.caller.standing(ctx, id)
		if err == nil && (!ok || s.LastIndex > furthest) {
			best, furthest, ok = server.ID, s.LastIndex, true
		}
	}
	return best, ok
}
