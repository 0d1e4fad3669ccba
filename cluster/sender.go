package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

const (
	// worthSending is how many changes go at once while other batches are on their way. Fewer wait for
	// one of those: else an nsqd that registers much, one after another, makes an entry of each change.
	worthSending = 32
	// maxInFlight is how many batches may be on their way at once: while one is synced to disk,
	// the next ones are already with Raft, which syncs them together.
	maxInFlight = 4
	// resendPause keeps a replica that cannot commit from spinning.
	resendPause = 20 * time.Millisecond
	// batchWait is how long a batch may stay unanswered before it is sent again.
	batchWait = 2 * time.Second
)

// proposer hands an entry to Raft. The returned function waits until it is known what became of
// it: nil when it is committed and applied, a refusal's error when the state machine refused it,
// any other error when it may be in the log or not.
type proposer interface {
	propose(entry []byte) (wait func(context.Context) error)
}

// sender drains the journal into the log. Whatever goes wrong, it sends again what is not applied:
// the state machine skips what it has seen, so each change counts once, in order.
type sender struct {
	journal  *journal
	to       proposer
	level    func() levelAt                    // of log kinds that is in force
	fenced   func(*fsm.IncarnationError) error // the registry knows a greater incarnation: begin anew, or fail
	inFlight chan func(context.Context) error
	flying   atomic.Int32  // batches on their way
	trouble  chan struct{} // holds a token when a batch failed
	hope     chan struct{} // holds a token when there may be another leader than when the last batch was sent
}

func newSender(j *journal, to proposer, level func() levelAt, fenced func(*fsm.IncarnationError) error) *sender {
	return &sender{
		journal:  j,
		to:       to,
		level:    level,
		fenced:   fenced,
		inFlight: make(chan func(context.Context) error, maxInFlight),
		trouble:  make(chan struct{}, 1),
		hope:     make(chan struct{}, 1),
	}
}

// send runs until the context ends. collect must run beside it.
func (s *sender) send(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.trouble:
			s.calmDown(ctx)
			s.journal.rewind()
		case <-s.journal.unsent:
			if !s.drain(ctx) {
				return nil
			}
		}
	}
}

// calmDown waits before batches are sent again, unless another leader comes.
func (s *sender) calmDown(ctx context.Context) {
	t := time.NewTimer(resendPause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.hope:
	case <-ctx.Done():
	}
}

// moved is told that there may be another leader. It does not block.
func (s *sender) moved() {
	select {
	case s.hope <- struct{}{}:
	default:
	}
}

// drain sends batches until nothing is left or one has failed.
func (s *sender) drain(ctx context.Context) bool {
	for len(s.trouble) == 0 {
		select {
		case <-s.hope: // whoever leads now gets the batch
		default:
		}
		least := 1
		if s.flying.Load() > 0 {
			least = worthSending
		}
		b, ok := s.journal.next(s.level(), least)
		if !ok {
			return true
		}
		s.flying.Add(1)
		wait := s.to.propose(b.entry)
		select {
		case s.inFlight <- wait:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// collect learns what became of the batches, in the order in which they were sent.
func (s *sender) collect(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case wait := <-s.inFlight:
			err := s.check(ctx, wait)
			s.flying.Add(-1)
			s.journal.wake()
			if err != nil {
				return err
			}
		}
	}
}

func (s *sender) check(ctx context.Context, wait func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, batchWait)
	defer cancel()
	err := wait(ctx)
	if err == nil {
		return nil
	}
	var fenced *fsm.IncarnationError
	if errors.As(err, &fenced) {
		if err := s.fenced(fenced); err != nil {
			return err
		}
	}
	select {
	case s.trouble <- struct{}{}:
	default:
	}
	return nil
}

// pause waits; false when the context has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
