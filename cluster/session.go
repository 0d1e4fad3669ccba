package cluster

import (
	"errors"
	"sync"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// Session is one identified nsqd connection to this replica.
type Session struct {
	sessions *sessions
	number   uint64
	evict    func()

	telling  sync.Mutex // held from a decision until it is queued: the registry gets them in order
	mu       sync.Mutex
	pending  int           // changes that are not applied
	below    chan struct{} // closed when pending falls; nil while nobody waits
	lastPing time.Time     // IDENTIFY counts as one
	silence  time.Duration // since then
	active   bool          // what the registry was last told
	settled  bool
	closed   bool
}

// Register gives the session the topic, and the channel unless it is "". It may block for the
// commit timeout; pending then says that the change is queued, but others before it still are too.
// An error means that the change was not taken.
func (s *Session) Register(topic, channel string) (pending bool, err error) {
	return s.change(fsm.Register(s.number, topic, channel))
}

// Unregister takes the channel, or with "" the topic, from the session; else it is as Register.
func (s *Session) Unregister(topic, channel string) (pending bool, err error) {
	return s.change(fsm.Unregister(s.number, topic, channel))
}

func (s *Session) change(c fsm.Change) (pending bool, err error) {
	number, err := s.append(c)
	if err != nil {
		return false, err
	}
	if !s.inWindow() {
		return true, nil
	}
	s.sessions.journal.ack(number)
	return false, nil
}

// append queues a change of this session. The lock is not held while the journal is: complete
// takes it on the journal's behalf.
func (s *Session) append(c fsm.Change) (uint64, error) {
	s.mu.Lock()
	s.pending++
	s.mu.Unlock()
	number, err := s.sessions.journal.append(c, s)
	if err != nil {
		s.complete(0, nil)
	}
	return number, err
}

// inWindow waits until no more of the session's changes are on their way than the window allows;
// false when that takes longer than the commit timeout.
func (s *Session) inWindow() bool {
	if below := s.over(); below != nil {
		return s.await(below)
	}
	return true
}

func (s *Session) await(below <-chan struct{}) bool {
	t := time.NewTimer(s.sessions.cfg.CommitTimeout)
	defer t.Stop()
	for below != nil {
		select {
		case <-below:
			below = s.over()
		case <-t.C:
			return false
		}
	}
	return true
}

// over returns nil when the session is within its window, else what is closed when it may be.
func (s *Session) over() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending <= s.sessions.cfg.RegisterWindow {
		return nil
	}
	if s.below == nil {
		s.below = make(chan struct{})
	}
	return s.below
}

// complete implements completer.
func (s *Session) complete(_ uint64, result error) {
	s.mu.Lock()
	s.pending--
	if s.below != nil && s.pending <= s.sessions.cfg.RegisterWindow {
		close(s.below)
		s.below = nil
	}
	lost := errors.Is(result, fsm.ErrSessionUnknown) && !s.closed
	s.mu.Unlock()
	if lost {
		s.evict() // the registry has dropped the session: let the nsqd come again
	}
}

// Ping notes that the nsqd lives. Its first one says that it has registered all it has. It does
// not block.
func (s *Session) Ping() {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	s.heard()
	settle, activate := !s.settled, !s.active
	s.settled, s.active = true, true
	s.mu.Unlock()
	if activate {
		s.tell(fsm.SetActive(s.number, true))
	}
	if settle {
		s.tell(fsm.Settle(s.number))
	}
}

// tell queues a change that no client waits for, but that the next read sees. When it cannot be
// queued, the nsqd has to come again.
func (s *Session) tell(c fsm.Change) {
	number, err := s.append(c)
	if err != nil {
		s.evict()
		return
	}
	s.sessions.journal.ack(number)
}

// heard begins the silence anew. It starts below zero because the first step after it may have
// begun before it. The caller holds the lock, or is the only one to know the session.
func (s *Session) heard() {
	s.lastPing = time.Now()
	s.silence = -periodFor(s.sessions.cfg.InactiveTimeout)
}

// age lets the silence grow, and tells the registry when it is longer than the timeout.
func (s *Session) age(step, timeout time.Duration) {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	s.silence += step
	silent := s.active && !s.closed && s.silence > timeout
	if silent {
		s.active = false
	}
	s.mu.Unlock()
	if silent {
		s.tell(fsm.SetActive(s.number, false))
	}
}

// Close ends the session because its connection has ended. It does not block.
func (s *Session) Close() {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if !closed {
		s.sessions.remove(s)
		number, _ := s.append(fsm.CloseSession(s.number)) // fails only when the replica is closing
		s.sessions.journal.ack(number)
	}
}

func (s *Session) pinged() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastPing
}
