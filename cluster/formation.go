package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

const (
	formationPoll = 300 * time.Millisecond
	// formationTell is how often a replica that waits says what for.
	formationTell = 10 * time.Second
)

// form waits until this replica is part of a cluster: one that exists takes it in, or the replicas
// that expect each other form one. It runs until that is so or the context ends.
func (r *Replica) form(ctx context.Context) error {
	var told string
	var since time.Time
	for !r.hasState() {
		why, peers := r.formable()
		if peers != nil {
			if why = r.bootstrap(ctx, peers); why == "" {
				return nil
			}
		}
		if why != told || time.Since(since) >= formationTell {
			r.log.Info("waiting to be part of a cluster: " + why)
			told, since = why, time.Now()
		}
		if !pause(ctx, formationPoll) {
			return nil
		}
	}
	return nil
}

// formable returns the replicas that form a cluster together with this one, itself included, when
// it is this one's turn to do so; else what it waits for.
func (r *Replica) formable() (why string, peers []member) {
	expect := r.cfg.BootstrapExpect
	others := slices.ContainsFunc(r.members.all(), func(m member) bool { return m.ID != r.data.ID && m.alive })
	switch alone := len(r.cfg.Gossip.Join) == 0; {
	case expect == 1 && alone:
		return "", []member{{meta: meta{ID: r.data.ID, Name: r.data.Name}}}
	case expect == 1 && !others: // whom it joins may be of a cluster
		return "nobody answers at the addresses of -join yet", nil
	}
	var with []member
	for _, m := range r.members.all() {
		switch {
		case !m.alive:
		case m.Cluster != "":
			return fmt.Sprintf("cluster %.8s… exists (%s is of it); its leader takes this replica in", m.Cluster, m.Name), nil
		case m.Reader || m.Expect == 0:
		case m.Expect != expect && expect > 0:
			return fmt.Sprintf("%s has -bootstrap-expect %d, this one %d: start all with the same", m.Name, m.Expect, expect), nil
		default:
			with = append(with, m)
		}
	}
	switch {
	case expect == 0 || r.cfg.Reader:
		return "no replica of one is seen yet; this one only joins (-bootstrap-expect 0): give -join", nil
	case len(with) < expect:
		return fmt.Sprintf("%d of %d seen (%s), waiting for %d more", len(with), expect, names(with), expect-len(with)), nil
	case len(with) > expect:
		return fmt.Sprintf("%d replicas (%s) expect to be %d: stop the ones too many", len(with), names(with), expect), nil
	}
	first := slices.MinFunc(with, func(a, b member) int { return strings.Compare(a.ID, b.ID) })
	if first.ID != r.data.ID {
		return fmt.Sprintf("%s forms the cluster of %s", first.Name, names(with)), nil
	}
	return "", with
}

func names(ms []member) string {
	var list []string
	for _, m := range ms {
		list = append(list, m.Name)
	}
	return strings.Join(list, ", ")
}

// bootstrap forms the cluster, once every other replica has said that it has no state: silence is
// no answer. It returns "" when done, else why not.
func (r *Replica) bootstrap(ctx context.Context, peers []member) string {
	var servers []raft.Server
	for _, m := range peers {
		if m.ID != r.data.ID {
			s, err := r.caller.standing(ctx, m.ID)
			if err != nil {
				return fmt.Sprintf("%s has not said yet that it is new: %v", m.Name, err)
			}
			if s.HasState {
				return fmt.Sprintf("%s has been part of a cluster before", m.Name)
			}
		}
		servers = append(servers, raft.Server{ID: raft.ServerID(m.ID), Address: raft.ServerAddress(m.ID), Suffrage: raft.Voter})
	}
	if err := r.beginForming(); err != nil {
		return err.Error()
	}
	err := r.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error()
	if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
		return err.Error()
	}
	if err := r.join(r.data.Cluster); err != nil {
		return err.Error()
	}
	r.log.Info("formed a cluster", "replicas", names(peers))
	return ""
}

// beginForming gives the cluster to be its id, durably. After a crash the same one is used again.
func (r *Replica) beginForming() error {
	r.identity.Lock()
	defer r.identity.Unlock()
	if r.data.Cluster != "" {
		return nil
	}
	r.data.Cluster, r.data.Forming = randomID(), true
	return r.data.save()
}

// whoami implements self. A replica that is only about to form a cluster is of none.
func (r *Replica) whoami() peer {
	r.identity.Lock()
	defer r.identity.Unlock()
	if r.data.Forming {
		return peer{id: r.data.ID}
	}
	return peer{id: r.data.ID, cluster: r.data.Cluster}
}

// invited implements self.
func (r *Replica) invited(cluster string) error {
	if is := r.whoami().cluster; is != "" {
		if is == cluster {
			return nil
		}
		return fmt.Errorf("this replica is of cluster %.8s…", is)
	}
	return r.join(cluster)
}

// join makes this replica, which is of no cluster, part of one. That is durable before anything of
// that cluster is heard.
func (r *Replica) join(cluster string) error {
	r.identity.Lock()
	defer r.identity.Unlock()
	before := r.data.identity
	r.data.Cluster, r.data.Forming = cluster, false
	if err := r.data.save(); err != nil {
		r.data.identity = before
		return err
	}
	r.log.Info("part of a cluster now", "cluster", cluster)
	r.port.wg.Go(r.gossip.tell)
	return nil
}

// begun notes durably that the log has entries.
func (r *Replica) begun() {
	r.identity.Lock()
	defer r.identity.Unlock()
	if r.data.Bootstrapped {
		return
	}
	r.data.Bootstrapped = true
	if err := r.data.save(); err != nil {
		r.fail(err)
	}
}
