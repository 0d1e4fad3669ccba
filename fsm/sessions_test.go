package fsm

import (
	"errors"
	"testing"
)

// Scenarios of sessions and producers: DESIGN.md, "The registry".

// secondInfo is what another session of the same producer says.
func secondInfo(host string) ProducerInfo {
	info := nsqd(host)
	info.RemoteAddress, info.HTTPPort, info.Version = host+":50000", 5151, "1.3.1"
	return info
}

const (
	firstBody  = `{"remote_address":"h:40000","hostname":"h","broadcast_address":"h","tcp_port":4150,"http_port":4151,"version":"1.3.0"`
	secondBody = `{"remote_address":"h:50000","hostname":"h","broadcast_address":"h","tcp_port":4150,"http_port":5151,"version":"1.3.1"`
)

func wantLookup(t *testing.T, r *Registry, topic, want string) {
	t.Helper()
	body, ok := r.State().Lookup(topic)
	if !ok {
		t.Fatalf("no topic %s", topic)
	}
	wantBody(t, body, want)
}

// TestMergedSessions: sessions of one producer, on whatever replicas, are one producer, and the
// newest supplies the info.
func TestMergedSessions(t *testing.T) {
	l := newTape(t)
	a, b := l.journal("a"), l.journal("b")
	s1 := a.identify(nsqd("h"))
	a.send(Register(s1, "t", "c"))
	s2 := b.identify(secondInfo("h"))
	wantLookup(t, l.r, "t", `{"channels":["c"],"producers":[`+secondBody+`}]}`) // though only the first has the topic
	b.send(Register(s2, "t", "d"), Register(s2, "t2", ""))
	wantLookup(t, l.r, "t", `{"channels":["c","d"],"producers":[`+secondBody+`}]}`)
	wantBody(t, l.r.State().Nodes(), `{"producers":[`+secondBody+`,"tombstones":[false,false],"topics":["t","t2"]}]}`)
	wantCounts(t, l.r, Counts{Topics: 2, Channels: 2, Producers: 1, Sessions: 2})
	b.send(CloseSession(s2))
	wantLookup(t, l.r, "t", `{"channels":["c","d"],"producers":[`+firstBody+`}]}`)
	wantLookup(t, l.r, "t2", `{"channels":[],"producers":[]}`)
	a.send(CloseSession(s1))
	wantLookup(t, l.r, "t", `{"channels":["c","d"],"producers":[]}`)
	wantBody(t, l.r.State().Nodes(), `{"producers":[]}`)
}

// TestProducerIsAddressAndPort: another port is another producer.
func TestProducerIsAddressAndPort(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	for _, port := range []int{10000, 999, 4150} {
		info := nsqd("h")
		info.TCPPort = port
		a.send(OpenSession(info))
	}
	wantCounts(t, l.r, Counts{Producers: 3, Sessions: 3})
	var ports []int
	l.r.State().Held(func(h Held) bool { ports = append(ports, h.Info.TCPPort); return true })
	if len(ports) != 3 || ports[0] != 999 || ports[1] != 4150 || ports[2] != 10000 {
		t.Fatalf("ports in the order %v", ports)
	}
}

// TestInactive: a producer is listed while any active session of it has the topic; an active
// session supplies the info rather than a newer one that is not.
func TestInactive(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s1, s2 := a.identify(nsqd("h")), a.identify(secondInfo("h"))
	a.send(Register(s1, "t", ""), Register(s2, "t", ""), Register(s1, "only1", ""), SetActive(s2, false))
	wantLookup(t, l.r, "t", `{"channels":[],"producers":[`+firstBody+`}]}`)
	a.send(SetActive(s1, false))
	wantLookup(t, l.r, "t", `{"channels":[],"producers":[]}`)
	wantBody(t, l.r.State().Nodes(), `{"producers":[]}`)
	wantCounts(t, l.r, Counts{Topics: 2, Producers: 1, Sessions: 2})
	a.send(SetActive(s2, true))
	wantLookup(t, l.r, "t", `{"channels":[],"producers":[`+secondBody+`}]}`)
	wantProducers(t, l.r, "only1", "") // its only session that has it is silent
	wantBody(t, l.r.State().Nodes(), `{"producers":[`+secondBody+`,"tombstones":[false],"topics":["t"]}]}`)
	a.send(SetActive(s1, true))
	wantLookup(t, l.r, "only1", `{"channels":[],"producers":[`+secondBody+`}]}`)
}

func TestUnknownSession(t *testing.T) {
	l := newTape(t)
	a, b := l.journal("a"), l.journal("b")
	s := a.identify(nsqd("h"))
	for _, c := range []Change{Register(s, "t", ""), Unregister(s, "t", ""), SetActive(s, false), Settle(s), CloseSession(s)} {
		if err := b.result(c); !errors.Is(err, ErrSessionUnknown) { // a number is the replica's own
			t.Errorf("kind %d: %v", c.Kind, err)
		}
	}
	a.send(CloseSession(s))
	if err := a.result(CloseSession(s)); !errors.Is(err, ErrSessionUnknown) {
		t.Errorf("closed twice: %v", err)
	}
	wantCounts(t, l.r, Counts{})
}

// TestRepeatedRegister: what a session has already changes nothing.
func TestRepeatedRegister(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h"))
	a.send(Register(s, "t", "c"))
	topic, _ := l.r.State().topics.Get("t")
	a.send(Register(s, "t", "c"), Register(s, "t", ""), CreateTopic("t"), CreateChannel("t", "c"))
	if again, _ := l.r.State().topics.Get("t"); again != topic {
		t.Fatal("the topic was altered")
	}
}

// TestUnregister: a channel alone, or the topic with all its channels; others keep theirs.
func TestUnregister(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s1, s2 := a.identify(nsqd("h1")), a.identify(nsqd("h2"))
	a.send(Register(s1, "t", "c"), Register(s1, "t", "d"), Register(s2, "t", "c"), Unregister(s1, "t", "c"))
	wantProducers(t, l.r, "t", "h1 h2")
	a.send(Unregister(s1, "t", ""))
	wantProducers(t, l.r, "t", "h2")
	wantBody(t, l.r.State().Channels("t"), `{"channels":["c","d"]}`)
	rows := map[string]int{}
	l.r.State().Held(func(h Held) bool { rows[h.Category+" "+h.Topic+" "+h.Channel]++; return true })
	if len(rows) != 3 || rows["client  "] != 2 || rows["topic t "] != 1 || rows["channel t c"] != 1 {
		t.Fatalf("held: %v", rows)
	}
}

// TestDeleteTopicUnderASession: the registrations go; the session stays and may register anew.
func TestDeleteTopicUnderASession(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h"))
	a.send(Register(s, "t", "c"), DeleteTopic("t"))
	wantProducers(t, l.r, "t", "-")
	wantBody(t, l.r.State().Nodes(), `{"producers":[`+firstBody+`,"tombstones":[],"topics":[]}]}`)
	a.send(Unregister(s, "t", "c"), Unregister(s, "t", "")) // nsqd does not know
	wantProducers(t, l.r, "t", "-")
	a.send(Register(s, "t", "d"))
	wantLookup(t, l.r, "t", `{"channels":["d"],"producers":[`+firstBody+`}]}`)
	a.send(DeleteChannel("t", "d"))
	wantLookup(t, l.r, "t", `{"channels":[],"producers":[`+firstBody+`}]}`)
	a.send(CloseSession(s), DeleteTopic("t"))
	wantCounts(t, l.r, Counts{})
}

// TestAllTopics: "*" stands for every topic, as nsqlookupd takes it.
func TestAllTopics(t *testing.T) {
	l := newTape(t)
	if _, ok := l.r.State().Lookup(AllTopics); ok {
		t.Fatal("a lookup of all topics when there is none")
	}
	wantBody(t, l.r.State().Channels(AllTopics), `{"channels":[]}`)
	a := l.journal("a")
	s1, s2 := a.identify(nsqd("h1")), a.identify(nsqd("h2"))
	a.send(Register(s1, "t", "c"), Register(s2, "t", "b"), Register(s2, "t2", "c"), CreateTopic("t3"))
	wantProducers(t, l.r, AllTopics, "h1 h2")
	wantBody(t, l.r.State().Channels(AllTopics), `{"channels":["b","c","c"]}`)
	a.send(Tombstone(AllTopics, "h2:4151"))
	wantProducers(t, l.r, AllTopics, "h1")
	wantCounts(t, l.r, Counts{Topics: 3, Channels: 3, Producers: 2, Sessions: 2, Tombstones: 2})
	a.send(DeleteTopic(AllTopics))
	wantCounts(t, l.r, Counts{Producers: 2, Sessions: 2})
	wantBody(t, l.r.State().Topics(), `{"topics":[]}`)
}

// TestHeldStops: Held and Tombstones stop when they are told to, wherever they are.
func TestHeldStops(t *testing.T) {
	s := sampleRegistry(t).State()
	rows := 0
	s.Held(func(Held) bool { rows++; return true })
	for limit := 1; limit <= rows; limit++ {
		seen := 0
		s.Held(func(Held) bool { seen++; return seen < limit })
		if seen != limit {
			t.Fatalf("%d rows after being told to stop at %d", seen, limit)
		}
	}
	seen := 0
	s.Tombstones(func(Event) bool { seen++; return false })
	if seen != 1 || s.Counts().Tombstones != 2 {
		t.Fatalf("%d of %d tombstones", seen, s.Counts().Tombstones)
	}
}
