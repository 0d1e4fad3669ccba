package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// sickTrio is a trio whose logs a test can spoil, one at a time.
type sickTrio struct {
	*trio
	logs map[int]*faultLog // by number; a restart makes a healthy one
	acks *ledger
}

func newSickTrio(t *testing.T, watch func(*watchedLog)) *sickTrio {
	t.Helper()
	c := &sickTrio{logs: make(map[int]*faultLog), acks: &ledger{t: t}}
	c.trio = newTrio(t, 3, func(i int, cfg *Config) {
		f := &faultLog{}
		c.logs[i] = f
		cfg.wrapLog = func(log raft.LogStore) raft.LogStore {
			f.LogStore = log
			return f
		}
		cfg.watch = watch
	})
	t.Cleanup(func() { // before the replicas are closed
		for _, f := range c.logs {
			f.spoil(nil)
		}
	})
	return c
}

// choose is the number of the leader, or of a follower.
func (c *sickTrio) choose(role string) int {
	c.t.Helper()
	leader := c.leader()
	for i, r := range c.replicas {
		if (r == leader) == (role == "leader") {
			return i
		}
	}
	return 0
}

// others are the replicas that are well.
func (c *sickTrio) others(sick int) []*Replica {
	var all []*Replica
	for i, r := range c.replicas {
		if i != sick {
			all = append(all, r)
		}
	}
	return all
}

// ledger is what clients were told: topics that were created.
type ledger struct {
	t      *testing.T
	mu     sync.Mutex
	topics []string
}

// write creates topics at a replica until the context ends.
func (l *ledger) write(ctx context.Context, r *Replica) {
	for n := 0; ctx.Err() == nil; n++ {
		topic := fmt.Sprintf("%s-%d", r.Name(), n)
		err := r.Change(ctx, fsm.CreateTopic(topic))
		var known *Error
		switch {
		case err == nil:
			l.mu.Lock()
			l.topics = append(l.topics, topic)
			l.mu.Unlock()
		case !errors.As(err, &known):
			l.t.Errorf("%s: %v", topic, err)
		}
		pause(ctx, time.Millisecond)
	}
}

func (l *ledger) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.topics)
}

// check looks for everything that was acknowledged.
func (l *ledger) check(s *fsm.State) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, topic := range l.topics {
		if _, ok := s.Lookup(topic); !ok {
			l.t.Errorf("%s was acknowledged and is missing", topic)
		}
	}
}

// commits waits until the replica commits a change.
func (c *sickTrio) commits(r *Replica) {
	c.t.Helper()
	topic := "at-" + r.Name()
	eventually.True(c.t, 2*soon, r.Name()+" commits", func() error {
		return r.Change(c.t.Context(), fsm.CreateTopic(topic))
	})
	c.acks.mu.Lock()
	defer c.acks.mu.Unlock()
	c.acks.topics = append(c.acks.topics, topic)
}

// ending is what becomes of a replica's log, and what is done besides; nil for nothing.
type ending struct {
	fault func(write func() error) error
	ended func() // when the replica has said that it ends
	heal  func() // when the others are seen to go on
}

func (e ending) complete() ending {
	if e.ended == nil {
		e.ended = func() {}
	}
	if e.heal == nil {
		e.heal = func() {}
	}
	return e
}

// survive spoils one replica's log amid changes at all three. The replica must say so in all these
// words, the others must go on, and when it starts again, with a log that is well, nothing that was
// acknowledged may be missing anywhere.
func (c *sickTrio) survive(sick int, e ending, says ...string) {
	c.t.Helper()
	r := c.replicas[sick]
	register(c.t, session(c.t, r, 1), "acknowledged", "channel")
	settle(c.t, r)
	ctx, stop := context.WithCancel(c.t.Context())
	var storm sync.WaitGroup
	for _, r := range c.replicas {
		storm.Go(func() { c.acks.write(ctx, r) })
	}
	eventually.True(c.t, soon, "changes", func() error {
		if n := c.acks.length(); n < 30 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	e = e.complete()
	c.logs[sick].spoil(e.fault)
	checkFailure(c.t, r, says...)
	e.ended()
	closed := make(chan error, 1)
	go func() { closed <- r.Close() }() // as the daemon does
	for _, o := range c.others(sick) {
		c.commits(o)
	}
	e.heal()
	stop()
	storm.Wait()
	if err := <-closed; err != nil {
		c.t.Error(err)
	}
	c.heal()
	c.replicas[sick] = nil
	c.start(sick)
	c.ready()
	c.agree()
	for _, r := range c.replicas {
		c.acks.check(r.registry.State())
		if !lists(r.registry.State(), "acknowledged", 1) {
			c.t.Errorf("%s: the registration that was there is missing", r.Name())
		}
	}
}

func checkFailure(t testing.TB, r *Replica, says ...string) {
	t.Helper()
	select {
	case err := <-r.Failed():
		for _, part := range says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("says %q, without %q", err, part)
			}
		}
	case <-time.After(2 * soon):
		t.Fatal("the replica does not say that its log is bad")
	}
}

// diskError is what the system says of a call.
func diskError(call string, cause syscall.Errno) error {
	return &fs.PathError{Op: call, Path: logFile, Err: cause}
}

// storageFaults are ways in which each write fails.
var storageFaults = map[string]struct {
	ending
	says string
}{
	"no space": {ending{fault: func(func() error) error { return diskError("write", syscall.ENOSPC) }},
		"no space left on device"},
	"fsync fails, nothing is written": {ending{fault: func(func() error) error { return diskError("fsync", syscall.EIO) }},
		"input/output error"},
	"fsync fails, all is written": {ending{fault: func(write func() error) error {
		return errors.Join(diskError("fsync", syscall.EIO), write())
	}}, "input/output error"},
}

// hashicorp/raft issue 614: a log that keeps failing ends the replica with an error that says what
// to do; the others go on.
func TestReplicaWithAFailingLogEnds(t *testing.T) {
	for name, f := range storageFaults {
		for _, role := range []string{"leader", "follower"} {
			t.Run(role+", "+name, func(t *testing.T) {
				t.Parallel()
				c := newSickTrio(t, nil)
				c.survive(c.choose(role), f.ending, "log store", f.says, "make room or replace the disk, then start again")
			})
		}
	}
}

// unwatched takes the watchdog away: this one sees the log only, and tells nobody.
func unwatched(w *watchedLog) { w.diskWatch = &diskWatch{limit: time.Hour, failed: func(error) {}} }

// Without the watchdog such a replica goes on failing, and nobody is told.
func TestUnwatchedLogFailsInSilence(t *testing.T) {
	for _, role := range []string{"leader", "follower"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			c := newSickTrio(t, unwatched)
			sick := c.choose(role)
			ctx, stop := context.WithCancel(t.Context())
			var storm sync.WaitGroup
			for _, r := range c.others(sick) {
				storm.Go(func() { c.acks.write(ctx, r) })
			}
			c.logs[sick].spoil(storageFaults["no space"].fault)
			c.logs[sick].hit(t, 2*failureLimit)
			if len(c.replicas[sick].Failed()) > 0 {
				t.Errorf("it was told: %v", <-c.replicas[sick].Failed())
			}
			c.logs[sick].spoil(nil)
			stop()
			storm.Wait()
			c.agree()
			c.acks.check(c.replicas[sick].registry.State())
		})
	}
}
