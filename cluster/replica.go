package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/consistency"
	"github.com/raftlookupd/raftlookupd/internal/logging"
)

// Replica is one replica's part in the cluster: it keeps the log, brings its clients' changes into
// it, and holds the registry that comes of it.
type Replica struct {
	cfg Config
	log *slog.Logger
	network
	state

	data        *dataPath
	lineage     lineage // of this start
	atStart     uint64  // the last index that was on disk when this life began
	stores      *stores
	raft        *raft.Raft
	journal     *journal
	sessions    *sessions
	leadership  leadership
	transfers   *transferWatch
	fresh       freshness
	isolated    atomic.Bool
	divergences atomic.Int64 // how often, since the start
	diverges    atomic.Bool  // the registry is not the leader's
	belonging
	lifecycle
}

// belonging is this replica's part in being or not being of a cluster.
type belonging struct {
	apart         atomic.Bool            // it leaves or has left the cluster: nobody is to take it in
	waitsFor      atomic.Pointer[string] // why it is not part of a cluster
	reconfiguring sync.Mutex             // held while the configuration is changed from here
	leaving       sync.Map               // ids that this replica, as leader, took out because they leave
}

// lifecycle is what closing a replica needs.
type lifecycle struct {
	stop     context.CancelFunc
	tasks    *errgroup.Group
	failure  chan error // has the first error that this replica cannot live with
	failOnce sync.Once
	failing  atomic.Bool
	again    chan struct{} // closed when it is to be opened again
	anew     sync.Once
	close    sync.Once
	closeErr error
}

// network is how a replica reaches the others.
type network struct {
	port    *port
	members *members
	book    *book
	// bookWriting is held while the book is written to disk.
	bookWriting sync.Mutex
	gossip      *gossip
	caller      caller
	answers     *callServer
	router      *router
	sender      *sender
	poker       *poker
	transport   *transport
}

// state is what comes of the log.
type state struct {
	registry   *fsm.Registry
	machine    *machine
	tombstones *tombstones
	found      found
	restoring  atomic.Bool // while a RestoreBackup runs
}

// Open starts the replica of cfg.DataPath. It may take seconds: the log and the newest snapshot
// are read whole. Close it when done; it owns cfg.Listener, also after an error. An ErrData says
// what is wrong with the data path.
func Open(cfg Config) (*Replica, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure replica: %w", err)
	}
	data, err := openDataPath(cfg.DataPath, cfg.Name, cfg.NameGiven)
	if err != nil {
		return nil, errors.Join(err, cfg.Listener.Close())
	}
	r := &Replica{cfg: cfg, log: cfg.Logger, data: data}
	r.failure, r.again = make(chan error, 1), make(chan struct{})
	r.apart.Store(cfg.Apart)
	r.waitsFor.Store(new(string))
	r.registry = fsm.New()
	r.port = newPort(cfg.Listener, r, r.log)
	r.port.cut, r.port.older = cfg.cut, cfg.older
	r.port.past = func() bool { return r.registry.State().Level() > 0 }
	r.port.book, err = data.loadBook(data.known().Cluster)
	if err != nil {
		r.log.Warn("cannot read what was known of the other replicas", "file", bookFile, "error", err)
	}
	r.book = r.port.book
	r.port.keep, r.port.met = r.keepNow, r.met
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
	if err := r.closeGap(); err != nil {
		return err
	}
	if last, err := stores.log.LastIndex(); err == nil && last > 0 {
		r.data.is.Forming = false // the crash came after the first entry; nobody else is there yet
	}
	incarnation, err := r.beginLife()
	if err != nil {
		return err
	}
	r.journal = newJournal(r.data.ID, incarnation)
	r.journal.ends.paused, r.journal.ends.closeAge = r.cfg.paused, cmp.Or(r.cfg.closeAge, closeAge)
	r.sessions = newSessions(r.cfg, r.journal, func() fsm.Kind { return endOf(r.endFacts()) })
	r.tombstones = newTombstones()
	r.transfers = newTransferWatch(r.cfg.RaftTimeout, r.fail)
	r.fresh.leader, r.fresh.linearizable = newRounds(r.askIndex(consistency.Leader)), newRounds(r.askIndex(consistency.Linearizable))
	r.machine = &machine{registry: r.registry, applied: r.applied, restored: r.restored, failed: r.fail, begun: r.begun}
	r.fresh.started = time.Now()
	// The journal's first change: everything committed before it is applied here when it is.
	if _, err := r.journal.append(fsm.OpenReplica(r.data.Name), nil); err != nil {
		return err
	}
	r.connect(logger)
	r.port.serve()
	if err := r.announce(); err != nil {
		return err
	}
	if err := r.startRaft(logger); err != nil {
		return err
	}
	r.cfg.Gossip.deaf = r.cfg.deaf
	if r.gossip, err = startGossip(r.cfg.Gossip, r.meta, r.unseenServers, r.members, r.book, r.log); err != nil {
		return err
	}
	if !r.cfg.Apart {
		r.gossip.look(seeds(r.cfg.Gossip.Join)...)
		r.gossip.look(r.data.known().Given...)
		r.gossip.look(r.data.known().Peers...)
	}
	close(r.port.begun)
	r.log.Info("replica started", "name", r.data.Name, "id", r.data.ID, "incarnation", incarnation,
		"data_path", r.data.dir, "cluster_address", r.cfg.Listener.Addr(), "gossip_address", r.gossip.address)
	r.startTasks(logger)
	return nil
}

// connect makes what the cluster port carries. All of it is there before the port serves.
func (r *Replica) connect(logger hclog.Logger) {
	r.members = newMembers()
	r.caller = newCaller(r.port)
	r.answers = newCallServer(r.port, r.calls(), r.log)
	r.transport = newTransport(newStream(r.port, r.data.ID), newQuiet(logger))
	r.transport.holder.open = func(index, term uint64) (io.ReadCloser, error) {
		return openSnapshot(r.stores.snapshots, index, term)
	}
	r.transport.holder.signs, r.transport.holder.log, r.transport.fault = r.book, r.log, r.cfg.fault
	r.router = &router{r: r}
	r.poker = newPoker(r)
	r.port.handle[kindJournal] = func(c net.Conn, from peer) { serveJournal(c, from, r.propose) }
}

func (r *Replica) startTasks(logger hclog.Logger) {
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.tasks, ctx = errgroup.WithContext(ctx)
	r.sender = newSender(r.journal, r.router, r.level, r.fenced)
	pilot := r.newPilot(logger.Named("autopilot"))
	for _, task := range []func(context.Context) error{
		r.sender.send, r.sender.collect, r.form, r.gossip.keepJoining, r.keepBook, r.greetSeen, r.raiseLevels, r.admit, r.replaceDead, r.remember, r.poker.run, r.claimTerms,
		r.fresh.leader.run, r.fresh.linearizable.run, r.keepFresh, r.watchConnections,
		r.sessions.watchSilence, r.watchOrphans, r.watchLeader, r.watchReplicas, r.checkpoints,
		func(ctx context.Context) error { return r.pilotWhileLeading(ctx, pilot) },
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
	r.tasks.Go(func() error {
		_ = r.answers.http.Serve(r.answers)
		return nil
	})
}

// Failed gets the error after which this replica cannot go on: close it.
func (r *Replica) Failed() <-chan error { return r.failure }

func (r *Replica) fail(err error) {
	r.failOnce.Do(func() {
		r.failing.Store(true)
		r.failure <- err
	})
}

// applied is told of each entry that the registry has applied.
func (r *Replica) applied(o *fsm.Outcome) {
	for _, e := range o.Events {
		r.happened(e)
	}
	// Last, for it wakes those who wait for all of the above.
	if o.Err == nil && o.Replica != "" && r.journal.is(o.Replica, o.Incarnation) {
		r.journal.observe(o.Last, o.Result)
	}
	r.poker.poke()
	r.witness()
}

func (r *Replica) happened(e fsm.Event) {
	switch e.Kind {
	case fsm.TombstoneSet, fsm.TombstoneGone:
		r.tombstones.observe(e)
	case fsm.SessionDropped:
		if r.journal.is(e.Session.Replica, e.Session.Incarnation) {
			r.sessions.dropped(e.Session.Number)
		}
	case fsm.ReplicaLost:
		if r.journal.is(e.Replica, e.Incarnation) {
			r.log.Warn("the cluster took this replica for lost: telling it otherwise")
			r.journal.setLost(true)
		}
	case fsm.ReplicaFound:
		if r.journal.is(e.Replica, e.Incarnation) {
			r.journal.setLost(false)
		}
		r.found.note(e.Replica)
	case fsm.Diverged:
		r.diverged(e)
	}
}

// restored is told that a snapshot has replaced the registry.
func (r *Replica) restored() {
	if err := r.stores.follow(); err != nil { // then that is done before the next entry, or at the next start
		r.log.Warn("cannot remove entries that a snapshot has made obsolete", "error", err)
	}
	r.diverges.Store(false) // it is the leader's now
	s := r.registry.State()
	r.tombstones.restore(s)
	if me, ok := s.Replica(r.data.ID); ok && r.journal.is(me.ID, me.Incarnation) {
		r.journal.observe(me.Last, func(uint64) error { return nil })
	}
	r.resume(s)
}

// resume does after a snapshot what the events that it stands for would have done.
func (r *Replica) resume(s *fsm.State) {
	me, ok := s.Replica(r.data.ID)
	if !ok || !r.journal.is(me.ID, me.Incarnation) {
		return
	}
	r.journal.setLost(me.Lost)
	held := s.SessionsOf(me.ID, me.Incarnation)
	for _, mine := range r.sessions.all() {
		if n := mine.registered(); n <= me.Last && !held[n] {
			mine.reopen(n)
		}
	}
}

// fenced begins a new incarnation when the registry knows a greater one than this: the identity in
// the data path is older than the log, as after a restore from a backup.
func (r *Replica) fenced(known *fsm.IncarnationError) error {
	if known.Known <= r.data.known().Incarnation {
		return nil // of a batch that was on its way when this incarnation began
	}
	// It is durable before anything is said in its name.
	next := known.Known + 1
	if err := r.data.update(func(me *identity) { me.Incarnation = next }); err != nil {
		return err
	}
	if !r.journal.reopen(next) {
		return fmt.Errorf("another process runs under this replica's id %s (%w): stop one of the two, "+
			"and never copy a data path to a second replica", r.data.ID, known)
	}
	r.log.Warn("the registry knows a greater incarnation of this replica: taking the next",
		"incarnation", next)
	r.port.wg.Go(r.gossip.tell)
	return nil
}

// OpenSession begins the session of an nsqd. It does not wait for a commit. evict closes the
// connection; it may be called from any goroutine, more than once, and must not block.
func (r *Replica) OpenSession(info fsm.ProducerInfo, evict func()) (*Session, error) {
	if !r.Admits() {
		return nil, ErrIsolated
	}
	return r.sessions.open(info, evict)
}

// Admits reports whether this replica takes nsqds.
func (r *Replica) Admits() bool { return !r.isolated.Load() && !r.apart.Load() }

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
	if r.apart.Load() { // it may start anew before that is applied
		return ErrNoLeader
	}
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
