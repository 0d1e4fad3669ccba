package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

func closes() fsm.Kind { return fsm.KindCloseSession }

// loneSession is a session whose journal nobody drains.
func loneSession(t testing.TB, cfg Config, evict func()) (*Session, *journal) {
	t.Helper()
	j := newJournal("id", 1)
	s, err := newSessions(cfg, j, closes).open(nsqd(1), evict)
	if err != nil {
		t.Fatal(err)
	}
	return s, j
}

// checkQueued compares the journal with the changes it should have.
func checkQueued(t testing.TB, j *journal, want ...fsm.Change) {
	t.Helper()
	if len(j.queue) != len(want) {
		t.Fatalf("%d changes are queued, want %d", len(j.queue), len(want))
	}
	for i, c := range want {
		if !bytes.Equal(j.queue[i].change, fsm.AppendChange(nil, c)) {
			t.Errorf("change %d is not %+v", i, c)
		}
	}
}

func TestSessionQueuesItsChangesInOrder(t *testing.T) {
	s, j := loneSession(t, testConfig(""), func() {})
	register(t, s, "topic", "channel")
	s.Ping()
	s.Ping()
	s.age(time.Hour/2, time.Hour)
	s.age(time.Hour, time.Hour)
	s.age(time.Hour, time.Hour)
	s.Ping()
	if _, err := s.Unregister("topic", ""); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	s.age(2*time.Hour, time.Hour)
	checkQueued(t, j, fsm.OpenSession(nsqd(1)), fsm.Register(1, "topic", "channel"), fsm.Settle(1),
		fsm.SetActive(1, false), fsm.SetActive(1, true), fsm.Unregister(1, "topic", ""), fsm.CloseSession(1))
}

// Whether the session is active must be decided and queued in one go: a PING in between would be
// queued first, and the registry be told the older thing last.
func TestActivityIsToldInOrder(t *testing.T) {
	s, j := loneSession(t, testConfig(""), func() {})
	s.Ping()
	j.mu.Lock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.age(3*time.Hour, time.Hour)
	}()
	for until := time.Now().Add(50 * time.Millisecond); time.Now().Before(until); {
		if s.mu.TryLock() {
			active := s.active
			s.mu.Unlock()
			if !active {
				t.Error("the session is inactive, but that is not queued")
				break
			}
		}
	}
	j.mu.Unlock()
	<-ended
}

// The session's and the registry's idea of whether it is active must be the same in the end, in
// whatever moment PING comes.
func TestPingAtTheMomentOfTheTimeout(t *testing.T) {
	for range 3000 {
		s, j := loneSession(t, testConfig(""), func() {})
		s.Ping()
		var both sync.WaitGroup
		both.Go(func() { s.age(3*time.Hour, time.Hour) })
		both.Go(s.Ping)
		both.Wait()
		last := j.queue[len(j.queue)-1].change
		for _, active := range []bool{true, false} {
			if bytes.Equal(last, fsm.AppendChange(nil, fsm.SetActive(1, active))) && s.active != active {
				t.Fatalf("the session is active: %v, but the registry was told %v at last", s.active, active)
			}
		}
	}
}

// A session that the registry has dropped, though its connection lives, is opened again with all
// that the client has said, whatever of it was on its way.
func TestSessionThatTheRegistryDropped(t *testing.T) {
	s, j := loneSession(t, testConfig(""), func() { t.Error("evicted") })
	register(t, s, "topic", "")
	register(t, s, "other", "channel")
	register(t, s, "gone", "")
	if _, err := s.Unregister("gone", ""); err != nil {
		t.Fatal(err)
	}
	s.Ping()
	s.reopen(99) // not this one
	if n := s.registered(); n != 1 {
		t.Fatalf("registered as %d", n)
	}
	before := j.length()
	s.reopen(1)
	s.reopen(1) // once
	number := s.registered()
	if known := s.sessions.byNumber; len(known) != 1 || known[number] != s {
		t.Errorf("it is known as %v", known)
	}
	if number != uint64(before)+1 {
		t.Errorf("registered as %d, want %d", number, before+1)
	}
	var got []string
	for _, q := range j.queue[before:] {
		got = append(got, fmt.Sprintf("%q", q.change))
	}
	slices.Sort(got)
	var want []string
	for _, c := range []fsm.Change{fsm.OpenSession(s.info), fsm.Register(number, "topic", ""),
		fsm.Register(number, "other", "channel"), fsm.Settle(number)} {
		want = append(want, fmt.Sprintf("%q", fsm.AppendChange(nil, c)))
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("queued %s, want %s", got, want)
	}
	s.Close()
	after := j.length()
	if s.reopen(number); j.length() != after {
		t.Error("opened again although it is closed")
	}
}

// One whose nsqd had stopped pinging is opened again as inactive.
func TestInactiveSessionThatTheRegistryDropped(t *testing.T) {
	cfg := testConfig("")
	s, j := loneSession(t, cfg, func() { t.Error("evicted") })
	s.age(2*cfg.InactiveTimeout+time.Hour, cfg.InactiveTimeout)
	before := j.length()
	s.reopen(1)
	want := []fsm.Change{fsm.OpenSession(s.info), fsm.SetActive(s.registered(), false)}
	if queued := j.queue[before:]; len(queued) != len(want) || !bytes.Equal(queued[0].change, fsm.AppendChange(nil, want[0])) ||
		!bytes.Equal(queued[1].change, fsm.AppendChange(nil, want[1])) {
		t.Errorf("queued %q, want %+v", queued, want)
	}
}

func TestSessionOfAClosedJournal(t *testing.T) {
	var evicted atomic.Int32
	s, j := loneSession(t, testConfig(""), func() { evicted.Add(1) })
	j.close()
	if _, err := s.Register("topic", ""); !errors.Is(err, ErrClosed) {
		t.Errorf("error %v, want ErrClosed", err)
	}
	if s.pending != 1 {
		t.Errorf("%d changes pending, want 1: the refused one is none", s.pending)
	}
	s.Ping()
	if evicted.Load() == 0 {
		t.Error("a PING that cannot be noted must send the nsqd away")
	}
	s.Close()
	if got := s.sessions.all(); len(got) != 0 {
		t.Errorf("%d sessions are left", len(got))
	}
}

// The silence is counted by steps, never early, whatever the clock does in between.
func TestSilenceIsNeverEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig("")
		cfg.InactiveTimeout = time.Minute
		s, _ := loneSession(t, cfg, func() {})
		step := periodFor(cfg.InactiveTimeout)
		s.age(2*step, time.Minute) // the longest there is; it began before the PING
		for gone := time.Duration(0); gone < time.Minute; gone += step {
			if !s.active {
				t.Fatalf("inactive after %s", gone)
			}
			s.age(step, time.Minute)
		}
		s.age(2*step, time.Minute)
		if s.active {
			t.Error("active after the timeout")
		}
	})
}
