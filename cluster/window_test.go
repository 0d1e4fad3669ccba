package cluster

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// With no window OK means that the change is committed and applied: no read has to wait.
func TestWindowOfNone(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.RegisterWindow = 0
	g := gated(t, &cfg)
	defer g.open()
	r := openReady(t, cfg)
	g.slow(2 * time.Millisecond)
	s := session(t, r, 1)
	for i := range 30 {
		topic := fmt.Sprintf("topic-%d", i)
		register(t, s, topic, "channel")
		if !lists(r.registry.State(), topic, 1) {
			t.Fatalf("%s: OK came before the commit", topic)
		}
		if pending, err := s.Unregister(topic, ""); pending || err != nil {
			t.Fatal(pending, err)
		}
		if lists(r.registry.State(), topic, 1) {
			t.Fatalf("%s: OK came before the commit", topic)
		}
	}
}

// With a window of N, N changes are answered while nothing is committed, and the next is not.
func TestWindowOfSome(t *testing.T) {
	const window = 5
	cfg := testConfig(t.TempDir())
	cfg.RegisterWindow = window
	g := gated(t, &cfg)
	defer g.open()
	r := openReady(t, cfg)
	s, other := session(t, r, 1), session(t, r, 2)
	settle(t, r)
	g.hang(0)
	for i := range window {
		register(t, s, fmt.Sprintf("topic-%d", i), "")
	}
	over := make(chan error)
	go func() {
		pending, err := s.Register("over", "")
		if pending {
			err = errors.New("pending")
		}
		over <- err
	}()
	select {
	case err := <-over:
		t.Fatalf("answered beyond the window: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	register(t, other, "other", "") // the window is each session's own
	g.open()
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	if !lists(read(t, r), "over", 1) {
		t.Error("registered, but not listed")
	}
	eventually.True(t, soon, "nothing counts as pending", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pending != 0 {
			return fmt.Errorf("%d changes do", s.pending)
		}
		return nil
	})
}

// What takes longer than the commit timeout is pending: the client was not told OK, so no read
// waits for it, but it is queued and arrives.
func TestPending(t *testing.T) {
	for _, window := range []int{0, 3} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			cfg.RegisterWindow = window
			cfg.CommitTimeout = 30 * time.Millisecond
			g := gated(t, &cfg)
			defer g.open()
			r := openReady(t, cfg)
			s := session(t, r, 1)
			settle(t, r)
			g.hang(0)
			for i := range window {
				register(t, s, fmt.Sprintf("early-%d", i), "")
			}
			acked := r.journal.acked.Load()
			for i := range 3 {
				if pending, err := s.Register(fmt.Sprintf("late-%d", i), ""); !pending || err != nil {
					t.Fatalf("pending %v, error %v", pending, err)
				}
			}
			if pending, err := s.Unregister("late-1", ""); !pending || err != nil {
				t.Fatalf("pending %v, error %v", pending, err)
			}
			if now := r.journal.acked.Load(); now != acked {
				t.Errorf("change %d counts as acknowledged, want %d: a read would wait for it", now, acked)
			}
			g.open()
			eventually.True(t, soon, "what was pending", func() error {
				now := read(t, r)
				if !lists(now, "late-0", 1) || lists(now, "late-1", 1) || !lists(now, "late-2", 1) {
					return errors.New("not there")
				}
				return nil
			})
			cfg.CommitTimeout = soon
			eventually.True(t, soon, "OK again", func() error {
				if pending, err := s.Register("again", ""); pending || err != nil {
					return fmt.Errorf("pending %v, error %v", pending, err)
				}
				return nil
			})
		})
	}
}

// Text of a length that the log does not take must not block the changes of all others.
func TestOversizedChangeIsRefused(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	info := nsqd(1)
	info.Hostname = string(make([]byte, maxChangeBytes+1))
	if _, err := r.OpenSession(info, func() {}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v, want ErrTooLarge", err)
	}
	info.Hostname = string(make([]byte, maxChangeBytes-1024))
	if _, err := r.OpenSession(info, func() {}); err != nil {
		t.Error(err)
	}
	register(t, session(t, r, 2), "topic", "")
	settle(t, r)
	if !lists(read(t, r), "topic", 2) {
		t.Error("the next change does not arrive")
	}
}
