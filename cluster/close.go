package cluster

import (
	"context"
	"errors"
)

// Close stops the replica: it brings the changes into the log that clients were told OK for, as
// far as that is possible in a few seconds, and releases everything. Its sessions stay in the
// registry; they become orphans when the replica comes back. It may be called more than once.
func (r *Replica) Close() error {
	r.close.Do(func() { r.closeErr = r.shutdown() })
	return r.closeErr
}

func (r *Replica) shutdown() error {
	r.journal.close()
	ctx, cancel := context.WithTimeout(context.Background(), readWait)
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
