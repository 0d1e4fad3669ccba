package fsm

import (
	"cmp"
	"maps"
	"slices"
)

// What changes do to sessions and producers.

func (r *Registry) producer(k ProducerKey) *producer {
	p, _ := r.producers.Get(&producer{key: k})
	return p
}

func (r *Registry) openSession(key SessionKey, info ProducerInfo) {
	info = info.clone()
	s := &session{
		identity: &identity{
			key:      key,
			serial:   r.nextSerial(),
			producer: info.Producer(),
			info:     info,
			rendered: info.render(),
		},
		active: true,
	}
	r.insert(s)
	if p := r.producer(s.producer); p != nil {
		r.replaceProducer(p, p.with(s))
	} else {
		r.producers.Set(&producer{key: s.producer, sessions: []*session{s}})
	}
}

// insert adds a session to all but the producers.
func (r *Registry) insert(s *session) *liveSession {
	live := &liveSession{session: s, topics: make(map[string]struct{})}
	r.sessions[s.key] = live
	r.count(s, 1)
	r.add(r.hash.session(s))
	r.work.nodesListed = r.index
	return live
}

func (r *Registry) count(s *session, by int) {
	if s.orphan {
		r.counts.Orphans += by
	} else {
		r.counts.Sessions += by
	}
}

// alter gives the session its next state.
func (r *Registry) alter(live *liveSession, next session) {
	old := live.session
	if next == *old {
		return
	}
	r.count(old, -1)
	r.count(&next, 1)
	r.remove(r.hash.session(old))
	r.add(r.hash.session(&next))
	live.session = &next
	p := r.producer(next.producer)
	r.replaceProducer(p, p.with(&next))
	if old.active != next.active {
		r.touchTopics(live)
	}
}

// replaceProducer stores the producer's next state. When another session supplies its info now,
// all that shows it changes.
func (r *Registry) replaceProducer(old, next *producer) {
	r.producers.Set(next)
	r.work.nodesListed = r.index
	if old.shown().serial != next.shown().serial {
		for _, s := range next.sessions {
			r.touchTopics(r.sessions[s.key])
		}
	}
}

func (r *Registry) touchTopics(s *liveSession) {
	for name := range s.topics { // order does not matter: each topic is touched by itself
		r.touch(name)
	}
}

func (r *Registry) setActive(s *liveSession, active bool) {
	next := *s.session
	next.active = active
	r.alter(s, next)
	r.supersede(s.producer)
}

func (r *Registry) settle(s *liveSession) {
	next := *s.session
	next.settled = true
	r.alter(s, next)
	r.supersede(s.producer)
}

func (r *Registry) setOrphan(s *liveSession, orphan bool) {
	next := *s.session
	next.orphan = orphan
	r.alter(s, next)
}

// supersede drops the producer's orphans when one of its sessions makes them superfluous.
func (r *Registry) supersede(k ProducerKey) {
	if p := r.producer(k); p != nil && p.spoken() {
		r.dropOrphans(p)
	}
}

func (r *Registry) dropOrphans(p *producer) {
	for _, s := range p.sessions {
		if s.orphan {
			r.dropSession(r.sessions[s.key])
		}
	}
}

// closeSession ends a session because its connection ended. When it was its producer's last live
// one, the nsqd is gone, and its orphans go too.
func (r *Registry) closeSession(s *liveSession) {
	r.endSession(s)
	if p := r.producer(s.producer); p != nil && !p.live() {
		r.dropOrphans(p)
	}
}

// dropSession ends a session though its replica did not close it.
func (r *Registry) dropSession(s *liveSession) {
	r.endSession(s)
	r.event(Event{Kind: SessionDropped, Session: s.key})
}

func (r *Registry) endSession(s *liveSession) {
	// Sorted, so that tombstones that go with the session are reported in one order everywhere.
	for _, name := range slices.Sorted(maps.Keys(s.topics)) {
		if t, ok := r.topics.Get(name); ok {
			t = r.own(t)
			i, _ := t.findHolder(s.identity)
			r.dropHolder(t, i)
		}
	}
	delete(r.sessions, s.key)
	r.count(s.session, -1)
	r.remove(r.hash.session(s.session))
	r.work.nodesListed = r.index
	p := r.producer(s.producer)
	if next := p.without(s.serial); next != nil {
		r.replaceProducer(p, next)
	} else {
		r.producers.Delete(p)
	}
}

// sessionsOf returns the sessions that pass, oldest first.
func (r *Registry) sessionsOf(id string, pass func(*liveSession) bool) []*liveSession {
	var found []*liveSession
	for _, s := range r.sessions { // order does not matter: sorted below
		if s.key.Replica == id && pass(s) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *liveSession) int { return cmp.Compare(a.serial, b.serial) })
	return found
}
