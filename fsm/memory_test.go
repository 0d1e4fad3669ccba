package fsm

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// TestEntriesAreNotKept: nothing that the registry keeps holds on to the memory of the entry that
// it came in.
func TestEntriesAreNotKept(t *testing.T) {
	const entries, padding = 200, 64 << 10
	long := strings.Repeat("n", padding) // of a node that nobody is
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	l := newTape(t)
	before := heap()
	for i := range entries {
		name := fmt.Sprint("name-", i)
		j := l.journal(name)
		j.send(Tombstone("t", long), OpenSession(nsqd(name)), Register(3, name, name), Register(3, "t", name),
			CreateTopic("made-"+name), CreateChannel("made-"+name, "c-"+name), Tombstone("t", name+":4151"))
		j.apply(journalEntry(Header{name, 2, 1}, OpenReplica(name), Tombstone("t", long)))
		l.decide(LoseReplica(name, 2), ClearTombstone("t", ProducerKey{long, 1}, 1))
	}
	if grown := int64(heap() - before); grown > entries*padding/2 {
		t.Fatalf("the heap has grown by %d bytes", grown)
	}
	runtime.KeepAlive(l)
}
