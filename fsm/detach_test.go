package fsm

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// Scenarios of DESIGN.md, "The end of a connection".

// leveledTape is a tape whose registry has level 1.
func leveledTape(t testing.TB) *tape {
	l := newTape(t)
	l.decide(RaiseLevel(1))
	return l
}

func wantGroups(t testing.TB, r *Registry, want ...OrphanGroup) {
	t.Helper()
	if got := r.State().Orphans(); !slices.Equal(got, want) {
		t.Fatalf("groups %v, want %v", got, want)
	}
}

// TestDetach: a detached session's registrations stay, until its nsqd has registered anew.
func TestDetach(t *testing.T) {
	l := leveledTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h"))
	old := a.key(s)
	a.send(Register(s, "t", "c"), Settle(s))
	wantEvents(t, a.send(Detach(s)).Events)
	wantProducers(t, l.r, "t", "h")
	wantCounts(t, l.r, Counts{Topics: 1, Channels: 1, Producers: 1, Orphans: 1})
	wantGroups(t, l.r, OrphanGroup{"a", 1, l.index})

	again := a.identify(nsqd("h"))
	a.send(Register(again, "t", "c"))
	wantCounts(t, l.r, Counts{Topics: 1, Channels: 1, Producers: 1, Sessions: 1, Orphans: 1})
	wantEvents(t, a.send(Settle(again)).Events, Event{Kind: SessionDropped, Session: old})
	wantProducers(t, l.r, "t", "h")
	wantCounts(t, l.r, Counts{Topics: 1, Channels: 1, Producers: 1, Sessions: 1})
}

// TestDetachOfASettledProducer: another session speaks for the nsqd already.
func TestDetachOfASettledProducer(t *testing.T) {
	l := leveledTape(t)
	a := l.journal("a")
	s, other := a.identify(nsqd("h")), a.identify(nsqd("h"))
	a.send(Settle(other))
	wantEvents(t, a.send(Detach(s)).Events, Event{Kind: SessionDropped, Session: a.key(s)})
}

// TestDetachedTakesNoChanges: its connection has ended, whatever its replica sends by mistake.
func TestDetachedTakesNoChanges(t *testing.T) {
	l := leveledTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h"))
	a.send(Register(s, "t", "c"), Detach(s))
	before := l.r.State()
	for _, c := range []Change{Register(s, "t2", ""), Unregister(s, "t", ""), Unregister(s, "t", "c"),
		SetActive(s, false), SetActive(s, true), Settle(s), CloseSession(s)} {
		if err := a.result(c); !errors.Is(err, ErrSessionUnknown) {
			t.Errorf("kind %d: %v", c.Kind, err)
		}
	}
	if err := a.result(Detach(s)); err != nil { // once more: the grace began with the first
		t.Error(err)
	}
	if err := a.result(Detach(99)); !errors.Is(err, ErrSessionUnknown) {
		t.Error(err)
	}
	after := l.r.State()
	was, is := ask(before, []string{"t", "t2"}), ask(after, []string{"t", "t2"})
	was["replicas"] = is["replicas"] // the journal has gone on
	if d := is.diff(was); d != "" {
		t.Fatal(d)
	}
}

// TestDetachedIsNotFound: a lost replica that is heard of again has no connection for it, and its
// grace goes on.
func TestDetachedIsNotFound(t *testing.T) {
	l := leveledTape(t)
	a := l.journal("a")
	ended, kept := a.identify(nsqd("h1")), a.identify(nsqd("h2"))
	a.send(Register(ended, "t", ""), Register(kept, "t", ""), Detach(ended))
	detached := OrphanGroup{"a", 1, l.index}
	l.decide(LoseReplica("a", 1))
	wantGroups(t, l.r, detached, OrphanGroup{"a", 1, l.index})
	if held := l.r.State().SessionsOf("a", 1); len(held) != 1 || !held[kept] {
		t.Fatalf("sessions that may still change: %v", held)
	}
	wantEvents(t, a.send().Events, Event{Kind: ReplicaFound, Replica: "a", Incarnation: 1})
	wantCounts(t, l.r, Counts{Topics: 1, Producers: 2, Sessions: 1, Orphans: 1})
	wantGroups(t, l.r, detached)
	a.restart()
	wantGroups(t, l.r, detached, OrphanGroup{"a", 1, l.index})
	wantEvents(t, l.decide(ExpireOrphans(detached)), Event{Kind: SessionDropped, Session: SessionKey{"a", 1, ended}})
	wantProducers(t, l.r, "t", "h2")
}

// TestDetachOfALostSession: the batch that brings it makes it live first. In one state it is an
// orphan as before, but since that batch.
func TestDetachOfALostSession(t *testing.T) {
	l := leveledTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h"))
	a.send(Register(s, "t", ""))
	l.decide(LoseReplica("a", 1))
	lost := OrphanGroup{"a", 1, l.index}
	a.send(Detach(s))
	detached := OrphanGroup{"a", 1, l.index}
	wantGroups(t, l.r, detached)
	wantEvents(t, l.decide(ExpireOrphans(lost)))
	wantProducers(t, l.r, "t", "h")
	wantEvents(t, l.decide(ExpireOrphans(detached)), Event{Kind: SessionDropped, Session: a.key(s)})
	wantProducers(t, l.r, "t", "")
}

// TestCloseLeavesDetached: the last live session's end ends the lost and restarted orphans of its
// producer, and leaves the detached ones.
func TestCloseLeavesDetached(t *testing.T) {
	l := leveledTape(t)
	a, b, c := l.journal("a"), l.journal("b"), l.journal("c")
	detached, lost, restarted := a.identify(nsqd("h")), b.identify(nsqd("h")), c.identify(nsqd("h"))
	a.send(Register(detached, "detached", ""))
	b.send(Register(lost, "lost", ""))
	c.send(Register(restarted, "restarted", ""))
	gone := []SessionKey{b.key(lost), c.key(restarted)}
	last := a.identify(nsqd("h"))
	l.decide(LoseReplica("b", 1))
	c.restart()
	a.send(Detach(detached))
	group := OrphanGroup{"a", 1, l.index}
	wantEvents(t, a.send(CloseSession(last)).Events, Event{Kind: SessionDropped, Session: gone[0]},
		Event{Kind: SessionDropped, Session: gone[1]})
	wantProducers(t, l.r, "detached", "h")
	wantProducers(t, l.r, "lost", "")
	wantProducers(t, l.r, "restarted", "")
	wantGroups(t, l.r, group)
}

// TestUnregisterTakesFromDetached: the nsqd says so itself.
func TestUnregisterTakesFromDetached(t *testing.T) {
	l := leveledTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h"))
	a.send(Register(s, "t", "c"), Register(s, "t2", ""), Detach(s))
	again := a.identify(nsqd("h"))
	a.send(Unregister(again, "t", "c"), Unregister(again, "t2", ""))
	wantProducers(t, l.r, "t", "h")
	wantProducers(t, l.r, "t2", "")
	var held []string
	l.r.State().Held(func(h Held) bool { held = append(held, h.Category+" "+h.Topic+" "+h.Channel); return true })
	if want := []string{"client  ", "client  ", "topic t "}; !slices.Equal(held, want) {
		t.Fatalf("held %q", held)
	}
}

// TestExpireOrphansIsOfAGroup: each of its three parts counts.
func TestExpireOrphansIsOfAGroup(t *testing.T) {
	l := leveledTape(t)
	a, b := l.journal("a"), l.journal("b")
	first, second, other := a.identify(nsqd("h1")), a.identify(nsqd("h2")), b.identify(nsqd("h3"))
	a.send(Register(first, "t", ""), Register(second, "t", ""))
	b.send(Register(other, "t", ""))
	a.send(Detach(first))
	group := OrphanGroup{"a", 1, l.index}
	a.send(Detach(second))
	b.send(Detach(other))
	for _, g := range []OrphanGroup{{"a", 1, group.Since - 1}, {"a", 1, 0}, {"a", 2, group.Since}, {"b", 1, group.Since},
		{"", 1, group.Since}, {"none", 1, group.Since}, {"a", 0, group.Since}} {
		wantEvents(t, l.decide(ExpireOrphans(g)))
	}
	wantProducers(t, l.r, "t", "h1 h2 h3")
	wantEvents(t, l.decide(ExpireOrphans(group)), Event{Kind: SessionDropped, Session: a.key(first)})
	wantProducers(t, l.r, "t", "h2 h3")
}

// TestExpireOrphansComesTooLate: orphans that were live since, and live sessions, are not of the group.
func TestExpireOrphansComesTooLate(t *testing.T) {
	l := leveledTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h"))
	a.send(Register(s, "t", ""))
	l.decide(LoseReplica("a", 1))
	group := OrphanGroup{"a", 1, l.index}
	a.send()
	wantEvents(t, l.decide(ExpireOrphans(group), ExpireOrphans(OrphanGroup{"a", 1, 0})))
	l.decide(LoseReplica("a", 1))
	wantEvents(t, l.decide(ExpireOrphans(group)))
	wantProducers(t, l.r, "t", "h")
}

// TestLostThenRestarted: the grace begins anew with the restart, once. A replica that crashes again and
// again keeps nobody listed.
func TestLostThenRestarted(t *testing.T) {
	l := leveledTape(t)
	a := l.journal("a")
	ended, s := a.identify(nsqd("h1")), a.identify(nsqd("h2"))
	a.send(Detach(ended))
	detached := OrphanGroup{"a", 1, l.index}
	l.decide(LoseReplica("a", 1))
	lost := OrphanGroup{"a", 1, l.index}
	wantEvents(t, a.restart(), Event{Kind: ReplicaOpened, Replica: "a", Incarnation: 2})
	restarted := OrphanGroup{"a", 1, l.index}
	wantGroups(t, l.r, detached, restarted)
	l.decide(LoseReplica("a", 2))
	a.restart()
	a.restart()
	wantGroups(t, l.r, detached, restarted)
	wantEvents(t, l.decide(ExpireOrphans(lost)))
	wantEvents(t, l.decide(ExpireOrphans(restarted)), Event{Kind: SessionDropped, Session: SessionKey{"a", 1, s}})
}

// TestLostThenRestartedAtLevelZero: and across the rise of the level.
func TestLostThenRestartedAtLevelZero(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	a.identify(nsqd("h"))
	l.decide(LoseReplica("a", 1))
	a.restart()
	wantGroups(t, l.r, OrphanGroup{"a", 1, 0})
	a.identify(nsqd("h"))
	l.decide(LoseReplica("a", 2))
	l.decide(RaiseLevel(1))
	a.restart()
	wantGroups(t, l.r, OrphanGroup{"a", 1, 0}, OrphanGroup{"a", 2, l.index})
}

// TestOrphansOfLevelZero: their group has no index, and ends as such after the level has risen.
func TestOrphansOfLevelZero(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	old := a.identify(nsqd("h1"))
	a.restart()
	lost := a.identify(nsqd("h2"))
	l.decide(LoseReplica("a", 2))
	l.decide(RaiseLevel(1))
	b := l.journal("b")
	b.identify(nsqd("h3"))
	l.decide(LoseReplica("b", 1))
	wantGroups(t, l.r, OrphanGroup{"a", 1, 0}, OrphanGroup{"a", 2, 0}, OrphanGroup{"b", 1, l.index})
	wantEvents(t, l.decide(ExpireOrphans(OrphanGroup{"a", 2, 0}), ExpireOrphans(OrphanGroup{"b", 1, 0})),
		Event{Kind: SessionDropped, Session: SessionKey{"a", 2, lost}})
	wantEvents(t, l.decide(ExpireReplica("a", 2)), Event{Kind: SessionDropped, Session: SessionKey{"a", 1, old}})
}

// TestExpireReplicaTakesDetached: its meaning is that of level 0.
func TestExpireReplicaTakesDetached(t *testing.T) {
	l := leveledTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h"))
	a.send(Detach(s))
	wantEvents(t, l.decide(ExpireReplica("a", 1)), Event{Kind: SessionDropped, Session: a.key(s)})
}

// TestOrphansAreSorted, by numbers as such.
func TestOrphansAreSorted(t *testing.T) {
	l := leveledTape(t)
	b, a := l.journal("b"), l.journal("a")
	var want []OrphanGroup
	for i := range 12 { // hosts in the reverse order of groups
		s := a.identify(nsqd(fmt.Sprint("h", 99-i)))
		a.send(Detach(s))
		want = append(want, OrphanGroup{"a", a.Incarnation, l.index})
		if i%3 == 2 {
			a.restart()
		}
	}
	b.identify(nsqd("h0"))
	b.restart()
	wantGroups(t, l.r, append(want, OrphanGroup{"b", 1, l.index})...)
	wantGroups(t, New())
}

// TestFingerprintOfDetached: since and detached are part of the content.
func TestFingerprintOfDetached(t *testing.T) {
	var h hasher
	o := &session{identity: &identity{key: SessionKey{"a", 1, 2}, serial: 1, info: nsqd("h")}, active: true, orphan: true}
	seen := map[Fingerprint]string{}
	for _, since := range []uint64{0, 1, 2, 300} {
		for _, detached := range []bool{false, true} {
			if since == 0 && detached {
				continue // there is none
			}
			o.since, o.detached = since, detached
			f, what := h.session(o), fmt.Sprint(since, detached)
			if other, ok := seen[f]; ok {
				t.Errorf("%s has the fingerprint of %s", what, other)
			}
			seen[f] = what
		}
	}
}
