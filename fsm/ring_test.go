package fsm

import (
	"errors"
	"testing"
)

// TestFingerprintAt: entries at every third index, so that there are indexes in between.
func TestFingerprintAt(t *testing.T) {
	r := New()
	empty := r.State().Fingerprint()
	if f, err := r.FingerprintAt(7); err != nil || f != empty {
		t.Fatalf("of an empty registry: %s, %v", f, err)
	}
	want := []Fingerprint{empty}
	apply := func(n int) {
		o := mustApply(t, r, uint64(3*n), journalEntry(Header{"a", uint64(n), 1}, OpenReplica("a")))
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		want = append(want, r.State().Fingerprint())
	}
	check := func(n, oldest int) {
		t.Helper()
		for i := range n + 1 {
			for between := range 3 {
				f, err := r.FingerprintAt(uint64(3*i + between))
				if i < oldest && !errors.Is(err, ErrIndexTooOld) {
					t.Fatalf("%d entries: index %d: %s, %v, want too old", n, 3*i+between, f, err)
				}
				if i >= oldest && (err != nil || f != want[i]) {
					t.Fatalf("%d entries: index %d: %s, %v, want %s", n, 3*i+between, f, err, want[i])
				}
			}
		}
		if f, err := r.FingerprintAt(1 << 63); err != nil || f != want[n] {
			t.Fatalf("beyond the last: %s, %v", f, err)
		}
	}
	for n := 1; n <= 2*ringSize+5; n++ {
		apply(n)
		switch n { // the empty registry at index 0 is remembered too
		case 1, 2, ringSize - 1:
			check(n, 0)
		case ringSize, ringSize + 1, ringSize + 100, 2*ringSize - 1, 2 * ringSize, 2*ringSize + 5:
			check(n, n-ringSize+1)
		}
	}
}

// TestFingerprintAtAfterRestore: of what was before a snapshot nothing is known.
func TestFingerprintAtAfterRestore(t *testing.T) {
	source := sampleRegistry(t)
	index := source.State().Index()
	r := restored(t, snapshot(t, source.State()))
	if _, err := r.FingerprintAt(index - 1); !errors.Is(err, ErrIndexTooOld) {
		t.Fatal(err)
	}
	mustApply(t, r, index+5, EncodeDecisions())
	for at := index; at < index+9; at++ {
		if f, err := r.FingerprintAt(at); err != nil || f != source.State().Fingerprint() {
			t.Fatalf("index %d: %s, %v", at, f, err)
		}
	}
}

// TestCheckpoint: a replica whose fingerprint at that index differs says so.
func TestCheckpoint(t *testing.T) {
	l := newTape(t)
	a := l.journal("a") // index 1
	right := l.r.State().Fingerprint()
	a.send(CreateTopic("t"))
	wantEvents(t, l.decide(Checkpoint(1, right)))
	wrong := right.plus(Fingerprint{lo: 1})
	wantEvents(t, l.decide(Checkpoint(1, wrong)), Event{Kind: Diverged, ID: 1, Have: right, Want: wrong})
	if before, err := l.r.FingerprintAt(2); err != nil || l.r.State().Fingerprint() != before {
		t.Fatal("a checkpoint changed the content")
	}
	// One that is no longer remembered cannot be compared.
	r := restored(t, snapshot(t, l.r.State()))
	if o := mustApply(t, r, l.index+1, EncodeDecisions(Checkpoint(1, wrong))); len(o.Events) > 0 {
		t.Fatalf("events %+v", o.Events)
	}
}
