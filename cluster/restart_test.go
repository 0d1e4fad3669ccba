package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// listings are the answers that a replica gives to clients.
func listings(s *fsm.State) string {
	text := string(s.Topics()) + string(s.Nodes()) + string(s.Channels(fsm.AllTopics))
	all, _ := s.Lookup(fsm.AllTopics)
	return text + string(all)
}

// populate gives a replica some of everything.
func populate(t testing.TB, r *Replica) {
	t.Helper()
	for n := range 5 {
		s := session(t, r, n)
		register(t, s, "topic", fmt.Sprintf("channel-%d", n))
		register(t, s, fmt.Sprintf("topic-%d", n), "x#ephemeral")
		s.Ping()
	}
	change(t, r, fsm.CreateTopic("empty"))
	change(t, r, fsm.CreateChannel("topic", "extra"))
	change(t, r, fsm.Tombstone("topic", "nsqd-3:4151"))
	settle(t, r)
}

func TestRestart(t *testing.T) {
	cfg := testConfig(t.TempDir())
	first := openReady(t, cfg)
	populate(t, first)
	want, incarnation := listings(read(t, first)), first.Status().Incarnation
	mustClose(t, first)

	r := openReady(t, cfg)
	if got := listings(read(t, r)); got != want {
		t.Errorf("after the restart\n%s, before\n%s", got, want)
	}
	if got := read(t, r).Counts(); got.Orphans != 5 || got.Sessions != 0 {
		t.Errorf("%d sessions and %d orphans, want 0 and 5", got.Sessions, got.Orphans)
	}
	if got := r.Status().Incarnation; got <= incarnation {
		t.Errorf("incarnation %d after %d", got, incarnation)
	}
	again := session(t, r, 1)
	register(t, again, "topic", "")
	if got := read(t, r).Counts(); got.Orphans != 5 || got.Sessions != 1 {
		t.Errorf("%d sessions and %d orphans, want 1 and 5: it has not pinged", got.Sessions, got.Orphans)
	}
	again.Ping()
	if got := read(t, r).Counts(); got.Orphans != 4 || got.Sessions != 1 {
		t.Errorf("%d sessions and %d orphans, want 1 and 4", got.Sessions, got.Orphans)
	}
	if now := read(t, r); !lists(now, "topic", 1) || lists(now, "topic-1", 1) || !lists(now, "topic", 2) {
		t.Errorf("the registry has %s", listings(now))
	}
}

// The grace of orphans counts from the start, not from when their replica was last heard of.
func TestGraceCountsFromTheStart(t *testing.T) {
	cfg := testConfig(t.TempDir())
	first := openReady(t, cfg)
	populate(t, first)
	mustClose(t, first)

	cfg.ReplicaGrace = 300 * time.Millisecond
	start := time.Now()
	r := openReady(t, cfg)
	if got := read(t, r).Counts().Orphans; got != 5 && time.Since(start) < cfg.ReplicaGrace {
		t.Errorf("%d orphans at the start", got)
	}
	live := session(t, r, 9)
	register(t, live, "topic", "")
	eventually.True(t, soon, "grace over", func() error {
		if n := read(t, r).Counts().Orphans; n > 0 {
			return fmt.Errorf("%d orphans", n)
		}
		return nil
	})
	if after := time.Since(start); after < cfg.ReplicaGrace {
		t.Errorf("orphans were dropped after %s", after)
	}
	now := read(t, r)
	if lists(now, "topic", 1) || !lists(now, "topic", 9) || now.Counts().Sessions != 1 {
		t.Errorf("the registry has %s", listings(now))
	}
	if _, ok := now.Lookup("empty"); !ok {
		t.Error("topics must outlive their producers")
	}
}

// A process that is killed leaves the data path as it is at that moment.
func TestKilled(t *testing.T) {
	cfg := testConfig(t.TempDir())
	first := openReady(t, cfg)
	for round := range 3 {
		register(t, session(t, first, round), "topic", "")
		settle(t, first)
		want := listings(read(t, first))

		killed := cfg
		killed.DataPath = copyTree(t, cfg.DataPath)
		r := openReady(t, killed)
		if got := listings(read(t, r)); got != want {
			t.Errorf("round %d: after the crash\n%s, before\n%s", round, got, want)
		}
		register(t, session(t, r, 50), "more", "")
		mustClose(t, r)
	}
}

func TestManyRestarts(t *testing.T) {
	cfg := testConfig(t.TempDir())
	for life := range 10 {
		r := openReady(t, cfg)
		if life > 0 && !lists(read(t, r), "topic", life-1) {
			t.Fatalf("life %d: the registration of the life before is missing", life)
		}
		s := session(t, r, life)
		register(t, s, "topic", "")
		s.Ping()
		if life%3 == 0 {
			compact(t, r)
		}
		mustClose(t, r)
	}
}

// quickSnapshots makes Raft take snapshots and compact the log all the time.
func quickSnapshots(t testing.TB, r *Replica) {
	t.Helper()
	err := r.raft.ReloadConfig(raft.ReloadableConfig{
		TrailingLogs: 3, SnapshotInterval: 5 * time.Millisecond, SnapshotThreshold: 10,
		HeartbeatTimeout: r.cfg.RaftTimeout, ElectionTimeout: r.cfg.RaftTimeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.raft.Snapshot().Error(); err != nil { // the interval before this one is long
		t.Fatal(err)
	}
}

func TestRestartFromSnapshots(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.RegisterWindow = 0 // an entry each
	want := ""
	for life := range 3 {
		r := openReady(t, cfg)
		if life > 0 && listings(read(t, r)) != want {
			t.Errorf("life %d: the registry has\n%s, had\n%s", life, listings(read(t, r)), want)
		}
		populate(t, r)
		quickSnapshots(t, r)
		s := session(t, r, 70+life)
		first, err := r.stores.log.FirstIndex()
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		eventually.True(t, soon, "compacted by itself", func() error {
			for range 20 {
				i++
				register(t, s, fmt.Sprintf("life-%d-%d", life, i), "")
			}
			if now, err := r.stores.log.FirstIndex(); err != nil || now <= first {
				return fmt.Errorf("the log begins at %d, error %v", now, err)
			}
			return nil
		})
		settle(t, r)
		want = listings(read(t, r))
		mustClose(t, r)
	}
}

// Applying goes on while a snapshot is written, and what it holds is one moment.
func TestSnapshotsUnderLoad(t *testing.T) {
	cfg := testConfig(t.TempDir())
	r := openReady(t, cfg)
	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		i := 0
		for {
			select {
			case <-stop:
				ended <- i
				return
			default:
			}
			s, err := r.OpenSession(nsqd(i), func() {})
			if err == nil {
				_, err = s.Register(fmt.Sprintf("topic-%d", i%50), fmt.Sprintf("channel-%d", i%7))
			}
			if err == nil && i%2 == 0 {
				hangUp(s)
			}
			if err != nil {
				t.Error(err)
			}
			i++
		}
	}()
	for range 5 {
		if err := r.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			t.Fatal(err)
		}
	}
	compact(t, r)
	close(stop)
	if <-ended == 0 {
		t.Fatal("no load")
	}
	settle(t, r)
	want := listings(read(t, r))
	mustClose(t, r)
	if got := listings(read(t, openReady(t, cfg))); got != want {
		t.Errorf("after the restart\n%s, before\n%s", got, want)
	}
}
