package fsm

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// woken reports whether the waiter has been woken.
func woken(w *Waiter) bool {
	select {
	case <-w.C:
		return true
	default:
		return false
	}
}

// watchTest is a change and whom it wakes. Sessions 2 and 3 are of h1 and h2; 2 has t with channel c.
type watchTest struct {
	name   string
	before []Change
	change Change
	wakes  []string
}

func watchTests() []watchTest {
	return []watchTest{
		{"another channel", nil, CreateChannel("t", "d"), []string{"topic t"}},
		{"the same channel", nil, CreateChannel("t", "c"), nil},
		{"a new topic", nil, CreateTopic("t2"), []string{"topic t2", "topics"}},
		{"the same topic", nil, CreateTopic("t"), nil},
		{"another topic altogether", nil, CreateTopic("t3"), []string{"topics"}},
		{"registers it", nil, Register(3, "t", ""), []string{"topic t", "nodes"}},
		{"registers it again", nil, Register(2, "t", "c"), nil},
		{"registers a channel more", nil, Register(2, "t", "d"), []string{"topic t"}},
		{"registers a new topic", nil, Register(2, "t2", ""), []string{"topic t2", "topics", "nodes"}},
		{"unregisters it", nil, Unregister(2, "t", ""), []string{"topic t", "nodes"}},
		{"unregisters what it has not", nil, Unregister(3, "t", "c"), nil},
		{"goes silent", nil, SetActive(2, false), []string{"topic t", "nodes"}},
		{"is active as before", nil, SetActive(2, true), nil},
		{"one without topics goes silent", nil, SetActive(3, false), []string{"nodes"}},
		{"a session of a new producer", nil, OpenSession(nsqd("h3")), []string{"nodes"}},
		{"a newer session of the producer", nil, OpenSession(nsqd("h1")), []string{"topic t", "nodes"}},
		{"closes", nil, CloseSession(2), []string{"topic t", "nodes"}},
		{"one without topics closes", nil, CloseSession(3), []string{"nodes"}},
		{"a session that is not there", nil, CloseSession(99), nil},
		{"deletes it", nil, DeleteTopic("t"), []string{"topic t", "topics", "nodes"}},
		{"deletes one that is not there", nil, DeleteTopic("t2"), nil},
		{"deletes one without producers", []Change{CreateTopic("t2")}, DeleteTopic("t2"), []string{"topic t2", "topics"}},
		{"deletes all", []Change{CreateTopic("t2")}, DeleteTopic("*"), []string{"topic t", "topic t2", "topics", "nodes"}},
		{"deletes a channel", nil, DeleteChannel("t", "c"), []string{"topic t"}},
		{"tombstone", nil, Tombstone("t", "h1:4151"), []string{"topic t", "nodes"}},
		{"tombstone of nobody", nil, Tombstone("t", "h2:4151"), nil},
	}
}

// TestWatch: each entry wakes those whose thing it changes, and nobody else.
func TestWatch(t *testing.T) {
	things := map[string]Thing{
		"topic t": {Topic: "t"}, "topic t2": {Topic: "t2"}, "topics": {Topics: true}, "nodes": {Nodes: true}, "all": {All: true},
	}
	for _, test := range watchTests() {
		t.Run(test.name, func(t *testing.T) {
			l := newTape(t)
			a := l.journal("a")
			a.send(OpenSession(nsqd("h1")), OpenSession(nsqd("h2")), Register(2, "t", "c"))
			a.send(test.before...)
			waiters := map[string]*Waiter{}
			for name, thing := range things {
				waiters[name] = l.r.Watch(thing)
			}
			a.result(test.change)
			want := map[string]bool{"all": true}
			for _, name := range test.wakes {
				want[name] = true
			}
			for name, w := range waiters {
				if woken(w) != want[name] {
					t.Errorf("waiter of %s: woken is %v, want %v", name, woken(w), want[name])
				}
			}
		})
	}
}

// TestWatchFirstEntry: an entry that changes nothing wakes nobody, the first one too.
func TestWatchFirstEntry(t *testing.T) {
	l := newTape(t)
	topics, nodes, all := l.r.Watch(Thing{Topics: true}), l.r.Watch(Thing{Nodes: true}), l.r.Watch(Thing{All: true})
	l.decide()
	if woken(topics) || woken(nodes) || !woken(all) {
		t.Fatal("woken:", woken(topics), woken(nodes), woken(all))
	}
}

// TestWatchRefused: a refused entry wakes those who wait for the index, and nobody else.
func TestWatchRefused(t *testing.T) {
	l := newTape(t)
	topic, all := l.r.Watch(Thing{Topic: "t"}), l.r.Watch(Thing{All: true})
	l.apply(journalEntry(Header{"a", 1, 1}, CreateTopic("t")))
	if woken(topic) || !woken(all) {
		t.Fatal("woken:", woken(topic), woken(all))
	}
}

func TestWatchStop(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	stopped, other := l.r.Watch(Thing{Topic: "t"}), l.r.Watch(Thing{Topic: "t"})
	stopped.Stop()
	stopped.Stop()
	a.send(CreateTopic("t"))
	if woken(stopped) || !woken(other) {
		t.Fatal("woken:", woken(stopped), woken(other))
	}
	again := l.r.Watch(Thing{Topic: "t"})
	other.Stop() // was woken already: must not stop the one that waits now
	a.send(CreateChannel("t", "c"))
	if !woken(again) {
		t.Fatal("a waiter was stopped by another")
	}
	again.Stop()
	if n := len(l.r.watch.waiters); n != 0 {
		t.Fatalf("%d things are still waited for", n)
	}
}

// TestWatchWakesOnce: a waiter that was woken and not stopped is not woken again, which would
// close its channel twice.
func TestWatchWakesOnce(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	w := l.r.Watch(Thing{Topic: "t"})
	a.send(CreateTopic("t"), DeleteTopic("t"), CreateTopic("t"))
	a.send(DeleteTopic("t"))
	if !woken(w) {
		t.Fatal("not woken")
	}
}

func TestWatchRestoreWakesAll(t *testing.T) {
	snap := snapshot(t, sampleRegistry(t).State())
	r := New()
	var waiters []*Waiter
	for _, thing := range []Thing{{Topic: "none"}, {Topic: "t"}, {Topics: true}, {Nodes: true}, {All: true}} {
		waiters = append(waiters, r.Watch(thing), r.Watch(thing))
	}
	if err := r.Restore(bytes.NewReader(snap)); err != nil {
		t.Fatal(err)
	}
	for _, w := range waiters {
		if !woken(w) {
			t.Errorf("waiter of %+v was not woken", w.thing)
		}
		w.Stop()
	}
}

// TestWatchThenRead: a state read after Watch either has the change, or the change wakes; and who
// is woken finds the change.
func TestWatchThenRead(t *testing.T) {
	r := New()
	const last = 2000
	done := make(chan struct{})
	go func() {
		defer close(done)
		for index := uint64(1); index <= last; index++ {
			if _, err := r.Apply(index, EncodeDecisions()); err != nil {
				t.Error(err)
			}
		}
	}()
	for seen := uint64(0); seen < last; {
		w := r.Watch(Thing{All: true})
		if r.State().Index() == seen {
			<-w.C // nothing would end this wait if the last change fell in between
		}
		w.Stop()
		seen = r.State().Index()
	}
	<-done
}

// TestWatchClearTombstone: what a decision changes wakes too.
func TestWatchClearTombstone(t *testing.T) {
	l, a, _ := tombstoned(t)
	a.send(Tombstone("t", "h1:4151"))
	topic, other, nodes := l.r.Watch(Thing{Topic: "t"}), l.r.Watch(Thing{Topic: "t2"}), l.r.Watch(Thing{Nodes: true})
	l.decide(ClearTombstone("t", h1, 3))
	if !woken(topic) || woken(other) || !woken(nodes) {
		t.Fatal("woken:", woken(topic), woken(other), woken(nodes))
	}
}

// TestPublishedBeforeAnybodyIsWoken: who is woken finds the change. The lock keeps the entry from
// waking anybody until its state has been seen.
func TestPublishedBeforeAnybodyIsWoken(t *testing.T) {
	r := New()
	r.watch.mu.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := r.Apply(1, EncodeDecisions()); err != nil {
			t.Error(err)
		}
	}()
	defer func() {
		r.watch.mu.Unlock()
		<-done
	}()
	eventually.True(t, 10*time.Second, "the state of entry 1", func() error {
		if index := r.State().Index(); index != 1 {
			return fmt.Errorf("it is at index %d", index)
		}
		return nil
	})
}
