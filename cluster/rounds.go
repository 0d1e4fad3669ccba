package cluster

import (
	"context"
	"sync"
)

// rounds answers many who ask for the same at once with one question. Whoever asks gets the answer
// of a round that began after that, never of one that was under way.
type rounds struct {
	ask  func(context.Context) (uint64, error)
	wake chan struct{} // holds a token when somebody waits for a round

	mu   sync.Mutex
	next *round // that has not begun; nil when nobody waits for one
}

type round struct {
	done   chan struct{}
	answer uint64
	err    error
}

func newRounds(ask func(context.Context) (uint64, error)) *rounds {
	return &rounds{ask: ask, wake: make(chan struct{}, 1)}
}

// join waits for the next round's answer, or for the end of the context.
func (r *rounds) join(ctx context.Context) (uint64, error) { return r.enter().wait(ctx) }

// enter returns the next round.
func (r *rounds) enter() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return r.next
}

func (r *round) wait(ctx context.Context) (uint64, error) {
	select {
	case <-r.done:
		return r.answer, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// run asks, one round after the other, until the context ends.
func (r *rounds) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		r.mu.Lock()
		now := r.next
		r.next = nil
		r.mu.Unlock()
		now.answer, now.err = r.ask(ctx)
		close(now.done)
	}
}
