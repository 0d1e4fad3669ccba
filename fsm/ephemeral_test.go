package fsm

import "testing"

// Scenarios of ephemeral names (nsqio/nsq, nsqlookupd/lookup_protocol_v1.go, UNREGISTER).

func TestEphemeralChannel(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s1, s2 := a.identify(nsqd("h1")), a.identify(nsqd("h2"))
	a.send(Register(s1, "t", "x#ephemeral"), Register(s2, "t", "x#ephemeral"), Register(s1, "t", "c"))
	a.send(Unregister(s1, "t", "x#ephemeral"))
	wantBody(t, l.r.State().Channels("t"), `{"channels":["c","x#ephemeral"]}`)
	a.send(Unregister(s2, "t", "x#ephemeral"), Unregister(s1, "t", "c"))
	wantBody(t, l.r.State().Channels("t"), `{"channels":["c"]}`)
	wantProducers(t, l.r, "t", "h1 h2")
}

// TestEphemeralChannelNobodyHas goes with an unregistration by one who never had it.
func TestEphemeralChannelNobodyHas(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h"))
	a.send(CreateChannel("t", "x#ephemeral"), CreateTopic("e#ephemeral"), CreateTopic("t2"))
	a.send(Unregister(s, "t", "x#ephemeral"), Unregister(s, "e#ephemeral", ""), Unregister(s, "t2", ""))
	wantBody(t, l.r.State().Channels("t"), `{"channels":[]}`)
	wantBody(t, l.r.State().Topics(), `{"topics":["t","t2"]}`)
}

// TestEphemeralTopic: its channels outlive it, as in nsqlookupd, and are there when it comes back.
func TestEphemeralTopic(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s1, s2 := a.identify(nsqd("h1")), a.identify(nsqd("h2"))
	a.send(Register(s1, "e#ephemeral", "c"), Register(s2, "e#ephemeral", "x#ephemeral"))
	a.send(Unregister(s1, "e#ephemeral", ""))
	wantProducers(t, l.r, "e#ephemeral", "h2")
	a.send(Unregister(s2, "e#ephemeral", ""))
	wantProducers(t, l.r, "e#ephemeral", "-")
	wantBody(t, l.r.State().Topics(), `{"topics":[]}`)
	wantBody(t, l.r.State().Channels("e#ephemeral"), `{"channels":["c","x#ephemeral"]}`)
	wantBody(t, l.r.State().Channels(AllTopics), `{"channels":["c","x#ephemeral"]}`)
	if _, ok := l.r.State().Lookup(AllTopics); ok {
		t.Fatal("a lookup of all topics when there is none")
	}
	a.send(Unregister(s2, "e#ephemeral", "x#ephemeral"), Register(s1, "e#ephemeral", ""))
	wantBody(t, l.r.State().Channels("e#ephemeral"), `{"channels":["c"]}`)
	wantProducers(t, l.r, "e#ephemeral", "h1")
}

// TestEphemeralTopicsChannelsAreDeleted with the last of them goes what was left of the topic.
func TestEphemeralTopicsChannelsAreDeleted(t *testing.T) {
	for _, end := range []Change{DeleteTopic("e#ephemeral"), DeleteTopic(AllTopics), DeleteChannel("e#ephemeral", "c")} {
		l := newTape(t)
		a := l.journal("a")
		s := a.identify(nsqd("h"))
		a.send(Register(s, "e#ephemeral", "c"), Unregister(s, "e#ephemeral", ""), end)
		wantCounts(t, l.r, Counts{Producers: 1, Sessions: 1})
		if n := l.r.State().topics.Len(); n != 0 {
			t.Errorf("kind %d: %d topics are kept", end.Kind, n)
		}
	}
}

// TestDisconnectRemovesNothing: not even what is ephemeral; nor does the loss of a replica.
func TestDisconnectRemovesNothing(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s1, s2 := a.identify(nsqd("h1")), a.identify(nsqd("h2"))
	a.send(Register(s1, "e#ephemeral", "x#ephemeral"), Register(s2, "e#ephemeral", ""), CloseSession(s1))
	l.decide(LoseReplica("a", 1), ExpireReplica("a", 1))
	wantLookup(t, l.r, "e#ephemeral", `{"channels":["x#ephemeral"],"producers":[]}`)
}
