package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// tombstones knows when this replica saw each tombstone, so that whoever leads can end it when its
// lifetime is over. Every replica counts; only the leader acts.
type tombstones struct {
	mu    sync.Mutex
	byID  map[uint64]tombstone
	woken chan struct{} // holds a token when a tombstone was set
}

type tombstone struct {
	fsm.Event
	seen time.Time
}

func newTombstones() *tombstones {
	return &tombstones{byID: make(map[uint64]tombstone), woken: make(chan struct{}, 1)}
}

func (t *tombstones) observe(e fsm.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e.Kind {
	case fsm.TombstoneSet:
		t.byID[e.ID] = tombstone{e, time.Now()}
		select {
		case t.woken <- struct{}{}:
		default:
		}
	case fsm.TombstoneGone:
		delete(t.byID, e.ID)
	}
}

// restore takes over what a snapshot holds. What was known stays as old as it was.
func (t *tombstones) restore(s *fsm.State) {
	t.mu.Lock()
	known := t.byID
	t.byID = make(map[uint64]tombstone)
	t.mu.Unlock()
	for e := range s.Tombstones {
		t.observe(e)
		if old, ok := known[e.ID]; ok {
			t.mu.Lock()
			t.byID[e.ID] = old
			t.mu.Unlock()
		}
	}
}

// seen is when this replica saw the tombstone; the zero time when there is none.
func (t *tombstones) seen(id uint64) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id].seen
}

// due returns the changes that end what has lived for the lifetime, and when the next one is due;
// the zero time when none is left.
func (t *tombstones) due(now time.Time, lifetime time.Duration) (changes []fsm.Change, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, stone := range t.byID {
		end := stone.seen.Add(lifetime)
		switch {
		case !end.After(now):
			if len(changes) < maxBatchChanges {
				changes = append(changes, fsm.ClearTombstone(stone.Topic, stone.Producer, id))
			}
			if next.IsZero() || now.Add(retryDecision).Before(next) {
				next = now.Add(retryDecision) // should the decision fail
			}
		case next.IsZero() || end.Before(next):
			next = end
		}
	}
	return changes, next
}

// retryDecision is how long to wait before a decision that failed is taken again.
const retryDecision = 50 * time.Millisecond

// watch ends tombstones while this replica leads, until the context ends.
func (t *tombstones) watch(ctx context.Context, lifetime time.Duration, leads func() bool,
	decide func(...fsm.Change) bool) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-t.woken:
		}
		changes, next := t.due(time.Now(), lifetime)
		if len(changes) > 0 && leads() {
			if decide(changes...) && len(changes) == maxBatchChanges { // more are due
				next = time.Now()
			}
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}
