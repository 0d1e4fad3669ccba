package fsm

import (
	"errors"
	"fmt"
	"testing"
)

// pruned sends a change of which nothing may come but what the result says.
func (j *journal) pruned(c Change, held bool) {
	j.t.Helper()
	before := j.r.State()
	switch err := j.result(c); {
	case held && !errors.Is(err, ErrHeld), !held && err != nil:
		j.t.Fatalf("%+v: result %v, held %v", c, err, held)
	case ask(j.r.State(), nil)["held"] != ask(before, nil)["held"]:
		j.t.Fatalf("%+v: a registration is gone", c)
	}
}

// contents lists topics with their channels; those that do not exist themselves in brackets.
func contents(s *State) string {
	text := ""
	s.Contents(func(topic string, exists bool, channels []string) bool {
		if !exists {
			topic = "(" + topic + ")"
		}
		text += fmt.Sprint(topic, channels, " ")
		return true
	})
	return text
}

func wantContents(t testing.TB, r *Registry, want string) {
	t.Helper()
	if got := contents(r.State()); got != want {
		t.Fatalf("contents %q, want %q", got, want)
	}
}

func TestPruneWhatNobodyHolds(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h"))
	a.send(CreateTopic("bare"), CreateChannel("t", "c"), CreateChannel("t", "d"), CreateChannel("x#ephemeral", "y#ephemeral"),
		Register(s, "e#ephemeral", "left"), Unregister(s, "e#ephemeral", ""))
	wantContents(t, l.r, "bare[] (e#ephemeral)[left] t[c d] x#ephemeral[y#ephemeral] ")
	a.pruned(PruneChannel("t", "d"), false)
	a.pruned(PruneChannel("t", "none"), false)
	a.pruned(PruneChannel("none", "c"), false)
	a.pruned(Prune("none"), false)
	a.pruned(Prune(""), false)
	a.pruned(Prune(AllTopics), false)
	wantContents(t, l.r, "bare[] (e#ephemeral)[left] t[c] x#ephemeral[y#ephemeral] ")
	wantCounts(t, l.r, Counts{Topics: 3, Channels: 3, Producers: 1, Sessions: 1})
	for _, topic := range []string{"bare", "e#ephemeral", "t", "x#ephemeral"} {
		a.pruned(Prune(topic), false)
	}
	wantContents(t, l.r, "")
	wantCounts(t, l.r, Counts{Producers: 1, Sessions: 1})
}

// TestPruneWhatASessionHolds: be it active, silent or an orphan.
func TestPruneWhatASessionHolds(t *testing.T) {
	for name, becomes := range map[string]func(j *journal, session uint64){
		"active":     func(*journal, uint64) {},
		"silent":     func(j *journal, session uint64) { j.send(SetActive(session, false)) },
		"an orphan":  func(j *journal, _ uint64) { j.decide(LoseReplica("a", 1)) },
		"of earlier": func(j *journal, _ uint64) { j.restart() },
		"tombstoned": func(j *journal, _ uint64) { j.send(Tombstone("t", "h:4151")) },
	} {
		t.Run(name, func(t *testing.T) {
			l := newTape(t)
			a, b := l.journal("a"), l.journal("b")
			s := a.identify(nsqd("h"))
			a.send(Register(s, "t", "held"), CreateChannel("t", "free"), Register(s, "bare", ""), CreateChannel("bare", "free"))
			becomes(a, s)
			b.pruned(Prune("t"), true)
			b.pruned(Prune("bare"), true)
			b.pruned(PruneChannel("t", "held"), true)
			wantContents(t, l.r, "bare[free] t[free held] ")
			b.pruned(PruneChannel("t", "free"), false)
			b.pruned(PruneChannel("bare", "free"), false)
			wantContents(t, l.r, "bare[] t[held] ")
		})
	}
}

func TestPruneAfterTheLastRegistration(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s, other := a.identify(nsqd("h1")), a.identify(nsqd("h2"))
	a.send(Register(s, "t", "c"), Register(other, "t", ""))
	a.send(Unregister(s, "t", "c"))
	a.pruned(PruneChannel("t", "c"), false)
	a.send(CloseSession(s))
	a.pruned(Prune("t"), true)
	a.send(CloseSession(other))
	a.pruned(Prune("t"), false)
	wantContents(t, l.r, "")
}

// TestPruneIsOfOneTopic: a registry takes any text for a name, also one that means all of them
// elsewhere.
func TestPruneIsOfOneTopic(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	a.send(CreateTopic(AllTopics), CreateChannel("t", "c"))
	a.pruned(Prune(AllTopics), false)
	wantContents(t, l.r, "t[c] ")
}

// TestPruneThatKeepsChangesNothing: not even what a topic's watchers see.
func TestPruneThatKeepsChangesNothing(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("h"))
	a.send(Register(s, "t", "c"))
	before, _ := l.r.topics.Get("t")
	a.pruned(Prune("t"), true)
	a.pruned(PruneChannel("t", "c"), true)
	a.pruned(PruneChannel("t", "none"), false)
	if after, _ := l.r.topics.Get("t"); after != before {
		t.Error("the topic was altered")
	}
}

func TestContentsStopsWhenAsked(t *testing.T) {
	l := newTape(t)
	l.journal("a").send(CreateTopic("a"), CreateTopic("b"))
	n := 0
	l.r.State().Contents(func(string, bool, []string) bool { n++; return false })
	if n != 1 {
		t.Errorf("called %d times", n)
	}
}
