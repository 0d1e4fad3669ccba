package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/raft"
)

const admissionPeriod = 500 * time.Millisecond

// admit makes Raft servers of the members that gossip tells of, while this replica leads: as
// non-voters first; autopilot promotes them. It works by events and on a timer, until the context
// ends.
func (r *Replica) admit(ctx context.Context) error {
	t := time.NewTicker(admissionPeriod)
	defer t.Stop()
	refused := make(map[string]string) // by id: what was last said of it
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-r.members.changed:
		}
		if !r.leads() {
			continue
		}
		for _, m := range r.members.all() {
			why := r.admitOne(m)
			if why != "" && refused[m.ID] != why {
				r.log.Error("refused a replica", "name", m.Name, "id", m.ID, "reason", why)
			}
			refused[m.ID] = why
		}
	}
}

// admitOne takes a member in unless it is in already; it says why not.
func (r *Replica) admitOne(m member) (refused string) {
	me := r.whoami()
	servers := r.servers()
	_, in := servers[m.ID]
	was, leaving := r.leaving.Load(m.ID)
	if leaving && (m.Apart || was != m.Incarnation) { // gossip tells by now, or it comes again
		r.leaving.Delete(m.ID)
		leaving = false
	}
	if in || !m.alive || m.ID == me.id || m.Apart || leaving {
		return ""
	}
	if m.Cluster != "" && m.Cluster != me.cluster {
		return fmt.Sprintf("it is of another cluster, %.8s…, and this is %.8s…: its -join addresses are wrong, "+
			"or it needs a new data path", m.Cluster, me.cluster)
	}
	if why := tooOld(m.Level, r.registry.State().Level(), m.Version); why != "" {
		return why
	}
	if known, v := r.book.judge(m.ID, hello{lineage: lineage{m.Start, []uint32{m.Nonce}}, Last: math.MaxUint64}); m.Start > 0 && v.refuses() {
		return v.explain(known, hello{Name: m.Name, lineage: lineage{Start: m.Start}})
	}
	for id := range servers {
		if r.nameOf(id) != m.Name {
			continue
		}
		if id == me.id || !r.dead(id) {
			return fmt.Sprintf("replica %.8s… of that name is alive: give the new one another -name", id)
		}
		r.log.Warn("a new replica takes the place of a dead one of its name", "name", m.Name, "dead", id, "new", m.ID)
		if err := r.removeServer(id, func() error { return r.stillDead(id) }); err != nil {
			r.log.Warn("the dead replica is not removed yet", "name", m.Name, "error", err)
			return ""
		}
	}
	if err := r.reconfigure(nil, func() raft.IndexFuture {
		return r.raft.AddNonvoter(raft.ServerID(m.ID), raft.ServerAddress(m.ID), 0, configWait)
	}); err != nil {
		r.log.Warn("a new replica is not taken in yet", "name", m.Name, "error", err)
		return ""
	}
	r.log.Info("took a replica in", "name", m.Name, "id", m.ID)
	return ""
}

// dead reports whether a replica is gone for gossip and for Raft. One that gossip has not heard of
// yet may be alive: then the heartbeats tell.
func (r *Replica) dead(id string) bool {
	if r.seen(id) {
		return false
	}
	state, opened := r.registry.State().Replica(id)
	return !opened || state.Lost
}

var errNotDead = errors.New("it is not dead")

// stillDead is asked right before a dead replica is taken out: it may have come back meanwhile.
func (r *Replica) stillDead(id string) error {
	if !r.dead(id) {
		return errNotDead
	}
	return nil
}

// seen reports whether gossip has that replica for alive, and not as one of another cluster: it may
// have been made the first of that by recover.
func (r *Replica) seen(id string) bool {
	m, known := r.members.get(id)
	return known && r.lives(m)
}

func (r *Replica) lives(m member) bool {
	return m.alive && (m.Cluster == "" || m.Cluster == r.whoami().cluster)
}

// nameOf is the name of a replica that has been part of the cluster, "" when it is not known.
func (r *Replica) nameOf(id string) string {
	if known, ok := r.registry.State().Replica(id); ok {
		return known.Name
	}
	if m, ok := r.members.get(id); ok {
		return m.Name
	}
	return r.book.name(id)
}
