package fsm

import (
	"sync"
	"testing"
)

// TestReadersWhileEntriesAreApplied: readers render whatever state they get, also one that is
// old by now, and write it as a snapshot, while entries are applied; each state says what a
// registry that stopped at its index says. Run it with -race.
func TestReadersWhileEntriesAreApplied(t *testing.T) {
	entries := storm(20, 20, true)[:2]
	for n := uint64(1); n <= 100; n++ {
		h, change := Header{"other", n, 1}, Tombstone("topic-1", "host-3:4151")
		if n%2 == 0 {
			change = DeleteTopic("topic-2")
		}
		entries = append(entries, journalEntry(h, OpenReplica("r2"), OpenSession(nsqd("host-1")),
			Register(2, "topic-2", "c"), Register(2, "more#ephemeral", ""), change))
	}
	topics := []string{"topic-1", "topic-2", "more#ephemeral"}
	var want []answers // by index
	slow := New()
	want = append(want, ask(slow.State(), topics))
	for i, e := range entries {
		mustApply(t, slow, uint64(i+1), e)
		want = append(want, ask(slow.State(), topics))
	}

	r := New()
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			first := r.State()
			for last := uint64(len(entries)); ; {
				s := r.State()
				for _, of := range []*State{first, s} {
					if d := ask(of, topics).diff(want[of.Index()]); d != "" {
						t.Errorf("state %d: %s", of.Index(), d)
						return
					}
				}
				if again := restored(errorOnly{t}, snapshot(errorOnly{t}, s)); again.State().Fingerprint() != s.Fingerprint() {
					t.Errorf("state %d: snapshot differs", s.Index())
				}
				if _, err := r.FingerprintAt(s.Index()); err != nil {
					t.Errorf("state %d: %v", s.Index(), err)
				}
				if s.Index() == last {
					return
				}
				first = s
			}
		})
	}
	for i, e := range entries {
		mustApply(t, r, uint64(i+1), e)
	}
	readers.Wait()
}

// errorOnly lets goroutines other than the test's fail it.
type errorOnly struct{ t *testing.T }

func (e errorOnly) Fatalf(format string, args ...any) { e.t.Errorf(format, args...) }

// TestSnapshotOfAnOldState: a state that is written only when much has happened since is the one
// that it was.
func TestSnapshotOfAnOldState(t *testing.T) {
	r := sampleRegistry(t)
	old := r.State()
	want := snapshot(t, restored(t, snapshot(t, old)).State())
	index := old.Index()
	for n := uint64(1); n <= 100; n++ {
		mustApply(t, r, index+n, journalEntry(Header{"a", n + 1, 1}, OpenReplica("a"), OpenSession(nsqd("h1")),
			Register(2, "t", "new"), Settle(2), DeleteTopic("t2"), sometimesDelete(n)))
	}
	if got := snapshot(t, old); string(got) != string(want) {
		t.Fatal("the snapshot has changed")
	}
	if f := restored(t, want).State().Fingerprint(); f != old.Fingerprint() || f == r.State().Fingerprint() {
		t.Fatal("not the content of then")
	}
}

// sometimesDelete deletes the topic every third time.
func sometimesDelete(n uint64) Change {
	if n%3 == 0 {
		return DeleteTopic(AllTopics)
	}
	return CreateChannel("t", "x")
}
