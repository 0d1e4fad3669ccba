package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

func TestCloseIsIdempotent(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	mustClose(t, r)
}

// What a client was told OK for goes into the log before the replica ends, more than may be on its
// way at once as well.
func TestCloseFlushesWhatIsAcknowledged(t *testing.T) {
	const many = 3 * maxInFlight * maxBatchChanges
	cfg := testConfig(t.TempDir())
	g := gated(t, &cfg)
	defer g.open()
	r := openReady(t, cfg)
	settle(t, r)
	g.hang(0)
	for i := range many {
		r.journal.ack(mustAppend(t, r.journal, topicChange(i), nil))
	}
	closed := make(chan error)
	go func() { closed <- r.Close() }()
	g.open()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if n := read(t, openReady(t, cfg)).Counts().Topics; n != many {
		t.Fatalf("%d changes were acknowledged, %d are there", many, n)
	}
}

func TestAfterClose(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	s := session(t, r, 1)
	mustClose(t, r)
	if _, err := r.OpenSession(nsqd(2), func() {}); !errors.Is(err, ErrClosed) {
		t.Errorf("OpenSession: %v", err)
	}
	if _, err := s.Register("topic", ""); !errors.Is(err, ErrClosed) {
		t.Errorf("Register: %v", err)
	}
	if err := r.Change(context.Background(), fsm.CreateTopic("topic")); !errors.Is(err, ErrClosed) {
		t.Errorf("Change: %v", err)
	}
	s.Ping()
	hangUp(s)
	if ok, reason := r.Ready(); ok || reason != "is stopping" {
		t.Errorf("ready %v, reason %q", ok, reason)
	}
	read(t, r)
	_ = r.Status()
}

// A disk that hangs must not keep the process.
func TestCloseWhenTheLogHangs(t *testing.T) {
	before := goleak.IgnoreCurrent()
	cfg := testConfig(t.TempDir())
	g := gated(t, &cfg)
	r, err := openListening(cfg)
	if err != nil {
		t.Fatal(err)
	}
	waitReady(t, r)
	s := session(t, r, 1)
	settle(t, r)
	g.hang(0)
	register(t, s, "topic", "")
	ended := make(chan error)
	go func() { ended <- r.Close() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("Close says nothing of it")
		}
	case <-time.After(readWait + enqueueWait + batchWait + closeWait + soon):
		t.Fatal("Close hangs")
	}
	g.open()
	eventually.True(t, soon, "every goroutine ended", func() error { return goleak.Find(before) })
	if err := r.stores.bolt.Close(); err != nil {
		t.Error(err)
	}
}

// Clients that are at it when the replica closes leave no goroutine behind, and none hangs.
func TestCloseUnderLoad(t *testing.T) {
	for range 5 {
		r := openReady(t, testConfig(t.TempDir()))
		var clients sync.WaitGroup
		for n := range 8 {
			clients.Go(func() {
				s, err := r.OpenSession(nsqd(n), func() {})
				for i := 0; err == nil; i++ {
					_, err = s.Register(fmt.Sprintf("topic-%d", i%100), "")
					if err == nil {
						err = r.Change(context.Background(), fsm.CreateTopic(fmt.Sprintf("topic-%d-%d", n, i)))
					}
				}
				var known *Error
				if !errors.As(err, &known) {
					t.Errorf("a client got %v", err)
				}
			})
		}
		eventually.True(t, soon, "load", func() error {
			if n := r.registry.State().Counts().Topics; n < 50 {
				return fmt.Errorf("%d topics", n)
			}
			return nil
		})
		mustClose(t, r)
		clients.Wait()
	}
}

// A half-done Open gives back what it took.
func TestFailedOpenReleasesEverything(t *testing.T) {
	cfg := testConfig(closedBase(t))
	broken := cfg
	broken.DataPath = copyTree(t, cfg.DataPath)
	rewrite(t, broken.DataPath, func(raw []byte) []byte { return raw[:100] })
	for range 3 {
		refuses(t, broken)
	}
	d, err := openDataPath(broken.DataPath, "r1", false)
	if err != nil {
		t.Fatalf("still locked: %v", err)
	}
	d.close()
}

type noListener struct{ net.Listener }

func TestOpenValidates(t *testing.T) {
	whole := testConfig(t.TempDir())
	whole.Listener = noListener{}
	if err := whole.Validate(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Config{RegisterWindow: -1, TombstoneLifetime: -1})
	if err == nil {
		t.Fatal("took nothing for a configuration")
	}
	for name, alter := range map[string]func(*Config){
		"name":               func(c *Config) { c.Name = "" },
		"data path":          func(c *Config) { c.DataPath = "" },
		"commit timeout":     func(c *Config) { c.CommitTimeout = 0 },
		"replica grace":      func(c *Config) { c.ReplicaGrace = -1 },
		"isolation timeout":  func(c *Config) { c.IsolationTimeout = 0 },
		"raft timeout":       func(c *Config) { c.RaftTimeout = 0 },
		"inactive timeout":   func(c *Config) { c.InactiveTimeout = 0 },
		"register window":    func(c *Config) { c.RegisterWindow = -1 },
		"tombstone lifetime": func(c *Config) { c.TombstoneLifetime = -1 },
		"logger":             func(c *Config) { c.Logger = nil },
	} {
		c := whole
		alter(&c)
		if one := c.Validate(); one == nil || !strings.Contains(one.Error(), name) || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v; of all: %v", name, one, err)
		}
	}
}
