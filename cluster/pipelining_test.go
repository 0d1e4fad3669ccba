package cluster

import (
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// pipelines is the library's transport, which remembers the pipelines that it makes, so that a test
// can free whom they hold.
type pipelines struct {
	*raft.NetworkTransport
	mu  sync.Mutex
	all []raft.AppendPipeline
}

func (p *pipelines) AppendEntriesPipeline(id raft.ServerID, to raft.ServerAddress) (raft.AppendPipeline, error) {
	made, err := p.NetworkTransport.AppendEntriesPipeline(id, to)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.all = append(p.all, made)
	}
	return made, err
}

func (p *pipelines) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, made := range p.all {
		_ = made.Close()
	}
}

// pair is a leader and a follower without a vote, so that nothing but replication is in play.
func pair(t testing.TB, leader wiring) (a, b *bare) {
	t.Helper()
	a = startBare(t, bareOptions{id: "leader", wire: leader})
	b = startBare(t, bareOptions{id: "follower"})
	a.lead(b)
	eventually.True(t, soon, "replication", func() error { return b.has(a) })
	return a, b
}

// refuseOnce makes the follower answer one AppendEntries with Success=false while the leader has
// more to send. Everything before and after is well.
func refuseOnce(a, b *bare) {
	release := make(chan struct{})
	b.log.spoil(func(func() error) error {
		<-release
		b.log.spoil(nil)
		return errSpoiled
	})
	a.write()
	b.log.hit(a.t, 1)
	for range 4 { // the replicator holds two at most; the others are what wakes it again
		a.write()
	}
	close(release)
}

// hashicorp/raft issue 612: after one refusal the leader's sender and its decoder may wait for each
// other. Then the follower gets no entry any more, though its heartbeats are well, and the leader's
// Shutdown hangs (issue 611). Which way it goes is for the scheduler to say, so it is tried until it
// has happened; each round has at least one chance in two.
func TestPlainPipelineStrandsAFollower(t *testing.T) {
	wire := &pipelines{}
	a, b := pair(t, func(s raft.StreamLayer) raft.Transport {
		wire.NetworkTransport = libraryTransport(s, transportTimeout)
		return wire
	})
	t.Cleanup(wire.close)
	caughtUp := func() bool { return b.has(a) == nil }
	stranded := false
	for round := 0; round < 100 && !stranded; round++ {
		refuseOnce(a, b)
		if happens(time.Second, caughtUp) {
			continue
		}
		a.write() // a slow machine is no stranded follower: more entries, more time
		stranded = !happens(2*time.Second, caughtUp)
	}
	if !stranded {
		t.Fatal("the follower caught up each time: is the library's pipelining mended?")
	}
	heard := b.LastContact()
	eventually.True(t, soon, "heartbeats go on", func() error {
		if !b.LastContact().After(heard) || a.State() != raft.Leader {
			return errSpoiled
		}
		return nil
	})
	stopped := make(chan struct{})
	go func() { _ = a.Shutdown().Error(); close(stopped) }()
	if happens(300*time.Millisecond, func() bool { return isClosed(stopped) }) {
		t.Error("the leader's Shutdown returned, though its replicator hangs")
	}
	wire.close() // that it is the pipeline's fault
	eventually.True(t, soon, "Shutdown returns once the pipeline is closed", func() error {
		if !isClosed(stopped) {
			return errSpoiled
		}
		return nil
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// The same with the transport that replicas use: one AppendEntries at a time.
func TestTransportStrandsNoFollower(t *testing.T) {
	a, b := pair(t, ourWire)
	for range 20 {
		refuseOnce(a, b)
		eventually.True(t, soon, "the follower goes on being replicated to", func() error { return b.has(a) })
	}
}
