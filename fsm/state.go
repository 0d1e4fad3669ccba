package fsm

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/tidwall/btree"
)

// State is the registry after one log entry. It never changes: any goroutine may read it, without
// a lock and for as long as it likes. Get one from Registry.State.
type State struct {
	index       uint64
	serial      uint64
	level       uint64
	fingerprint Fingerprint
	counts      Counts
	topics      *btree.Map[string, *topic]
	producers   *btree.BTreeG[*producer]
	replicas    []replica
	allTopics   *listing
	allNodes    *listing
	changed     *changed // the registry's: it remembers less and less of what led to this state
}

// listing is an answer that covers the whole registry: shared by the states in which it is the
// same, and rendered when first asked for.
type listing struct {
	modified uint64 // index of the entry since which it is as it is
	body     atomic.Pointer[[]byte]
}

// Counts says how much there is of what.
type Counts struct {
	Topics     int
	Channels   int
	Producers  int
	Sessions   int // without orphans
	Orphans    int
	Tombstones int
}

// state makes the state that the applying side is in; before is the last one published.
func (r *Registry) state(before *State) *State {
	s := &State{
		index:       r.index,
		serial:      r.serial,
		level:       r.level,
		fingerprint: r.sum,
		counts:      r.counts,
		replicas:    slices.Clone(r.replicas),
		changed:     &r.changed,
	}
	s.counts.Producers = r.producers.Len()
	if len(r.work.touched) > 0 || before == nil {
		s.topics = r.topics.Copy()
	} else {
		s.topics = before.topics
	}
	if r.work.topicsListed > 0 || before == nil {
		s.allTopics = &listing{modified: r.work.topicsListed}
	} else {
		s.allTopics = before.allTopics
	}
	if r.work.nodesListed > 0 || before == nil {
		s.producers = r.producers.Copy()
		s.allNodes = &listing{modified: r.work.nodesListed}
	} else {
		s.producers, s.allNodes = before.producers, before.allNodes
	}
	return s
}

// Index is the index of the log entry that made this state.
func (s *State) Index() uint64 { return s.index }

// Modified is the index of the entry since which a thing is as it is. Of a topic that does not exist
// it is that of the newest entry which changed what topics there are.
func (s *State) Modified(thing Thing) uint64 {
	switch {
	case thing.Nodes:
		return s.allNodes.modified
	case thing.Topics:
		return s.allTopics.modified
	case thing.All || thing.Topic == AllTopics:
		return s.index
	}
	if t, ok := s.topics.Get(thing.Topic); ok {
		return t.modified
	}
	return s.allTopics.modified
}

// Fingerprint is that of the whole content.
func (s *State) Fingerprint() Fingerprint { return s.fingerprint }

// Level returns the level of kinds in force. Entries with a kind of a higher level are refused.
func (s *State) Level() uint64 { return s.level }

// Counts says how much there is of what.
func (s *State) Counts() Counts { return s.counts }

func (s *State) producer(k ProducerKey) *producer {
	p, _ := s.producers.Get(&producer{key: k})
	return p
}

// Replica is what the registry knows of a replica.
type Replica struct {
	ID, Name    string
	Incarnation uint64
	Last        uint64 // number of the last change of its journal that was applied
	Lost        bool
}

// Replica returns what is known of the replica of that id.
func (s *State) Replica(id string) (Replica, bool) {
	for _, r := range s.replicas {
		if r.id == id {
			return Replica{r.id, r.name, r.incarnation, r.last, r.lost}, true
		}
	}
	return Replica{}, false
}

// Replicas returns every replica that the registry has ever known, by id.
func (s *State) Replicas() []Replica {
	all := make([]Replica, 0, len(s.replicas))
	for _, r := range s.replicas {
		all = append(all, Replica{r.id, r.name, r.incarnation, r.last, r.lost})
	}
	return all
}

// SessionsOf returns the numbers of the sessions that the replica's incarnation has and may still
// change: not those that it has detached.
func (s *State) SessionsOf(id string, incarnation uint64) map[uint64]bool {
	numbers := make(map[uint64]bool)
	s.producers.Scan(func(p *producer) bool {
		for _, o := range p.sessions {
			if o.key.Replica == id && o.key.Incarnation == incarnation && !o.detached {
				numbers[o.key.Number] = true
			}
		}
		return true
	})
	return numbers
}

// OrphanGroup is the orphans that one entry made of one incarnation of a replica.
type OrphanGroup struct {
	Replica     string // its id
	Incarnation uint64
	Since       uint64 // index of the entry that made them orphans; 0 for those of level 0
}

func (g OrphanGroup) compare(o OrphanGroup) int {
	return cmp.Or(cmp.Compare(g.Replica, o.Replica), cmp.Compare(g.Incarnation, o.Incarnation),
		cmp.Compare(g.Since, o.Since))
}

// group returns the group of the orphan.
func (s *session) group() OrphanGroup {
	return OrphanGroup{Replica: s.key.Replica, Incarnation: s.key.Incarnation, Since: s.since}
}

// Orphans returns the groups of orphans there are, sorted by replica, incarnation and index.
func (s *State) Orphans() []OrphanGroup {
	if s.counts.Orphans == 0 {
		return nil
	}
	left := s.counts.Orphans
	known := make(map[OrphanGroup]bool)
	s.producers.Scan(func(p *producer) bool {
		for _, o := range p.sessions {
			if o.orphan {
				known[o.group()] = true
				left--
			}
		}
		return left > 0
	})
	return slices.SortedFunc(maps.Keys(known), OrphanGroup.compare)
}

// Tombstones calls yield with a TombstoneSet event for each tombstone.
func (s *State) Tombstones(yield func(Event) bool) {
	if s.counts.Tombstones == 0 {
		return
	}
	s.topics.Scan(func(name string, t *topic) bool {
		for _, stone := range t.tombstones {
			if !yield(Event{Kind: TombstoneSet, ID: stone.id, Topic: name, Producer: stone.producer}) {
				return false
			}
		}
		return true
	})
}

// Contents calls yield for every topic, by name, with the names of its channels, sorted, and whether
// the topic exists itself: channels may outlive their ephemeral topic.
func (s *State) Contents(yield func(topic string, exists bool, channels []string) bool) {
	s.topics.Scan(func(name string, t *topic) bool {
		channels := make([]string, 0, len(t.channels))
		for _, c := range t.channels {
			channels = append(channels, c.name)
		}
		return yield(name, t.registered, channels)
	})
}

// Held is one row of /debug: a session that holds a registration.
type Held struct {
	Category       string // client, topic or channel
	Topic, Channel string // "" where the category has none
	Session        SessionKey
	Info           ProducerInfo
	Tombstone      uint64 // id of the tombstone on (topic, producer), 0 for none; topic rows only
}

// Held calls yield for every session and registration: the sessions, then topic by topic its
// sessions and those of its channels, each sorted.
func (s *State) Held(yield func(Held) bool) {
	more := true
	s.producers.Scan(func(p *producer) bool {
		for _, o := range p.sessions {
			more = more && yield(Held{Category: "client", Session: o.key, Info: o.info})
		}
		return more
	})
	if !more {
		return
	}
	s.topics.Scan(func(_ string, t *topic) bool { return t.held(yield) })
}

func (t *topic) held(yield func(Held) bool) bool {
	for _, h := range t.holders {
		row := Held{Category: "topic", Topic: t.name, Session: h.session.key, Info: h.session.info,
			Tombstone: t.tombstone(h.session.producer)}
		if !yield(row) {
			return false
		}
	}
	for _, c := range t.channels {
		for _, h := range t.holders {
			row := Held{Category: "channel", Topic: t.name, Channel: c.name,
				Session: h.session.key, Info: h.session.info}
			if h.has(c.name) && !yield(row) {
				return false
			}
		}
	}
	return true
}
