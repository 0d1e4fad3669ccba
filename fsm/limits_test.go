package fsm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// limited is a text of an entry and how long it may be.
type limited struct {
	name  string
	limit int
	entry func(text string) []byte
}

func limitedTexts() []limited {
	one := func(change func(string) Change) func(string) []byte {
		return func(text string) []byte {
			c := change(text)
			if c.Kind.numbered() {
				return journalEntry(Header{"a", 1, 4}, CreateTopic("good"), c)
			}
			return EncodeDecisions(c)
		}
	}
	info := func(set func(*ProducerInfo, string)) func(string) []byte {
		return one(func(s string) Change {
			i := nsqd("host")
			set(&i, s)
			return OpenSession(i)
		})
	}
	return []limited{
		{"header's replica", maxID, func(s string) []byte { return journalEntry(Header{s, 1, 1}, OpenReplica("x")) }},
		{"OpenReplica name", maxID, func(s string) []byte { return journalEntry(Header{"a", 2, 1}, OpenReplica(s)) }},
		{"remote address", maxText, info(func(i *ProducerInfo, s string) { i.RemoteAddress = s })},
		{"hostname", maxText, info(func(i *ProducerInfo, s string) { i.Hostname = s })},
		{"broadcast address", maxText, info(func(i *ProducerInfo, s string) { i.BroadcastAddress = s })},
		{"version", maxText, info(func(i *ProducerInfo, s string) { i.Version = s })},
		{"zone", maxText, info(func(i *ProducerInfo, s string) { i.TopologyZone = s })},
		{"region", maxText, info(func(i *ProducerInfo, s string) { i.TopologyRegion = s })},
		{"Register topic", 64, one(func(s string) Change { return Register(2, s, "c") })},
		{"Register channel", 64, one(func(s string) Change { return Register(2, "t", s) })},
		{"Unregister topic", 64, one(func(s string) Change { return Unregister(2, s, "c") })},
		{"Unregister channel", 64, one(func(s string) Change { return Unregister(2, "t", s) })},
		{"CreateTopic topic", 64, one(CreateTopic)},
		{"DeleteTopic topic", 64, one(DeleteTopic)},
		{"CreateChannel topic", 64, one(func(s string) Change { return CreateChannel(s, "c") })},
		{"CreateChannel channel", 64, one(func(s string) Change { return CreateChannel("t", s) })},
		{"DeleteChannel topic", 64, one(func(s string) Change { return DeleteChannel(s, "c") })},
		{"DeleteChannel channel", 64, one(func(s string) Change { return DeleteChannel("t", s) })},
		{"Prune topic", 64, one(Prune)},
		{"PruneChannel topic", 64, one(func(s string) Change { return PruneChannel(s, "c") })},
		{"PruneChannel channel", 64, one(func(s string) Change { return PruneChannel("t", s) })},
		{"Tombstone topic", 64, one(func(s string) Change { return Tombstone(s, "h:1") })},
		{"Tombstone node", maxText, one(func(s string) Change { return Tombstone("t", s) })},
		{"ClearTombstone topic", 64, one(func(s string) Change { return ClearTombstone(s, ProducerKey{"h", 1}, 1) })},
		{"ClearTombstone address", maxText, one(func(s string) Change { return ClearTombstone("t", ProducerKey{s, 1}, 1) })},
		{"LoseReplica id", maxID, one(func(s string) Change { return LoseReplica(s, 1) })},
		{"ExpireReplica id", maxID, one(func(s string) Change { return ExpireReplica(s, 1) })},
		{"ExpireOrphans id", maxID, one(func(s string) Change { return ExpireOrphans(OrphanGroup{s, 1, 1}) })},
	}
}

// claim returns the entry with another length in front of the text, the checksum right again.
func claim(t *testing.T, data []byte, text string, length uint64) []byte {
	t.Helper()
	body := data[:len(data)-crcLength]
	old := appendString(nil, text)
	if bytes.Count(body, old) != 1 {
		t.Fatalf("%q is not in %x once", text, body)
	}
	return seal(bytes.Replace(body, old, append(binary.AppendUvarint(nil, length), text...), 1))
}

// TestTextLengths: -1, 0, max and max+1 of every text in an entry.
func TestTextLengths(t *testing.T) {
	for _, f := range limitedTexts() {
		t.Run(f.name, func(t *testing.T) {
			for _, n := range []int{0, f.limit} {
				l := newTape(t)
				l.journal("a").send(OpenSession(nsqd("h")), Register(2, "t", "c"))
				l.decide(RaiseLevel(MaxLevel))
				if o := l.apply(f.entry(strings.Repeat("n", n))); o.Err != nil {
					t.Errorf("length %d: refused: %v", n, o.Err)
				}
				restored(t, snapshot(t, l.r.State()))
			}
			malformed(t, "max+1", f.entry(strings.Repeat("n", f.limit+1)))
			const text = "some text"
			for _, length := range []uint64{1<<64 - 1, 1 << 63, uint64(f.limit) + 1} { // the first is -1
				malformed(t, fmt.Sprintf("claims %d", length), claim(t, f.entry(text), text, length))
			}
		})
	}
}
