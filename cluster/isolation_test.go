package cluster

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// Without a leader for the isolation timeout a replica is not ready, sends its nsqds elsewhere and
// takes none; when there is a leader again it does.
func TestIsolation(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.IsolationTimeout = 200 * time.Millisecond
	g := gated(t, &cfg)
	defer g.open()
	r := openReady(t, cfg)
	var evicted atomic.Int32
	if _, err := r.OpenSession(nsqd(1), func() { evicted.Add(1) }); err != nil {
		t.Fatal(err)
	}
	settle(t, r)
	eventually.True(t, soon, "a leader noticed", func() error {
		if silence := r.leadership.silence.Load(); silence > 0 {
			return errors.New("the time before the election still counts")
		}
		return nil
	})
	start := time.Now()
	g.fail(errors.New("no space left on device"))
	register(t, session(t, r, 2), "topic", "") // for the leader to notice
	eventually.True(t, soon, "isolated", func() error {
		if r.Admits() {
			return errors.New("takes nsqds")
		}
		return nil
	})
	if after := time.Since(start); after < cfg.IsolationTimeout-2*periodFor(cfg.IsolationTimeout) {
		t.Errorf("isolated after %s", after)
	}
	if ok, reason := r.Ready(); ok || !strings.Contains(reason, "no leader for 200ms") {
		t.Errorf("ready %v, reason %q", ok, reason)
	}
	if _, err := r.OpenSession(nsqd(3), func() {}); !errors.Is(err, ErrIsolated) {
		t.Errorf("error %v, want ErrIsolated", err)
	}
	eventually.True(t, soon, "eviction", func() error {
		if evicted.Load() == 0 {
			return errors.New("not evicted")
		}
		return nil
	})
	if read(t, r) == nil {
		t.Error("a cut-off replica must still answer")
	}
	g.open()
	eventually.True(t, soon, "no longer isolated", func() error {
		if ok, reason := r.Ready(); !ok || !r.Admits() {
			return errors.New(reason)
		}
		return nil
	})
	session(t, r, 3)
}

// A follower that hears heartbeats, but gets no answer from the leader, is isolated: its nsqds' changes do not get
// through.
func TestIsolatedThoughItHearsTheLeader(t *testing.T) {
	c := newTrio(t, 2, func(_ int, cfg *Config) { cfg.IsolationTimeout = time.Second })
	c.agree()
	leader, f := c.leader(), c.follower()
	_ = leader.answers.http.Close()
	eventually.True(t, soon, "isolated", func() error {
		if f.leader() == "" || !f.isolated.Load() {
			return fmt.Errorf("leader %q, isolated: %v", f.leader(), f.isolated.Load())
		}
		return nil
	})
}
