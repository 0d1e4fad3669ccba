package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// trio is three replicas, or as many as the test wants, in one process, with a network between
// them that can be cut.
type trio struct {
	t        testing.TB
	dir      string
	replicas []*Replica // nil while stopped
	net      *testNet
	alter    func(i int, cfg *Config)
	log      *logged // of every replica; shown when the test fails
}

// testNet says who cannot reach whom, by id.
type testNet struct {
	mu   sync.Mutex
	cuts map[[2]string]bool
}

func (n *testNet) cut(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cuts[[2]string{from, to}]
}

func newTrio(t testing.TB, n int, alter func(i int, cfg *Config)) *trio {
	t.Helper()
	c := newBlankTrio(t, n, alter)
	c.ready()
	return c
}

// newBlankTrio is newTrio, and does not wait until they are a cluster.
func newBlankTrio(t testing.TB, n int, alter func(i int, cfg *Config)) *trio {
	t.Helper()
	c := &trio{t: t, dir: t.TempDir(), replicas: make([]*Replica, n), alter: alter,
		net: &testNet{cuts: make(map[[2]string]bool)}, log: &logged{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the replicas said:\n" + c.log.all())
		}
	})
	for i := range n {
		c.start(i)
	}
	return c
}

// start starts the i-th replica on its data path, on new ports, joining those that run.
func (c *trio) start(i int) *Replica {
	c.t.Helper()
	cfg := testConfig(filepath.Join(c.dir, fmt.Sprint(i)))
	cfg.Name = fmt.Sprintf("r%d", i)
	cfg.RaftTimeout = 200 * time.Millisecond
	cfg.Logger = c.log.logger().With("replica", cfg.Name)
	cfg.BootstrapExpect = len(c.replicas)
	for _, r := range c.replicas {
		if r != nil {
			cfg.Gossip.Join = append(cfg.Gossip.Join, r.gossip.address)
		}
	}
	if len(cfg.Gossip.Join) == 0 && len(c.replicas) > 1 {
		cfg.Gossip.Join = []string{"127.0.0.1:1"} // the first one; nobody answers there
	}
	var me *Replica
	var mu sync.Mutex
	cfg.cut = func(id string) bool {
		mu.Lock()
		defer mu.Unlock()
		return me != nil && c.net.cut(me.data.ID, id)
	}
	if c.alter != nil {
		c.alter(i, &cfg)
	}
	r, err := openListening(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	mu.Lock()
	me = r
	mu.Unlock()
	c.t.Cleanup(func() { _ = r.Close() })
	c.replicas[i] = r
	return r
}

func (c *trio) stop(i int) {
	c.t.Helper()
	if err := c.replicas[i].Close(); err != nil {
		c.t.Error(err)
	}
	c.replicas[i] = nil
}

// ready waits until every running replica is.
func (c *trio) ready() {
	c.t.Helper()
	for _, r := range c.running() {
		waitReady(c.t, r)
	}
}

func (c *trio) running() []*Replica {
	var all []*Replica
	for _, r := range c.replicas {
		if r != nil {
			all = append(all, r)
		}
	}
	return all
}

// leader waits until one of the given replicas leads.
func (c *trio) leader(among ...*Replica) *Replica {
	c.t.Helper()
	if len(among) == 0 {
		among = c.running()
	}
	var found *Replica
	eventually.True(c.t, soon, "a leader", func() error {
		for _, r := range among {
			if r.leads() && r.raft.VerifyLeader().Error() == nil {
				found = r
				return nil
			}
		}
		return errors.New("nobody leads")
	})
	return found
}

// follower is one that does not lead.
func (c *trio) follower() *Replica {
	c.t.Helper()
	leader := c.leader()
	for _, r := range c.running() {
		if r != leader {
			return r
		}
	}
	c.t.Fatal("no follower")
	return nil
}

// part cuts one replica off from all others, both ways, or only from hearing them.
func (c *trio) part(r *Replica, both bool) {
	c.net.mu.Lock()
	for _, o := range c.running() {
		c.net.cuts[[2]string{o.data.ID, r.data.ID}] = o != r
		c.net.cuts[[2]string{r.data.ID, o.data.ID}] = o != r && both
	}
	c.net.mu.Unlock()
	for _, o := range c.running() {
		o.port.drop()
	}
}

func (c *trio) heal() {
	c.net.mu.Lock()
	clear(c.net.cuts)
	c.net.mu.Unlock()
}

// agree waits until all running replicas have applied the same, and compares everything that they
// answer.
func (c *trio) agree() {
	c.t.Helper()
	all := c.running()
	eventually.True(c.t, 2*soon, "all replicas agree", func() error {
		for _, r := range all {
			if n := r.journal.length(); n > 0 {
				return fmt.Errorf("%s has %d changes pending", r.Name(), n)
			}
			if got, want := r.registry.State(), all[0].registry.State(); got.Index() != want.Index() ||
				got.Fingerprint() != want.Fingerprint() {
				return fmt.Errorf("%s is at %d %s, %s at %d %s", r.Name(), got.Index(), got.Fingerprint(),
					all[0].Name(), want.Index(), want.Fingerprint())
			}
		}
		return nil
	})
	for _, r := range all[1:] {
		if got, want := listings(r.registry.State()), listings(all[0].registry.State()); got != want {
			c.t.Errorf("%s lists\n%s, want\n%s", r.Name(), got, want)
		}
	}
}

func TestThreeReplicasOneRegistry(t *testing.T) {
	c := newTrio(t, 3, nil)
	for i, r := range c.replicas {
		s := session(t, r, i)
		register(t, s, "shared", "channel")
		register(t, s, fmt.Sprintf("topic-%d", i), "")
		if !lists(read(t, r), "shared", i) {
			t.Errorf("%s does not read what it said OK to", r.Name())
		}
	}
	change(t, c.follower(), fsm.CreateTopic("by-http"))
	c.agree()
	state := c.replicas[0].registry.State()
	for i := range c.replicas {
		if !lists(state, "shared", i) || !lists(state, fmt.Sprintf("topic-%d", i), i) {
			t.Errorf("producer %d is missing in %s", i, listings(state))
		}
	}
	if counts := state.Counts(); counts.Producers != 3 || counts.Sessions != 3 || counts.Topics != 5 {
		t.Errorf("counts %+v", counts)
	}
}

// One nsqd with a session at each replica is listed once, and is gone when the last session closes.
func TestOneProducerAtAllReplicas(t *testing.T) {
	c := newTrio(t, 3, nil)
	var sessions []*Session
	for _, r := range c.replicas {
		s := session(t, r, 7)
		register(t, s, "topic", "channel")
		s.Ping()
		sessions = append(sessions, s)
	}
	c.agree()
	if n := c.replicas[0].registry.State().Counts().Producers; n != 1 {
		t.Errorf("%d producers", n)
	}
	for i, s := range sessions {
		hangUp(s)
		c.agree()
		if got, want := lists(c.replicas[0].registry.State(), "topic", 7), i < 2; got != want {
			t.Errorf("listed %v after %d of 3 sessions closed", got, i+1)
		}
	}
}

// The leader is cut off while sessions register everywhere: nothing that a session has is missing
// afterwards, nothing is there twice.
func TestPartitions(t *testing.T) {
	for name, both := range map[string]bool{"both ways": true, "one way": false} {
		t.Run(name, func(t *testing.T) { testPartitions(t, both) })
	}
}

func testPartitions(t *testing.T, both bool) {
	c := newTrio(t, 3, nil)
	ctx, stop := context.WithCancel(context.Background())
	var storm sync.WaitGroup
	var mu sync.Mutex
	said := make(map[string]int) // topic -> producer
	for i, r := range c.replicas {
		s := session(t, r, i)
		storm.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				topic := fmt.Sprintf("topic-%d-%d", i, n)
				if _, err := s.Register(topic, "channel"); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				said[topic] = i
				mu.Unlock()
				pause(ctx, time.Millisecond)
			}
		})
	}
	for range 2 {
		old := c.leader()
		c.part(old, both)
		var rest []*Replica
		for _, r := range c.running() {
			if r != old {
				rest = append(rest, r)
			}
		}
		if both {
			c.leader(rest...)
		}
		pause(ctx, 500*time.Millisecond)
		c.heal()
		c.leader()
	}
	stop()
	storm.Wait()
	c.agree()
	state := c.replicas[0].registry.State()
	for topic, i := range said {
		if !lists(state, topic, i) {
			t.Errorf("%s of producer %d is missing", topic, i)
		}
	}
	if counts := state.Counts(); counts.Producers != 3 || counts.Sessions != 3 || counts.Orphans != 0 {
		t.Errorf("counts %+v", counts)
	}
}

// All replicas restart at once, on other ports than before.
func TestAllRestartWithNewAddresses(t *testing.T) {
	c := newTrio(t, 3, nil)
	register(t, session(t, c.replicas[1], 1), "topic", "channel")
	c.agree()
	cluster := c.replicas[0].whoami().cluster
	for i := range c.replicas {
		c.stop(i)
	}
	for i := range c.replicas {
		c.start(i)
	}
	c.ready()
	c.agree()
	state := c.replicas[2].registry.State()
	if !lists(state, "topic", 1) || state.Counts().Orphans != 1 {
		t.Errorf("after the restart: %s, %+v", listings(state), state.Counts())
	}
	if got := c.replicas[2].whoami().cluster; got != cluster {
		t.Errorf("cluster %s, was %s", got, cluster)
	}
}

// PINGs write nothing: an idle cluster's log stays as long as it is.
func TestIdleClusterWritesNothing(t *testing.T) {
	c := newTrio(t, 3, func(_ int, cfg *Config) { cfg.RaftTimeout = time.Second }) // an election does write
	var all []*Session
	for n := range 1000 {
		s := session(t, c.replicas[n%3], n)
		register(t, s, "topic", "")
		s.Ping()
		all = append(all, s)
	}
	levelled(t, c.leader())
	c.agree()
	before := c.leader().raft.LastIndex()
	for range 20 {
		for _, s := range all {
			s.Ping()
		}
		pause(t.Context(), 100*time.Millisecond)
	}
	if after := c.leader().raft.LastIndex(); after != before {
		t.Errorf("%d entries were written", after-before)
	}
}
