package fsm

import (
	"bytes"
	"errors"
	"testing"
)

// leveledEntries returns entries that need level 1, most after a change that needs none.
func leveledEntries(h Header) map[string][]byte {
	return map[string][]byte{
		"Detach":           journalEntry(h, CreateTopic("good"), Detach(2)),
		"Detach first":     journalEntry(h, Detach(2), CreateTopic("good")),
		"Detach of none":   journalEntry(h, CreateTopic("good"), Detach(99)),
		"ExpireOrphans":    EncodeDecisions(LoseReplica("a", 1), ExpireOrphans(OrphanGroup{Replica: "a", Incarnation: 1})),
		"raised just here": EncodeDecisions(RaiseLevel(1), ExpireOrphans(OrphanGroup{Replica: "a", Incarnation: 1})),
	}
}

// TestLevelNotInForce: an entry of a level that is not in force is refused whole, by every replica
// that can read it. Nobody proposes one.
func TestLevelNotInForce(t *testing.T) {
	for name, data := range leveledEntries(Header{"a", 1, 4}) {
		malformedAt(t, name, 0, data)
	}
	l := newTape(t)
	l.decide(RaiseLevel(1))
	a := l.journal("a")
	a.send(OpenSession(nsqd("h")), Register(2, "t", "c"))
	for name, data := range leveledEntries(Header{"a", 1, 4}) {
		if o := l.apply(data); o.Err != nil {
			t.Errorf("%s at level 1: %v", name, o.Err)
		}
	}
}

// TestLevelNeverFalls, and is announced when it rises.
func TestLevelNeverFalls(t *testing.T) {
	l := newTape(t)
	zero := l.r.State().Fingerprint()
	wantEvents(t, l.decide(RaiseLevel(0)))
	if s := l.r.State(); s.Level() != 0 || s.Fingerprint() != zero {
		t.Fatalf("level %d, fingerprint %s, was %s", s.Level(), s.Fingerprint(), zero)
	}
	before := l.r.State()
	wantEvents(t, l.decide(RaiseLevel(1)), Event{Kind: LevelRaised, ID: 1})
	one := l.r.State().Fingerprint()
	wantEvents(t, l.decide(RaiseLevel(1), RaiseLevel(0)))
	s := l.r.State()
	if s.Level() != 1 || before.Level() != 0 || s.Fingerprint() != one || one == zero {
		t.Fatalf("level %d, before %d, fingerprints %s %s %s", s.Level(), before.Level(), zero, one, s.Fingerprint())
	}
	if r := restored(t, snapshot(t, s)); r.State().Level() != 1 || r.State().Fingerprint() != one {
		t.Fatalf("restored with level %d", r.State().Level())
	}
}

// TestRestoreReplacesTheLevel: what is restored counts, not what was before.
func TestRestoreReplacesTheLevel(t *testing.T) {
	snaps := sampleSnapshots(t)
	for name, level := range map[string]uint64{"level 0": 0, "level 1": 1} {
		r := sampleLeveled(t)
		if level == 1 {
			r = sampleRegistry(t)
		}
		if err := r.Restore(bytes.NewReader(snaps[name])); err != nil {
			t.Fatal(err)
		}
		if r.State().Level() != level {
			t.Errorf("%s: restored with level %d", name, r.State().Level())
		}
		o := mustApply(t, r, 100, EncodeDecisions(ExpireOrphans(OrphanGroup{Replica: "a", Incarnation: 1})))
		if (o.Err == nil) != (level == 1) {
			t.Errorf("%s: goes on with %v", name, o.Err)
		}
	}
}

// TestVersionOfSnapshots: release 0.1.0 reads a snapshot until the level has risen, and says of it
// then that a newer program has written it.
func TestVersionOfSnapshots(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	a.identify(nsqd("h"))
	a.restart()
	for _, want := range []byte{1, 2} {
		if got := snapshot(t, l.r.State())[len(snapshotMagic)]; got != want {
			t.Fatalf("version %d at level %d", got, l.r.State().Level())
		}
		l.decide(RaiseLevel(1))
	}
}

func TestEntryLevel(t *testing.T) {
	h := Header{"a", 1, 1}
	for _, s := range sampleChanges() {
		want := uint64(0)
		if s.change.Kind > KindPrune {
			want = 1
		}
		data := journalEntry(h, CreateTopic("t"), s.change, CreateTopic("t"))
		if !s.change.Kind.numbered() {
			data = EncodeDecisions(LoseReplica("a", 1), s.change, LoseReplica("a", 1))
		}
		if got, err := EntryLevel(data); got != want || err != nil || s.change.Kind.Level() != want {
			t.Errorf("%s: level %d, %v, of the kind %d; want %d", s.name, got, err, s.change.Kind.Level(), want)
		}
	}
	good := AppendChange(nil, Detach(1))
	for name, test := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":         {nil, ErrCorrupt},
		"flipped":         {append([]byte{0}, EncodeDecisions()[1:]...), ErrCorrupt},
		"of another kind": {EncodeDecisions(Detach(1)), errMalformed},
		"left over":       {h.AppendEntry(nil, 0, good), errMalformed},
		"cut short":       {h.AppendEntry(nil, 2, good), errMalformed},
		"too many":        {h.AppendEntry(nil, MaxBatch+1, good), errMalformed},
		"unknown kind":    {journalEntry(h, Detach(1), Change{Kind: lastKind + 1}), ErrTooNew},
		"unknown level":   {EncodeDecisions(RaiseLevel(MaxLevel + 1)), ErrTooNew},
	} {
		if level, err := EntryLevel(test.data); !errors.Is(err, test.want) || level > MaxLevel {
			t.Errorf("%s: level %d, %v", name, level, err)
		}
	}
	if level, err := EntryLevel(EncodeDecisions()); level != 0 || err != nil {
		t.Errorf("empty: level %d, %v", level, err)
	}
}

// TestCheckBatchKnowsDetach, and that ExpireOrphans and RaiseLevel are no journal's.
func TestCheckBatchKnowsDetach(t *testing.T) {
	h := Header{"a", 3, 7}
	if got, err := CheckBatch(journalEntry(h, Detach(2))); got != h || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []Change{ExpireOrphans(OrphanGroup{}), RaiseLevel(1)} {
		if _, err := CheckBatch(journalEntry(h, c)); !errors.Is(err, errMalformed) {
			t.Errorf("kind %d: %v", c.Kind, err)
		}
	}
}

// TestDetachForClose: a journal may turn one into the other without another length.
func TestDetachForClose(t *testing.T) {
	for _, session := range []uint64{0, 2, 300, 1<<64 - 1} {
		closing, detach := AppendChange(nil, CloseSession(session)), AppendChange(nil, Detach(session))
		if closing[0] != byte(KindCloseSession) || detach[0] != byte(KindDetach) || !bytes.Equal(closing[1:], detach[1:]) {
			t.Errorf("session %d: %x and %x", session, closing, detach)
		}
	}
}
