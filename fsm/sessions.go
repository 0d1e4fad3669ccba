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

// makeOrphan makes an orphan of the session. From level 1 on it knows since when.
func (r *Registry) makeOrphan(s *liveSession, detached bool) {
	next := *s.session
	next.orphan, next.detached = true, detached
	if r.level > 0 {
		next.since = r.index
	}
	r.alter(s, next)
}

// revive makes a live session of an orphan.
func (r *Registry) revive(s *liveSession) {
	next := *s.session
	next.orphan, next.since = false, 0
	r.alter(s, next)
}

// detach makes a detached orphan of a session whose connection has ended, unless it is one already:
// its grace began with the first.
func (r *Registry) detach(s *liveSession) {
	if s.detached {
		return
	}
	r.makeOrphan(s, true)
	r.supersede(s.producer)
}

// supersede drops the producer's orphans when one of its sessions makes them superfluous.
func (r *Registry) supersede(k ProducerKey) {
	if p := r.producer(k); p != nil && p.spoken() {
		r.dropOrphans(p, anyOrphan)
	}
}

func (r *Registry) dropOrphans(p *producer, pass func(*session) bool) {
	for _, s := range p.sessions {
		if s.orphan && pass(s) {
			r.dropSession(r.sessions[s.key])
		}
	}
}

// closeSession ends a session because its nsqd ended its connection. When it was its producer's last
// live one, the nsqd is gone, and its orphans go too, but for the detached ones: what ended their
// connections may have ended this one.
func (r *Registry) closeSession(s *liveSession) {
	r.endSession(s)
	if p := r.producer(s.producer); p != nil && !p.live() {
		r.dropOrphans(p, attached)
	}
}

func anyOrphan(*session) bool { return true }

func attached(s *session) bool { return !s.detached }

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

// sessionsOf returns the sessions of a replica that pass, oldest first.
func (r *Registry) sessionsOf(id string, pass func(*liveSession) bool) []*liveSession {
	return r.sessionsThat(func(s *liveSession) bool { return s.key.Replica == id && pass(s) })
}

// sessionsThat returns the sessions that pass, oldest first.
func (r *Registry) sessionsThat(pass func(*liveSession) bool) []*liveSession {
	var found []*liveSession
	for _, s := range r.sessions { // order does not matter: sorted below
		if pass(s) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *liveSession) int { return cmp.Compare(a.serial, b.serial) })
	return found
}
