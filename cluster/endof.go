package cluster

import (
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// endFacts are what this replica knows of itself when an nsqd has closed its connection.
type endFacts struct {
	leads    bool
	leader   bool          // a leader is known
	contact  time.Duration // how long ago it was heard of
	recent   time.Duration // a contact that is older counts for none
	isolated bool
	leaving  bool // or it has left its cluster, or was taken out
	lost     bool // the registry takes this replica for lost, so its sessions are orphans already
	paused   bool // this process stood still a moment ago: what it knows may be old
}

// endOf returns the kind of change that ends the session. It is CloseSession only at a healthy replica.
// Elsewhere a load balancer may have moved the connection, and the cluster may have made the session an
// orphan that has to stay.
func endOf(f endFacts) fsm.Kind {
	heard := f.leads || f.leader && f.contact <= f.recent
	if !heard || f.isolated || f.leaving || f.lost || f.paused {
		return fsm.KindDetach
	}
	return fsm.KindCloseSession
}

// recentContact returns how long ago the leader may have been heard of: a follower asks for votes after
// one to two Raft timeouts. It is not less than a second, because on a busy machine a heartbeat is late.
func recentContact(raftTimeout time.Duration) time.Duration { return max(2*raftTimeout, time.Second) }

// endFacts gathers what endOf decides by. It does not block.
func (r *Replica) endFacts() endFacts {
	now, recent := time.Now(), recentContact(r.cfg.RaftTimeout)
	return endFacts{
		leads:    r.leads(),
		leader:   r.leader() != "",
		contact:  now.Sub(r.raft.LastContact()),
		recent:   recent,
		isolated: r.isolated.Load(),
		leaving:  r.apart.Load() || r.outside(),
		lost:     r.journal.isLost(),
		paused:   r.cfg.paused(now.Add(-recent)),
	}
}
