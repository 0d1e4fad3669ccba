package cluster

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

const (
	maxBatchChanges = 256
	maxBatchBytes   = 128 << 10
	// maxChangeBytes bounds a change by what package fsm takes for a text. An entry with a longer one
	// is refused as a whole, however often it is sent, and with it all that comes after.
	maxChangeBytes = 64 << 10
	// maxHeaderBytes is room for what comes before and behind the changes of an entry.
	maxHeaderBytes = 128
	// maxQueuedBytes bounds the changes that wait; beyond it new ones are refused with
	// ErrOverloaded. Ends of sessions are always taken: there are no more than connections.
	maxQueuedBytes = 64 << 20
)

// journal is the replica's ordered queue of changes with consecutive numbers. Changes leave it
// when this replica's own state machine has applied them.
type journal struct {
	applied atomic.Uint64 // number of the last change applied here
	acked   atomic.Uint64 // number of the last change that a client was told OK for

	mu          sync.Mutex
	id          string
	incarnation uint64
	queue       []queued // queue[0] has number first
	first       uint64
	sent        uint64 // number of the last change handed to Raft
	bytes       int    // in the queue
	spare       []byte // memory for the next changes
	closed      bool
	lost        bool          // the registry takes this replica for lost, until a batch of it is applied
	hello       bool          // send a batch though there may be nothing to say
	unsent      chan struct{} // holds a token when there may be changes to send
	advanced    chan struct{} // closed and replaced when applied grows; nil while nobody waits
	crowd       crowd
	ends        sessionEnds
}

type queued struct {
	change []byte
	owner  completer // may be nil
}

// completer is told when its change is applied. It must not block, nor call the journal.
type completer interface {
	complete(number uint64, result error)
}

func newJournal(id string, incarnation uint64) *journal {
	return &journal{id: id, incarnation: incarnation, first: 1, unsent: make(chan struct{}, 1),
		ends: newSessionEnds()}
}

// append queues a change and returns its number. A change that no entry may carry is refused here:
// in the queue it would hold up all that come after it.
func (j *journal) append(c fsm.Change, owner completer) (uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	encoded := j.encode(c)
	if len(encoded) > maxChangeBytes {
		return 0, ErrTooLarge
	}
	if err := fsm.CheckChange(encoded); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if j.closed {
		return 0, ErrClosed
	}
	if j.bytes > maxQueuedBytes && c.Kind != fsm.KindCloseSession && c.Kind != fsm.KindDetach {
		return 0, ErrOverloaded
	}
	j.queue = append(j.queue, queued{encoded, owner})
	j.bytes += len(encoded)
	number := j.first + uint64(len(j.queue)) - 1
	j.ends.queued(number, c.Kind)
	j.wake()
	return number, nil
}

// encode encodes a change. Many of them share a piece of memory, which goes when all of them are applied.
func (j *journal) encode(c fsm.Change) []byte {
	const usual = 256 // bytes of a change; a longer one gets memory of its own
	if cap(j.spare) < usual {
		j.spare = make([]byte, 0, 64*usual)
	}
	encoded := fsm.AppendChange(j.spare, c)
	if len(encoded) <= cap(j.spare) {
		j.spare = encoded[len(encoded):]
	}
	return encoded[:len(encoded):len(encoded)]
}

// batch is an entry on its way: the changes from first to last.
type batch struct {
	first, last uint64
	entry       []byte
}

// next cuts the next batch of changes that were not sent yet, if there are at least so many, without
// waiting. It has only kinds of the level that is in force. A Detach above that level waits until this
// replica knows the level of a later time than the Detach's own, because a replica that was paused or cut
// off may not have heard of the level that is in force by now.
func (j *journal) next(known levelAt, least int) (batch, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.detachLate()
	from := max(j.sent+1, j.first)
	start := int(from - j.first)
	if len(j.queue)-start < least && !j.hello {
		return batch{}, false
	}
	n, size := start, 0
	for ; n < len(j.queue) && n-start < maxBatchChanges; n++ {
		if n > start && size+len(j.queue[n].change) > maxBatchBytes || j.outdated(n, known) {
			break
		}
		size += len(j.queue[n].change)
	}
	if n == start && n < len(j.queue) && !j.hello {
		time.AfterFunc(resendPause, j.wake)
		return batch{}, false
	}
	j.hello = false
	h := fsm.Header{Replica: j.id, Incarnation: j.incarnation, First: from}
	j.sent = from + uint64(n-start) - 1
	changes := make([]byte, 0, size)
	for _, q := range j.queue[start:n] {
		changes = append(changes, q.change...)
		if kind := &changes[len(changes)-len(q.change)]; fsm.Kind(*kind) == fsm.KindDetach && known.level < fsm.KindDetach.Level() {
			*kind = byte(fsm.KindCloseSession) // what release 0.1.0 does
		}
	}
	entry := h.AppendEntry(make([]byte, 0, size+maxHeaderBytes), n-start, changes)
	return batch{first: from, last: j.sent, entry: entry}, true
}

// isLost reports whether the registry takes this replica for lost.
func (j *journal) isLost() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.lost
}

// setLost notes whether the registry takes this replica for lost. While it does, a batch is sent,
// be it an empty one, and again whenever one has failed.
func (j *journal) setLost(lost bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lost, j.hello = lost, lost
	j.wake()
}

func (j *journal) wake() {
	select {
	case j.unsent <- struct{}{}:
	default:
	}
}

// rewind makes all changes that are not applied be sent again.
func (j *journal) rewind() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sent, j.hello = j.first-1, j.lost
	j.wake()
}

// reopen goes on under another incarnation, which is allowed while nothing has been applied.
func (j *journal) reopen(incarnation uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.first != 1 {
		return false
	}
	j.incarnation = incarnation
	return true
}

// is reports whether a batch of that replica and incarnation is this journal's.
func (j *journal) is(id string, incarnation uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.id == id && j.incarnation == incarnation
}

// begun is the incarnation that the journal's batches belong to.
func (j *journal) begun() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.incarnation
}

// observe takes out the changes up to last, which are applied, and tells their owners what result
// says of them.
func (j *journal) observe(last uint64, result func(number uint64) error) {
	j.mu.Lock()
	first := j.first
	n := min(int(last+1-min(first, last+1)), len(j.queue))
	done := j.queue[:n]
	j.queue = j.queue[n:]
	for _, q := range done {
		j.bytes -= len(q.change)
	}
	j.first += uint64(n)
	j.ends.applied(j.first - 1)
	if n > 0 {
		j.applied.Store(j.first - 1)
		if j.advanced != nil {
			close(j.advanced)
			j.advanced = nil
		}
		j.crowd.admit(j.first - 1 + maxAhead)
	}
	j.mu.Unlock()
	for i, q := range done {
		if q.owner != nil {
			q.owner.complete(first+uint64(i), result(first+uint64(i)))
		}
	}
	clear(done) // the queue goes on in the same memory
}

// ack notes that a client is told OK for the changes up to number.
func (j *journal) ack(number uint64) {
	for {
		old := j.acked.Load()
		if old >= number || j.acked.CompareAndSwap(old, number) {
			return
		}
	}
}

// wait waits until the change of that number is applied here.
func (j *journal) wait(ctx context.Context, number uint64) error {
	for j.applied.Load() < number {
		j.mu.Lock()
		if j.applied.Load() >= number {
			j.mu.Unlock()
			return nil
		}
		if j.advanced == nil {
			j.advanced = make(chan struct{})
		}
		advanced := j.advanced
		j.mu.Unlock()
		select {
		case <-advanced:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// length is how many changes wait.
func (j *journal) length() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.queue)
}

// close refuses further changes. Those that are queued may still be sent.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
}
