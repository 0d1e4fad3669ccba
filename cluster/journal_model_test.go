package cluster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/raftlookupd/raftlookupd/fsm"
	"pgregory.net/rapid"
)

// journalModel is a journal as dumb as can be: every change ever appended, and three positions.
type journalModel struct {
	changes     []string
	applied     int // of the changes
	sent        int
	incarnation uint64
	closed      bool
	told        []string
}

func TestJournalAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &journalModel{incarnation: 1}
		j, o := newJournal("id", 1), &owner{}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) { m.append(t, j, o) },
			"next":   func(t *rapid.T) { m.next(t, j) },
			"rewind": func(*rapid.T) { j.rewind(); m.sent = m.applied },
			"observe": func(t *rapid.T) {
				m.observe(j, rapid.IntRange(0, len(m.changes)+2).Draw(t, "last"))
			},
			"reopen": func(t *rapid.T) {
				to := m.incarnation + 1
				if got, want := j.reopen(to), m.applied == 0; got != want {
					t.Fatalf("reopened %v, want %v", got, want)
				} else if got {
					m.incarnation = to
				}
			},
			"close": func(t *rapid.T) {
				if rapid.IntRange(0, 20).Draw(t, "rarely") == 0 {
					j.close()
					m.closed = true
				}
			},
			"": func(t *rapid.T) { m.compare(t, j, o) },
		})
	})
}

func (m *journalModel) append(t *rapid.T, j *journal, o *owner) {
	name := fmt.Sprintf("t%d", len(m.changes)+1)
	for range rapid.SampledFrom([]int{1, 1, 3, maxBatchChanges}).Draw(t, "count") {
		n, err := j.append(fsm.CreateTopic(name), o)
		if m.closed {
			if err != ErrClosed {
				t.Fatalf("error %v, want closed", err)
			}
			return
		}
		m.changes = append(m.changes, name)
		if err != nil || n != uint64(len(m.changes)) {
			t.Fatalf("number %d, error %v; want %d", n, err, len(m.changes))
		}
	}
}

func (m *journalModel) next(t *rapid.T, j *journal) {
	from := max(m.sent, m.applied)
	to := min(from+maxBatchChanges, len(m.changes))
	b, ok := j.next(levelAt{level: fsm.MaxLevel}, 1)
	if ok != (to > from) {
		t.Fatalf("a batch: %v; %d changes to send", ok, to-from)
	}
	if !ok {
		return
	}
	if b.first != uint64(from)+1 || b.last != uint64(to) {
		t.Fatalf("batch %d to %d, want %d to %d", b.first, b.last, from+1, to)
	}
	var encoded []byte
	for _, name := range m.changes[from:to] {
		encoded = fsm.AppendChange(encoded, fsm.CreateTopic(name))
	}
	h := fsm.Header{Replica: "id", Incarnation: m.incarnation, First: b.first}
	if !slices.Equal(b.entry, h.AppendEntry(nil, to-from, encoded)) {
		t.Fatalf("batch %d to %d carries something else", b.first, b.last)
	}
	m.sent = to
}

func (m *journalModel) observe(j *journal, last int) {
	result := func(n uint64) error {
		if n%3 == 0 {
			return fmt.Errorf("r%d", n)
		}
		return nil
	}
	j.observe(uint64(last), result)
	for m.applied < min(last, len(m.changes)) {
		m.applied++
		m.told = append(m.told, fmt.Sprintf("%d:%v", m.applied, result(uint64(m.applied))))
	}
}

func (m *journalModel) compare(t *rapid.T, j *journal, o *owner) {
	if !slices.Equal(o.told, m.told) {
		t.Fatalf("the owner was told %v, want %v", o.told, m.told)
	}
	if got := j.applied.Load(); got != uint64(m.applied) {
		t.Fatalf("applied %d, want %d", got, m.applied)
	}
	waiting := m.changes[m.applied:]
	if got := j.length(); got != len(waiting) {
		t.Fatalf("%d changes wait, want %d", got, len(waiting))
	}
	bytes := 0
	for _, name := range waiting {
		bytes += len(fsm.AppendChange(nil, fsm.CreateTopic(name)))
	}
	if j.bytes != bytes {
		t.Fatalf("%d bytes wait, want %d", j.bytes, bytes)
	}
}
