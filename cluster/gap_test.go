package cluster

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// shortLogs makes a replica take snapshots soon, and keep few entries.
func shortLogs(trailing uint64) func(*raft.Config) {
	return func(c *raft.Config) {
		c.SnapshotInterval, c.SnapshotThreshold, c.TrailingLogs = 5*time.Millisecond, 8, trailing
	}
}

// newGapTrio is a trio of which the last has missed so much that only a snapshot brings it what is there.
// The absent replica keeps as many entries as a replica of default flags does.
func newGapTrio(t *testing.T) *trio {
	t.Helper()
	c := newTrio(t, 3, func(i int, cfg *Config) {
		cfg.raft = func(rc *raft.Config) {
			if i < 2 {
				shortLogs(4)(rc)
			}
		}
	})
	register(t, session(t, c.replicas[0], 1), "topic", "channel")
	c.agree()
	missed := c.replicas[2].raft.LastIndex()
	c.stop(2)
	n := 0
	eventually.True(t, soon, "the others' logs begin after what the third has", func() error {
		for range 20 {
			n++
			change(t, c.replicas[0], fsm.CreateTopic(fmt.Sprintf("missed-%d", n)))
		}
		for _, r := range c.running() {
			if first, err := r.stores.log.FirstIndex(); err != nil || first <= missed+1 {
				return fmt.Errorf("%s begins at %d, %d is needed, error %v", r.Name(), first, missed+2, err)
			}
		}
		return nil
	})
	return c
}

// spansOf reads a closed data path as a start does.
func spansOf(t testing.TB, dir string) logState {
	t.Helper()
	d, err := openDataPath(dir, "", false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	s, err := openStores(d, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.bolt.Close(); err != nil {
		t.Error(err)
	}
	return s.found
}

// A replica that caught up by a snapshot starts again, and again.
func TestStartAfterCatchingUpByASnapshot(t *testing.T) {
	c := newGapTrio(t)
	dir := filepath.Join(c.dir, "2")
	for life := range 3 {
		c.start(2)
		c.ready()
		change(t, c.replicas[2], fsm.CreateTopic(fmt.Sprintf("life-%d", life)))
		c.agree()
		c.stop(2)
		state := spansOf(t, dir)
		if state.snapshot.index == 0 || state.gap() != 0 || state.obsolete() != 0 || len(state.spans) == 0 {
			t.Errorf("life %d: it leaves %+v", life, state)
		}
		if _, err := Recover(dir, true, discard); err != nil {
			t.Errorf("life %d: recover: %v", life, err)
		}
	}
	for i := range 2 {
		c.stop(i)
	}
	for i := range 3 { // all of them have been away
		c.start(i)
	}
	c.ready()
	c.agree()
	if !lists(read(t, c.replicas[2]), "topic", 1) {
		t.Error("a registration is lost")
	}
}

// asReleased is the log as release 0.1.0 had it: what an installed snapshot covers stays in it, while the
// log is shorter than what the library keeps.
type asReleased struct{ raft.LogStore }

func (asReleased) DeleteRange(_, _ uint64) error { return nil }

// leaveHole makes the third of a trio catch up by a snapshot as release 0.1.0 did, and returns its closed
// data path.
func leaveHole(t *testing.T, c *trio) (dir string) {
	t.Helper()
	short := c.alter
	c.alter = func(i int, cfg *Config) {
		short(i, cfg)
		cfg.wrapLog = func(log raft.LogStore) raft.LogStore { return asReleased{log.(*anchoredLog).LogStore} }
	}
	c.start(2)
	c.ready()
	change(t, c.replicas[2], fsm.CreateTopic("above the hole"))
	c.agree()
	c.stop(2)
	c.alter = short
	dir = filepath.Join(c.dir, "2")
	if state := spansOf(t, dir); state.gap() == 0 || state.gap() != state.obsolete() {
		t.Fatalf("there is no hole in %+v", state)
	}
	return dir
}

// What release 0.1.0 has left is taken, and is in order afterwards.
func TestStartWithAHoleThatAReleaseLeft(t *testing.T) {
	c := newGapTrio(t)
	want := c.replicas[0].registry.State().Counts().Topics + 1
	dir := leaveHole(t, c)
	before := spansOf(t, dir)
	for _, dry := range []bool{true, true, false} {
		copied := copyTree(t, dir)
		s, err := Recover(copied, dry, discard)
		if err != nil {
			t.Fatalf("dry %v: %v", dry, err)
		}
		if s.Registry.Topics != want {
			t.Errorf("dry %v: it recovers %d topics, want %d", dry, s.Registry.Topics, want)
		}
		if after := spansOf(t, copied); dry && fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("a dry run made %+v of %+v", after, before)
		}
		if !dry {
			r := openReady(t, testConfig(copied))
			if got := read(t, r).Counts().Topics; got != want {
				t.Errorf("after recovering it has %d topics, want %d", got, want)
			}
			mustClose(t, r)
		}
	}
	for range 2 {
		c.start(2)
		c.ready()
		c.agree()
		c.stop(2)
		if state := spansOf(t, dir); state.gap() != 0 {
			t.Errorf("the hole is there still: %+v", state)
		}
	}
}
