package fsm

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Scenarios of tombstones (nsqio/nsq, nsqlookupd/http.go, /topic/tombstone).

// tombstoned is a registry in which producers h1 and h2 have t and t2.
func tombstoned(t *testing.T) (*tape, *journal, uint64) {
	l := newTape(t)
	a := l.journal("a")
	s1, s2 := a.identify(nsqd("h1")), a.identify(nsqd("h2"))
	for _, topic := range []string{"t", "t2"} {
		a.send(Register(s1, topic, "c"), Register(s2, topic, ""))
	}
	return l, a, s1
}

var h1 = ProducerKey{"h1", 4150}

// TestTombstone hides the producer from lookups of that topic, and from nothing else.
func TestTombstone(t *testing.T) {
	l, a, s1 := tombstoned(t)
	set := a.send(Tombstone("t", "h1:4151")).Events
	wantEvents(t, set, Event{Kind: TombstoneSet, ID: 3, Topic: "t", Producer: h1})
	wantProducers(t, l.r, "t", "h2")
	wantProducers(t, l.r, "t2", "h1 h2")
	wantProducers(t, l.r, AllTopics, "h1 h2")
	wantBody(t, l.r.State().Nodes(), `{"producers":[`+
		`{"remote_address":"h1:40000","hostname":"h1","broadcast_address":"h1","tcp_port":4150,"http_port":4151,`+
		`"version":"1.3.0","tombstones":[true,false],"topics":["t","t2"]},`+
		`{"remote_address":"h2:40000","hostname":"h2","broadcast_address":"h2","tcp_port":4150,"http_port":4151,`+
		`"version":"1.3.0","tombstones":[false,false],"topics":["t","t2"]}]}`)
	var ids []uint64
	l.r.State().Held(func(h Held) bool { ids = append(ids, h.Tombstone); return true })
	if len(ids) != 8 || ids[2] != 3 { // two clients, then t's sessions
		t.Fatalf("tombstones in Held: %v", ids)
	}
	a.send(Register(s1, "t", "c"), Register(s1, "t", "d")) // does not bring it back
	wantProducers(t, l.r, "t", "h2")
	wantEvents(t, l.decide(ClearTombstone("t", h1, 3)), Event{Kind: TombstoneGone, ID: 3, Topic: "t", Producer: h1})
	wantProducers(t, l.r, "t", "h1 h2")
	if nodes := string(l.r.State().Nodes()); strings.Contains(nodes, "true") {
		t.Fatalf("nodes still show a tombstone: %s", nodes)
	}
}

// TestTombstoneReplaced: a newer one has its own id, and the older one's end does not end it.
func TestTombstoneReplaced(t *testing.T) {
	l, a, _ := tombstoned(t)
	a.send(Tombstone("t", "h1:4151"))
	wantEvents(t, a.send(Tombstone("t", "h1:4151")).Events,
		Event{Kind: TombstoneGone, ID: 3, Topic: "t", Producer: h1},
		Event{Kind: TombstoneSet, ID: 4, Topic: "t", Producer: h1})
	wantEvents(t, l.decide(ClearTombstone("t", h1, 3), ClearTombstone("t", h1, 0), ClearTombstone("t", h1, 5),
		ClearTombstone("t2", h1, 4), ClearTombstone("none", h1, 4), ClearTombstone("t", ProducerKey{"h2", 4150}, 4),
		ClearTombstone("t", ProducerKey{"h2", 4150}, 0)))
	wantProducers(t, l.r, "t", "h2")
	wantCounts(t, l.r, Counts{Topics: 2, Channels: 2, Producers: 2, Sessions: 2, Tombstones: 1})
	l.decide(ClearTombstone("t", h1, 4))
	wantProducers(t, l.r, "t", "h1 h2")
}

// TestTombstoneOfNobody: the node must have the topic, and be known by that address and HTTP port.
func TestTombstoneOfNobody(t *testing.T) {
	l, a, _ := tombstoned(t)
	for _, node := range []string{"h1:4150", "h1", "h3:4151", "", "h1:4151 "} {
		if o := a.send(Tombstone("t", node)); len(o.Events) > 0 {
			t.Errorf("node %q: %+v", node, o.Events)
		}
	}
	if o := a.send(Tombstone("none", "h1:4151")); len(o.Events) > 0 {
		t.Errorf("no topic: %+v", o.Events)
	}
	wantProducers(t, l.r, "t", "h1 h2")
}

// TestTombstoneOfShownNode: merged sessions are known by the HTTP port that listings show.
func TestTombstoneOfShownNode(t *testing.T) {
	l, a, _ := tombstoned(t)
	newer := a.identify(secondInfo("h1"))
	a.send(Tombstone("t", "h1:4151"))
	wantProducers(t, l.r, "t", "h1 h2")
	a.send(Tombstone("t", "h1:5151"))
	wantProducers(t, l.r, "t", "h2")
	a.send(CloseSession(newer))
	wantProducers(t, l.r, "t", "h2") // it is the producer's, not the session's
}

// TestTombstoneAllTopics sets one for each topic of the node.
func TestTombstoneAllTopics(t *testing.T) {
	l, a, _ := tombstoned(t)
	wantEvents(t, a.send(Tombstone(AllTopics, "h1:4151")).Events,
		Event{Kind: TombstoneSet, ID: 3, Topic: "t", Producer: h1},
		Event{Kind: TombstoneSet, ID: 4, Topic: "t2", Producer: h1})
	wantProducers(t, l.r, AllTopics, "h2")
}

// TestTombstoneGoes with the producer's last registration of the topic, in whatever way that goes.
func TestTombstoneGoes(t *testing.T) {
	tests := map[string]func(a *journal, s uint64) []Event{
		"unregistered":  func(a *journal, s uint64) []Event { return a.send(Unregister(s, "t", "")).Events },
		"closed":        func(a *journal, s uint64) []Event { return a.send(CloseSession(s)).Events },
		"topic deleted": func(a *journal, s uint64) []Event { return a.send(DeleteTopic("t")).Events },
		"all deleted":   func(a *journal, s uint64) []Event { return a.send(DeleteTopic(AllTopics)).Events },
		"expired": func(a *journal, s uint64) []Event {
			a.decide(LoseReplica("a", 1))
			return a.decide(ExpireReplica("a", 1))
		},
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			l, a, s1 := tombstoned(t)
			second := a.identify(nsqd("h1"))
			a.send(Register(second, "t", ""), Tombstone("t", "h1:4151"))
			if o := a.send(Unregister(second, "t", "")); len(o.Events) > 0 {
				t.Fatalf("gone though the first session has the topic: %+v", o.Events)
			}
			events := end(a, s1)
			if len(events) == 0 || events[0] != (Event{Kind: TombstoneGone, ID: 4, Topic: "t", Producer: h1}) {
				t.Fatalf("events %+v", events)
			}
			if l.r.State().Counts().Tombstones != 0 {
				t.Fatal("still there")
			}
		})
	}
}

// TestTombstoneSurvivesARestart of the replica that the producer's session came in on.
func TestTombstoneSurvivesARestart(t *testing.T) {
	l, a, _ := tombstoned(t)
	a.send(Tombstone("t", "h1:4151"))
	a.restart()
	again := a.identify(nsqd("h1"))
	a.send(Register(again, "t", ""), Register(again, "t2", ""), Settle(again))
	wantProducers(t, l.r, "t", "h2")
	wantProducers(t, l.r, "t2", "h1 h2")
}

// TestTombstonesGoInOneOrder, whatever order a map has: the order of events is part of the outcome.
func TestTombstonesGoInOneOrder(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h1"))
	var want []string
	for i := range 20 {
		topic := fmt.Sprintf("t%02d", (7*i)%20)
		a.send(Register(s, topic, ""))
		want = append(want, topic)
	}
	slices.Sort(want)
	a.send(Tombstone(AllTopics, "h1:4151"))
	var got []string
	for _, e := range a.send(CloseSession(s)).Events {
		got = append(got, e.Topic)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("gone from %v, want %v", got, want)
	}
}
