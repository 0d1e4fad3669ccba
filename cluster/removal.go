package cluster

import (
	"context"
	"fmt"
)

// Remove takes a dead replica out of the cluster, and returns its id. id may be "" when the name is
// enough to know who is meant. force takes out what else is dead, should too few remain. It may block
// for the context's time; a Refusal says why nothing was done.
func (r *Replica) Remove(ctx context.Context, name, id string, force bool) (removed string, err error) {
	if _, in := r.servers()[id]; id != "" && !in {
		return "", refuse(ErrNoSuchReplica, "no replica of this cluster has the id %s: lookupctl members lists them", id)
	}
	if is := r.nameOf(id); id != "" && name != "" && is != name {
		return "", refuse(ErrNoSuchReplica, "the replica of id %s is called %s, not %s: lookupctl members lists them", id, is, name)
	}
	if id == "" { // known here, it is still known when the answer gets lost and the order is given again
		id, _ = r.named(name)
	}
	return r.atLeader(ctx, order{Verb: verbRemove, ID: id, Name: name, Force: force})
}

// remove does what Remove and Leave ask for, on the leader.
func (r *Replica) remove(ctx context.Context, o order) error {
	if _, in := r.servers()[o.ID]; !in {
		return nil // it is out already
	}
	if o.Leaving { // gossip may not have told yet that it is not to be taken in again
		m, _ := r.members.get(o.ID)
		r.leaving.Store(o.ID, m.Incarnation)
	}
	if o.Force {
		r.takeOutTheDead(ctx, o.ID)
	}
	err := r.removeServer(o.ID, func() error { return r.removable(ctx, o) })
	if err != nil {
		r.leaving.Delete(o.ID)
		return fmt.Errorf("remove replica %s: %w", r.nameOf(o.ID), err)
	}
	r.log.Warn("a replica is out of the cluster", "name", r.nameOf(o.ID), "id", o.ID, "leaving", o.Leaving)
	return nil
}

// removable says why not when the replica must not be removed.
func (r *Replica) removable(ctx context.Context, o order) error {
	votes := r.voters()
	switch {
	case !o.Leaving && (o.ID == r.data.ID || r.seen(o.ID)):
		return refuse(ErrRefused, "replica %s is alive: ask it to leave instead (lookupctl leave, with its --addr)", r.nameOf(o.ID))
	case !o.Leaving && !r.dead(o.ID):
		return refuse(ErrRefused, "replica %s is not seen, but has been silent for too short a time to be called dead: try again in some seconds", r.nameOf(o.ID))
	case votes[o.ID] && len(votes) == 1:
		return refuse(ErrRefused, "replica %s is the only one that votes: without it there is no cluster", r.nameOf(o.ID))
	case votes[o.ID]:
		return r.keepsQuorum(ctx, o.ID)
	}
	return nil
}

// takeOutTheDead removes the dead voters as far as too few would remain without that one, which is
// what force means: a removal that leaves no majority could not even be committed.
func (r *Replica) takeOutTheDead(ctx context.Context, without string) {
	for id := range r.voters() {
		if id == without || id == r.data.ID || r.keepsQuorum(ctx, without) == nil {
			continue
		}
		err := r.removeServer(id, func() error {
			if err := r.stillDead(id); err != nil {
				return err
			}
			return r.keepsQuorum(ctx, id)
		})
		if err == nil {
			r.log.Warn("took a dead replica out, by force", "name", r.nameOf(id), "id", id)
		}
	}
}
