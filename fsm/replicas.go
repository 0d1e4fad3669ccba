package fsm

import (
	"errors"
	"fmt"
	"slices"
)

// replica is what the registry knows of a replica: who it is, and how far its journal has come.
type replica struct {
	id, name    string
	incarnation uint64
	last        uint64 // number of the last change applied in this incarnation
	lost        bool
}

// ErrNotOpen refuses a batch of an incarnation that has not begun: its change number 1,
// OpenReplica, has to come first.
var ErrNotOpen = errors.New("incarnation has not begun: OpenReplica must come first")

// GapError refuses a batch because changes before it are missing.
type GapError struct{ Expected uint64 } // number of the first change that is missing

func (e *GapError) Error() string {
	return fmt.Sprintf("changes are missing: expected number %d", e.Expected)
}

// IncarnationError refuses a batch of a life that is over.
type IncarnationError struct{ Known uint64 } // the incarnation that the registry knows

func (e *IncarnationError) Error() string {
	return fmt.Sprintf("incarnation is not greater than %d, which is known already", e.Known)
}

// applyBatch applies what is new in a batch: it skips what it has seen, and refuses a batch that
// leaves a gap or comes from an earlier incarnation.
func (r *Registry) applyBatch(h Header, changes []Change) {
	r.outcome.Replica, r.outcome.Incarnation = keep(h.Replica), h.Incarnation
	skip, err := r.admit(h, changes)
	if err != nil {
		r.outcome.Err = err
		return
	}
	i, _ := r.findReplica(h.Replica)
	before := r.replicas[i]
	rep := &r.replicas[i]
	r.outcome.First = h.First + uint64(skip)
	r.outcome.Last = r.outcome.First - 1
	r.hearFrom(rep)
	for n := skip; n < len(changes); n++ {
		number := h.First + uint64(n)
		r.record(number, r.applyChange(rep, number, &changes[n]))
		rep.last = number
	}
	r.remove(r.hash.replica(before))
	r.add(r.hash.replica(*rep))
}

// admit says how many changes of a batch to skip, or why to refuse it. It begins the incarnation
// that the batch opens.
func (r *Registry) admit(h Header, changes []Change) (skip int, err error) {
	for i := range changes {
		if changes[i].Kind == KindOpenReplica && h.First+uint64(i) != 1 {
			return 0, fmt.Errorf("%w: OpenReplica is not the first change", errMalformed)
		}
	}
	i, known := r.findReplica(h.Replica)
	var last uint64
	switch {
	case known && h.Incarnation < r.replicas[i].incarnation:
		return 0, &IncarnationError{Known: r.replicas[i].incarnation}
	case known && h.Incarnation == r.replicas[i].incarnation:
		last = r.replicas[i].last
	case h.First != 1 || len(changes) == 0 || changes[0].Kind != KindOpenReplica:
		return 0, ErrNotOpen
	default:
		r.openReplica(h.Replica, h.Incarnation, changes[0].Name)
	}
	if h.First == 0 || h.First > last+1 {
		return 0, &GapError{Expected: last + 1}
	}
	return int(min(last+1-h.First, uint64(len(changes)))), nil
}

func (r *Registry) record(number uint64, err error) {
	o := r.outcome
	o.Last = number
	if err != nil && o.Results == nil {
		o.Results = make([]error, number-o.First, number-o.First+1)
	}
	if o.Results != nil {
		o.Results = append(o.Results, err)
	}
}

// openReplica begins an incarnation; the sessions of the one before become orphans. From level 1 on
// they are orphans since this entry, even when the replica had been lost: an nsqd that knows no other
// replica can come back only now. Detached sessions stay as they are. At level 0 nothing knows since when.
func (r *Registry) openReplica(id string, incarnation uint64, name string) {
	i, known := r.findReplica(id)
	if known {
		r.remove(r.hash.replica(r.replicas[i]))
	} else {
		r.replicas = slices.Insert(r.replicas, i, replica{id: keep(id)})
	}
	rep := &r.replicas[i]
	before := rep.incarnation
	rep.name, rep.incarnation, rep.last, rep.lost = keep(name), incarnation, 0, false
	r.add(r.hash.replica(*rep))
	r.orphan(r.sessionsOf(id, func(s *liveSession) bool {
		return !s.orphan || !s.detached && s.key.Incarnation == before
	}))
	r.event(Event{Kind: ReplicaOpened, Replica: rep.id, Incarnation: incarnation})
}

// orphan makes orphans of the sessions, and drops those for whom somebody better speaks.
func (r *Registry) orphan(sessions []*liveSession) {
	for _, s := range sessions {
		r.makeOrphan(s, false)
	}
	for _, s := range sessions {
		r.supersede(s.producer)
	}
}

// hearFrom takes a replica that was lost for found: its remaining sessions are live again, but for
// those whose connection has ended.
func (r *Registry) hearFrom(rep *replica) {
	if !rep.lost {
		return
	}
	rep.lost = false
	back := r.sessionsOf(rep.id, func(s *liveSession) bool {
		return s.orphan && !s.detached && s.key.Incarnation == rep.incarnation
	})
	for _, s := range back {
		r.revive(s)
	}
	for _, s := range back {
		r.supersede(s.producer)
	}
	r.event(Event{Kind: ReplicaFound, Replica: rep.id, Incarnation: rep.incarnation})
}

func (r *Registry) loseReplica(id string, incarnation uint64) {
	i, known := r.findReplica(id)
	if !known || r.replicas[i].incarnation != incarnation || r.replicas[i].lost {
		return
	}
	rep := &r.replicas[i]
	r.remove(r.hash.replica(*rep))
	rep.lost = true
	r.add(r.hash.replica(*rep))
	r.orphan(r.sessionsOf(id, func(s *liveSession) bool { return !s.orphan }))
	r.event(Event{Kind: ReplicaLost, Replica: rep.id, Incarnation: incarnation})
}

func (r *Registry) expireReplica(id string, incarnation uint64) {
	for _, s := range r.sessionsOf(id, func(s *liveSession) bool {
		return s.orphan && s.key.Incarnation <= incarnation
	}) {
		r.dropSession(s)
	}
}

// expireOrphans drops the orphans of the groups, oldest first. Those that were live since, or orphans anew,
// have another index by now. All groups are looked for at once, because there may be as many as sessions.
func (r *Registry) expireOrphans(groups []OrphanGroup) {
	due := make(map[OrphanGroup]bool, len(groups))
	for _, g := range groups {
		due[g] = true
	}
	for _, s := range r.sessionsThat(func(s *liveSession) bool { return s.orphan && due[s.group()] }) {
		r.dropSession(s)
	}
}

// raiseLevel puts a level in force, which never falls.
func (r *Registry) raiseLevel(level uint64) {
	if level <= r.level {
		return
	}
	r.remove(r.hash.level(r.level))
	r.level = level
	r.add(r.hash.level(r.level))
	r.event(Event{Kind: LevelRaised, ID: level})
}

// checkpoint compares the registry with what the leader had at an index.
func (r *Registry) checkpoint(index uint64, want Fingerprint) {
	have, err := r.ring.at(index)
	if err == nil && have != want {
		r.event(Event{Kind: Diverged, ID: index, Have: have, Want: want})
	}
}
