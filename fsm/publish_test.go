package fsm

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestPublishedTogether: entries that are published in groups leave what they leave one by one, and no
// state shows anything of what came after it.
func TestPublishedTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := history(t)
		one := &replayed{r: New()}
		alone := map[uint64]*State{}
		for _, e := range entries {
			one.replay(t, []logged{e}, false)
			alone[e.index] = one.r.State()
		}

		r := New()
		var seen []*State
		for i, e := range entries {
			before := r.State()
			o, err := r.Stage(e.index, e.data)
			if err != nil {
				t.Fatalf("stage: %v", err)
			}
			if got := said(o); got != one.said[i] {
				t.Fatalf("entry %d: %s, by itself %s", e.index, got, one.said[i])
			}
			if f, err := r.FingerprintAt(e.index); err != nil || f != alone[e.index].Fingerprint() {
				t.Fatalf("fingerprint at %d: %v, %v", e.index, f, err)
			}
			if r.State() != before {
				t.Fatalf("entry %d is seen before it is published", e.index)
			}
			if rapid.Bool().Draw(t, "publish") || i == len(entries)-1 {
				r.Publish()
				seen = append(seen, r.State())
			}
		}
		for _, s := range seen { // asked when much has happened since
			want := alone[s.Index()]
			if !slices.Equal(snapshot(t, s), snapshot(t, want)) {
				t.Fatalf("state %d differs from the one that was published by itself", s.Index())
			}
			if d := ask(s, topicNames).diff(ask(want, topicNames)); d != "" {
				t.Fatalf("state %d: %s", s.Index(), d)
			}
			if s.Modified(Thing{Topics: true}) != want.Modified(Thing{Topics: true}) ||
				s.Modified(Thing{Nodes: true}) != want.Modified(Thing{Nodes: true}) {
				t.Fatalf("state %d: listings are as they are since other entries", s.Index())
			}
		}
	})
}

// Whoever waits is woken by what any of the entries did, when it can be seen, and not by the next Publish.
func TestPublishWakes(t *testing.T) {
	r := New()
	things := []Thing{{Topic: "first"}, {Topic: "second"}, {Topics: true}, {Nodes: true}, {All: true}}
	var waiters []*Waiter
	for _, thing := range things {
		waiters = append(waiters, r.Watch(thing))
	}
	other := r.Watch(Thing{Topic: "other"})
	for i, change := range []Change{CreateTopic("first"), CreateTopic("second"), OpenSession(nsqd("h1"))} {
		if _, err := r.Stage(uint64(i+1), journalEntry(Header{"a", uint64(i + 1), 1}, OpenReplica("a"), change)); err != nil {
			t.Fatal(err)
		}
	}
	for i, w := range waiters {
		if woken(w) {
			t.Errorf("%+v is woken before there is anything to see", things[i])
		}
	}
	r.Publish()
	for i, w := range waiters {
		if !woken(w) {
			t.Errorf("%+v is not woken", things[i])
		}
	}
	if woken(other) {
		t.Error("what has not changed is woken too")
	}
	again := r.Watch(Thing{Topic: "first"})
	if _, err := r.Stage(9, journalEntry(Header{"a", 9, 1}, OpenReplica("a"), CreateTopic("third"))); err != nil {
		t.Fatal(err)
	}
	r.Publish()
	if woken(again) {
		t.Error("it is woken by what was published before")
	}
	if topics, known := r.State().ChangedSince(1); !known || !slices.Equal(topics, []string{"second", "third"}) {
		t.Errorf("changed since 1: %q, known %v", topics, known)
	}
}
