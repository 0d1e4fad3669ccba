package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/logging"
)

// Replica is one replica's part in the cluster: it keeps the log, brings its clients' changes into
// it, and holds the registry that comes of it.
type Replica struct {
	cfg        Config
	log        *slog.Logger
	data       *dataPath
	stores     *stores
	raft       *raft.Raft
	transport  raft.Transport
	registry   *fsm.Registry
	machine    *machine
	journal    *journal
	sessions   *sessions
	tombstones *tombstones
	leadership leadership
	isolated   atomic.Bool

	stop     context.CancelFunc
	tasks    *errgroup.Group
	failure  chan error // has the first error that this replica cannot live with
	failOnce sync.Once
	close    sync.Once
	closeErr error
}

// Open starts the replica of cfg.DataPath. It may take seconds: the log and the newest snapshot
// are read whole. Close it when done. An ErrData says what is wrong with the data path.
func Open(cfg Config) (*Replica, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure replica: %w", err)
	}
	data, err := openDataPath(cfg.DataPath, cfg.Name, cfg.NameGiven)
	if err != nil {
		return nil, err
	}
	r := &Replica{cfg: cfg, log: cfg.Logger, data: data, registry: fsm.New(), failure: make(chan error, 1)}
	if err := r.start(); err != nil {
		return nil, errors.Join(err, r.release())
	}
	return r, nil
}

func (r *Replica) start() error {
	logger := logging.HCLog(r.log, "raft")
	stores, err := openStores(r.data, logger)
	if err != nil {
		return err
	}
	r.stores = stores
	if r.cfg.wrapLog != nil {
		stores.log = r.cfg.wrapLog(stores.log)
	}
	if err := errors.Join(r.data.removeLeftovers(), r.data.begin(r.data.next())); err != nil {
		return err
	}
	r.journal = newJournal(r.data.ID, r.data.Incarnation)
	r.sessions = newSessions(r.cfg, r.journal)
	r.tombstones = newTombstones()
	r.machine = &machine{registry: r.registry, applied: r.applied, restored: r.restored, failed: r.fail}
	// The journal's first change: everything committed before it is applied here when it is.
	if _, err := r.journal.append(fsm.OpenReplica(r.data.Name), nil); err != nil {
		return err
	}
	if err := r.startRaft(logger); err != nil {
		return err
	}
	r.log.Info("replica started", "name", r.data.Name, "id", r.data.ID, "incarnation", r.data.Incarnation,
		"data_path", r.data.dir)
	r.startTasks()
	return nil
}

func (r *Replica) startTasks() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.tasks, ctx = errgroup.WithContext(ctx)
	s := newSender(r.journal, r, r.fenced)
	for _, task := range []func(context.Context) error{
		s.send, s.collect, r.sessions.watchSilence, r.watchOrphans, r.watchLeader,
		func(ctx context.Context) error {
			return r.tombstones.watch(ctx, r.cfg.TombstoneLifetime, r.leads, r.decide)
		},
	} {
		r.tasks.Go(func() error {
			err := task(ctx)
			if err != nil {
				r.fail(err)
			}
			return err
		})
	}
}

// Failed gets the error after which this replica cannot go on: close it.
func (r *Replica) Failed() <-chan error { return r.failure }

func (r *Replica) fail(err error) {
	r.failOnce.Do(func() { r.failure <- err })
}

// applied is told of each entry that the registry has applied.
func (r *Replica) applied(o *fsm.Outcome) {
	for _, e := range o.Events {
		r.tombstones.observe(e)
	}
	// Last, for it wakes those who wait for all of the above.
	if o.Err == nil && o.Replica != "" && r.journal.is(o.Replica, o.Incarnation) {
		r.journal.observe(o.Last, o.Result)
	}
}

// restored is told that a snapshot has replaced the registry.
func (r *Replica) restored() {
	s := r.registry.State()
	r.tombstones.restore(s)
	if me, ok := s.Replica(r.data.ID); ok && r.journal.is(me.ID, me.Incarnation) {
		r.journal.observe(me.Last, func(uint64) error { return nil })
	}
}

// fenced begins a new incarnation when the registry knows a greater one than this: the identity in
// the data path is older than the log, as after a restore from a backup.
func (r *Replica) fenced(known *fsm.IncarnationError) error {
	if known.Known <= r.data.Incarnation {
		return nil // of a batch that was on its way when this incarnation began
	}
	if err := r.data.begin(known.Known + 1); err != nil {
		return err
	}
	if !r.journal.reopen(r.data.Incarnation) {
		return fmt.Errorf("another process runs under this replica's id %s (%w): stop one of the two, "+
			"and never copy a data path to a second replica", r.data.ID, known)
	}
	r.log.Warn("the registry knows a greater incarnation of this replica: taking the next",
		"incarnation", r.data.Incarnation)
	return nil
}

// OpenSession begins the session of an nsqd. It does not wait for a commit. evict closes the
// connection; it may be called from any goroutine, more than once, and must not block.
func (r *Replica) OpenSession(info fsm.ProducerInfo, evict func()) (*Session, error) {
	if r.isolated.Load() {
		return nil, ErrIsolated
	}
	return r.sessions.open(info, evict)
}

// Admits reports whether this replica takes nsqds.
func (r *Replica) Admits() bool { return !r.isolated.Load() }

// Read waits, 250 ms at most, for what this replica's clients have been told OK for, and returns
// the newest state. ErrNotReady until the replica has caught up.
func (r *Replica) Read(ctx context.Context) (*fsm.State, error) {
	if r.journal.applied.Load() == 0 {
		return nil, ErrNotReady
	}
	if acked := r.journal.acked.Load(); acked > r.journal.applied.Load() {
		ctx, cancel := context.WithTimeout(ctx, readWait)
		defer cancel()
		_ = r.journal.wait(ctx, acked) // late: then the answer is as fresh as it can be
	}
	return r.registry.State(), nil
}

// result hands a change's result to whoever waits for it.
type result chan error

func (c result) complete(_ uint64, err error) { c <- err }

// Change proposes a change and waits until it is committed and applied here. The error is the
// change's own (of package fsm), or an Error, after which the change may still be committed.
func (r *Replica) Change(ctx context.Context, c fsm.Change) error {
	ctx, cancel := context.WithTimeout(ctx, changeWait)
	defer cancel()
	done := make(result, 1)
	number, err := r.journal.append(c, done)
	if err != nil {
		return err
	}
	select {
	case err := <-done:
		r.journal.ack(number)
		return err
	case <-ctx.Done():
		if leader, _ := r.raft.LeaderWithID(); leader == "" {
			return ErrNoLeader
		}
		return ErrNotCommitted
	}
}

// LastUpdate is when the session last sent a PING, in nanoseconds since 1970; 0 when it is none of
// this replica's connections.
func (r *Replica) LastUpdate(k fsm.SessionKey) int64 {
	if k.Replica != r.data.ID {
		return 0
	}
	if s := r.sessions.get(k.Number); s != nil && r.journal.is(k.Replica, k.Incarnation) {
		return s.pinged().UnixNano()
	}
	return 0
}

// TombstonedAt is when this replica saw the tombstone of that id, the zero time for none.
func (r *Replica) TombstonedAt(id uint64) time.Time { return r.tombstones.seen(id) }

// ID, Name and Incarnation say who this replica is.
func (r *Replica) ID() string { return r.data.ID }

// Name is what people call this replica.
func (r *Replica) Name() string { return r.data.Name }
