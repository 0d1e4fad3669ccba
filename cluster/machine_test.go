package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// machineLog counts what a machine tells.
type machineLog struct {
	machine
	told, restores, begins int
	failures               []error
}

func newMachineLog() *machineLog {
	l := &machineLog{}
	l.registry = fsm.New()
	l.machine.applied = func(*fsm.Outcome) { l.told++ }
	l.machine.restored = func() { l.restores++ }
	l.machine.failed = func(err error) { l.failures = append(l.failures, err) }
	l.machine.begun = func() { l.begins++ }
	return l
}

func journalEntry(incarnation, first uint64, changes ...fsm.Change) []byte {
	var encoded []byte
	for _, c := range changes {
		encoded = fsm.AppendChange(encoded, c)
	}
	h := fsm.Header{Replica: "id", Incarnation: incarnation, First: first}
	return h.AppendEntry(nil, len(changes), encoded)
}

func TestMachineTellsRefusals(t *testing.T) {
	l := newMachineLog()
	if got := l.Apply(&raft.Log{Index: 2, Data: journalEntry(3, 1, fsm.OpenReplica("r1"))}); got != nil {
		t.Errorf("answered %v", got)
	}
	got := l.Apply(&raft.Log{Index: 3, Data: journalEntry(3, 5, topicChange(1))})
	var gap *fsm.GapError
	if refused, ok := got.(refusal); !ok || !errors.As(refused.err, &gap) || gap.Expected != 2 {
		t.Errorf("answered %v, want a gap", got)
	}
	if l.told != 2 || l.index.Load() != 3 || l.begins != 1 || len(l.failures) != 0 {
		t.Errorf("told %d times, index %d, begun %d times, failures %v", l.told, l.index.Load(), l.begins, l.failures)
	}
}

// After an entry that it cannot apply a machine does nothing more: what it would do is no longer
// what the others do.
func TestMachineThatCannotGoOn(t *testing.T) {
	for name, data := range map[string][]byte{
		"newer change": fsm.EncodeDecisions(fsm.Change{Kind: 99}),
		"corrupt":      []byte("corrupt"),
	} {
		t.Run(name, func(t *testing.T) {
			l := newMachineLog()
			l.Apply(&raft.Log{Index: 2, Data: journalEntry(1, 1, fsm.OpenReplica("r1"))})
			before := l.registry.State()
			l.Apply(&raft.Log{Index: 3, Data: data})
			l.Apply(&raft.Log{Index: 4, Data: journalEntry(1, 2, topicChange(1))})
			l.Apply(&raft.Log{Index: 5, Data: data})
			l.Apply(&raft.Log{Index: 6, Type: raft.LogConfiguration})
			if len(l.failures) != 1 || !strings.Contains(l.failures[0].Error(), "entry 3") {
				t.Errorf("failures %v, want one, at entry 3", l.failures)
			}
			if l.registry.State() != before || l.told != 1 || l.index.Load() != 2 {
				t.Errorf("it went on to index %d", l.index.Load())
			}
			if _, err := l.Snapshot(); err == nil {
				t.Error("it makes snapshots of it")
			}
		})
	}
}

func TestMachineCountsConfigurations(t *testing.T) {
	l := newMachineLog()
	l.Apply(&raft.Log{Index: 1, Type: raft.LogConfiguration})
	if l.index.Load() != 1 || l.begins != 1 || l.told != 0 {
		t.Errorf("index %d, begun %d times, told %d times", l.index.Load(), l.begins, l.told)
	}
}

// A batch is what its entries are one by one, refusals, configurations and all; what comes behind an
// entry that cannot be applied is not.
func TestMachineBatch(t *testing.T) {
	entries := []*raft.Log{
		{Index: 2, Data: journalEntry(1, 1, fsm.OpenReplica("r1"))},
		{Index: 3, Type: raft.LogConfiguration},
		{Index: 4, Data: journalEntry(1, 9, topicChange(9))},
	}
	for n := range 2 * publishEvery {
		entries = append(entries, &raft.Log{Index: uint64(5 + n), Data: journalEntry(1, uint64(2+n), topicChange(n))})
	}
	whole, single := newMachineLog(), newMachineLog()
	answers := whole.ApplyBatch(entries)
	for i, e := range entries {
		got, _ := answers[i].(refusal)
		want, refused := single.Apply(e).(refusal)
		if refused != (i == 2) || fmt.Sprint(got.err) != fmt.Sprint(want.err) {
			t.Errorf("entry %d: answered %v in a batch, %v by itself", e.Index, got.err, want.err)
		}
	}
	last := entries[len(entries)-1].Index
	if whole.registry.State().Fingerprint() != single.registry.State().Fingerprint() || whole.registry.State().Index() != last ||
		whole.index.Load() != last || whole.told != single.told || whole.begins != 1 {
		t.Errorf("at %d, told %d times, begun %d times", whole.index.Load(), whole.told, whole.begins)
	}
	answers = whole.ApplyBatch([]*raft.Log{
		{Index: last + 1, Data: journalEntry(2, 1, fsm.OpenReplica("r1"))},
		{Index: last + 2, Data: []byte("corrupt")},
		{Index: last + 3, Data: journalEntry(2, 2, topicChange(99))},
	})
	if len(answers) != 3 || len(whole.failures) != 1 || whole.index.Load() != last+1 || whole.registry.State().Index() != last+1 {
		t.Errorf("%d answers, failures %v, at %d", len(answers), whole.failures, whole.index.Load())
	}
}

func TestMachineRestore(t *testing.T) {
	from := newMachineLog()
	from.Apply(&raft.Log{Index: 7, Data: journalEntry(1, 1, fsm.OpenReplica("r1"), topicChange(1))})
	view, err := from.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	from.Apply(&raft.Log{Index: 8, Data: journalEntry(1, 3, topicChange(2))})
	sink := &memorySink{}
	if err := view.Persist(sink); err != nil || !sink.closed {
		t.Fatalf("closed %v, error %v", sink.closed, err)
	}
	to := newMachineLog()
	if err := to.Restore(io.NopCloser(bytes.NewReader(sink.Bytes()))); err != nil {
		t.Fatal(err)
	}
	if to.index.Load() != 7 || to.restores != 1 || to.begins != 1 || string(to.registry.State().Topics()) != `{"topics":["t1"]}` {
		t.Errorf("index %d, %d restores, topics %s", to.index.Load(), to.restores, to.registry.State().Topics())
	}
	err = to.Restore(io.NopCloser(bytes.NewReader(sink.Bytes()[:sink.Len()-1])))
	if err == nil || !errors.Is(to.err, err) || to.restores != 1 || to.index.Load() != 7 {
		t.Errorf("a snapshot that is cut short: error %v, %d restores", err, to.restores)
	}
}

// A disk that is full while a snapshot is written must not leave half of it.
func TestSnapshotThatCannotBeWritten(t *testing.T) {
	full := errors.New("no space left on device")
	sink := &memorySink{fails: full}
	if err := (snapshot{fsm.New().State()}).Persist(sink); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	if !sink.canceled || sink.closed {
		t.Errorf("canceled %v, closed %v", sink.canceled, sink.closed)
	}
}

type memorySink struct {
	bytes.Buffer
	fails            error
	closed, canceled bool
}

func (s *memorySink) Write(b []byte) (int, error) {
	if s.fails != nil {
		return 0, s.fails
	}
	return s.Buffer.Write(b)
}
func (s *memorySink) ID() string    { return "memory" }
func (s *memorySink) Close() error  { s.closed = true; return nil }
func (s *memorySink) Cancel() error { s.canceled = true; return nil }
