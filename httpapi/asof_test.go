package httpapi

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/consistency"
)

// agingFresh is fresher by an hour each time that it is asked, beginning a hundred hours ago. It writes
// down when it was asked (F), when the state was taken (R), and when a confirmation was tried (C).
type agingFresh struct {
	*fakeReplica
	mu      sync.Mutex
	calls   string
	lost    bool         // it is a hundred hours behind again
	confirm func() error // of ReadFresh; may be nil
	read    func(n int)  // called after the n-th time that the state was taken; may be nil
}

func (f *agingFresh) FreshAsOf() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls += "F"
	hours := 100 - strings.Count(f.calls, "F")
	if f.lost {
		hours = 100
	}
	return time.Now().Add(-time.Duration(hours) * time.Hour)
}

func (f *agingFresh) Read(ctx context.Context) (*fsm.State, error) {
	state, err := f.fakeReplica.Read(ctx)
	f.mu.Lock()
	f.calls += "R"
	n := strings.Count(f.calls, "R")
	f.mu.Unlock()
	if f.read != nil {
		f.read(n)
	}
	return state, err
}

func (f *agingFresh) ReadFresh(ctx context.Context, _ consistency.Level) (*fsm.State, error) {
	f.mu.Lock()
	f.calls += "C"
	f.mu.Unlock()
	if f.confirm != nil {
		if err := f.confirm(); err != nil {
			return nil, err
		}
	}
	return f.fakeReplica.Read(ctx)
}

func (f *agingFresh) Position() (applied uint64, cluster, leader string, lastContact time.Duration) {
	return f.registry.State().Index(), "0123456789abcdef", "r1", 0
}

func (f *agingFresh) Watch(thing fsm.Thing) *fsm.Waiter { return f.registry.Watch(thing) }

func (f *agingFresh) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost = true
}

func newAging(t *testing.T) *agingFresh {
	f := &agingFresh{fakeReplica: newFakeReplica(t)}
	f.apply(t, fsm.CreateChannel("t", "c")) // index 2
	return f
}

// However a read comes about, its age is that of the last question before the state that it is answered from.
func TestAgeIsAskedBeforeEachState(t *testing.T) {
	for name, c := range map[string]struct {
		target      string
		unconfirmed bool
		change      bool
	}{
		"at once":                         {"/topics", false, false},
		"not confirmed":                   {"/channels?topic=t", true, false},
		"after a wait":                    {"/topics?index=2&wait=1ms", false, false},
		"after a change":                  {"/topics?index=2&wait=10m", false, true},
		"not confirmed after a wait":      {"/channels?topic=t&index=2&wait=1ms", true, false},
		"not confirmed after a change":    {"/channels?topic=t&index=2&wait=10m", true, true},
		"stale is allowed after a change": {"/topics?index=2&wait=10m&max_stale=100h", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newAging(t)
			if c.unconfirmed {
				f.confirm = func() error { return messageError("NOT_CONFIRMED") }
			}
			s := start(t, Config{Replica: f, Fresh: f})
			answered := later(t, s, c.target)
			if c.change {
				waits(t, f.fakeReplica, answered, 1)
				f.apply(t, fsm.CreateChannel("u", "c"))
				f.apply(t, fsm.CreateChannel("t", "d"))
			}
			g := await(t, answered, c.target)
			f.mu.Lock()
			defer f.mu.Unlock()
			if strings.Contains(f.calls, "RR") || strings.Contains(f.calls, "CR") || !strings.HasSuffix(f.calls, "FR") {
				t.Errorf("the order was %s", f.calls)
			}
			const hour = 3600000
			hours := uint64(100 - strings.Count(f.calls, "F"))
			if age := number(t, g.header.Get(headerContact)); g.code != 200 || age/hour != hours {
				t.Errorf("%d, age %d ms, want %d h", g.code, age, hours)
			}
		})
	}
}

// A read that waits does not wait when it is stale from the beginning, and is stale if it has become so.
func TestStaleReadThatWaits(t *testing.T) {
	f := newAging(t)
	s := start(t, Config{Replica: f, Fresh: f})
	stale := `{"message":"STALE"}`
	await(t, later(t, s, "/topics?index=2&wait=10m&max_stale=1h"), "the answer").expect(t, "from the beginning", 503, stale)
	answered := later(t, s, "/topics?index=2&wait=10m&max_stale=99h59m")
	waits(t, f.fakeReplica, answered, 1)
	f.lose()
	f.apply(t, fsm.CreateTopic("u"))
	await(t, answered, "the answer").expect(t, "since", 503, stale)
}

// A read that began without being confirmed is confirmed when it is answered, if that is possible by then.
func TestReadIsConfirmedAfterItsWait(t *testing.T) {
	f := newAging(t)
	var mu sync.Mutex
	err := error(messageError("NOT_CONFIRMED"))
	f.confirm = func() error {
		mu.Lock()
		defer mu.Unlock()
		return err
	}
	s := start(t, Config{Replica: f, Fresh: f})
	answered := later(t, s, "/channels?topic=t&index=2&wait=10m")
	waits(t, f.fakeReplica, answered, 1)
	mu.Lock()
	err = nil
	mu.Unlock()
	f.apply(t, fsm.CreateChannel("t", "d"))
	g := await(t, answered, "the answer")
	if g.code != 200 || g.header.Get(headerConsistency) != "linearizable" || g.header.Get(headerUnconfirmed) != "" {
		t.Errorf("%d %v", g.code, g.header)
	}
}

// A change that comes just after a read that waits has looked wakes it.
func TestNoChangeFallsBetweenLookAndWait(t *testing.T) {
	f := newAging(t)
	f.read = func(n int) {
		if n == 2 { // the first is that of the read before its wait
			f.apply(t, fsm.CreateTopic("u"))
		}
	}
	s := start(t, Config{Replica: f, Fresh: f})
	await(t, later(t, s, "/topics?index=2&wait=10m"), "the change").expect(t, "topics", 200, `{"topics":["t","u"]}`)
}
