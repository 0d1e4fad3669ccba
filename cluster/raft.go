package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
)

const (
	maxAppendEntries  = 256
	snapshotInterval  = 5 * time.Second
	snapshotThreshold = 8192
	// trailingLogs is how many entries stay behind a snapshot, so that a replica that was away for
	// a while gets entries and no snapshot.
	trailingLogs = 20480
	// commitTimeout is when followers hear of a commit at the latest; poker tells them at once.
	commitTimeout = 200 * time.Millisecond
	// enqueueWait bounds the wait for Raft's main loop to take an entry.
	enqueueWait = time.Second
)

func (r *Replica) raftConfig(logger hclog.Logger) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(r.data.ID)
	c.HeartbeatTimeout = r.cfg.RaftTimeout
	c.ElectionTimeout = r.cfg.RaftTimeout
	c.LeaderLeaseTimeout = r.cfg.RaftTimeout
	c.CommitTimeout = commitTimeout
	c.MaxAppendEntries = maxAppendEntries
	c.SnapshotInterval = snapshotInterval
	c.SnapshotThreshold = snapshotThreshold
	c.TrailingLogs = trailingLogs
	c.NoLegacyTelemetry = true
	c.Logger = newQuiet(logger)
	if r.cfg.raft != nil {
		r.cfg.raft(c)
	}
	return c
}

// startRaft starts Raft, which restores the newest snapshot.
func (r *Replica) startRaft(logger hclog.Logger) (err error) {
	cfg := r.raftConfig(logger)
	below := r.stores.log
	if r.cfg.wrapLog != nil {
		below = r.cfg.wrapLog(below)
	}
	disk := &diskWatch{dir: r.data.dir, failed: r.fail, limit: writeLimit}
	r.transport.disk, r.transport.incoming.dir = disk, r.data.dir
	log, stable := r.cfg.watched(&watchedLog{LogStore: below, diskWatch: disk}), &watchedStable{r.stores.stable, disk}
	r.stores.written = log
	defer func() {
		if p := recover(); p != nil { // the library's way to say that an entry cannot be read; all were read just now
			err = dataError(r.data.dir, "cannot be read (%v): %s", p, checkDisk)
		}
	}()
	r.raft, err = raft.NewRaft(cfg, r.machine, &truncationWatch{LogStore: log, dir: r.data.dir, failed: r.fail}, stable, r.stores.snapshots, r.transport)
	if err != nil {
		_ = r.transport.Close() // the library leaves it open
	} else {
		r.transport.holdFor(r.raft)
	}
	switch {
	case errors.Is(r.machine.err, fsm.ErrTooNew):
		return dataError(r.data.dir, "%w", r.machine.err)
	case r.machine.err != nil:
		return r.data.damaged("the newest snapshot", r.machine.err)
	case err != nil:
		return dataError(r.data.dir, "cannot start Raft: %w", err)
	}
	return nil
}

// leads reports whether this replica is the leader, as far as it knows.
func (r *Replica) leads() bool { return r.raft.State() == raft.Leader }

// level returns the level of log kinds that is in force, as far as this replica has applied the log.
func (r *Replica) level() levelAt {
	at := r.FreshAsOf() // first: the level may only be newer
	return levelAt{r.registry.State().Level(), at}
}

// propose implements proposer.
func (r *Replica) propose(entry []byte) func(context.Context) error {
	if !r.leads() { // do not wait for a main loop that would refuse it
		r.transfers.observe(raft.ErrNotLeader)
		return func(context.Context) error { return raft.ErrNotLeader }
	}
	if err := r.allowed(entry); err != nil {
		return failed(err)
	}
	return r.apply(entry)
}

// apply hands an entry to Raft, whatever its level.
func (r *Replica) apply(entry []byte) func(context.Context) error {
	future := r.raft.Apply(entry, enqueueWait)
	return func(ctx context.Context) error {
		err := await(ctx, future)
		r.transfers.observe(err)
		return err
	}
}

// await waits for what became of an entry.
func await(ctx context.Context, future raft.ApplyFuture) error {
	if err := awaitFuture(ctx, future); err != nil {
		return err
	}
	if refused, ok := future.Response().(refusal); ok {
		return refused.err
	}
	return nil
}

// awaitFuture waits for a future. Some of the library's never resolve (hashicorp/raft issue 498),
// so that the wait has its own end; the goroutine that is left behind in such a case ends with
// Raft's own, or with the process.
func awaitFuture(ctx context.Context, future raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- future.Error() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// decide brings the leader's decisions into the log, in as many entries as they need; false when
// that failed. Then whoever leads decides again: a decision is made from the registry's state and
// loses nothing by being made twice.
func (r *Replica) decide(changes ...fsm.Change) bool {
	for len(changes) > 0 {
		n := decisionsThatFit(changes)
		ctx, cancel := context.WithTimeout(context.Background(), batchWait)
		err := r.propose(fsm.EncodeDecisions(changes[:n]...))(ctx)
		cancel()
		if err != nil {
			r.log.Warn("a leader's decision was not committed", "changes", len(changes), "error", err)
			return false
		}
		changes = changes[n:]
	}
	return true
}

// decisionsThatFit is how many of the changes go into one entry, at least one.
func decisionsThatFit(changes []fsm.Change) int {
	size := 0
	for i, c := range changes {
		if size += len(fsm.AppendChange(nil, c)); i > 0 && (size > maxBatchBytes || i >= maxBatchChanges) {
			return i
		}
	}
	return len(changes)
}

// closeRaft stops Raft and, once it has stopped, its stores.
func (r *Replica) closeRaft() error {
	if r.raft != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		future := r.raft.Shutdown()
		_ = r.transport.Close()
		r.port.hangUp() // Raft's goroutines may sit in calls to the others
		if err := awaitFuture(ctx, future); err != nil {
			// Closing the store under a living Raft would panic; bbolt bears not being closed.
			return fmt.Errorf("stop Raft: %w", err)
		}
	}
	if r.raft == nil && r.transport != nil {
		_ = r.transport.Close()
	}
	if r.stores != nil {
		return r.stores.bolt.Close()
	}
	return nil
}
