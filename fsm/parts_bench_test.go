package fsm

import (
	"fmt"
	"testing"
)

// changesOfABatch is 256 REGISTERs, encoded.
func changesOfABatch() []byte {
	var b []byte
	for n := range uint64(256) {
		b = AppendChange(b, Register(n, fmt.Sprintf("topic-%03d", n), "channel"))
	}
	return b
}

// BenchmarkEncode encodes an entry of 256 REGISTERs, change by change.
func BenchmarkEncode(b *testing.B) {
	h := Header{Replica: "replica", Incarnation: 1, First: 1}
	c := Register(7, "topic-007", "channel")
	var changes, entry []byte
	for b.Loop() {
		changes = changes[:0]
		for range 256 {
			changes = AppendChange(changes, c)
		}
		entry = h.AppendEntry(entry[:0], 256, changes)
	}
	b.SetBytes(int64(len(entry)))
}

// BenchmarkDecode checks and decodes an entry of 256 REGISTERs, as before it is applied.
func BenchmarkDecode(b *testing.B) {
	data := Header{Replica: "replica", Incarnation: 1, First: 1}.AppendEntry(nil, 256, changesOfABatch())
	var e entry
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := e.decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLookupCold renders a topic that has just changed.
func BenchmarkLookupCold(b *testing.B) {
	for _, producers := range []int{3, 10_000} {
		b.Run(fmt.Sprintf("producers=%d", producers), func(b *testing.B) {
			s := applyAll(b, storm(producers, 1, true)).State()
			t, _ := s.topics.Get("topic-0")
			var body []byte
			for b.Loop() {
				t.answers.lookup.Store(nil)
				body, _ = s.Lookup("topic-0")
			}
			b.SetBytes(int64(len(body)))
		})
	}
}
