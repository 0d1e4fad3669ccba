package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// keptState is a state that was put aside, with what it said.
type keptState struct {
	state *State
	said  answers
}

// TestAgreesWithModel holds the registry to a dumb second implementation through random histories,
// after every entry.
func TestAgreesWithModel(t *testing.T) {
	contents := map[string]Fingerprint{} // of all histories: equal content, equal fingerprint
	owners := map[Fingerprint]string{}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		w.maybeRaise(t)
		var kept []keptState
		actions := w.actions()
		actions["restore"] = w.restore
		actions[""] = func(t *rapid.T) {
			want := w.m.ask()
			w.checkOutcome(t)
			checkCopy(t, w.r.State(), want)
			if len(kept)%2 == 0 { // every other state is asked for the first time when it is old
				if d := ask(w.r.State(), topicNames).diff(want); d != "" {
					t.Fatalf("state disagrees with the model: %s", d)
				}
			}
			kept = append(kept, keptState{w.r.State(), want})
			f, content := w.r.State().Fingerprint(), w.m.content(want)
			if other, ok := contents[content]; ok && other != f {
				t.Fatalf("two fingerprints, %s and %s, of one content:\n%s", f, other, content)
			}
			if other, ok := owners[f]; ok && other != content {
				t.Fatalf("one fingerprint of two contents:\n%s\n%s", content, other)
			}
			contents[content], owners[f] = f, content
		}
		t.Repeat(actions)
		for i, k := range kept {
			if d := ask(k.state, topicNames).diff(k.said); d != "" {
				t.Fatalf("state %d has changed since: %s", i, d)
			}
		}
	})
}

// checkCopy checks that a registry restored from the state's snapshot, which has nothing rendered
// yet, is the same and says the same.
func checkCopy(t *rapid.T, s *State, want answers) {
	snap := snapshot(t, s)
	again := restored(t, snap).State()
	if d := ask(again, topicNames).diff(want); d != "" {
		t.Fatalf("restored state disagrees with the model: %s", d)
	}
	if again.Fingerprint() != s.Fingerprint() || again.Index() != s.Index() {
		t.Fatalf("restored %d %s, was %d %s", again.Index(), again.Fingerprint(), s.Index(), s.Fingerprint())
	}
	if !slices.Equal(snapshot(t, again), snap) {
		t.Fatalf("snapshot of what a snapshot restored differs from it")
	}
}

// checkOutcome compares the outcome of the last entry with the model's.
func (w *world) checkOutcome(t *rapid.T) {
	if w.last == nil {
		return
	}
	if got, want := refusal(w.last.Err), refusal(w.outcome.refused); got != want {
		t.Fatalf("refused with %q, want %q", got, want)
	}
	first, n := w.outcome.first, uint64(len(w.outcome.results))
	if n == 0 && w.last.Last >= w.last.First || n > 0 && (w.last.First != first || w.last.Last != first+n-1) {
		t.Fatalf("new are %d to %d, want %d from %d on", w.last.First, w.last.Last, n, first)
	}
	for i, want := range w.outcome.results {
		if got := w.last.Result(first + uint64(i)); !errors.Is(got, want) || want == nil && got != nil {
			t.Fatalf("result of %d is %v, want %v", first+uint64(i), got, want)
		}
	}
	if got, want := eventTexts(w.last.Events), eventTexts(w.m.events); !slices.Equal(got, want) {
		t.Fatalf("events\n got %v\nwant %v", got, want)
	}
}

func refusal(err error) string {
	if errors.Is(err, errMalformed) {
		return errMalformed.Error()
	}
	return fmt.Sprint(err)
}

func eventTexts(events []Event) []string {
	texts := make([]string, 0, len(events))
	for _, e := range events {
		texts = append(texts, fmt.Sprintf("%+v", e))
	}
	slices.SortFunc(texts, cmp.Compare)
	return texts
}

// TestOrderOfIndependentChanges: content that came in another order, where order does
// not matter, has the same fingerprint and the same answers.
func TestOrderOfIndependentChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := []Change{CreateTopic("alone"), CreateChannel("alone", "z"), Settle(2), SetActive(3, false)}
		for _, topic := range topicNames {
			for _, channel := range append([]string{""}, channelNames...) {
				session := rapid.Uint64Range(2, 4).Draw(t, "session")
				changes = append(changes, Register(session, topic, channel))
			}
		}
		opening := []Change{OpenReplica("a"), OpenSession(nsqd("h1")), OpenSession(nsqd("h2")), OpenSession(nsqd("h1"))}
		one := New()
		mustApply(t, one, 1, journalEntry(Header{"a", 1, 1}, append(slices.Clone(opening), changes...)...))
		other := New()
		shuffled := rapid.Permutation(changes).Draw(t, "order")
		mustApply(t, other, 1, journalEntry(Header{"a", 1, 1}, append(slices.Clone(opening), shuffled...)...))
		if one.State().Fingerprint() != other.State().Fingerprint() {
			t.Fatalf("fingerprints differ")
		}
		if !slices.Equal(snapshot(t, one.State()), snapshot(t, other.State())) {
			t.Fatalf("snapshots differ")
		}
	})
}

func mustApply(t interface{ Fatalf(string, ...any) }, r *Registry, index uint64, data []byte) *Outcome {
	o, err := r.Apply(index, data)
	if err != nil {
		t.Fatalf("entry %d: %v", index, err)
	}
	return o
}
