package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// hashicorp/raft's replication backs off and is not woken (replication.go, replicateTo): after each
// AppendEntries that fails it sleeps, in the end for 10.24 s, and neither a heartbeat that succeeds
// nor a new entry ends the sleep. So a follower that was cut off for 25 s hears the leader at once
// when it is back, and is brought up to date ten seconds later.
//
// The transport closes this: it holds an AppendEntries to a replica that cannot be reached, and sends
// it again every 100 to 200 ms and at each sign of life of that replica. The library never sees the
// failures, so it never counts them. What is sent again is the same request of the same term, which
// the leader of that term may send at any time. When this replica does not lead in that term any
// more, or the other is no server any more, or the transport closes, the error is returned.
//
// An answer of no success for which the library would count a failure, too, is that of a log that
// cannot be written. The request is sent again in the same way.
//
// A snapshot's reader is used up by the call. So first a heartbeat is held in its place; it leaves a
// connection that works for the snapshot. When the call fails all the same, the snapshot is opened
// again, as long as it is kept.
//
// Heartbeats are not held: the library's backoff for them is at most half the heartbeat timeout.
const (
	holdMin     = 100 * time.Millisecond
	holdMax     = 200 * time.Millisecond
	holdSpacing = 20 * time.Millisecond // between two attempts, however many signs of life there are
	// snapshotAgain and snapshotAgainMax are the first and the longest time between two attempts to send a
	// snapshot. A replica that is not reached is waited for before.
	snapshotAgain    = 200 * time.Millisecond
	snapshotAgainMax = 10 * time.Second
	holdRefused      = time.Second // after a refusal; a heartbeat that succeeds ends it, too
	holdTell         = time.Minute // between two lines of the log about one replica
)

var errRejected = errors.New("it does not take the entries")

// holder knows for how long a call is to be held.
type holder struct {
	server atomic.Pointer[raft.Raft] // nil until it has started; then nothing is held
	log    *slog.Logger
	open   func(index, term uint64) (io.ReadCloser, error) // a snapshot; nil: none is sent again
	signs  *book
	ended  chan struct{} // closed when the transport closes
	end    sync.Once

	mu   sync.Mutex
	held map[string]int // by id: calls that have failed and are held, or send a snapshot
}

// hold notes that a call to that replica may take long. The returned function notes its end.
func (h *holder) hold(id string) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = make(map[string]int)
	}
	h.held[id]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.held[id]--; h.held[id] == 0 {
			delete(h.held, id)
		}
	}
}

// holds reports whether a call to that replica is held.
func (h *holder) holds(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held[id] > 0
}

// holdFor makes the transport hold the calls of that Raft from now on.
func (t *transport) holdFor(r *raft.Raft) { t.holder.server.Store(r) }

func newHolder() holder { return holder{signs: newBook(), ended: make(chan struct{})} }

// stands reports whether a request of that term to that replica may still be sent.
func (h *holder) stands(id raft.ServerID, term uint64) bool {
	r := h.server.Load()
	if r == nil || r.State() != raft.Leader || r.CurrentTerm() != term {
		return false
	}
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.ID == id {
			return true
		}
	}
	return false
}

// isHeartbeat reports whether a request is one of the library's heartbeats.
func isHeartbeat(req *raft.AppendEntriesRequest) bool {
	return len(req.Entries) == 0 && req.PrevLogEntry == 0 && req.PrevLogTerm == 0 && req.LeaderCommitIndex == 0
}

// AppendEntries implements raft.Transport.
func (t *transport) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse) error {
	if isHeartbeat(req) {
		return t.appendOnce(id, to, req, resp)
	}
	return t.appendHeld(id, to, req, resp)
}

// InstallSnapshot implements raft.Transport.
func (t *transport) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, req *raft.InstallSnapshotRequest,
	resp *raft.InstallSnapshotResponse, data io.Reader) error {
	defer t.holder.hold(string(id))()
	var again io.ReadCloser
	defer func() { closeSnapshot(again) }()
	for wait := snapshotAgain; ; wait = min(2*wait, snapshotAgainMax) {
		beat := &raft.AppendEntriesRequest{RPCHeader: req.RPCHeader, Term: req.Term}
		if err := t.appendHeld(id, to, beat, new(raft.AppendEntriesResponse)); err != nil {
			return err
		}
		var answer raft.InstallSnapshotResponse
		err := t.installOnce(id, to, req, &answer, data)
		if err == nil && (answer.Success || answer.Term > req.Term) {
			*resp = answer
			return nil
		}
		err = cmp.Or(err, errRejected)
		if t.holder.open == nil || !t.holder.stands(id, req.Term) || !t.holder.pause(nil, wait) {
			return err
		}
		closeSnapshot(again)
		var failed error
		if again, failed = t.holder.open(req.LastLogIndex, req.LastLogTerm); failed != nil {
			return errors.Join(err, failed)
		}
		data = again
	}
}

// closeSnapshot closes a snapshot that was opened, nil for none.
func closeSnapshot(c io.ReadCloser) {
	if c != nil {
		_ = c.Close()
	}
}

// installOnce sends a snapshot once, and notes the answer.
func (t *transport) installOnce(id raft.ServerID, to raft.ServerAddress, req *raft.InstallSnapshotRequest,
	resp *raft.InstallSnapshotResponse, data io.Reader) error {
	sent := time.Now()
	err := t.NetworkTransport.InstallSnapshot(id, to, req, resp, data)
	if err == nil && resp.Term == req.Term {
		t.contacts.answered(string(id), req.Term, sent)
	}
	return err
}

// openSnapshot opens the snapshot of that index and term.
func openSnapshot(store raft.SnapshotStore, index, term uint64) (io.ReadCloser, error) {
	list, err := store.List()
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	for _, meta := range list {
		if meta.Index == index && meta.Term == term {
			_, data, err := store.Open(meta.ID)
			if err != nil {
				return nil, fmt.Errorf("open the snapshot at entry %d: %w", index, err)
			}
			return data, nil
		}
	}
	return nil, fmt.Errorf("the snapshot at entry %d is kept no longer", index)
}

// Close implements raft.WithClose.
func (t *transport) Close() error {
	t.holder.end.Do(func() { close(t.holder.ended) })
	return t.NetworkTransport.Close()
}

// appendHeld sends a request until it is answered, or must not be sent any more.
func (t *transport) appendHeld(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse) error {
	w := holding{h: &t.holder, id: string(id), start: time.Now()}
	for {
		alive := t.holder.signs.alive(string(id)) // before the attempt, so that none is missed
		var answer raft.AppendEntriesResponse
		err := t.appendOnce(id, to, req, &answer)
		if err == nil && rejected(req, &answer) {
			err = errRejected
		}
		if err == nil {
			*resp = answer
			w.over()
			return nil
		}
		if !t.holder.stands(id, req.Term) {
			return err
		}
		if w.attempts == 0 {
			defer t.holder.hold(string(id))()
		}
		w.failed(err)
		if errors.Is(err, errRejected) {
			alive = nil // it lives, so each heartbeat is a sign of life
		}
		if !t.holder.pause(alive, holdFor(err)) {
			return err
		}
	}
}

// holdFor returns how long to wait after an attempt that failed like that.
func holdFor(err error) time.Duration {
	var history *errHistory
	if errors.As(err, &history) || strings.Contains(err.Error(), refusedBy) {
		return holdRefused
	}
	return holdMin + rand.N(holdMax-holdMin)
}

// rejected reports whether a follower has answered that it could not write the entries. It answers
// otherwise when it is of a newer term, or lacks what comes before them.
func rejected(req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) bool {
	return !resp.Success && !resp.NoRetryBackoff && resp.Term <= req.Term
}

// pause waits that long, or for a sign of life; false when the transport closes.
func (h *holder) pause(alive <-chan struct{}, wait time.Duration) bool {
	spaced := time.NewTimer(holdSpacing)
	defer spaced.Stop()
	select {
	case <-spaced.C:
	case <-h.ended:
		return false
	}
	due := time.NewTimer(wait - holdSpacing)
	defer due.Stop()
	select {
	case <-due.C:
	case <-alive:
	case <-h.ended:
		return false
	}
	return true
}

// holding tells the log about a call that is held: when that begins, now and again, and at its end.
type holding struct {
	h        *holder
	id       string
	start    time.Time
	told     time.Time // zero: not yet
	attempts int
}

func (w *holding) failed(err error) {
	w.attempts++
	if w.attempts > 1 && (w.told.IsZero() || time.Since(w.told) >= holdTell) { // one failure alone is a restart
		w.told = time.Now()
		w.h.log.Warn("a replica cannot be reached: replication to it waits", "name", w.h.signs.name(w.id), "id", w.id,
			"for", time.Since(w.start).Round(time.Millisecond), "attempts", w.attempts, "error", err)
	}
}

func (w *holding) over() {
	if !w.told.IsZero() {
		w.h.log.Info(fmt.Sprintf("a replica can be reached again after %s: replicating to it", time.Since(w.start).Round(time.Millisecond)),
			"name", w.h.signs.name(w.id), "id", w.id, "attempts", w.attempts)
	}
}
