package cluster

import (
	"context"
	"net"
	"slices"
	"strings"
)

// Join makes this replica look for its cluster at a gossip address (host[:port]), now and after
// each restart; the leader there takes it in. member says that it is part of that cluster already.
// A replica that formed a cluster of its own and holds nothing starts anew for it: see Again. It
// may block for seconds; a Refusal says why nothing was done.
func (r *Replica) Join(ctx context.Context, address string) (member bool, err error) {
	address = seeds([]string{address})[0]
	if r.isPeer(ctx, address) {
		return true, nil
	}
	if r.hasState() {
		return false, r.joinAnew(address)
	}
	if err := r.contact(address); err != nil {
		return false, err
	}
	r.gossip.look(address)
	err = r.data.update(func(me *identity) {
		me.Joins = true
		if !slices.Contains(me.Given, address) {
			me.Given = append(slices.Clone(me.Given), address)
		}
	})
	if err != nil {
		return false, err
	}
	r.apart.Store(false)
	r.gossip.tell()
	r.log.Info("told to join", "address", address)
	return false, nil
}

// joinAnew gives up the cluster of its own that a replica has formed, when it holds nothing.
func (r *Replica) joinAnew(address string) error {
	if err := r.blank(); err != nil {
		return err
	}
	r.apart.Store(true) // so that nobody there is asked to take it in as it is
	r.gossip.tell()
	err := r.contact(address)
	if err == nil {
		err = r.blank() // with nobody coming in any more
	}
	if err == nil && !r.seesForeign() {
		err = refuse(ErrRefused, "the replica at %s is not part of a cluster: start one there first, or name another", address)
	}
	if err != nil {
		r.apart.Store(false)
		r.gossip.tell()
		return err
	}
	r.log.Info("told to join: starting anew as a blank replica", "address", address)
	return r.startAnew([]string{address})
}

// blank says why not when there is something that this replica would lose by starting anew.
func (r *Replica) blank() error {
	c := r.registry.State().Counts()
	switch me := r.whoami(); {
	case len(r.servers()) > 1:
		return refuse(ErrRefused, "replica %s is part of cluster %.8s… of %d replicas: let it leave first (lookupctl leave)",
			r.data.Name, me.cluster, len(r.servers()))
	case c.Topics > 0 || c.Producers > 0 || c.Sessions > 0 ||
		r.journal.acked.Load() > r.journal.applied.Load():
		return refuse(ErrRefused, "replica %s has a registry of its own, with %d topics and %d producers, that it would lose: "+
			"save it with lookupctl snapshot save, then stop it, move its data path away, and start it again with -join",
			r.data.Name, c.Topics, c.Producers)
	}
	return nil
}

// contact makes this replica known to whom it finds at a gossip address.
func (r *Replica) contact(address string) error {
	_, err := r.gossip.list.Join([]string{address})
	switch {
	case err != nil:
		return refuse(ErrNoAnswer, "no replica answers at gossip address %s (%s): is it the -gossip-address of a running replica, port %d by default?",
			address, oneLine(err), gossipPort)
	case len(r.gossip.list.Members()) < 2:
		return refuse(ErrRefused, "nobody but this replica is at %s: name another replica's gossip address", address)
	}
	return nil
}

// seesForeign reports whether a replica of another cluster lives.
func (r *Replica) seesForeign() bool {
	mine := r.whoami().cluster
	return slices.ContainsFunc(r.members.all(), func(m member) bool {
		return m.alive && m.Cluster != "" && m.Cluster != mine
	})
}

// isPeer reports whether a server of this replica's cluster has that gossip address.
func (r *Replica) isPeer(ctx context.Context, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	hosts, _ := net.DefaultResolver.LookupHost(ctx, host)
	peers := r.peers()
	return slices.ContainsFunc(hosts, func(h string) bool {
		return slices.Contains(peers, net.JoinHostPort(h, port))
	})
}

// peers are the gossip addresses of the cluster's other servers, as far as they are known.
func (r *Replica) peers() []string {
	servers := r.servers()
	var peers []string
	if _, in := servers[r.data.ID]; !in {
		return nil
	}
	for _, m := range r.members.all() {
		if _, in := servers[m.ID]; in && m.ID != r.data.ID && len(peers) < maxPeers {
			peers = append(peers, m.gossip)
		}
	}
	slices.Sort(peers)
	return peers
}

// oneLine is an error's text without line breaks.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
