package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

func stone(id uint64) fsm.Event {
	return fsm.Event{Kind: fsm.TombstoneSet, ID: id, Topic: fmt.Sprintf("t%d", id), Producer: nsqd(1).Producer()}
}

func gone(e fsm.Event) fsm.Event {
	e.Kind = fsm.TombstoneGone
	return e
}

func clearing(e fsm.Event) fsm.Change { return fsm.ClearTombstone(e.Topic, e.Producer, e.ID) }

func TestTombstonesDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const life = 10 * time.Second
		ts, start := newTombstones(), time.Now()
		if changes, next := ts.due(start, life); len(changes) != 0 || !next.IsZero() {
			t.Errorf("of none: %v, %v", changes, next)
		}
		ts.observe(stone(1))
		time.Sleep(4 * time.Second)
		ts.observe(stone(2))
		ts.observe(stone(3))
		ts.observe(gone(stone(3)))
		for after, want := range map[time.Duration]struct {
			changes []fsm.Change
			next    time.Duration
		}{
			5 * time.Second:                  {nil, life},
			life - 1:                         {nil, life},
			life:                             {[]fsm.Change{clearing(stone(1))}, life + retryDecision},
			14*time.Second - 1:               {[]fsm.Change{clearing(stone(1))}, 14 * time.Second},
			14*time.Second - retryDecision*2: {[]fsm.Change{clearing(stone(1))}, 14*time.Second - retryDecision},
		} {
			changes, next := ts.due(start.Add(after), life)
			if fmt.Sprint(changes) != fmt.Sprint(want.changes) || !next.Equal(start.Add(want.next)) {
				t.Errorf("after %s: %v, next after %s; want %v, %s", after, changes, next.Sub(start), want.changes, want.next)
			}
		}
		if got := ts.seen(2); !got.Equal(start.Add(4 * time.Second)) {
			t.Errorf("seen %v", got)
		}
		if got := ts.seen(3); !got.IsZero() {
			t.Errorf("what is gone was seen %v", got)
		}
	})
}

// The watch of a leader ends each tombstone within 25 ms of its lifetime, however many are due.
func TestTombstonesEndInTime(t *testing.T) {
	for _, many := range []uint64{1, 10, maxBatchChanges, 10 * maxBatchChanges} {
		t.Run(fmt.Sprint(many), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const life = 45 * time.Second
				ts := newTombstones()
				ctx, stop := context.WithCancel(context.Background())
				ended := make(chan error)
				due := make(map[uint64]time.Time)
				go func() {
					ended <- ts.watch(ctx, life, func() bool { return true }, func(changes ...fsm.Change) bool {
						for _, c := range changes {
							if late := time.Since(due[c.ID]); late < 0 || late > 25*time.Millisecond {
								t.Errorf("tombstone %d was ended %s late", c.ID, late)
							}
							delete(due, c.ID)
							ts.observe(fsm.Event{Kind: fsm.TombstoneGone, ID: c.ID})
						}
						return true
					})
				}()
				for id := range many {
					due[id+1] = time.Now().Add(life)
					ts.observe(stone(id + 1))
				}
				time.Sleep(time.Second)
				due[many+1] = time.Now().Add(life)
				ts.observe(stone(many + 1))
				time.Sleep(2 * life)
				stop()
				if err := <-ended; err != nil || len(due) > 0 {
					t.Errorf("%d tombstones are left, error %v", len(due), err)
				}
			})
		})
	}
}

// A follower ends nothing, and does not spin; what was due meanwhile ends when it leads.
func TestTombstonesOfAFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTombstones()
		var leading atomic.Bool
		var asked, decided atomic.Int32
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() {
			ended <- ts.watch(ctx, time.Second, func() bool { asked.Add(1); return leading.Load() }, func(changes ...fsm.Change) bool {
				decided.Add(int32(len(changes)))
				for _, c := range changes {
					ts.observe(fsm.Event{Kind: fsm.TombstoneGone, ID: c.ID})
				}
				return true
			})
		}()
		for id := range uint64(3 * maxBatchChanges) {
			ts.observe(stone(id + 1))
		}
		time.Sleep(11 * time.Second)
		if n := decided.Load(); n != 0 {
			t.Errorf("a follower decided %d times", n)
		}
		if n, limit := int(asked.Load()), int(10*time.Second/retryDecision)+2; n == 0 || n > limit {
			t.Errorf("asked %d times in 10 s, want at most %d", n, limit)
		}
		leading.Store(true)
		time.Sleep(2 * retryDecision)
		if n := decided.Load(); n != 3*maxBatchChanges {
			t.Errorf("decided %d times, want %d", n, 3*maxBatchChanges)
		}
		stop()
		<-ended
	})
}

// After a snapshot, what was known is as old as it was, and what is new begins now.
func TestTombstonesRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := fsm.New()
		h := fsm.Header{Replica: "id", Incarnation: 1, First: 1}
		var changes []byte
		for _, c := range []fsm.Change{fsm.OpenReplica("r1"), fsm.OpenSession(nsqd(1)), fsm.Register(2, "a", ""),
			fsm.Register(2, "b", ""), fsm.Tombstone("a", "nsqd-1:4151"), fsm.Tombstone("b", "nsqd-1:4151")} {
			changes = fsm.AppendChange(changes, c)
		}
		o, err := registry.Apply(1, h.AppendEntry(nil, 6, changes))
		if err != nil || o.Err != nil {
			t.Fatal(err, o.Err)
		}
		var events []fsm.Event
		registry.State().Tombstones(func(e fsm.Event) bool { events = append(events, e); return true })
		if len(events) != 2 {
			t.Fatalf("%d tombstones", len(events))
		}
		ts := newTombstones()
		ts.observe(events[0])
		ts.observe(stone(99))
		start := time.Now()
		time.Sleep(time.Second)
		ts.restore(registry.State())
		if got := ts.seen(events[0].ID); !got.Equal(start) {
			t.Errorf("the known one was seen %s later", got.Sub(start))
		}
		if got := ts.seen(events[1].ID); !got.Equal(start.Add(time.Second)) {
			t.Errorf("the new one was seen %s later", got.Sub(start))
		}
		if got := ts.seen(99); !got.IsZero() {
			t.Error("one that is not in the snapshot is left")
		}
	})
}

func TestTombstoneIsClearedAfterItsLifetime(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.TombstoneLifetime = 200 * time.Millisecond
	r := openReady(t, cfg)
	s := session(t, r, 1)
	register(t, s, "topic", "")
	for round := range 2 {
		start := time.Now()
		change(t, r, fsm.Tombstone("topic", "nsqd-1:4151"))
		if now := read(t, r); lists(now, "topic", 1) && time.Since(start) < cfg.TombstoneLifetime {
			t.Fatal("listed in spite of its tombstone")
		}
		eventually.True(t, soon, "cleared", func() error {
			if !lists(read(t, r), "topic", 1) {
				return errors.New("still hidden")
			}
			return nil
		})
		if after := time.Since(start); after < cfg.TombstoneLifetime {
			t.Errorf("round %d: cleared after %s", round, after)
		}
	}
	if got := read(t, r).Counts().Tombstones; got != 0 {
		t.Errorf("%d tombstones are left", got)
	}
}

func TestTombstonedAt(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	register(t, session(t, r, 1), "topic", "")
	before := time.Now()
	change(t, r, fsm.Tombstone("topic", "nsqd-1:4151"))
	found := 0
	r.registry.State().Tombstones(func(e fsm.Event) bool {
		found++
		if at := r.TombstonedAt(e.ID); at.Before(before) || at.After(time.Now()) {
			t.Errorf("tombstoned at %s", at)
		}
		return true
	})
	if found != 1 || !r.TombstonedAt(1<<40).IsZero() {
		t.Errorf("%d tombstones", found)
	}
}

// A lifetime of nothing is allowed: nsqlookupd then shows the producer again at once.
func TestTombstoneWithoutLifetime(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.TombstoneLifetime = 0
	r := openReady(t, cfg)
	register(t, session(t, r, 1), "topic", "")
	change(t, r, fsm.Tombstone("topic", "nsqd-1:4151"))
	eventually.True(t, soon, "cleared", func() error {
		if n := read(t, r).Counts().Tombstones; n > 0 {
			return fmt.Errorf("%d tombstones", n)
		}
		return nil
	})
}

// After a restart a tombstone lives a whole lifetime more, and then ends, whether it comes from the
// log or from a snapshot.
func TestTombstoneAfterARestart(t *testing.T) {
	for _, snapshot := range []bool{false, true} {
		t.Run(fmt.Sprintf("snapshot=%v", snapshot), func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			first := openReady(t, cfg)
			register(t, session(t, first, 1), "topic", "")
			change(t, first, fsm.Tombstone("topic", "nsqd-1:4151"))
			if snapshot {
				compact(t, first)
			}
			mustClose(t, first)
			cfg.TombstoneLifetime = 150 * time.Millisecond
			start := time.Now()
			r := openReady(t, cfg)
			eventually.True(t, soon, "cleared", func() error {
				if !lists(read(t, r), "topic", 1) {
					return errors.New("still hidden")
				}
				return nil
			})
			if after := time.Since(start); after < cfg.TombstoneLifetime {
				t.Errorf("cleared %s after the start", after)
			}
		})
	}
}
