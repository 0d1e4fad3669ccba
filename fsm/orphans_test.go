package fsm

import (
	"errors"
	"testing"
)

// Scenarios of DESIGN.md, "Lost and restarted replicas".

// TestRestart: what a replica's sessions had stays visible while their nsqds reconnect.
func TestRestart(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h"))
	old := a.key(s)
	a.send(Register(s, "t", "c"))
	wantEvents(t, a.restart(), Event{Kind: ReplicaOpened, Replica: "a", Incarnation: 2})
	wantProducers(t, l.r, "t", "h")
	wantCounts(t, l.r, Counts{Topics: 1, Channels: 1, Producers: 1, Orphans: 1})
	if err := a.result(CloseSession(s)); !errors.Is(err, ErrSessionUnknown) {
		t.Fatalf("a session of the life before: %v", err)
	}

	again := a.identify(secondInfo("h"))
	wantProducers(t, l.r, "t", "h")
	wantCounts(t, l.r, Counts{Topics: 1, Channels: 1, Producers: 1, Sessions: 1, Orphans: 1})
	a.send(Register(again, "t", "c"))
	wantEvents(t, a.send(Settle(again)).Events, Event{Kind: SessionDropped, Session: old})
	wantLookup(t, l.r, "t", `{"channels":["c"],"producers":[{"remote_address":"h:50000","hostname":"h",`+
		`"broadcast_address":"h","tcp_port":4150,"http_port":5151,"version":"1.3.1"}]}`)
	wantCounts(t, l.r, Counts{Topics: 1, Channels: 1, Producers: 1, Sessions: 1})
}

// TestSettleEndsWhatWasNotRegisteredAgain: what the orphan alone had is over with it.
func TestSettleEndsWhatWasNotRegisteredAgain(t *testing.T) {
	l := newTape(t)
	a, b := l.journal("a"), l.journal("b")
	s := a.identify(nsqd("h"))
	a.send(Register(s, "t", ""), Register(s, "deleted meanwhile", ""))
	l.decide(LoseReplica("a", 1))
	moved := b.identify(nsqd("h"))
	b.send(Register(moved, "t", ""))
	wantProducers(t, l.r, "deleted meanwhile", "h")
	b.send(Settle(moved))
	wantProducers(t, l.r, "deleted meanwhile", "")
	wantProducers(t, l.r, "t", "h")
}

// TestOrphanOfASettledProducer: an orphan for whom a settled live session speaks goes at once.
func TestOrphanOfASettledProducer(t *testing.T) {
	l := newTape(t)
	a, b := l.journal("a"), l.journal("b")
	s, other := a.identify(nsqd("h")), b.identify(nsqd("h"))
	b.send(Settle(other))
	key := a.key(s)
	wantEvents(t, l.decide(LoseReplica("a", 1)),
		Event{Kind: SessionDropped, Session: key}, Event{Kind: ReplicaLost, Replica: "a", Incarnation: 1})
	wantCounts(t, l.r, Counts{Producers: 1, Sessions: 1})
}

// TestSilentSessionDoesNotSpeak: a settled session that is not active leaves the orphan alone,
// until its nsqd is heard from again.
func TestSilentSessionDoesNotSpeak(t *testing.T) {
	l := newTape(t)
	a, b := l.journal("a"), l.journal("b")
	s, silent := a.identify(nsqd("h")), b.identify(nsqd("h"))
	a.send(Register(s, "t", ""))
	b.send(Settle(silent), SetActive(silent, false))
	l.decide(LoseReplica("a", 1))
	wantProducers(t, l.r, "t", "h")
	key := a.key(s)
	wantEvents(t, b.send(SetActive(silent, true)).Events, Event{Kind: SessionDropped, Session: key})
	wantProducers(t, l.r, "t", "")
}

// TestLastLiveSessionCloses: nsqd is gone, and its orphans with it.
func TestLastLiveSessionCloses(t *testing.T) {
	l := newTape(t)
	a, b := l.journal("a"), l.journal("b")
	s := a.identify(nsqd("h"))
	a.send(Register(s, "t", ""))
	key := a.key(s)
	l.decide(LoseReplica("a", 1))
	first, second := b.identify(nsqd("h")), b.identify(nsqd("h"))
	other := b.identify(nsqd("h2"))
	if o := b.send(CloseSession(first), CloseSession(other)); len(o.Events) != 0 {
		t.Fatalf("events %+v", o.Events)
	}
	wantProducers(t, l.r, "t", "h")
	wantEvents(t, b.send(CloseSession(second)).Events, Event{Kind: SessionDropped, Session: key})
	wantProducers(t, l.r, "t", "")
	wantCounts(t, l.r, Counts{Topics: 1})
}

// TestExpire drops the orphans of that incarnation and earlier ones, and nothing else.
func TestExpire(t *testing.T) {
	l := newTape(t)
	a, b := l.journal("a"), l.journal("b")
	s1 := a.identify(nsqd("h1"))
	k1 := a.key(s1)
	a.send(Register(s1, "t", ""))
	a.restart()
	s2 := a.identify(nsqd("h2"))
	k2 := a.key(s2)
	a.send(Register(s2, "t", ""))
	a.restart()
	s3, sb := a.identify(nsqd("h3")), b.identify(nsqd("h4"))
	a.send(Register(s3, "t", ""))
	b.send(Register(sb, "t", ""))
	l.decide(LoseReplica("b", 1))

	wantEvents(t, l.decide(ExpireReplica("a", 0), ExpireReplica("none", 9)))
	wantEvents(t, l.decide(ExpireReplica("a", 1)), Event{Kind: SessionDropped, Session: k1})
	wantProducers(t, l.r, "t", "h2 h3 h4")
	wantEvents(t, l.decide(ExpireReplica("a", 99)), Event{Kind: SessionDropped, Session: k2})
	wantProducers(t, l.r, "t", "h3 h4") // h3 is no orphan, h4 is of another replica
	if groups := l.r.State().Orphans(); len(groups) != 1 || groups[0] != (OrphanGroup{Replica: "b", Incarnation: 1}) {
		t.Fatalf("orphans %v", groups)
	}
}

// TestOrphanGroups: each incarnation that left some, once.
func TestOrphanGroups(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	for _, host := range []string{"h2", "h1"} {
		a.send(OpenSession(nsqd(host)), OpenSession(nsqd(host)))
		a.restart()
	}
	a.identify(nsqd("h1"))
	if got := groupTexts(l.r.State().Orphans()); got != "a/1@0 a/2@0" {
		t.Fatalf("groups %q", got)
	}
}

// TestFound: a lost replica whose batches arrive again is lost no longer, and its remaining
// sessions are live; a repeat of an old batch will do.
func TestFound(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	before := a.identify(nsqd("h0"))
	a.send(Register(before, "t", ""))
	a.restart()
	s := a.identify(nsqd("h"))
	a.send(Register(s, "t", ""))
	wantEvents(t, l.decide(LoseReplica("a", 2)), Event{Kind: ReplicaLost, Replica: "a", Incarnation: 2})
	wantEvents(t, l.decide(LoseReplica("a", 2)))
	if rep, _ := l.r.State().Replica("a"); !rep.Lost {
		t.Fatalf("%+v", rep)
	}
	wantCounts(t, l.r, Counts{Topics: 1, Producers: 2, Orphans: 2})
	o := l.apply(journalEntry(Header{"a", 2, 1}, OpenReplica("name of a")))
	wantEvents(t, o.Events, Event{Kind: ReplicaFound, Replica: "a", Incarnation: 2})
	wantCounts(t, l.r, Counts{Topics: 1, Producers: 2, Sessions: 1, Orphans: 1}) // h0's life is over all the same
	wantEvents(t, l.decide(ExpireReplica("a", 2)), Event{Kind: SessionDropped, Session: SessionKey{"a", 1, before}})
	a.send(Register(s, "t2", ""))
	wantProducers(t, l.r, "t2", "h")
}

// TestFoundToBeSuperfluous: a session that is live again, and settled, ends the orphans of its
// producer.
func TestFoundToBeSuperfluous(t *testing.T) {
	l := newTape(t)
	a, b := l.journal("a"), l.journal("b")
	sa, sb := a.identify(nsqd("h")), b.identify(nsqd("h"))
	a.send(Settle(sa))
	key := b.key(sb)
	l.decide(LoseReplica("a", 1), LoseReplica("b", 1))
	wantEvents(t, a.send().Events, Event{Kind: SessionDropped, Session: key},
		Event{Kind: ReplicaFound, Replica: "a", Incarnation: 1})
}

// TestRefusedIsNotFound: a batch that is refused says nothing of the replica as it is now.
func TestRefusedIsNotFound(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	a.restart()
	l.decide(LoseReplica("a", 2))
	for _, h := range []Header{{"a", 1, 1}, {"a", 2, 9}} {
		if o := l.apply(journalEntry(h, CreateTopic("t"))); !isRefusal(o.Err) || len(o.Events) > 0 {
			t.Fatalf("%+v: outcome %+v", h, o)
		}
	}
	if rep, _ := l.r.State().Replica("a"); !rep.Lost {
		t.Fatal("found")
	}
}

// TestLoseIsOfAnIncarnation: a decision that comes after the replica's restart does nothing.
func TestLoseIsOfAnIncarnation(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	a.restart()
	a.identify(nsqd("h"))
	wantEvents(t, l.decide(LoseReplica("a", 1), LoseReplica("a", 3), LoseReplica("none", 1)))
	wantCounts(t, l.r, Counts{Producers: 1, Sessions: 1})
}

// TestRestartOfALostReplica: it is lost no longer, and its sessions stay orphans.
func TestRestartOfALostReplica(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	a.identify(nsqd("h"))
	l.decide(LoseReplica("a", 1))
	wantEvents(t, a.restart(), Event{Kind: ReplicaOpened, Replica: "a", Incarnation: 2})
	rep, ok := l.r.State().Replica("a")
	if want := (Replica{ID: "a", Name: "name of a", Incarnation: 2, Last: 1}); !ok || rep != want {
		t.Fatalf("%+v", rep)
	}
	wantCounts(t, l.r, Counts{Producers: 1, Orphans: 1})
	if _, ok := l.r.State().Replica("none"); ok {
		t.Fatal("a replica that is not there")
	}
}

// TestLiveSessionSpeaksBeforeAnOrphan, even a newer one.
func TestLiveSessionSpeaksBeforeAnOrphan(t *testing.T) {
	l := newTape(t)
	a, b := l.journal("a"), l.journal("b")
	live := a.identify(nsqd("h"))
	a.send(Register(live, "t", ""))
	b.identify(secondInfo("h"))
	l.decide(LoseReplica("b", 1))
	wantLookup(t, l.r, "t", `{"channels":[],"producers":[`+firstBody+`}]}`)
}

// TestUnregisterTakesFromOrphans: nobody else would; a live session of the producer keeps its own.
func TestUnregisterTakesFromOrphans(t *testing.T) {
	l := newTape(t)
	a, b := l.journal("a"), l.journal("b")
	gone, other := a.identify(nsqd("h")), a.identify(nsqd("h2"))
	a.send(Register(gone, "t", "c"), Register(gone, "t", "x#ephemeral"), Register(other, "t", "c"))
	l.decide(LoseReplica("a", 1))
	s, live := b.identify(nsqd("h")), b.identify(nsqd("h"))
	b.send(Register(live, "t2", ""), Unregister(s, "t", "x#ephemeral"))
	wantBody(t, l.r.State().Channels("t"), `{"channels":["c"]}`)
	b.send(Unregister(s, "t", ""), Unregister(s, "t2", ""))
	wantProducers(t, l.r, "t", "h2") // an orphan too, but of another producer
	wantProducers(t, l.r, "t2", "h")
}
