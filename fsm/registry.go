package fsm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tidwall/btree"
)

// Registry is the replicated state. One goroutine at a time calls Stage, Publish, Apply and Restore,
// and Watch's notifications follow from them; State, FingerprintAt and Watch may be called by any.
//
// Everything that a State shows is immutable: entries alter copies, and Publish makes them the
// next State. So a reader never waits, never sees half an entry, and a snapshot is just a State.
type Registry struct {
	published atomic.Pointer[State]
	ring      ring
	watch     watch
	changed   changed

	// What follows belongs to the goroutine that applies.
	index     uint64 // of the entry being applied
	shown     uint64 // that of the last one published: what was made since then nobody else has seen
	level     uint64 // of kinds, in force
	serial    uint64 // the last number given to a session or a tombstone
	sum       Fingerprint
	counts    Counts
	topics    *btree.Map[string, *topic]
	producers *btree.BTreeG[*producer]
	sessions  map[SessionKey]*liveSession
	replicas  []replica // sorted by id

	entry   entry    // decoded; its memory is reused
	work    work     // what was done since the last Publish
	outcome *Outcome // of the entry being applied
	hash    hasher
}

// liveSession is a session with the names of its topics, for whoever ends it. The topics
// themselves know who holds them; this is the way back.
type liveSession struct {
	*session
	topics map[string]struct{}
}

// work is what Publish has to know of the entries before it.
type work struct {
	topicsListed uint64   // index of the newest entry with which a topic came or went, 0 for none
	nodesListed  uint64   // likewise, something that /nodes shows changed
	touched      []string // topics made, altered or deleted; once for each entry
}

// New returns an empty registry.
func New() *Registry {
	r := &Registry{}
	r.reset()
	r.ring.add(r.index, r.sum)
	r.published.Store(r.state(nil))
	return r
}

// reset makes the applying side empty.
func (r *Registry) reset() {
	r.index, r.shown, r.serial, r.level = 0, 0, 0, 0
	r.counts = Counts{}
	r.topics = btree.NewMap[string, *topic](16)
	r.producers = btree.NewBTreeGOptions(func(a, b *producer) bool {
		return a.key.compare(b.key) < 0
	}, btree.Options{NoLocks: true})
	r.sessions = make(map[SessionKey]*liveSession)
	r.replicas = nil
	r.work = work{}
	r.sum = r.hash.serial(0)
}

// State is the registry as the last published entry left it.
func (r *Registry) State() *State { return r.published.Load() }

// Outcome is what became of an entry.
type Outcome struct {
	Replica     string // whose journal it came from, "" for the leader's decisions
	Incarnation uint64
	// Err says why the entry was refused as a whole: ErrNotOpen, a GapError, an IncarnationError
	// or a malformed entry.
	Err error
	// First and Last are the numbers of the changes that were new; Last < First when none was.
	First, Last uint64
	// Results has an error for each new change, or is nil when all of them went well.
	Results []error
	Events  []Event
}

// Result is what became of the change with that number, which lies between First and Last.
func (o *Outcome) Result(number uint64) error {
	if o.Results == nil {
		return nil
	}
	return o.Results[number-o.First]
}

// The results of changes.
var (
	ErrChannelNotFound = errors.New("channel not found")
	ErrSessionUnknown  = errors.New("session unknown")
	// ErrHeld means that Prune left a topic or a channel: a session has a registration of it.
	ErrHeld = errors.New("topic or channel is held by a session")
)

// Apply is Stage and Publish.
func (r *Registry) Apply(index uint64, data []byte) (*Outcome, error) {
	o, err := r.Stage(index, data)
	if err == nil {
		r.Publish()
	}
	return o, err
}

// Stage applies the entry at index, which must be greater than that of any before. What it has done is
// seen with the next Publish. An error means that this replica must stop, and that nothing was
// applied: the entry is corrupt here, or of a newer version.
func (r *Registry) Stage(index uint64, data []byte) (*Outcome, error) {
	err := r.entry.decode(data)
	if errors.Is(err, ErrTooNew) || errors.Is(err, ErrCorrupt) {
		return nil, err
	}
	r.index = index
	r.outcome = &Outcome{First: 1}
	serial, touched := r.serial, len(r.work.touched)
	switch {
	case err != nil:
		r.outcome.Err = err
	case r.entry.level > r.level:
		r.outcome.Err = fmt.Errorf("%w: kinds of level %d, in force is %d", errMalformed, r.entry.level, r.level)
	case r.entry.decision:
		r.applyDecisions(r.entry.changes)
	default:
		r.applyBatch(r.entry.header, r.entry.changes)
	}
	if r.serial != serial {
		r.sum = r.sum.minus(r.hash.serial(serial)).plus(r.hash.serial(r.serial))
	}
	clear(r.entry.changes) // they share the memory of the whole entry
	r.ring.add(r.index, r.sum)
	r.changed.add(r.index, r.work.touched[touched:])
	return r.outcome, nil
}

// Publish makes visible what was staged, all at once. To publish several entries together is cheaper
// than each by itself: what they share is copied once.
func (r *Registry) Publish() {
	s := r.state(r.published.Load())
	r.published.Store(s)
	r.shown = s.index
	r.watch.notify(&r.work)
	clear(r.work.touched)
	r.work = work{touched: r.work.touched[:0]}
}

func (r *Registry) applyDecisions(changes []Change) {
	for len(changes) > 0 {
		if groups := expired(changes); len(groups) > 0 {
			r.expireOrphans(groups)
			changes = changes[len(groups):]
			continue
		}
		r.applyDecision(&changes[0])
		changes = changes[1:]
	}
}

// expired returns the groups of the ExpireOrphans that the changes begin with.
func expired(changes []Change) (groups []OrphanGroup) {
	for i := range changes {
		c := &changes[i]
		if c.Kind != KindExpireOrphans {
			break
		}
		groups = append(groups, OrphanGroup{Replica: c.Replica, Incarnation: c.Incarnation, Since: c.ID})
	}
	return groups
}

func (r *Registry) applyDecision(c *Change) {
	switch c.Kind {
	case KindClearTombstone:
		r.clearTombstone(c.Topic, c.Producer, c.ID)
	case KindLoseReplica:
		r.loseReplica(c.Replica, c.Incarnation)
	case KindExpireReplica:
		r.expireReplica(c.Replica, c.Incarnation)
	case KindRaiseLevel:
		r.raiseLevel(c.ID)
	case KindCheckpoint:
		r.checkpoint(c.ID, c.Fingerprint)
	}
}

// applyChange applies one change of a replica's journal.
func (r *Registry) applyChange(rep *replica, number uint64, c *Change) error {
	switch c.Kind {
	case KindOpenSession:
		r.openSession(SessionKey{rep.id, rep.incarnation, number}, c.Info)
	case KindRegister, KindUnregister, KindSetActive, KindSettle, KindCloseSession, KindDetach:
		s := r.sessions[SessionKey{rep.id, rep.incarnation, c.Session}]
		if s == nil || s.detached && c.Kind != KindDetach {
			return ErrSessionUnknown
		}
		r.applySession(s, c)
	case KindCreateTopic:
		r.createTopic(c.Topic)
	case KindDeleteTopic:
		r.deleteTopics(c.Topic)
	case KindCreateChannel:
		r.addChannel(r.createTopic(c.Topic), c.Channel)
	case KindDeleteChannel:
		return r.deleteChannel(c.Topic, c.Channel)
	case KindTombstone:
		r.entomb(c.Topic, c.Name)
	case KindPrune:
		return r.prune(c.Topic, c.Channel)
	}
	return nil
}

func (r *Registry) applySession(s *liveSession, c *Change) {
	switch c.Kind {
	case KindRegister:
		r.register(s, c.Topic, c.Channel)
	case KindUnregister:
		r.unregister(s, c.Topic, c.Channel)
	case KindSetActive:
		r.setActive(s, c.Active)
	case KindSettle:
		r.settle(s)
	case KindCloseSession:
		r.closeSession(s)
	case KindDetach:
		r.detach(s)
	}
}

func (r *Registry) add(f Fingerprint)    { r.sum = r.sum.plus(f) }
func (r *Registry) remove(f Fingerprint) { r.sum = r.sum.minus(f) }

// nextSerial numbers sessions and tombstones in the order in which the registry saw them.
func (r *Registry) nextSerial() uint64 {
	r.serial++
	return r.serial
}

func (r *Registry) findReplica(id string) (int, bool) {
	return slices.BinarySearchFunc(r.replicas, id, func(r replica, id string) int {
		return strings.Compare(r.id, id)
	})
}
