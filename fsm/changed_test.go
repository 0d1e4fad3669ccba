package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// lookups is what every topic of the histories is answered, "" for one that does not exist.
func lookups(s *State) map[string]string {
	all := map[string]string{}
	for _, name := range topicNames {
		body, _ := s.Lookup(name)
		all[name] = string(body)
	}
	return all
}

// TestChangedSince: between any two states of a history, what is answered differently is among the
// changed, and the changed are those that are new or that an entry in between has touched.
func TestChangedSince(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		states := []*State{w.r.State()}
		actions := w.actions()
		actions[""] = func(*rapid.T) { states = append(states, w.r.State()) }
		t.Repeat(actions)
		for _, newer := range states {
			after := lookups(newer)
			for _, older := range states {
				if older.Index() > newer.Index() {
					continue
				}
				before := lookups(older)
				changed, known := newer.ChangedSince(older.Index())
				if !known || !slices.IsSorted(changed) {
					t.Fatalf("since %d at %d: %v, %v", older.Index(), newer.Index(), changed, known)
				}
				for _, name := range topicNames {
					in := slices.Contains(changed, name)
					if before[name] != after[name] && !in {
						t.Fatalf("%s has changed between %d and %d, and is not among %v", name, older.Index(), newer.Index(), changed)
					}
					if after[name] != "" && in != (newer.Modified(Thing{Topic: name}) > older.Index()) {
						t.Fatalf("%s, modified at %d, is among the changed since %d: %v", name, newer.Modified(Thing{Topic: name}), older.Index(), in)
					}
				}
				checkModifiedSince(t, newer, older.Index(), changed, after)
			}
		}
	})
}

// checkModifiedSince: it is those of the changed that exist.
func checkModifiedSince(t *rapid.T, s *State, index uint64, changed []string, lookups map[string]string) {
	want := slices.DeleteFunc(slices.Clone(changed), func(name string) bool { return lookups[name] == "" })
	if got := s.ModifiedSince(index); !slices.Equal(got, want) {
		t.Fatalf("modified since %d: %v, want %v of %v", index, got, want, changed)
	}
}

// TestChangedIsForgotten: what is older than the memory is not known, to the entry.
func TestChangedIsForgotten(t *testing.T) {
	var c changed
	c.add(1, []string{"a"})
	c.add(2, []string{"b", "c"})
	c.add(3, slices.Repeat([]string{"d"}, changedSize-3))
	expectSince := func(after, upTo uint64, want ...string) {
		t.Helper()
		got, known := c.since(after, upTo)
		slices.Sort(got)
		if got = slices.Compact(got); !known || !slices.Equal(got, want) {
			t.Errorf("since %d up to %d: %v, %v; want %v", after, upTo, got, known, want)
		}
	}
	expectForgotten := func(after uint64) {
		t.Helper()
		if got, known := c.since(after, 99); known {
			t.Errorf("since %d: %v is known", after, got)
		}
	}
	expectSince(0, 99, "a", "b", "c", "d")
	expectSince(0, 2, "a", "b", "c")
	expectSince(1, 99, "b", "c", "d")
	c.add(5, []string{"e"}) // in the place of entry 1's
	expectForgotten(0)
	expectSince(1, 99, "b", "c", "d", "e")
	c.add(6, []string{"f"}) // in the place of the first of entry 2's
	expectForgotten(1)
	expectSince(2, 99, "d", "e", "f")
	expectSince(4, 5, "e")
	expectSince(6, 99)
	c.reset(7)
	expectForgotten(6)
	expectSince(7, 99)
	c.add(8, []string{"g"})
	expectSince(7, 99, "g")
}

// TestChangedAfterRestore: nothing of before the snapshot is known, and a state of before says so too.
func TestChangedAfterRestore(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	a.send(CreateTopic("t"))
	before := l.r.State()
	a.send(CreateTopic("u"))
	snap := snapshot(t, l.r.State())
	if err := l.r.Restore(bytes.NewReader(snap)); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*State{before, l.r.State()} {
		if got, known := s.ChangedSince(1); known {
			t.Errorf("at %d: %v", s.Index(), got)
		}
	}
	restored := l.r.State().Index()
	a.send(CreateTopic("v"))
	if got, known := l.r.State().ChangedSince(restored); !known || !slices.Equal(got, []string{"v"}) {
		t.Errorf("got %v, %v", got, known)
	}
}

// BenchmarkChangedSince asks 100,000 topics which have changed in the last entry, in both ways.
func BenchmarkChangedSince(b *testing.B) {
	r := applyAll(b, storm(1000, 100, false))
	s := r.State()
	for _, way := range []struct {
		name string
		ask  func() int
	}{
		{"ring", func() int { names, _ := s.ChangedSince(s.Index() - 1); return len(names) }},
		{"scan", func() int { return len(s.ModifiedSince(s.Index() - 1)) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			found := 0
			for b.Loop() {
				found = way.ask()
			}
			b.ReportMetric(float64(found), "found")
			if found == 0 {
				b.Fatal(fmt.Sprint(s.Index()))
			}
		})
	}
}
