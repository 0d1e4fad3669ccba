package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/raftlookupd/raftlookupd/e2e/netlab"
)

// Ports that programs have without flags.
const (
	replicaTCP  = "4160"
	replicaHTTP = "4161"
	nsqdTCP     = 4150
	nsqdHTTP    = "4151"
	// GossipPort takes TCP and UDP.
	GossipPort = 4163
)

// Replica is one raftlookupd.
type Replica struct {
	*netlab.Node
	Process *netlab.Process // of its last start

	fleet *Fleet
	args  []string
}

// Name is the name of the replica and of its node.
func (r *Replica) Name() string { return r.Node.Name }

// Start starts it, for the first time or again, and does not wait.
func (r *Replica) Start() (err error) {
	r.Process, err = r.Node.Start("raftlookupd", r.fleet.programs.Raftlookupd, r.args...)
	return err
}

// Answer is what an HTTP server said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

func ask(ctx context.Context, client *http.Client, method, host, path string) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+host+path, nil)
	if err != nil {
		return Answer{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body}, err
}

// succeed makes a request that must be answered 200, and decodes the answer into out unless that is nil.
func (f *Fleet) succeed(ctx context.Context, method, host, path string, out any) error {
	a, err := ask(ctx, f.client, method, host, path)
	switch {
	case err != nil:
		return err
	case a.Status != http.StatusOK:
		return fmt.Errorf("%s %s%s: %d %s", method, host, path, a.Status, a.Body)
	case out == nil:
		return nil
	}
	return json.Unmarshal(a.Body, out)
}

func (r *Replica) http() string { return r.IP + ":" + replicaHTTP }

// Get asks the replica, and returns its answer whatever the status.
func (r *Replica) Get(ctx context.Context, path string) (Answer, error) {
	return ask(ctx, r.fleet.client, http.MethodGet, r.http(), path)
}

// Post makes a request that must be answered 200.
func (r *Replica) Post(ctx context.Context, path string) error {
	return r.fleet.succeed(ctx, http.MethodPost, r.http(), path, nil)
}

// Ready returns nil when the replica says that it is ready.
func (r *Replica) Ready(ctx context.Context) error {
	if r.Process.HasExited() {
		return fmt.Errorf("%s has ended: %s", r.Name(), r.Process.Tail(3))
	}
	return r.fleet.succeed(ctx, http.MethodGet, r.http(), "/readyz", nil)
}

// Status is the part of /cluster/status that tests look at.
type Status struct {
	Leader       string
	Term         uint64
	CommitIndex  uint64 `json:"commit_index"`
	AppliedIndex uint64 `json:"applied_index"`
	Registry     struct {
		LogLevel uint64 `json:"log_level"` // of log kinds, in force
	}
	Members []struct {
		LogLevel uint64 `json:"log_level"` // that the member knows
	}
}

// Status asks for /cluster/status.
func (r *Replica) Status(ctx context.Context) (Status, error) {
	var s Status
	err := r.fleet.succeed(ctx, http.MethodGet, r.http(), "/cluster/status", &s)
	return s, err
}

// Create makes a topic.
func (r *Replica) Create(ctx context.Context, topic string) error {
	return r.Post(ctx, "/topic/create?topic="+url.QueryEscape(topic))
}

// ReadLinearizably returns nil when a linearizable read of a topic that exists goes through.
func (r *Replica) ReadLinearizably(ctx context.Context, topic string) error {
	path := "/lookup?consistency=linearizable&topic=" + url.QueryEscape(topic)
	return r.fleet.succeed(ctx, http.MethodGet, r.http(), path, nil)
}

// Producers returns how many producers of a topic the replica lists.
func (r *Replica) Producers(ctx context.Context, topic string) (int, error) {
	var rows listed
	err := r.fleet.succeed(ctx, http.MethodGet, r.http(), "/lookup?topic="+url.QueryEscape(topic), &rows)
	return len(rows.Producers), err
}

// Transfer asks the leader to make another replica the leader.
func (r *Replica) Transfer(ctx context.Context, to *Replica) error {
	return r.Post(ctx, "/cluster/transfer?name="+url.QueryEscape(to.Name()))
}

// Nsqd is a real one, with the topics "events" (all have it) and its own.
type Nsqd struct {
	*netlab.Node
	Process *netlab.Process

	fleet *Fleet
	args  []string
}

// Common is the topic that every nsqd of a fleet has.
const Common = "events"

// Key names the nsqd as /lookup and /nodes do.
func (n *Nsqd) Key() string { return fmt.Sprintf("%s:%d", n.IP, nsqdTCP) }

// Own is the topic that only this nsqd has.
func (n *Nsqd) Own() string { return "of-" + n.Node.Name }

// Create makes a topic at the nsqd, which registers it everywhere that it knows. It takes as long as the nsqd needs to
// ask its replicas for the channels of the topic.
func (n *Nsqd) Create(ctx context.Context, topic string) error {
	a, err := ask(ctx, n.fleet.patient, http.MethodPost, n.IP+":"+nsqdHTTP, "/topic/create?topic="+url.QueryEscape(topic))
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("make topic %s at %s: %d %s", topic, n.Node.Name, a.Status, a.Body)
	}
	return err
}

// AddNsqd starts an nsqd that knows these replicas, and gives it its topics. It does not wait until it is listed.
func (f *Fleet) AddNsqd(ctx context.Context, replicas ...*Replica) (*Nsqd, error) {
	node, err := f.Lab.Add(fmt.Sprint("n", len(f.Nsqds)+1))
	if err != nil {
		return nil, err
	}
	n := &Nsqd{Node: node, fleet: f, args: []string{"-broadcast-address", node.IP, "-data-path", node.Dir}}
	for _, r := range replicas {
		n.args = append(n.args, "-lookupd-tcp-address", r.IP+":"+replicaTCP)
	}
	if n.Process, err = node.Start("nsqd", f.programs.Nsqd, n.args...); err != nil {
		return nil, err
	}
	f.Nsqds = append(f.Nsqds, n)
	_, err = Until(ctx, formPatience, func() error {
		return f.succeed(ctx, http.MethodGet, node.IP+":"+nsqdHTTP, "/ping", nil)
	})
	for _, topic := range []string{Common, n.Own()} {
		if err == nil {
			err = n.Create(ctx, topic)
		}
	}
	return n, err
}
