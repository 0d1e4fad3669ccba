package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"
)

var sampleTopics = []string{"t", "t2", "only", "empty", "e#ephemeral", "new"}

// sampleSnapshots has a snapshot of each version.
func sampleSnapshots(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"level 0": snapshot(t, sampleRegistry(t).State()),
		"level 1": snapshot(t, sampleLeveled(t).State()),
	}
}

// refused restores what is not a right snapshot, and checks that nothing came of it.
func refused(t *testing.T, name string, snap []byte, want error) {
	t.Helper()
	l := newTape(t)
	a := l.journal("a")
	s := a.identify(nsqd("kept"))
	a.send(Register(s, "kept", "c"))
	before, waiter := l.r.State(), l.r.Watch(Thing{All: true})
	if err := l.r.Restore(bytes.NewReader(snap)); !errors.Is(err, want) {
		t.Fatalf("%s: restored with %v, want %v", name, err, want)
	}
	if l.r.State() != before || woken(waiter) {
		t.Fatalf("%s: a failed restore was published", name)
	}
	waiter.Stop()
	a.send(Register(s, "kept", "d"), CloseSession(s))
	if got := string(l.r.State().Channels("kept")); got != `{"channels":["c","d"]}` {
		t.Fatalf("%s: channels %s", name, got)
	}
}

func TestSnapshotCutShort(t *testing.T) {
	for name, snap := range sampleSnapshots(t) {
		for n := range snap {
			refused(t, name+" cut short", snap[:n], ErrCorrupt)
		}
		refused(t, name+" with a trailing byte", append(slices.Clone(snap), 0), ErrCorrupt)
		refused(t, name+" twice", append(slices.Clone(snap), snap...), ErrCorrupt)
	}
}

// TestSnapshotBitFlips flips each bit of a snapshot. Most are refused; those that are not hit
// an index, which the content does not depend on, or the length of a number's encoding.
func TestSnapshotBitFlips(t *testing.T) {
	flipBits(t, sampleRegistry(t).State())
	flipBits(t, sampleLeveled(t).State())
}

func flipBits(t *testing.T, source *State) {
	t.Helper()
	snap, want := snapshot(t, source), ask(source, sampleTopics)
	accepted := 0
	for bit := range len(snap) * 8 {
		bad := slices.Clone(snap)
		bad[bit/8] ^= 1 << (bit % 8)
		r := New()
		err := r.Restore(bytes.NewReader(bad))
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooNew) {
				t.Fatalf("bit %d: %v", bit, err)
			}
			continue
		}
		accepted++
		if d := ask(r.State(), sampleTopics).diff(want); d != "" || r.State().Fingerprint() != source.Fingerprint() {
			t.Fatalf("bit %d: other content accepted: %s", bit, d)
		}
		wantImmutable(t, r)
	}
	if accepted > len(snap) {
		t.Fatalf("%d flipped bits of %d went unnoticed", accepted, len(snap)*8)
	}
}

// wantImmutable applies entries to a restored registry, at the indexes after its own, and checks
// that its first state stays what it was.
func wantImmutable(t *testing.T, r *Registry) {
	t.Helper()
	first := r.State()
	want := ask(restored(t, snapshot(t, first)).State(), sampleTopics)
	for n := uint64(1); n <= 4; n++ {
		mustApply(t, r, first.Index()+n, EncodeDecisions(ExpireReplica("a", 9), ExpireReplica("b", 9)))
		mustApply(t, r, first.Index()+n, journalEntry(Header{"b", 1 + n, 1}, OpenReplica("b"), DeleteTopic(AllTopics)))
	}
	if d := ask(first, sampleTopics).diff(want); d != "" {
		t.Fatalf("a published state of index %d was altered: %s", first.Index(), d)
	}
}

func TestSnapshotTooNew(t *testing.T) {
	for name, snap := range sampleSnapshots(t) {
		for _, version := range []byte{0, 3, 255} {
			bad := slices.Clone(snap)
			bad[len(snapshotMagic)] = version
			refused(t, name+" as of another version", bad, ErrTooNew)
		}
		bad := slices.Clone(snap)
		bad[len(snapshotMagic)] ^= snapshotVersion ^ leveledVersion
		refused(t, name+" as of the other version", bad, ErrCorrupt)
		refused(t, name+" without its magic", append([]byte("PK\x03\x04"), snap[4:]...), ErrCorrupt)
	}
	refused(t, "nothing", nil, ErrCorrupt)
}

// frames takes a snapshot apart: the magic with the version, then each frame's content.
func frames(t testing.TB, snap []byte) [][]byte {
	t.Helper()
	parts := [][]byte{snap[:len(snapshotMagic)+1]}
	for rest := snap[len(snapshotMagic)+1:]; len(rest) > 0; {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) {
			t.Fatalf("not a whole snapshot: %x", rest)
		}
		parts = append(parts, rest[size:size+int(n)])
		rest = rest[size+int(n):]
	}
	return parts
}

// join is the reverse of frames.
func join(parts [][]byte) []byte {
	b := slices.Clone(parts[0])
	for _, p := range parts[1:] {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	return b
}

// TestSnapshotFramesOutOfOrder: sample has, after magic and header, the replicas a and b, three
// sessions, and the topics.
func TestSnapshotFramesOutOfOrder(t *testing.T) {
	for _, snap := range sampleSnapshots(t) {
		disorder(t, snap)
	}
}

func disorder(t *testing.T, snap []byte) {
	t.Helper()
	parts := frames(t, snap)
	if !bytes.Equal(join(parts), snap) {
		t.Fatal("frames and join do not match")
	}
	for i := 1; i < len(parts)-1; i++ {
		swapped := slices.Clone(parts)
		swapped[i], swapped[i+1] = parts[i+1], parts[i]
		refused(t, "swapped", join(swapped), ErrCorrupt)
		refused(t, "repeated", join(slices.Insert(slices.Clone(parts), i, parts[i])), ErrCorrupt)
		refused(t, "missing", join(slices.Delete(slices.Clone(parts), i, i+1)), ErrCorrupt)
		longer := slices.Clone(parts)
		longer[i] = append(slices.Clone(parts[i]), 0)
		refused(t, "trailing byte in a frame", join(longer), ErrCorrupt)
	}
}

// TestSnapshotClaims: what a snapshot claims to hold allocates nothing before it is there.
func TestSnapshotClaims(t *testing.T) {
	head := append([]byte(snapshotMagic), snapshotVersion)
	frame := func(b []byte) []byte { return join([][]byte{nil, b}) }
	header := func(replicas, sessions, topics uint64) []byte {
		return frame(snapshotHeader{replicas: replicas, sessions: sessions, topics: topics}.append(nil))
	}
	number := func(n uint64) []byte { return binary.AppendUvarint(nil, n) }
	topic := appendBool(binary.AppendUvarint(appendString(nil, "t"), 1), true)
	tests := map[string][]byte{
		"frame at the limit":   slices.Concat(head, number(maxFrame), []byte("xx")),
		"frame over the limit": slices.Concat(head, number(maxFrame+1), make([]byte, 100)),
		"frame of -1":          slices.Concat(head, number(1<<64-1), make([]byte, 100)),
		"frame of 0":           slices.Concat(head, number(0), make([]byte, 100)),
		"length of 11 bytes":   slices.Concat(head, bytes.Repeat([]byte{0x80}, 10), []byte{1}),
		"length over 64 bits":  slices.Concat(head, bytes.Repeat([]byte{0xff}, 9), []byte{2}),
		"replicas":             slices.Concat(head, header(1<<63, 0, 0)),
		"sessions":             slices.Concat(head, header(0, 1<<63, 0)),
		"topics":               slices.Concat(head, header(0, 0, 1<<63), frame(topic)),
		"channels":             slices.Concat(head, header(0, 0, 1), frame(append(topic, number(1<<62)...))),
		"holders":              slices.Concat(head, header(0, 0, 1), frame(append(append(topic, 0), number(1<<62)...))),
		"tombstones":           slices.Concat(head, header(0, 0, 1), frame(append(append(topic, 0, 0), number(1<<62)...))),
		"empty replica frames": slices.Concat(head, header(1<<63, 0, 0), make([]byte, 1000)),
	}
	for name, snap := range tests {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := New().Restore(bytes.NewReader(snap))
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Errorf("%s: %d bytes allocated for %d", name, n, len(snap))
		}
	}
}

// TestRestoreReaderFails: the reader's error is passed on, wherever it comes.
func TestRestoreReaderFails(t *testing.T) {
	snap := snapshot(t, sampleRegistry(t).State())
	broken := errors.New("disk on fire")
	for n := range len(snap) + 1 {
		r := New()
		before := r.State()
		src := io.MultiReader(bytes.NewReader(snap[:n]), iotest.ErrReader(broken))
		if err := r.Restore(src); !errors.Is(err, broken) || errors.Is(err, ErrCorrupt) {
			t.Fatalf("after %d of %d bytes: %v", n, len(snap), err)
		}
		if r.State() != before {
			t.Fatal("published")
		}
	}
	r := New()
	if err := r.Restore(iotest.OneByteReader(bytes.NewReader(snap))); err != nil {
		t.Fatalf("from a slow reader: %v", err)
	}
}

// TestWriteToFails: the writer's error is passed on.
func TestWriteToFails(t *testing.T) {
	full := errors.New("disk full")
	r := applyAll(t, storm(1000, 10, false)) // more than the writer's buffer holds
	size := int64(len(snapshot(t, r.State())))
	for _, room := range []int64{0, 1, 70_000, size - 1} {
		w := &smallWriter{room: room, err: full}
		if _, err := r.State().WriteTo(w); !errors.Is(err, full) {
			t.Errorf("room for %d of %d: %v", room, size, err)
		}
	}
}

// smallWriter fails when it is full.
type smallWriter struct {
	room int64
	err  error
}

func (w *smallWriter) Write(b []byte) (int, error) {
	if w.room -= int64(len(b)); w.room < 0 {
		return 0, w.err
	}
	return len(b), nil
}
