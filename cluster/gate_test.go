package cluster

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// gate is a log that can hang, fail or be slow, for entries from an index on.
type gate struct {
	raft.LogStore

	mu    sync.Mutex
	from  uint64        // the first entry it stops
	shut  chan struct{} // closed when the gate opens; nil while it is open
	err   error         // fails instead of hanging
	delay time.Duration
}

// gated puts a gate before the log of a replica that is not open yet. Who shuts it opens it before
// the replica is closed.
func gated(t testing.TB, cfg *Config) *gate {
	t.Helper()
	g := &gate{}
	cfg.wrapLog = func(log raft.LogStore) raft.LogStore {
		g.LogStore = log
		return g
	}
	return g
}

// hang stops all entries from an index on until open is called.
func (g *gate) hang(from uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.from, g.shut, g.err = from, make(chan struct{}), nil
}

// fail refuses all entries until open is called.
func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

func (g *gate) slow(delay time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay = delay
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
	}
	g.shut, g.err, g.delay = nil, nil, 0
}

func (g *gate) pass(last uint64) error {
	g.mu.Lock()
	shut, err, delay := g.shut, g.err, g.delay
	if last < g.from {
		shut = nil
	}
	g.mu.Unlock()
	switch {
	case err != nil:
		return err
	case shut != nil:
		<-shut
	case delay > 0:
		pause(context.Background(), delay)
	}
	return nil
}

func (g *gate) StoreLog(entry *raft.Log) error { return g.StoreLogs([]*raft.Log{entry}) }

func (g *gate) StoreLogs(entries []*raft.Log) error {
	if err := g.pass(entries[len(entries)-1].Index); err != nil {
		return err
	}
	return g.LogStore.StoreLogs(entries)
}
