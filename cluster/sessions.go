package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// sessions are those of this replica's connections.
type sessions struct {
	cfg     Config
	journal *journal
	endOf   func() fsm.Kind // what ends a session now that its nsqd has closed the connection

	mu       sync.Mutex
	byNumber map[uint64]*Session
}

func newSessions(cfg Config, j *journal, endOf func() fsm.Kind) *sessions {
	return &sessions{cfg: cfg, journal: j, endOf: endOf, byNumber: make(map[uint64]*Session)}
}

// open queues the beginning of a session. It does not wait for a commit.
func (ss *sessions) open(info fsm.ProducerInfo, evict func()) (*Session, error) {
	s := &Session{sessions: ss, info: info, evict: evict, active: true, has: make(map[string][]string)}
	s.heard()
	s.mu.Lock()
	defer s.mu.Unlock()
	number, err := s.appendLocked(fsm.OpenSession(info))
	if err != nil {
		return nil, err
	}
	s.number = number
	ss.renumber(s, number)
	ss.journal.ack(number)
	return s, nil
}

// renumber makes the session known by its number, and no longer by the one it had.
func (ss *sessions) renumber(s *Session, number uint64) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.byNumber, s.number)
	ss.byNumber[number] = s
}

func (ss *sessions) remove(number uint64) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.byNumber, number)
}

// dropped is told that the registry has dropped the session of that number.
func (ss *sessions) dropped(number uint64) {
	if s := ss.get(number); s != nil {
		s.reopen(number)
	}
}

func (ss *sessions) get(number uint64) *Session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	return ss.byNumber[number]
}

func (ss *sessions) all() []*Session {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	all := make([]*Session, 0, len(ss.byNumber))
	for _, s := range ss.byNumber {
		all = append(all, s)
	}
	return all
}

// watchSilence notices the nsqds that have stopped pinging, until the context ends.
func (ss *sessions) watchSilence(ctx context.Context) error {
	timeout := ss.cfg.InactiveTimeout
	pace(ctx, periodFor(timeout), func(step time.Duration) {
		for _, s := range ss.all() {
			s.age(step, timeout)
		}
	})
	return nil
}

// evictAll sends every nsqd elsewhere.
func (ss *sessions) evictAll() {
	for _, s := range ss.all() {
		s.evict()
	}
}
