package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Close stops the replica: it brings the changes into the log that clients were told OK for, as
// far as that is possible in two seconds, and releases everything. Its sessions stay in the
// registry; they become orphans when the replica comes back. It may be called more than once.
func (r *Replica) Close() error {
	r.close.Do(func() { r.closeErr = within(closeLimit, r.shutdown) })
	return r.closeErr
}

// flushWait is how long closing waits for the changes that clients were told OK for: long enough
// for an election.
const flushWait = 2 * time.Second

// closeLimit bounds closing as a whole: a disk that hangs holds up whoever waits for it.
const closeLimit = 20 * time.Second

// within waits for f, but no longer than that. What is left behind then ends with the process.
func within(limit time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return fmt.Errorf("close replica: not done in %s", limit)
	}
}

func (r *Replica) shutdown() error {
	r.journal.close()
	switch {
	case r.outside(): // its changes cannot become known to it any more
	case r.port.isOver(): // nor those of one that its cluster refuses
	case !r.failing.Load() || !r.leads(): // a leader that fails would only keep the others from electing somebody
		r.flush()
		r.handOver()
	}
	r.stop()
	_ = r.answers.Close()
	_ = r.answers.http.Close()
	// Before anybody is waited for: a leader whose disk hangs stays the leader for as long as its
	// heartbeats go out, and a task may wait for that disk.
	_ = r.transport.Close()
	r.port.hangUp()
	late := within(closeWait, func() error {
		_ = r.tasks.Wait() // what failed was told to Failed
		return nil
	})
	return errors.Join(late, r.release())
}

// flush waits until the changes are applied that clients were told OK for.
func (r *Replica) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), flushWait)
	defer cancel()
	if err := r.journal.wait(ctx, r.journal.acked.Load()); err != nil {
		r.log.Warn("stopping with changes that are not committed: their nsqds register again",
			"changes", r.journal.length())
	}
}

// release gives back what start took, however far it came.
func (r *Replica) release() error {
	var errs []error
	if r.gossip != nil {
		errs = append(errs, r.gossip.close())
	}
	errs = append(errs, r.closeRaft())
	if r.begins() {
		r.keepNow()
	}
	r.port.hangUp()
	r.port.wait()
	if r.caller.http != nil {
		r.caller.close()
	}
	r.data.close()
	return errors.Join(errs...)
}
