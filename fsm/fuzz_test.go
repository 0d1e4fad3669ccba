package fsm

import (
	"bufio"
	"bytes"
	"errors"
	"runtime"
	"testing"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// memoryFor is far more than input of that size may make a decoder allocate.
func memoryFor(size int) uint64 { return 4<<20 + 2000*uint64(size) }

// FuzzApply applies arbitrary bytes as an entry, as they are and with the checksum put on.
func FuzzApply(f *testing.F) {
	for _, data := range sampleEntries() {
		f.Add(data[:len(data)-crcLength])
		f.Add(data)
	}
	f.Add(journalEntry(Header{"b", 2, 2}, OpenSession(nsqd("h1")), Register(2, "t", "c"), Tombstone("*", "h1:4151")))
	f.Add(journalEntry(Header{"c", 1, 1}, OpenReplica("c"), DeleteTopic("*")))
	f.Add(journalEntry(Header{"c", 1, 1}, OpenReplica("c"), Prune("t"), PruneChannel("t2", "c"), Prune("e#ephemeral")))
	f.Add(EncodeDecisions(LoseReplica("b", 2), ExpireReplica("b", 2), ClearTombstone("t", h1, 4)))
	f.Add(EncodeDecisions(ExpireOrphans(OrphanGroup{"c", 1, 15}), ExpireOrphans(OrphanGroup{"b", 1, 0})))
	f.Add(EncodeDecisions(RaiseLevel(1)))
	f.Add(journalEntry(Header{"c", 1, 7}, Detach(3), CloseSession(2), Detach(2), Register(2, "t", "c")))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, snap := range sampleSnapshots(t) {
			fuzzApply(t, name, snap, data)
		}
	})
}

func fuzzApply(t *testing.T, name string, snap, data []byte) {
	t.Helper()
	for _, input := range [][]byte{data, seal(data)} {
		r := restored(t, snap)
		before := r.State()
		var err error
		if n := allocated(func() { _, err = r.Apply(before.Index()+1, input) }); n > memoryFor(len(input)) {
			t.Fatalf("%s: %d bytes allocated for an entry of %d", name, n, len(input))
		}
		if _, levelErr := EntryLevel(input); errors.Is(levelErr, ErrTooNew) != errors.Is(err, ErrTooNew) {
			t.Fatalf("%s: applied with %v, its level is unknown: %v", name, err, levelErr)
		}
		if err == nil {
			wantSound(t, r)
			continue
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooNew) {
			t.Fatalf("%s: apply: %v", name, err)
		}
		if r.State() != before {
			t.Fatalf("%s: a failed apply was published", name)
		}
	}
}

// wantSound checks that a registry's snapshot restores to the same.
func wantSound(t *testing.T, r *Registry) {
	t.Helper()
	snap := snapshot(t, r.State())
	again := restored(t, snap)
	topics := append([]string{""}, sampleTopics...)
	if d := ask(again.State(), topics).diff(ask(r.State(), topics)); d != "" {
		t.Fatalf("restored says something else: %s", d)
	}
	if !bytes.Equal(snapshot(t, again.State()), snap) {
		t.Fatal("restored has another snapshot")
	}
}

// FuzzRestore restores arbitrary bytes, as they are and with the fingerprint that they would
// need, and goes on with what was accepted.
func FuzzRestore(f *testing.F) {
	f.Add(snapshot(f, New().State()))
	for _, snap := range sampleSnapshots(f) {
		f.Add(snap)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, input := range [][]byte{data, refingerprint(data)} {
			r := sampleRegistry(t)
			before := r.State()
			var err error
			if n := allocated(func() { err = r.Restore(bytes.NewReader(input)) }); n > memoryFor(len(input)) {
				t.Fatalf("%d bytes allocated for a snapshot of %d", n, len(input))
			}
			if err == nil {
				wantSound(t, r)
				goOn(t, r)
				continue
			}
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooNew) {
				t.Fatalf("restore: %v", err)
			}
			if r.State() != before {
				t.Fatal("a failed restore was published")
			}
		}
	})
}

// FuzzRestoreMutated does what FuzzRestore does to snapshots of which only one place differs from
// a right one.
func FuzzRestoreMutated(f *testing.F) {
	valid := sampleSnapshots(f)
	f.Add(uint16(30), uint16(1), []byte{0xff}, true)
	f.Add(uint16(90), uint16(0), []byte("more"), false)
	f.Fuzz(func(t *testing.T, frame, at uint16, with []byte, leveled bool) {
		parts := frames(t, valid["level 0"])
		if leveled {
			parts = frames(t, valid["level 1"])
		}
		i := 1 + int(frame)%(len(parts)-1)
		from := int(at) % (len(parts[i]) + 1)
		to := min(len(parts[i]), from+len(with))
		parts[i] = bytes.Join([][]byte{parts[i][:from], with, parts[i][to:]}, nil)
		r := New()
		if err := r.Restore(bytes.NewReader(refingerprint(join(parts)))); err == nil {
			wantSound(t, r)
			goOn(t, r)
		}
	})
}

// refingerprint returns the snapshot with the fingerprint of what it holds, if it can be read.
func refingerprint(snap []byte) []byte {
	b := &builder{r: &Registry{}, frames: frameReader{r: bufio.NewReader(bytes.NewReader(snap))}}
	b.r.reset()
	h, _ := b.build()
	if h.fingerprint == b.r.sum {
		return snap
	}
	old, right := h.fingerprint.append(nil), b.r.sum.append(nil)
	return bytes.Replace(snap, old, right, 1)
}

// goOn applies entries that meet everything there is.
func goOn(t *testing.T, r *Registry) {
	t.Helper()
	first := r.State()
	if first.Index() > 1<<62 { // an index that no log has
		return
	}
	want := ask(restored(t, snapshot(t, first)).State(), sampleTopics)
	var session SessionKey
	first.Held(func(h Held) bool { session = h.Session; return true })
	rep, _ := first.Replica(session.Replica)
	entries := [][]byte{
		journalEntry(Header{rep.ID, rep.Incarnation, rep.Last + 1}, Register(session.Number, "t", "x#ephemeral"),
			Settle(session.Number), SetActive(session.Number, true), Unregister(session.Number, "t", "")),
		journalEntry(Header{"b", 2, 2}, OpenSession(nsqd("h1")), Register(2, "t", "new"), Settle(2),
			Tombstone(AllTopics, "h1:4151"), Tombstone(AllTopics, "h2:4151"), Unregister(2, "t", "c")),
		EncodeDecisions(LoseReplica("a", 1), LoseReplica("b", 2), ExpireReplica("a", 1<<63)),
		journalEntry(Header{"b", 1<<64 - 1, 1}, OpenReplica("b"), OpenSession(nsqd("h2")), CloseSession(2)),
		EncodeDecisions(ExpireReplica("a", 1<<64-1), ExpireReplica("b", 1<<64-1)),
		journalEntry(Header{"z", 1, 1}, OpenReplica("z"), PruneChannel("t", "d"), Prune("t2"), Prune("only"),
			DeleteTopic(AllTopics)),
		EncodeDecisions(RaiseLevel(1)),
		journalEntry(Header{"z", 1, 7}, OpenSession(nsqd("h1")), Register(7, "t", "c"), Detach(7), CloseSession(7)),
		EncodeDecisions(LoseReplica("z", 1), ExpireOrphans(OrphanGroup{"c", 1, 15}),
			ExpireOrphans(OrphanGroup{"z", 1, first.Index() + 8})),
	}
	for i, e := range entries {
		mustApply(t, r, first.Index()+1+uint64(i), e)
		wantSound(t, r)
	}
	if d := ask(first, sampleTopics).diff(want); d != "" {
		t.Fatalf("a published state was altered: %s", d)
	}
}
