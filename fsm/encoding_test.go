package fsm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// anyChange draws a change of a kind with whatever in its fields.
func anyChange(t *rapid.T, kind Kind) Change {
	text := func(limit int) string { return rapid.StringN(0, -1, limit).Draw(t, "text") }
	number := func() uint64 { return rapid.Uint64().Draw(t, "number") }
	c := Change{Kind: kind}
	switch kind {
	case KindOpenReplica:
		return OpenReplica(text(maxID))
	case KindOpenSession:
		return OpenSession(ProducerInfo{text(maxText), text(maxText), text(maxText), rapid.Int().Draw(t, "port"),
			rapid.Int().Draw(t, "port"), text(maxText), text(maxText), text(maxText)})
	case KindRegister, KindUnregister:
		c.Session, c.Topic, c.Channel = number(), text(MaxNameLength), text(MaxNameLength)
	case KindSetActive:
		return SetActive(number(), rapid.Bool().Draw(t, "active"))
	case KindSettle, KindCloseSession, KindDetach:
		c.Session = number()
	case KindCreateTopic, KindDeleteTopic:
		c.Topic = text(MaxNameLength)
	case KindCreateChannel, KindDeleteChannel, KindPrune:
		c.Topic, c.Channel = text(MaxNameLength), text(MaxNameLength)
	case KindTombstone:
		return Tombstone(text(MaxNameLength), text(maxText))
	case KindClearTombstone:
		return ClearTombstone(text(MaxNameLength), ProducerKey{text(maxText), rapid.Int().Draw(t, "port")}, number())
	case KindLoseReplica, KindExpireReplica:
		c.Replica, c.Incarnation = text(maxID), number()
	case KindExpireOrphans:
		return ExpireOrphans(OrphanGroup{text(maxID), number(), number()})
	case KindRaiseLevel:
		return RaiseLevel(rapid.Uint64Range(0, MaxLevel).Draw(t, "level"))
	case KindCheckpoint:
		return Checkpoint(number(), Fingerprint{number(), number()})
	}
	return c
}

func TestRoundTrip(t *testing.T) {
	for kind := KindOpenReplica; kind <= lastKind; kind++ {
		rapid.Check(t, func(t *rapid.T) {
			var changes []Change
			for range rapid.IntRange(0, 3).Draw(t, "changes") {
				changes = append(changes, anyChange(t, kind))
			}
			h := Header{rapid.StringN(0, -1, maxID).Draw(t, "replica"), rapid.Uint64().Draw(t, "incarnation"),
				rapid.Uint64().Draw(t, "first")}
			data := journalEntry(h, changes...)
			if !kind.numbered() {
				h, data = Header{}, EncodeDecisions(changes...)
			}
			e := entry{changes: []Change{{Kind: 9, Topic: "left over"}}}
			if err := e.decode(data); err != nil {
				t.Fatalf("decode: %v", err)
			}
			if e.header != h || e.decision == kind.numbered() || !slices.Equal(e.changes, changes) {
				t.Fatalf("decoded %+v, want %+v %+v", e, h, changes)
			}
		})
	}
}

// TestAppendEntryKeepsWhatIsThere: the checksum is of the entry alone, not of the bytes before it.
func TestAppendEntryKeepsWhatIsThere(t *testing.T) {
	h := Header{"a", 1, 1}
	want := journalEntry(h, OpenReplica("x"))
	got := h.AppendEntry([]byte("before"), 1, AppendChange(nil, OpenReplica("x")))
	if string(got) != "before"+string(want) {
		t.Fatalf("got %q, want %q after it", got, want)
	}
}

func sampleEntries() map[string][]byte {
	var numbered, decisions []Change
	for _, s := range sampleChanges() {
		if s.change.Kind.numbered() {
			numbered = append(numbered, s.change)
		} else {
			decisions = append(decisions, s.change)
		}
	}
	return map[string][]byte{
		"journal":   journalEntry(Header{"replica", 1, 1}, numbered...),
		"decisions": EncodeDecisions(decisions...),
		"empty":     EncodeDecisions(),
	}
}

// TestCorruptEntries: every truncation and every single flipped bit is noticed.
func TestCorruptEntries(t *testing.T) {
	for name, data := range sampleEntries() {
		r := New()
		before := r.State()
		if err := CheckEntry(data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		refuse := func(bad []byte, what string, at int) {
			if _, err := r.Apply(1, bad); !errors.Is(err, ErrCorrupt) || !errors.Is(CheckEntry(bad), ErrCorrupt) {
				t.Fatalf("%s, %s %d: applied with %v, checked with %v", name, what, at, err, CheckEntry(bad))
			}
		}
		for n := range data {
			refuse(data[:n], "cut to", n)
		}
		for bit := range len(data) * 8 {
			bad := slices.Clone(data)
			bad[bit/8] ^= 1 << (bit % 8)
			refuse(bad, "flipped bit", bit)
		}
		if r.State() != before {
			t.Fatalf("%s: a corrupt entry was published", name)
		}
	}
}

// TestCutShort: an entry that was written too short, with the right checksum, is malformed.
func TestCutShort(t *testing.T) {
	for name, data := range sampleEntries() {
		body := data[:len(data)-crcLength]
		for n := 2; n < len(body); n++ {
			var e entry
			if err := e.decode(seal(body[:n])); !errors.Is(err, errMalformed) {
				t.Fatalf("%s cut to %d: %v", name, n, err)
			}
		}
	}
}

// TestTooNew: what a newer version wrote stops the replica, and changes nothing.
func TestTooNew(t *testing.T) {
	tests := map[string][]byte{
		"version 0":               seal([]byte{0, originDecisions, 0}),
		"version 2":               seal([]byte{2, originDecisions, 0}),
		"version 255":             seal([]byte{255, originDecisions, 0}),
		"origin 0":                seal([]byte{formatVersion, 0, 0}),
		"origin 3":                seal([]byte{formatVersion, 3, 0}),
		"level after the last":    EncodeDecisions(ExpireReplica("a", 0), RaiseLevel(MaxLevel+1)),
		"kind 0":                  EncodeDecisions(Change{}),
		"kind after the last":     EncodeDecisions(Change{Kind: lastKind + 1}),
		"kind 255":                journalEntry(Header{"a", 1, 2}, CreateTopic("t2"), Change{Kind: 255}),
		"kind with unknown bytes": seal([]byte{formatVersion, originDecisions, 1, 200, 1, 2, 3}),
	}
	for name, data := range tests {
		l := newTape(t)
		l.journal("a").send(CreateTopic("t"))
		before := l.r.State()
		if _, err := l.r.Apply(9, data); !errors.Is(err, ErrTooNew) || errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
		if l.r.State() != before {
			t.Errorf("%s: published", name)
		}
	}
}

// malformed applies an entry after some others and checks that it is refused whole, at every level.
func malformed(t *testing.T, name string, data []byte) {
	t.Helper()
	for level := range uint64(MaxLevel + 1) {
		malformedAt(t, fmt.Sprintf("%s, level %d", name, level), level, data)
	}
}

func malformedAt(t *testing.T, name string, level uint64, data []byte) {
	t.Helper()
	l := newTape(t)
	l.decide(RaiseLevel(level))
	a := l.journal("a")
	a.send(OpenSession(nsqd("h")), Register(2, "t", "c"))
	before := l.r.State()
	o := l.apply(data)
	after := l.r.State()
	switch {
	case !errors.Is(o.Err, errMalformed) || o.Last >= o.First || o.Results != nil || len(o.Events) > 0:
		t.Errorf("%s: outcome %+v", name, o)
	case after.Fingerprint() != before.Fingerprint() || after.Index() != before.Index()+1:
		t.Errorf("%s: changed %s to %s, index %d", name, before.Fingerprint(), after.Fingerprint(), after.Index())
	case string(after.Topics()) != `{"topics":["t"]}`:
		t.Errorf("%s: topics %s", name, after.Topics())
	}
	// The journal goes on behind it.
	if err := a.result(CreateTopic("next")); err != nil {
		t.Errorf("%s: next change: %v", name, err)
	}
}

// TestMalformed: each entry begins with a change that is right, and that must not be applied.
func TestMalformed(t *testing.T) {
	h := Header{"a", 1, 4}
	good := AppendChange(nil, CreateTopic("good"))
	raw := func(count int, changes ...byte) []byte { return h.AppendEntry(nil, count, changes) }
	tests := map[string][]byte{
		"decision in a journal":          journalEntry(h, CreateTopic("good"), LoseReplica("a", 1)),
		"checkpoint in a journal":        journalEntry(h, CreateTopic("good"), Checkpoint(1, Fingerprint{})),
		"numbered among decisions":       EncodeDecisions(ExpireReplica("a", 1), CreateTopic("good")),
		"Prune among decisions":          EncodeDecisions(ExpireReplica("a", 1), Prune("t")),
		"Detach among decisions":         EncodeDecisions(ExpireReplica("a", 1), Detach(2)),
		"ExpireOrphans in a journal":     journalEntry(h, CreateTopic("good"), ExpireOrphans(OrphanGroup{"a", 1, 1})),
		"RaiseLevel in a journal":        journalEntry(h, CreateTopic("good"), RaiseLevel(1)),
		"OpenReplica among decisions":    EncodeDecisions(OpenReplica("a")),
		"OpenReplica not first":          journalEntry(h, CreateTopic("good"), OpenReplica("a")),
		"fewer changes than it has":      raw(0, good...),
		"more changes than it has":       raw(2, good...),
		"a byte too many":                raw(1, append(slices.Clone(good), 0)...),
		"a count of -1":                  raw(-1, good...),
		"a flag of 2":                    raw(1, byte(KindSetActive), 2, 2),
		"a number of 11 bytes":           raw(1, append([]byte{byte(KindSettle)}, strings.Repeat("\x80", 10)+"\x01"...)...),
		"a number over 64 bits":          raw(1, append([]byte{byte(KindSettle)}, strings.Repeat("\xff", 9)+"\x02"...)...),
		"a fingerprint of 15 bytes":      seal(append([]byte{1, originDecisions, 1, byte(KindCheckpoint), 1}, make([]byte, 15)...)),
		"no count":                       seal([]byte{formatVersion, originDecisions}),
		"an id that ends early":          seal([]byte{formatVersion, originJournal, 5, 'a'}),
		"one change over MaxBatch":       raw(MaxBatch+1, slices.Repeat(good, MaxBatch+1)...),
		"far more changes than MaxBatch": raw(1<<62, good...),
	}
	for name, data := range tests {
		malformed(t, name, data)
	}
}

func TestMaxBatch(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	changes := slices.Repeat([]Change{CreateTopic("t")}, MaxBatch)
	if o := a.send(changes...); o.First != 2 || o.Last != MaxBatch+1 {
		t.Fatalf("new are %d to %d", o.First, o.Last)
	}
}

// TestMaxEntryBytes: see the comment at MaxEntryBytes.
func TestMaxEntryBytes(t *testing.T) {
	entryOf := func(size int) []byte {
		var changes []Change
		for range 8 {
			changes = append(changes, Tombstone("t", strings.Repeat("n", maxText)))
		}
		over := len(journalEntry(Header{"a", 1, 4}, changes...)) - size
		changes[0].Name = changes[0].Name[over:]
		data := journalEntry(Header{"a", 1, 4}, changes...)
		if len(data) != size {
			t.Fatalf("made an entry of %d bytes, want %d", len(data), size)
		}
		return data
	}
	malformed(t, "one byte over MaxEntryBytes", entryOf(MaxEntryBytes+1))
	l := newTape(t)
	a := l.journal("a")
	a.send(OpenSession(nsqd("h")), Register(2, "t", "c"))
	if o := l.apply(entryOf(MaxEntryBytes)); o.Err != nil || o.Last != 11 {
		t.Fatalf("outcome %+v", o)
	}
}

// TestGreatestInfo: an info whose texts are all as long as they may be fits into an entry.
func TestGreatestInfo(t *testing.T) {
	text := strings.Repeat("x", maxText)
	info := ProducerInfo{text, text, text, 1, 1, text, text, text}
	if data := journalEntry(Header{strings.Repeat("i", maxID), 1 << 63, 1 << 63}, OpenSession(info)); len(data) > MaxEntryBytes {
		t.Fatalf("entry of %d bytes", len(data))
	}
}

// TestCheckChange: a change passes that an entry with it would, and no other.
func TestCheckChange(t *testing.T) {
	for _, s := range sampleChanges() {
		encoded := AppendChange(nil, s.change)
		if err := CheckChange(encoded); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		for n := range encoded {
			if err := CheckChange(encoded[:n]); !errors.Is(err, errMalformed) {
				t.Errorf("%s cut to %d: %v", s.name, n, err)
			}
		}
		if err := CheckChange(append(encoded, 0)); !errors.Is(err, errMalformed) {
			t.Errorf("%s with a byte more: %v", s.name, err)
		}
	}
	if err := CheckChange(AppendChange(nil, CreateTopic(strings.Repeat("t", MaxNameLength+1)))); !errors.Is(err, errMalformed) {
		t.Error(err)
	}
	if err := CheckChange([]byte{200}); !errors.Is(err, ErrTooNew) {
		t.Error(err)
	}
}

// TestCheckEntryIgnoresChanges: it answers for the frame only.
func TestCheckEntryIgnoresChanges(t *testing.T) {
	if err := CheckEntry(EncodeDecisions(Change{Kind: 200})); err != nil {
		t.Fatal(err)
	}
	if err := CheckEntry(seal([]byte{2, 1})); !errors.Is(err, ErrTooNew) {
		t.Fatal(err)
	}
	if err := CheckEntry(nil); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
}

// TestDecoderNumbers: the decoder reads what encoding/binary writes.
func TestDecoderNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u, i := rapid.Uint64().Draw(t, "unsigned"), rapid.Int().Draw(t, "signed")
		d := decoder{rest: string(appendSigned(binary.AppendUvarint(nil, u), i))}
		if gotU, gotI := d.number(), d.signed(); gotU != u || gotI != i || d.end() != nil {
			t.Fatalf("read %d %d %v, want %d %d", gotU, gotI, d.end(), u, i)
		}
	})
}
