package fsm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// replayed is a registry and what it said after each entry.
type replayed struct {
	r     *Registry
	said  []string // of each entry
	trail []string // the same, with what it left
}

func said(o *Outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d-%d %s %v", o.First, o.Last, refusal(o.Err), o.Results)
	for _, event := range o.Events {
		if event.Kind != Diverged { // depends on which fingerprints a replica remembers
			fmt.Fprintf(&b, " %+v", event)
		}
	}
	return b.String()
}

// replay feeds entries and notes what each left; asked says whether listings are asked for on the
// way, as on a busy replica, or never.
func (p *replayed) replay(t *rapid.T, entries []logged, asked bool) {
	for _, e := range entries {
		p.said = append(p.said, said(mustApply(t, p.r, e.index, e.data)))
		if asked {
			ask(p.r.State(), topicNames)
		}
		p.trail = append(p.trail, fmt.Sprintf("%s\n%s\n%x", p.said[len(p.said)-1], p.r.State().Fingerprint(),
			snapshot(t, p.r.State())))
	}
}

func wantSame(t *rapid.T, a, b *replayed) {
	t.Helper()
	if !slices.Equal(a.trail, b.trail) {
		for i := range a.trail {
			if a.trail[i] != b.trail[i] {
				t.Fatalf("after entry %d:\n%s\n%s", i, a.trail[i], b.trail[i])
			}
		}
	}
	if d := ask(a.r.State(), topicNames).diff(ask(b.r.State(), topicNames)); d != "" {
		t.Fatalf("answers differ: %s", d)
	}
}

// history draws the entries of a random history.
func history(t *rapid.T) []logged {
	w := newWorld()
	w.maybeRaise(t)
	t.Repeat(w.actions())
	return w.entries
}

// TestSameEntriesSameBytes: two registries that are fed the same entries are equal after each,
// events in the same order, however different the order of their maps and what they were asked.
func TestSameEntriesSameBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := history(t)
		one, two := &replayed{r: New()}, &replayed{r: New()}
		one.replay(t, entries, true)
		two.replay(t, entries, false)
		wantSame(t, one, two)
	})
}

// TestRestoreInTheMiddle: a registry that is restored from a snapshot and fed the rest is equal
// to one that was fed everything.
func TestRestoreInTheMiddle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := history(t)
		middle := rapid.IntRange(0, len(entries)).Draw(t, "entries before the snapshot")
		all, half := &replayed{r: New()}, &replayed{r: New()}
		all.replay(t, entries[:middle], true)
		half.r = restored(t, snapshot(t, all.r.State()))
		all.trail = nil
		all.replay(t, entries[middle:], true)
		half.replay(t, entries[middle:], false)
		wantSame(t, all, half)
	})
}

// TestRestoreOverAnother: what a registry held before a restore leaves no trace.
func TestRestoreOverAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := history(t)
		source, other := &replayed{r: New()}, &replayed{r: New()}
		source.replay(t, entries, false)
		other.replay(t, history(t), true)
		if err := other.r.Restore(bytes.NewReader(snapshot(t, source.r.State()))); err != nil {
			t.Fatalf("restore: %v", err)
		}
		source.trail, other.trail = nil, nil
		index := source.r.State().Index()
		rest := []logged{
			{index + 1, EncodeDecisions(LoseReplica("a", 1), LoseReplica("b", 1), ExpireReplica("a", 9))},
			{index + 2, journalEntry(Header{"c", 99, 1}, OpenReplica("c"), OpenSession(nsqd("h1")),
				Register(2, "t", "c"), Settle(2), DeleteTopic(AllTopics))},
		}
		source.replay(t, rest, false)
		other.replay(t, rest, false)
		wantSame(t, source, other)
	})
}
