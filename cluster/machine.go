package cluster

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// machine is the registry as Raft sees it. Raft calls its methods from one goroutine, except
// Persist.
type machine struct {
	registry *fsm.Registry
	// applied is called for each entry that this replica's registry shows, restored after each snapshot
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

// publishEvery is how many entries become visible together at most: they are as late as the last.
const publishEvery = 16

// Apply implements raft.FSM. It answers nil or a refusal.
func (m *machine) Apply(entry *raft.Log) any { return m.ApplyBatch([]*raft.Log{entry})[0] }

// ApplyBatch implements raft.BatchingFSM; it answers as Apply does for each entry. The library hands it
// entries that change the configuration too. With them counted as applied it takes a snapshot after
// one, which else it would refuse.
func (m *machine) ApplyBatch(entries []*raft.Log) []any {
	answers := make([]any, 0, len(entries))
	for group := range slices.Chunk(entries, publishEvery) {
		answers = append(answers, m.applyGroup(group)...)
	}
	return answers
}

func (m *machine) applyGroup(entries []*raft.Log) []any {
	answers := make([]any, len(entries))
	var outcomes []*fsm.Outcome
	var index uint64
	for i, entry := range entries {
		if m.stopped {
			break
		}
		if entry.Type == raft.LogConfiguration {
			index = entry.Index
			continue
		}
		outcome, err := m.registry.Stage(entry.Index, entry.Data)
		if err != nil {
			// Skipping what the others apply would make this replica's answers differ from theirs.
			m.stopped = true
			m.failed(fmt.Errorf("apply entry %d: %w", entry.Index, err))
			break
		}
		index = entry.Index
		outcomes = append(outcomes, outcome)
		if outcome.Err != nil {
			answers[i] = refusal{outcome.Err}
		}
	}
	m.show(index, outcomes)
	return answers
}

// show publishes what was applied up to index, 0 for nothing, and tells of it.
func (m *machine) show(index uint64, outcomes []*fsm.Outcome) {
	if index == 0 {
		return
	}
	m.once.Do(m.begun)
	if len(outcomes) > 0 {
		m.registry.Publish()
	}
	m.index.Store(index)
	for _, o := range outcomes {
		m.applied(o)
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
