package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/raftlookupd/raftlookupd/e2e/netlab"
)

const (
	// formPatience is for a new cluster on a busy machine.
	formPatience = 60 * time.Second
	// requestTimeout bounds each question to a replica: a paused one takes connections and says nothing.
	requestTimeout = time.Second
	nsqdTimeout    = 20 * time.Second
)

// Programs says where the programs are.
type Programs struct {
	Raftlookupd, Nsqd string
}

// Fleet is a cluster with nsqds.
type Fleet struct {
	Lab      *netlab.Lab
	Replicas []*Replica
	Nsqds    []*Nsqd

	programs Programs
	client   *http.Client
	patient  *http.Client // for nsqds, which may ask replicas in turn
}

// Start makes a cluster of n replicas, r1 and so on, and returns when all are ready under one leader. args are flags of
// every replica.
func Start(ctx context.Context, lab *netlab.Lab, programs Programs, n int, args ...string) (*Fleet, error) {
	f := &Fleet{Lab: lab, programs: programs, client: lab.Client(requestTimeout), patient: lab.Client(nsqdTimeout)}
	var addresses []string
	for i := range n {
		node, err := lab.Add(fmt.Sprint("r", i+1))
		if err != nil {
			return nil, err
		}
		f.Replicas = append(f.Replicas, &Replica{Node: node, fleet: f})
		addresses = append(addresses, node.IP)
	}
	for _, r := range f.Replicas {
		r.args = append([]string{"-name", r.Name(), "-broadcast-address", r.IP, "-data-path", "data",
			"-bootstrap-expect", strconv.Itoa(n), "-join", strings.Join(addresses, ",")}, args...)
		if err := r.Start(); err != nil {
			return nil, err
		}
	}
	_, err := Until(ctx, formPatience, func() error {
		_, err := f.Leader(ctx)
		return err
	})
	return f, err
}

// Close ends the HTTP connections; the programs end with the lab.
func (f *Fleet) Close() {
	f.client.CloseIdleConnections()
	f.patient.CloseIdleConnections()
}

// Leader returns the leader that all replicas name, when all are ready.
func (f *Fleet) Leader(ctx context.Context) (*Replica, error) {
	var leader string
	for i, r := range f.Replicas {
		if err := r.Ready(ctx); err != nil {
			return nil, err
		}
		s, err := r.Status(ctx)
		if err != nil {
			return nil, err
		}
		if i > 0 && s.Leader != leader || s.Leader == "" {
			return nil, fmt.Errorf("%s says that %q leads, another that %q does", r.Name(), s.Leader, leader)
		}
		leader = s.Leader
	}
	return f.replica(leader)
}

// LevelInForce returns nil when at each replica the highest level of log kinds that any replica knows is in force: a
// cluster whose replicas are all of one version gets there soon after it has formed.
func (f *Fleet) LevelInForce(ctx context.Context) error {
	for _, r := range f.Replicas {
		s, err := r.Status(ctx)
		if err != nil {
			return err
		}
		for _, m := range s.Members {
			if m.LogLevel > s.Registry.LogLevel {
				return fmt.Errorf("%s: level %d is in force, a member knows %d", r.Name(), s.Registry.LogLevel, m.LogLevel)
			}
		}
	}
	return nil
}

func (f *Fleet) replica(name string) (*Replica, error) {
	for _, r := range f.Replicas {
		if r.Name() == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("there is no replica %q", name)
}

// Lead makes a replica the leader, and returns when all replicas say so.
func (f *Fleet) Lead(ctx context.Context, r *Replica) error {
	_, err := Until(ctx, formPatience, func() error {
		leader, err := f.Leader(ctx)
		if err == nil && leader != r {
			err = errors.Join(leader.Transfer(ctx, r), fmt.Errorf("%s leads, not %s", leader.Name(), r.Name()))
		}
		return err
	})
	return err
}

// Others returns all replicas but these.
func (f *Fleet) Others(but ...*Replica) []*Replica {
	var others []*Replica
	for _, r := range f.Replicas {
		if !slices.Contains(but, r) {
			others = append(others, r)
		}
	}
	return others
}

// Nodes returns the nodes of replicas.
func Nodes(replicas ...*Replica) []*netlab.Node {
	var nodes []*netlab.Node
	for _, r := range replicas {
		nodes = append(nodes, r.Node)
	}
	return nodes
}

// Isolate returns the traffic between a replica and all others, but not its nsqds'.
func (f *Fleet) Isolate(r *Replica) netlab.Links {
	return netlab.Around(r.Node, Nodes(f.Replicas...)...)
}
