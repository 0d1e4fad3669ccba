package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/raftlookupd/raftlookupd/internal/logging"
)

const (
	seedTimeout = 2 * time.Second // of each address, so that stopping does not wait for long
	maxSeeds    = 64              // that are joined at once
	leaveWait   = time.Second
	gossipPort  = 4163 // of -join addresses without one
)

// gossip finds the other replicas.
type gossip struct {
	members *members
	book    *book
	log     *slog.Logger
	list    *memberlist.Memberlist
	address string // where gossip can be reached
	port    int    // that it listens on

	meta   func() meta
	unseen func() []string // the servers of Raft's configuration that are not alive for gossip
	deaf   func() bool     // for tests: nothing is heard; may be nil
	wake   chan struct{}   // holds a token when one of them may be missing, or has given a sign of life

	mu    sync.Mutex
	seeds []string // where to look for others
}

// GossipConfig says where gossip listens.
type GossipConfig struct {
	Bind      string   // host:port; port 0 for any
	Advertise string   // host or host:port that others reach it at
	Given     bool     // the operator chose Advertise; else it is only a guess
	Join      []string // host[:port] of others

	deaf func() bool // see hooks
}

func startGossip(cfg GossipConfig, describe func() meta, unseen func() []string, ms *members, b *book, log *slog.Logger) (*gossip, error) {
	me := describe()
	if _, err := me.encode(); err != nil {
		return nil, err
	}
	g := &gossip{members: ms, book: b, log: log, meta: describe, unseen: unseen, deaf: cfg.deaf, wake: make(chan struct{}, 1)}
	mc := memberlist.DefaultLANConfig()
	mc.Name = me.ID + "-" + strconv.FormatUint(me.Incarnation, 10)
	mc.Delegate, mc.Events = g, g
	mc.Logger = logging.HCLog(log, "gossip").StandardLogger(nil)
	mc.DeadNodeReclaimTime = time.Second
	mc.TCPTimeout = seedTimeout
	if err := bindGossip(mc, cfg); err != nil {
		return nil, err
	}
	list, err := memberlist.Create(mc)
	if err != nil {
		return nil, fmt.Errorf("listen for gossip on -gossip-address %s: %w", cfg.Bind, err)
	}
	g.list, g.address, g.port = list, list.LocalNode().Address(), mc.BindPort
	return g, nil
}

// seeds gives each address of -join a port.
func seeds(join []string) []string {
	var out []string
	for _, a := range join {
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), strconv.Itoa(gossipPort))
		}
		out = append(out, a)
	}
	return out
}

// bindGossip sets where to listen and what to advertise; memberlist wants IP addresses.
func bindGossip(mc *memberlist.Config, cfg GossipConfig) error {
	host, port, err := splitPort(cfg.Bind)
	if err != nil {
		return fmt.Errorf("gossip address: %w", err)
	}
	mc.BindAddr, mc.BindPort = host, port
	mc.AdvertisePort = port
	host = cfg.Advertise
	if h, p, err := splitPort(cfg.Advertise); err == nil {
		host, mc.AdvertisePort = h, p
	}
	ips, err := net.LookupIP(host)
	if (err != nil || len(ips) == 0) && !cfg.Given && len(cfg.Join) == 0 {
		mc.AdvertiseAddr = "127.0.0.1" // a replica by itself needs nobody to reach it
		return nil
	}
	if err != nil || len(ips) == 0 {
		return fmt.Errorf("gossip advertise address %s has no IP address (%w): give -gossip-advertise-address", host, err)
	}
	mc.AdvertiseAddr = ips[0].String()
	return nil
}

func splitPort(address string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(p)
	return host, port, err
}

// keepJoining joins the seeds, until one answers and whenever a voter is not seen, and now and then in
// any case, until the context ends.
func (g *gossip) keepJoining(ctx context.Context) error {
	var facts joinFacts
	told := false
	for {
		n, err := g.joinSeeds(ctx)
		facts.found = n > 0 && g.list.NumMembers() > 1 || err == nil && n == 0 // an address may be its own
		facts.missing = len(g.unseen()) > 0
		switch {
		case facts.found:
			told = false
		case !told:
			told = true
			g.log.Warn("no replica answers at the addresses of -join: trying on", "addresses", g.addresses(), "error", err)
		}
		var wait time.Duration
		if wait, facts = facts.next(); !g.sleep(ctx, wait, &facts) {
			return nil
		}
	}
}

// sleep waits before the next time of joining; less when a voter is missing since, or one that is missing
// gives a sign of life. It returns false when the context has ended.
func (g *gossip) sleep(ctx context.Context, wait time.Duration, facts *joinFacts) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return true
		case <-ctx.Done():
			return false
		case <-g.wake:
			if len(g.unseen()) == 0 {
				continue
			}
			facts.tries = 0
			return pause(ctx, joinFirst)
		}
	}
}

// nudge has the seeds joined soon if a voter is missing. It does not block.
func (g *gossip) nudge() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// addresses are where this replica looks for others.
func (g *gossip) addresses() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.seeds)
}

// look adds addresses to look for others at.
func (g *gossip) look(addresses ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range addresses {
		if !slices.Contains(g.seeds, a) && a != g.address {
			g.seeds = append(g.seeds, a)
		}
	}
}

// joinSeeds joins each seed, and the address that the book has of each voter that is not seen, all at
// once, and counts those that answered.
func (g *gossip) joinSeeds(ctx context.Context) (answered int, err error) {
	seeds := g.addresses()
	for _, id := range g.unseen() {
		if known := g.book.get(id); known.Gossip != "" && !slices.Contains(seeds, known.Gossip) && known.Gossip != g.address {
			seeds = append(seeds, known.Gossip)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, seed := range seeds[:min(len(seeds), maxSeeds)] {
		wg.Go(func() {
			n, failed := g.list.Join([]string{seed})
			mu.Lock()
			defer mu.Unlock()
			answered += n
			err = errors.Join(err, failed)
		})
	}
	wg.Wait()
	return answered, errors.Join(err, ctx.Err())
}

// tell tells the others what has changed of this replica.
func (g *gossip) tell() {
	if err := g.list.UpdateNode(leaveWait); err != nil {
		g.log.Warn("gossip: a change of this replica is not told yet", "error", err)
	}
}

// close tells the others that this replica goes, as far as somebody is there to hear it.
func (g *gossip) close() error {
	if err := g.list.Leave(leaveWait); err != nil {
		g.log.Debug("gossip: nobody heard that this replica goes", "error", err)
	}
	return g.list.Shutdown()
}

// NodeMeta implements memberlist.Delegate.
func (g *gossip) NodeMeta(int) []byte {
	b, err := g.meta().encode()
	if err != nil {
		return nil
	}
	return b
}

// The rest of memberlist.Delegate is not used.

// NotifyMsg implements memberlist.Delegate.
func (*gossip) NotifyMsg([]byte) {}

// GetBroadcasts implements memberlist.Delegate.
func (*gossip) GetBroadcasts(int, int) [][]byte { return nil }

// LocalState implements memberlist.Delegate.
func (*gossip) LocalState(bool) []byte { return nil }

// MergeRemoteState implements memberlist.Delegate.
func (*gossip) MergeRemoteState([]byte, bool) {}

// NotifyJoin implements memberlist.EventDelegate. It is called under memberlist's lock.
func (g *gossip) NotifyJoin(n *memberlist.Node) { g.observe(n) }

// NotifyUpdate implements memberlist.EventDelegate.
func (g *gossip) NotifyUpdate(n *memberlist.Node) { g.observe(n) }

// NotifyLeave implements memberlist.EventDelegate.
func (g *gossip) NotifyLeave(n *memberlist.Node) {
	g.members.gone(n.Name)
	g.nudge()
}

func (g *gossip) observe(n *memberlist.Node) {
	m, err := decodeMeta(n.Meta)
	if err != nil {
		g.log.Warn("gossip: a node that is no replica of raftlookupd", "node", n.Name, "error", err)
		return
	}
	if g.deaf != nil && g.deaf() && m.ID != g.meta().ID {
		return
	}
	seen := member{meta: m, node: n.Name, gossip: n.Address(), alive: true}
	g.book.gossiped(seen) // first, because the list wakes those that dial
	g.members.put(seen)
}
