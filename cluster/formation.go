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
	defer r.waitsFor.Store(new(string))
	for !r.hasState() {
		why, peers := r.formable()
		if peers != nil {
			if why = r.bootstrap(ctx, peers); why == "" {
				return nil
			}
		}
		r.waitsFor.Store(&why)
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
	expect := r.expects()
	others := slices.ContainsFunc(r.members.all(), func(m member) bool { return m.ID != r.data.ID && m.alive })
	switch alone := len(r.gossip.addresses()) == 0; {
	case r.apart.Load():
		return "it has left its cluster, and joins one when told to (lookupctl join ADDRESS) or started again with -join", nil
	case expect == 1 && alone:
		return "", []member{{meta: meta{ID: r.data.ID, Name: r.data.Name}}}
	case expect == 1 && !others: // whom it joins may be of a cluster
		return "nobody answers at the addresses of -join yet", nil
	}
	var with []member
	for _, m := range r.members.all() {
		switch {
		case !m.alive:
		case m.Cluster != "" && m.InForce > knownLevel:
			return fmt.Sprintf("cluster %.8s… exists (%s is of it), but has log kinds of level %d in force, and this version (%s) knows "+
				"those up to level %d: upgrade it", m.Cluster, m.Name, m.InForce, r.cfg.Version, knownLevel), nil
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
		return r.unseen(), nil
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

// expects is how many replicas form a new cluster together with this one, 0 when it only joins.
func (r *Replica) expects() int {
	if r.data.known().Joins && r.cfg.BootstrapExpect == 1 {
		return 0 // it is not to be alone again
	}
	return r.cfg.BootstrapExpect
}

// unseen says what a replica waits for that only joins and sees no cluster.
func (r *Replica) unseen() string {
	if addresses := r.gossip.addresses(); len(addresses) > 0 {
		return "no replica of a cluster is seen yet at " + strings.Join(addresses, ", ")
	}
	return "it only joins: tell it whom (lookupctl join ADDRESS, or start it again with -join)"
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
	if err != nil && (!errors.Is(err, raft.ErrCantBootstrap) || r.raft.LastIndex() == 0) {
		return err.Error()
	}
	if err := r.join(r.data.known().Cluster); err != nil {
		return err.Error()
	}
	r.log.Info("formed a cluster", "replicas", names(peers))
	return ""
}

// beginForming gives the cluster to be its id, durably. After a crash the same one is used again.
func (r *Replica) beginForming() error {
	if r.data.known().Cluster != "" {
		return nil
	}
	return r.data.update(func(me *identity) { me.Cluster, me.Forming = randomID(), true })
}

// whoami implements self. A replica that is only about to form a cluster is of none.
func (r *Replica) whoami() peer {
	me := r.data.known()
	if me.Forming {
		return peer{id: me.ID}
	}
	return peer{id: me.ID, cluster: me.Cluster}
}

// invited implements self.
func (r *Replica) invited(cluster string) error {
	switch is := r.whoami().cluster; {
	case is == cluster:
		return nil
	case is != "":
		return fmt.Errorf("this replica is of cluster %.8s…", is)
	case r.apart.Load():
		return errors.New("this replica has left its cluster, and was not told to join another")
	}
	return r.join(cluster)
}

// join makes this replica, which is of no cluster, part of one. That is durable before anything of
// that cluster is heard.
func (r *Replica) join(cluster string) error {
	if err := r.data.update(func(me *identity) { me.Cluster, me.Forming = cluster, false }); err != nil {
		return err
	}
	r.keepNow() // what was learned of the others before it was a part
	r.log.Info("part of a cluster now", "cluster", cluster)
	r.port.wg.Go(r.gossip.tell)
	return nil
}

// begun notes durably that the log has entries.
func (r *Replica) begun() {
	if r.data.known().Bootstrapped {
		return
	}
	if err := r.data.update(func(me *identity) { me.Bootstrapped = true }); err != nil {
		r.fail(err)
	}
}
