package cluster

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// machine is the registry as Raft sees it. Raft calls its methods from one goroutine, except
// Persist.
type machine struct {
	registry *fsm.Registry
	// applied is called after each entry of this replica's registry, restored after each snapshot
	// that replaced it. They must not block.
	applied  func(*fsm.Outcome)
	restored func()
	failed   func(error) // the registry cannot go on; called once
	begun    func()      // the log has entries; called once
	once     sync.Once

	index   atomic.Uint64 // of the last entry applied, the configuration's included
	stopped bool
	err     error // of the last restore
}

// refusal is what Apply answers to whoever proposed an entry that was refused as a whole.
type refusal struct{ err error }

// Apply implements raft.FSM. It answers nil or a refusal.
func (m *machine) Apply(entry *raft.Log) any {
	if m.stopped {
		return nil
	}
	outcome, err := m.registry.Apply(entry.Index, entry.Data)
	if err != nil {
		// Skipping what the others apply would make this replica's answers differ from theirs.
		m.stopped = true
		m.failed(fmt.Errorf("apply entry %d: %w", entry.Index, err))
		return nil
	}
	m.once.Do(m.begun)
	m.index.Store(entry.Index)
	m.applied(outcome)
	if outcome.Err != nil {
		return refusal{outcome.Err}
	}
	return nil
}

// StoreConfiguration implements raft.ConfigurationStore. With it the library counts entries that
// change the configuration as applied; else it would refuse to take a snapshot after one.
func (m *machine) StoreConfiguration(index uint64, _ raft.Configuration) {
	m.once.Do(m.begun)
	if !m.stopped {
		m.index.Store(index)
	}
}

// Snapshot implements raft.FSM. It only takes hold of the state.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if m.stopped {
		return nil, errors.New("take snapshot: the registry has stopped")
	}
	return snapshot{m.registry.State()}, nil
}

// Restore implements raft.FSM.
func (m *machine) Restore(source io.ReadCloser) error {
	m.err = m.registry.Restore(source)
	if m.err != nil {
		return m.err
	}
	m.once.Do(m.begun)
	m.index.Store(m.registry.State().Index())
	m.restored()
	return nil
}

type snapshot struct{ *fsm.State }

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := s.WriteTo(sink); err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (snapshot) Release() {}
