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

	mu       sync.Mutex
	byNumber map[uint64]*Session
}

func newSessions(cfg Config, j *journal) *sessions {
	return &sessions{cfg: cfg, journal: j, byNumber: make(map[uint64]*Session)}
}

// open queues the beginning of a session. It does not wait for a commit.
func (ss *sessions) open(info fsm.ProducerInfo, evict func()) (*Session, error) {
	s := &Session{sessions: ss, evict: evict, active: true}
	s.heard()
	// The number is known to the session before anybody can ask for it by that number.
	ss.mu.Lock()
	defer ss.mu.Unlock()
	number, err := s.append(fsm.OpenSession(info))
	if err != nil {
		return nil, err
	}
	s.number = number
	ss.byNumber[number] = s
	ss.journal.ack(number)
	return s, nil
}

func (ss *sessions) remove(s *Session) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.byNumber, s.number)
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
