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
	ctx, cancel := context.WithTimeout(context.Background(), flushWait)
	defer cancel()
	if err := r.journal.wait(ctx, r.journal.acked.Load()); err != nil {
		r.log.Warn("stopping with changes that are not committed: their nsqds register again",
			"changes", r.journal.length())
	}
	r.handOver()
	r.stop()
	_ = r.answers.Close()
	_ = r.answers.http.Close()
	return errors.Join(r.tasks.Wait(), r.release())
}

// release gives back what start took, however far it came.
func (r *Replica) release() error {
	var errs []error
	if r.gossip != nil {
		errs = append(errs, r.gossip.close())
	}
	errs = append(errs, r.closeRaft())
	r.port.hangUp()
	r.port.wait()
	if r.caller.http != nil {
		r.caller.close()
	}
	r.data.close()
	return errors.Join(errs...)
}
