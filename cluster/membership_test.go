package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"log/slog"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// logged collects what a replica logs.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) says(t *testing.T, parts ...string) {
	t.Helper()
	eventually.True(t, soon, fmt.Sprintf("the log says %q", parts), func() error {
		for line := range strings.Lines(l.all()) {
			missing := false
			for _, part := range parts {
				missing = missing || !strings.Contains(line, part)
			}
			if !missing {
				return nil
			}
		}
		return errors.New("it does not")
	})
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// joining makes replica i join only: it forms no cluster.
func joining(cfg *Config) { cfg.BootstrapExpect = 0 }

func (c *trio) role(id string) string { return c.leader().role(id) }

func (c *trio) hasRole(id, role string) {
	c.t.Helper()
	eventually.True(c.t, 2*soon, "role "+role, func() error {
		if got := c.role(id); got != role {
			return fmt.Errorf("is %s", got)
		}
		return nil
	})
}

func TestNewcomerBecomesVoterAndReaderStaysReader(t *testing.T) {
	c := newTrio(t, 1, nil)
	c.replicas = append(c.replicas, nil, nil)
	c.alter = func(i int, cfg *Config) {
		joining(cfg)
		cfg.Reader = i == 2
	}
	register(t, session(t, c.replicas[0], 1), "topic", "channel")
	voter, reader := c.start(1), c.start(2)
	c.ready()
	c.hasRole(voter.ID(), "voter")
	c.hasRole(reader.ID(), "reader")
	register(t, session(t, reader, 2), "topic", "")
	c.agree()
	if !lists(read(t, reader), "topic", 1) || !lists(read(t, reader), "topic", 2) {
		t.Error("the reader does not have it all")
	}
	if c.role(reader.ID()) != "reader" {
		t.Error("the reader was promoted")
	}
}

func TestForeignReplicaIsRefused(t *testing.T) {
	var log logged
	c := newTrio(t, 1, func(_ int, cfg *Config) { cfg.Logger = log.logger() })
	foreign := openReady(t, testConfig(t.TempDir()))
	if _, err := foreign.gossip.list.Join([]string{c.replicas[0].gossip.address}); err != nil {
		t.Fatal(err)
	}
	log.says(t, "refused a replica", foreign.ID(), "of another cluster")
	if _, in := c.replicas[0].servers()[foreign.ID()]; in {
		t.Error("taken in")
	}
}

func TestNameOfALivingReplicaIsRefused(t *testing.T) {
	var log logged
	c := newTrio(t, 1, func(_ int, cfg *Config) { cfg.Logger = log.logger() })
	c.replicas = append(c.replicas, nil)
	c.alter = func(_ int, cfg *Config) {
		joining(cfg)
		cfg.Name = "r0"
	}
	second := c.start(1)
	log.says(t, "refused a replica", second.ID(), "of that name is alive")
	if ok, _ := second.Ready(); ok {
		t.Error("ready though refused")
	}
}

// A voter that lost its data comes back under its name with a new id, and takes the place of the
// old one.
func TestWipedVoterComesBack(t *testing.T) {
	c := newTrio(t, 3, nil)
	register(t, session(t, c.replicas[0], 1), "topic", "")
	old := c.replicas[2].ID()
	c.stop(2)
	if err := os.RemoveAll(filepath.Join(c.dir, "2")); err != nil {
		t.Fatal(err)
	}
	back := c.start(2)
	if back.ID() == old {
		t.Fatal("the old id")
	}
	c.ready()
	c.hasRole(back.ID(), "voter")
	c.hasRole(old, "none")
	c.agree()
	if !lists(read(t, back), "topic", 1) {
		t.Error("the registry is not there")
	}
}

// An identity in the greeting is not enough: the port answers only to its own id and cluster.
func TestPortRefusesStrangers(t *testing.T) {
	c := newTrio(t, 2, nil)
	a, b := c.replicas[0], c.replicas[1]
	address := a.book.addresses(b.ID())[0]
	me := a.whoami()
	for name, as := range map[string]struct {
		kind   byte
		target string
		from   peer
		want   string
	}{
		"another target":  {kindRaft, me.id, me, "meant for replica"},
		"another cluster": {kindRaft, b.ID(), peer{me.id, "other"}, "of cluster"},
		"unknown kind":    {'X', b.ID(), me, "unknown kind"},
	} {
		stranger := newPort(noListener{}, identity0(as.from), a.log)
		conn, err := stranger.dial(t.Context(), as.kind, as.target, address)
		if err == nil {
			_ = conn.Close()
		}
		if err == nil || !strings.Contains(err.Error(), as.want) {
			t.Errorf("%s: error %v, want %q", name, err, as.want)
		}
	}
}

type identity0 peer

func (i identity0) whoami() peer         { return peer(i) }
func (i identity0) invited(string) error { return nil }
func (i identity0) hello() hello         { return hello{} }
func (i identity0) condemned(string)     {}

// hashicorp/raft issue 612: a follower that answers an AppendEntries with an error once must go on
// being replicated to.
func TestFollowerThatFailsOnce(t *testing.T) {
	gates := make(map[int]*gate)
	c := newTrio(t, 3, func(i int, cfg *Config) { gates[i] = gated(t, cfg) })
	leader := c.leader()
	var bad *gate
	for i, r := range c.replicas {
		if r != leader {
			bad = gates[i]
		}
	}
	s := session(t, leader, 1)
	for round := range 5 {
		bad.fail(errors.New("failing once"))
		for n := range 50 {
			register(t, s, fmt.Sprintf("topic-%d-%d", round, n), "")
		}
		settle(t, leader)
		bad.open()
	}
	c.agree()
}

// A replica that the leader takes for lost, though it lives, opens again what was dropped.
func TestFalselyLost(t *testing.T) {
	c := newTrio(t, 3, nil)
	r := c.follower()
	one := session(t, r, 1)
	register(t, one, "topic", "channel")
	leader := c.leader()
	elsewhere := session(t, leader, 1) // the same nsqd, with a session that needs no orphans
	register(t, elsewhere, "topic", "channel")
	elsewhere.Ping()
	c.agree()
	known, _ := leader.registry.State().Replica(r.ID())
	before := one.registered()
	leader.decide(fsm.LoseReplica(r.ID(), known.Incarnation))
	eventually.True(t, soon, "opened again", func() error {
		if one.registered() == before {
			return errors.New("it has its old number")
		}
		return nil
	})
	c.agree()
	hangUp(elsewhere)
	c.agree()
	state := leader.registry.State()
	if !lists(state, "topic", 1) || state.Counts().Sessions != 1 || state.Counts().Orphans != 0 {
		t.Errorf("%s, %+v", listings(state), state.Counts())
	}
}

// ExpireReplica drops the sessions of a replica that was cut off for longer than the grace; when
// it is back they are all there again.
func TestCutOffForLongerThanTheGrace(t *testing.T) {
	c := newTrio(t, 3, func(_ int, cfg *Config) { cfg.ReplicaGrace = 300 * 1e6 })
	r := c.follower()
	s := session(t, r, 1)
	register(t, s, "topic", "channel")
	c.agree()
	c.part(r, true)
	leader := c.leader()
	eventually.True(t, 2*soon, "expired", func() error {
		if lists(leader.registry.State(), "topic", 1) {
			return errors.New("still listed")
		}
		return nil
	})
	register(t, s, "meanwhile", "")
	c.heal()
	eventually.True(t, 2*soon, "listed again", func() error {
		state := leader.registry.State()
		if !lists(state, "topic", 1) || !lists(state, "meanwhile", 1) {
			return errors.New(listings(state))
		}
		return nil
	})
	c.agree()
}

// A replica whose registry differs from the leader's says so, and is not ready.
func TestDivergence(t *testing.T) {
	c := newTrio(t, 1, nil)
	r := c.leader()
	register(t, session(t, r, 1), "topic", "")
	settle(t, r)
	state := r.registry.State()
	r.decide(fsm.Checkpoint(state.Index(), state.Fingerprint()))
	if ok, reason := r.Ready(); !ok {
		t.Fatalf("not ready after a true checkpoint: %s", reason)
	}
	wrong, err := fsm.ParseFingerprint(strings.Repeat("ab", 16))
	if err != nil {
		t.Fatal(err)
	}
	r.decide(fsm.Checkpoint(state.Index(), wrong))
	if ok, reason := r.Ready(); ok || !strings.Contains(reason, "differs") {
		t.Errorf("ready %v, reason %q", ok, reason)
	}
	if n := r.Status().Divergences; n != 1 {
		t.Errorf("%d divergences counted", n)
	}
	r.restored() // as after a snapshot of the leader's
	if ok, reason := r.Ready(); !ok {
		t.Errorf("with the leader's registry: %s", reason)
	}
}

// A planned stop hands leadership over first: the next leader is there without an election
// timeout, and nothing that was said OK to is missing.
func TestHandOver(t *testing.T) {
	c := newTrio(t, 3, func(_ int, cfg *Config) { cfg.RaftTimeout = 2 * 1e9 })
	old := c.leader()
	register(t, session(t, old, 1), "topic", "")
	term := old.raft.CurrentTerm()
	for i, r := range c.replicas {
		if r == old {
			c.stop(i)
		}
	}
	next := c.running()[0]
	if next.leader() == "" || next.leader() == old.ID() {
		next = c.running()[1]
	}
	if got := next.raft.CurrentTerm(); got != term+1 {
		t.Errorf("term %d, want %d", got, term+1)
	}
	leader := c.leader()
	if state := leader.raft.State(); state != raft.Leader {
		t.Errorf("state %s", state)
	}
	c.agree()
	if !lists(leader.registry.State(), "topic", 1) {
		t.Error("the registration is missing")
	}
}
