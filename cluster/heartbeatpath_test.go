package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// duringAWrite is what a follower did while a write of its log hung: an AppendEntries of term 1 had
// brought the entry, then a heartbeat of term 2 came.
type duringAWrite struct {
	answered bool                       // the heartbeat, while the write hung
	term     uint64                     // of the follower when the write was done
	entry    raft.AppendEntriesResponse // what the leader of term 1 was told in the end
	beat     raft.AppendEntriesResponse // what the leader of term 2 was told in the end
}

func heartbeatDuringAWrite(t *testing.T, wire wiring) (saw duringAWrite) {
	stream := listenTCP(t)
	node := startBareOn(t, stream, bareOptions{wire: wire})
	release, term := make(chan struct{}), make(chan uint64, 1)
	node.log.spoil(func(write func() error) error {
		<-release
		term <- node.CurrentTerm()
		return write()
	})
	s := newStranger(t)
	entry, beat := make(chan raft.AppendEntriesResponse, 1), make(chan raft.AppendEntriesResponse, 1)
	go func() {
		entry <- s.append(node, &raft.AppendEntriesRequest{RPCHeader: headerOf("one"), Term: 1, Entries: entriesOf(1, 1, 1)})
	}()
	node.log.hit(t, 1)
	go func() { beat <- s.append(node, &raft.AppendEntriesRequest{RPCHeader: headerOf("two"), Term: 2}) }()
	eventually.True(t, soon, "the follower reads the heartbeat", func() error {
		if n := stream.spoken.Load(); n < 2 {
			return fmt.Errorf("%d connections have spoken", n)
		}
		return nil
	})
	saw.answered = happens(300*time.Millisecond, func() bool { return len(beat) > 0 })
	close(release)
	saw.term, saw.entry, saw.beat = <-term, <-entry, <-beat
	return saw
}

// hashicorp/raft issue 695: a heartbeat takes a way of its own past the main loop and changes the
// term beside it. Here the follower enters term 2 amid a write of term 1, and afterwards still tells
// the leader of term 1 that it has its entry: two leaders count on it.
func TestPlainHeartbeatOvertakesAWrite(t *testing.T) {
	saw := heartbeatDuringAWrite(t, libraryWire)
	if !saw.answered || saw.term != 2 {
		t.Errorf("the heartbeat was answered: %v, term %d; it waited for the main loop: is the library's fast path mended?",
			saw.answered, saw.term)
	}
	if !saw.entry.Success || saw.entry.Term != 1 {
		t.Errorf("the leader of term 1 was told %+v", saw.entry)
	}
}

// With the transport that replicas use a heartbeat waits its turn.
func TestHeartbeatWaitsForAWrite(t *testing.T) {
	saw := heartbeatDuringAWrite(t, ourWire)
	if saw.answered {
		t.Error("the heartbeat was answered while the main loop was writing")
	}
	if saw.term != 1 {
		t.Errorf("the write of term 1 ended in term %d", saw.term)
	}
	if !saw.entry.Success || saw.entry.Term != 1 || !saw.beat.Success || saw.beat.Term != 2 {
		t.Errorf("the leader of term 1 was told %+v, that of term 2 %+v", saw.entry, saw.beat)
	}
}
