package cluster

import (
	"context"
	"slices"
	"time"
)

// Leave takes this replica out of its cluster: it takes no nsqds any more, hands leadership over,
// and has itself removed. Its sessions become orphans, which stay for the grace while their nsqds
// move. Then it has to be closed and opened again, as Again says: it is blank from then on, under a
// new id, and waits to be told to join. force takes out what is dead, should too few remain. It
// may block for seconds, whatever becomes of the context; a Refusal says why nothing was done.
func (r *Replica) Leave(ctx context.Context, force bool) error {
	voters := r.voters()
	ctx = context.WithoutCancel(ctx) // half done it would be neither in nor out
	switch _, in := r.servers()[r.data.ID]; {
	case !in && r.hasState():
		return r.startAnew(nil) // it is out already
	case !in:
		return refuse(ErrRefused, "replica %s is part of no cluster", r.data.Name)
	case voters[r.data.ID] && len(voters) == 1:
		return refuse(ErrRefused, "replica %s is the only one that votes: without it there is no cluster; "+
			"to end it, stop its replicas", r.data.Name)
	}
	if r.apart.Swap(true) {
		return refuse(ErrRefused, "replica %s is leaving already", r.data.Name)
	}
	r.gossip.tell()
	r.flush()
	if err := r.getRemoved(ctx, force); err != nil {
		r.apart.Store(false)
		r.gossip.tell()
		return err
	}
	r.log.Warn("this replica has left its cluster: it starts anew, blank, and waits to be told to join one")
	return r.startAnew(nil)
}

func (r *Replica) getRemoved(ctx context.Context, force bool) error {
	if r.leads() {
		if _, err := r.atLeader(ctx, order{Verb: verbTransfer, From: r.data.ID}); err != nil {
			return err
		}
	}
	_, err := r.atLeader(ctx, order{Verb: verbRemove, ID: r.data.ID, Leaving: true, Force: force})
	return err
}

// startAnew has this replica opened again without what it knows, to look for others at the addresses.
func (r *Replica) startAnew(addresses []string) error {
	r.apart.Store(true)
	err := r.data.update(func(me *identity) {
		me.Reset, me.Joins, me.Given, me.Peers = true, true, addresses, nil
	})
	if err != nil {
		return err
	}
	r.anew.Do(func() { close(r.again) })
	return nil
}

// Again is closed when this replica is to be closed and opened again, because it has left its
// cluster or is about to join one as a blank replica.
func (r *Replica) Again() <-chan struct{} { return r.again }

// Apart reports whether this replica has left its cluster and was not told to join another: who
// opens it again passes that on in the Config.
func (r *Replica) Apart() bool { return r.apart.Load() && len(r.data.known().Given) == 0 }

const (
	rememberEvery = 5 * time.Second
	maxPeers      = 16
)

// remember keeps the others' gossip addresses in the data path, so that a replica that was told to
// join by hand finds its cluster after a restart. It runs until the context ends.
func (r *Replica) remember(ctx context.Context) error {
	pace(ctx, rememberEvery, func(time.Duration) { r.rememberPeers() })
	return nil
}

func (r *Replica) rememberPeers() {
	peers := r.peers()
	if len(peers) == 0 || slices.Equal(peers, r.data.known().Peers) {
		return
	}
	err := r.data.update(func(me *identity) {
		if !me.Reset {
			me.Peers = peers
		}
	})
	if err != nil {
		r.log.Warn("cannot remember where the others are", "error", err)
	}
}
