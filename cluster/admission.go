package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

const (
	admissionPeriod = 500 * time.Millisecond
	configWait      = 2 * time.Second // for a change of the configuration to be committed
)

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
	if _, in := servers[m.ID]; in || !m.alive || m.ID == me.id {
		return ""
	}
	if m.Cluster != "" && m.Cluster != me.cluster {
		return fmt.Sprintf("it is of another cluster, %.8s…, and this is %.8s…: its -join addresses are wrong, "+
			"or it needs a new data path", m.Cluster, me.cluster)
	}
	for id := range servers {
		if id == m.ID || r.nameOf(id) != m.Name {
			continue
		}
		if id == me.id || !r.dead(id) {
			return fmt.Sprintf("replica %.8s… of that name is alive: give the new one another -name", id)
		}
		r.log.Warn("a new replica takes the place of a dead one of its name", "name", m.Name, "dead", id, "new", m.ID)
		if err := awaitConfig(r.raft.RemoveServer(raft.ServerID(id), 0, configWait)); err != nil {
			r.log.Warn("the dead replica is not removed yet", "name", m.Name, "error", err)
			return ""
		}
	}
	if err := awaitConfig(r.raft.AddNonvoter(raft.ServerID(m.ID), raft.ServerAddress(m.ID), 0, configWait)); err != nil {
		r.log.Warn("a new replica is not taken in yet", "name", m.Name, "error", err)
		return ""
	}
	r.log.Info("took a replica in", "name", m.Name, "id", m.ID)
	return ""
}

// dead reports whether a replica is gone for gossip and for Raft. One that gossip has not heard of
// yet may be alive: then the heartbeats tell.
func (r *Replica) dead(id string) bool {
	if m, known := r.members.get(id); known && m.alive {
		return false
	}
	state, opened := r.registry.State().Replica(id)
	return !opened || state.Lost
}

// servers are those of Raft's newest configuration, by id.
func (r *Replica) servers() map[string]raft.Server {
	servers := make(map[string]raft.Server)
	for _, s := range r.raft.GetConfiguration().Configuration().Servers {
		servers[string(s.ID)] = s
	}
	return servers
}

// nameOf is the name of a replica that has been part of the cluster, "" when it is not known.
func (r *Replica) nameOf(id string) string {
	if known, ok := r.registry.State().Replica(id); ok {
		return known.Name
	}
	m, _ := r.members.get(id)
	return m.Name
}

// awaitConfig waits for a future with an end of its own.
func awaitConfig(f raft.Future) error {
	ctx, cancel := context.WithTimeout(context.Background(), configWait)
	defer cancel()
	return awaitFuture(ctx, f)
}
