package cluster

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// Whoever waits goes on when its number is near enough to what is applied, and not before; in whatever
// order they came.
func TestRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := newJournal("id", 1)
		const most = 3 * maxAhead
		for n := range most {
			if _, err := j.append(topicChange(n), nil); err != nil {
				t.Fatal(err)
			}
		}
		rooms := make(map[uint64]<-chan struct{})
		for _, n := range rapid.SliceOfN(rapid.Uint64Range(1, most), 1, 50).Draw(t, "numbers") {
			rooms[n] = j.room(n)
		}
		applied := rapid.SliceOfN(rapid.Uint64Range(0, most), 1, 10).Draw(t, "applied")
		slices.Sort(applied)
		for _, last := range append([]uint64{0}, applied...) {
			j.observe(last, ok)
			for n, room := range rooms {
				if admitted, want := room == nil || isClosed(room), n <= last+maxAhead; admitted != want {
					t.Fatalf("%d goes on: %v, with %d applied", n, admitted, last)
				}
			}
		}
	})
}

// A replica says OK to so many changes of all its sessions together before they are applied. The next
// waits, and is pending when that takes too long: then no read waits for it, but it arrives.
func TestReplicaIsNotFarAhead(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.RegisterWindow = maxAhead
	cfg.CommitTimeout = 100 * time.Millisecond
	g := gated(t, &cfg)
	defer g.open()
	r := openReady(t, cfg)
	first, second := session(t, r, 1), session(t, r, 2)
	settle(t, r)
	g.hang(0)
	for n := range maxAhead {
		register(t, []*Session{first, second}[n%2], topicChange(n).Topic, "")
	}
	acked := r.journal.acked.Load()
	if pending, err := first.Register("over", ""); !pending || err != nil {
		t.Fatalf("pending %v, error %v", pending, err)
	}
	if now := r.journal.acked.Load(); now != acked {
		t.Errorf("change %d counts as acknowledged, want %d: a read would wait for it", now, acked)
	}
	g.open()
	eventually.True(t, soon, "nobody waits", func() error {
		r.journal.mu.Lock()
		defer r.journal.mu.Unlock()
		if n := len(r.journal.crowd.waiting); n > 0 {
			return errors.New("somebody does")
		}
		return nil
	})
	settle(t, r)
	if !lists(read(t, r), "over", 1) {
		t.Error("registered, but not listed")
	}
	register(t, second, "again", "")
}
