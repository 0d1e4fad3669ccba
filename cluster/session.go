package cluster

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// Session is one identified nsqd connection to this replica.
type Session struct {
	sessions *sessions
	info     fsm.ProducerInfo
	evict    func()

	mu       sync.Mutex
	number   uint64              // in the registry; another one once it was opened again
	has      map[string][]string // topics and their channels, sorted: what the client has said
	pending  int                 // changes that are not applied
	below    chan struct{}       // closed when pending falls; nil while nobody waits
	lastPing time.Time           // IDENTIFY counts as one
	silence  time.Duration       // since then
	active   bool                // what the registry was last told
	settled  bool
	closed   bool
}

// Register gives the session the topic, and the channel unless it is "". It may block for the
// commit timeout; pending then says that the change is queued, but others before it still are too.
// An error means that the change was not taken.
func (s *Session) Register(topic, channel string) (pending bool, err error) {
	return s.change(fsm.Register(0, topic, channel))
}

// Unregister takes the channel, or with "" the topic, from the session; else it is as Register.
func (s *Session) Unregister(topic, channel string) (pending bool, err error) {
	return s.change(fsm.Unregister(0, topic, channel))
}

func (s *Session) change(c fsm.Change) (pending bool, err error) {
	number, err := s.append(c)
	if err != nil {
		return false, err
	}
	if !s.inWindow(number) {
		return true, nil
	}
	s.sessions.journal.ack(number)
	return false, nil
}

// append queues a change of this session, and notes what the session has by it. Both happen under
// the lock, so that opening it again takes up everything that was queued before, and nothing that
// comes after is queued for the number of old.
func (s *Session) append(c fsm.Change) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appendLocked(c)
}

func (s *Session) appendLocked(c fsm.Change) (uint64, error) {
	c.Session = s.number
	number, err := s.sessions.journal.append(c, s)
	if err != nil {
		return 0, err
	}
	s.pending++
	switch c.Kind {
	case fsm.KindRegister:
		s.note(c.Topic, c.Channel)
	case fsm.KindUnregister:
		s.unnote(c.Topic, c.Channel)
	}
	return number, nil
}

func (s *Session) note(topic, channel string) {
	channels, known := s.has[topic]
	i, has := slices.BinarySearch(channels, channel)
	switch {
	case channel != "" && !has:
		s.has[topic] = slices.Insert(channels, i, channel)
	case !known:
		s.has[topic] = nil
	}
}

func (s *Session) unnote(topic, channel string) {
	if channel == "" {
		delete(s.has, topic)
		return
	}
	if i, has := slices.BinarySearch(s.has[topic], channel); has {
		s.has[topic] = slices.Delete(s.has[topic], i, i+1)
	}
}

// reopen opens the session again with all it has, because the registry has dropped the one of that
// number while the connection lives. It is called when that is applied, and does not block.
func (s *Session) reopen(dropped uint64) {
	s.mu.Lock()
	err := s.reopenLocked(dropped)
	s.mu.Unlock()
	if err != nil {
		s.evict() // let the nsqd come again
	}
}

func (s *Session) reopenLocked(dropped uint64) error {
	if s.closed || s.number != dropped {
		return nil
	}
	number, err := s.sessions.journal.append(fsm.OpenSession(s.info), s)
	if err != nil {
		return err
	}
	s.pending++
	s.sessions.renumber(s, number)
	s.number = number
	var errs []error
	queue := func(c fsm.Change) {
		_, err := s.appendLocked(c)
		errs = append(errs, err)
	}
	for topic, channels := range s.has {
		if len(channels) == 0 {
			queue(fsm.Register(0, topic, ""))
		}
		for _, channel := range channels {
			queue(fsm.Register(0, topic, channel))
		}
	}
	if s.settled {
		queue(fsm.Settle(0))
	}
	if !s.active {
		queue(fsm.SetActive(0, false))
	}
	return errors.Join(errs...)
}

// inWindow waits until no more of the session's changes are on their way than the window allows, and
// no more of the whole replica's before this one than it says OK to; false when that takes longer than
// the commit timeout.
func (s *Session) inWindow(number uint64) bool {
	room, below := s.sessions.journal.room(number), s.over()
	if room == nil && below == nil {
		return true
	}
	t := time.NewTimer(s.sessions.cfg.CommitTimeout)
	defer t.Stop()
	for room != nil || below != nil {
		select {
		case <-room:
			room = nil
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
func (s *Session) complete(uint64, error) {
	s.mu.Lock()
	s.pending--
	if s.below != nil && s.pending <= s.sessions.cfg.RegisterWindow {
		close(s.below)
		s.below = nil
	}
	s.mu.Unlock()
}

// Ping notes that the nsqd lives. Its first one says that it has registered all it has. It does
// not block.
func (s *Session) Ping() {
	s.mu.Lock()
	s.heard()
	settle, activate := !s.settled, !s.active
	s.settled, s.active = true, true
	var errs []error
	if activate {
		errs = append(errs, s.tell(fsm.SetActive(0, true)))
	}
	if settle {
		errs = append(errs, s.tell(fsm.Settle(0)))
	}
	s.mu.Unlock()
	if errors.Join(errs...) != nil {
		s.evict() // let the nsqd come again
	}
}

// tell queues a change that no client waits for, but that the next read sees. The caller holds the
// lock.
func (s *Session) tell(c fsm.Change) error {
	number, err := s.appendLocked(c)
	if err == nil {
		s.sessions.journal.ack(number)
	}
	return err
}

// heard begins the silence anew. It starts below zero because the first step after it may have
// begun long before it. The caller holds the lock, or is the only one to know the session.
func (s *Session) heard() {
	s.lastPing = time.Now()
	s.silence = -2 * periodFor(s.sessions.cfg.InactiveTimeout)
}

// age lets the silence grow, and tells the registry when it is longer than the timeout.
func (s *Session) age(step, timeout time.Duration) {
	s.mu.Lock()
	s.silence += step
	var err error
	if s.active && !s.closed && s.silence > timeout {
		s.active = false
		err = s.tell(fsm.SetActive(0, false))
	}
	s.mu.Unlock()
	if err != nil {
		s.evict()
	}
}

// Close ends the session because its nsqd has ended the connection: it is unlisted at once, if this
// replica is healthy, and detached otherwise. It does not block.
func (s *Session) Close() { s.end(s.sessions.endOf()) }

// Detach ends the session's connection without its nsqd's word: the session becomes an orphan, until the
// nsqd is back or the grace is over. It does not block.
func (s *Session) Detach() { s.end(fsm.KindDetach) }

func (s *Session) end(how fsm.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.sessions.remove(s.number)
	_ = s.tell(fsm.Change{Kind: how}) // fails only when the replica is closing
}

// registered is the number that the registry knows the session by.
func (s *Session) registered() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number
}

func (s *Session) pinged() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastPing
}
