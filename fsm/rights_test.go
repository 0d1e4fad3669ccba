package fsm

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// held is what a state says of its sessions.
type held struct {
	sessions map[SessionKey]*session
	has      map[SessionKey]map[registration]bool
	stones   map[stoneKey]bool
}

func holdings(s *State) held {
	h := held{map[SessionKey]*session{}, map[SessionKey]map[registration]bool{}, map[stoneKey]bool{}}
	s.producers.Scan(func(p *producer) bool {
		for _, o := range p.sessions {
			h.sessions[o.key], h.has[o.key] = o, map[registration]bool{}
		}
		return true
	})
	s.Held(func(row Held) bool {
		if row.Category != "client" {
			h.has[row.Session][registration{row.Category, row.Topic, row.Channel}] = true
		}
		if row.Tombstone != 0 {
			h.stones[stoneKey{row.Topic, row.Info.Producer()}] = true
		}
		return true
	})
	return h
}

// right is an entry of one change, with the states around it. It says who may end what: a list that
// knows nothing of how the registry works.
type right struct {
	Header
	Change
	before, after held
}

// actor returns the session that the change is of, nil for none.
func (e *right) actor() *session {
	return e.before.sessions[SessionKey{e.Header.Replica, e.Header.Incarnation, e.Change.Session}]
}

// ends reports whether the entry had the right to end the session.
func (e *right) ends(o *session) bool {
	actor := e.actor()
	switch e.Change.Kind {
	case KindCloseSession:
		if actor != nil && !actor.detached && actor.producer == o.producer {
			if o.key == actor.key || !o.detached && e.lastLive(actor) {
				return true
			}
		}
	case KindExpireReplica:
		return o.orphan && o.key.Replica == e.Change.Replica && o.key.Incarnation <= e.Change.Incarnation
	case KindExpireOrphans:
		return o.orphan && o.key.Replica == e.Change.Replica && o.key.Incarnation == e.Change.Incarnation &&
			o.since == e.ID
	}
	return e.superseded(o)
}

// lastLive reports whether no session of the producer but this one is live after the entry.
func (e *right) lastLive(actor *session) bool {
	for _, o := range e.after.sessions {
		if o.producer == actor.producer && !o.orphan {
			return false
		}
	}
	return true
}

// superseded reports whether a session that is live, settled and active speaks for its producer: after
// the entry, or when the entry's replica was found, just before its change.
func (e *right) superseded(o *session) bool {
	if !o.orphan && !e.orphans(o) {
		return false
	}
	for _, s := range e.after.sessions {
		if s.producer == o.producer && s.key != o.key && !s.orphan && s.settled && s.active {
			return true
		}
	}
	for _, s := range e.before.sessions {
		if s.producer == o.producer && s.key != o.key && s.settled && s.active && s.orphan && !s.detached &&
			s.key.Replica == e.Header.Replica && s.key.Incarnation == e.Header.Incarnation {
			return true
		}
	}
	return false
}

// orphans reports whether the entry makes orphans of live sessions such as this one.
func (e *right) orphans(s *session) bool {
	switch e.Change.Kind {
	case KindLoseReplica:
		return s.key.Replica == e.Change.Replica
	case KindOpenReplica:
		return s.key.Replica == e.Header.Replica
	case KindDetach:
		return e.actor() == s
	}
	return false
}

// takes reports whether the entry had the right to take the registration from the session.
func (e *right) takes(o *session, k registration) bool {
	switch e.Change.Kind {
	case KindUnregister:
		actor := e.actor()
		return actor != nil && !actor.detached && actor.producer == o.producer && k.topic == e.Topic &&
			(e.Channel == "" || e.Channel == k.channel) && (o.key == actor.key || o.orphan)
	case KindDeleteTopic:
		return e.Topic == AllTopics || e.Topic == k.topic
	case KindDeleteChannel:
		return e.Topic == k.topic && e.Channel == k.channel
	}
	return false
}

// check fails when the entry has ended a session or taken a registration without the right.
func (e *right) check(t *rapid.T) {
	for key, o := range e.before.sessions {
		now := e.after.sessions[key]
		if now == nil {
			if !e.ends(o) {
				t.Fatalf("%+v %+v ended %+v", e.Header, e.Change, *o)
			}
			continue
		}
		if o.detached && (!now.detached || now.since != o.since) {
			t.Fatalf("%+v %+v made %+v of %+v", e.Header, e.Change, *now, *o)
		}
		for k := range e.before.has[key] {
			if !e.after.has[key][k] && !e.takes(o, k) {
				t.Fatalf("%+v %+v took %v from %+v", e.Header, e.Change, k, *o)
			}
		}
	}
}

// wantListed fails when a registration of an active session is missing in a listing.
func (h held) wantListed(t *rapid.T, s *State) {
	for key, has := range h.has {
		o := h.sessions[key]
		for k := range has {
			if !slices.Contains(strings.Split(string(s.Channels(k.topic)), `"`), k.channel) && k.channel != "" {
				t.Fatalf("%v of %+v is not in %s", k, *o, s.Channels(k.topic))
			}
			if !o.active || h.stones[stoneKey{k.topic, o.producer}] {
				continue
			}
			body, ok := s.Lookup(k.topic)
			if !ok || !strings.Contains(string(body), string(s.producer(o.producer).shown().rendered)) {
				t.Fatalf("%v of %+v is not in %s", k, *o, body)
			}
		}
	}
}

// singles takes a history apart into entries of one change each. Groups to expire are drawn anew,
// because they are known by indexes.
func singles(t *rapid.T, entries []logged, apply func(Header, Change, []byte)) {
	for _, logged := range entries {
		var e entry
		if err := e.decode(logged.data); err != nil {
			t.Fatal(err)
		}
		for i, c := range slices.Clone(e.changes) {
			if e.decision {
				apply(Header{}, c, EncodeDecisions(c))
				continue
			}
			h := Header{e.header.Replica, e.header.Incarnation, e.header.First + uint64(i)}
			apply(h, c, journalEntry(h, c))
		}
	}
}

// TestNobodyElseEnds: a session ends, and a registration goes, only by those who have the right to it;
// what a detached session has stays listed until its nsqd has registered anew, has unregistered it, until
// its group expires or the topic is deleted.
func TestNobodyElseEnds(t *testing.T) {
	ended := map[Kind]int{}
	rapid.Check(t, func(t *rapid.T) {
		r := New()
		index := uint64(0)
		singles(t, history(t), func(h Header, c Change, data []byte) {
			if groups := r.State().Orphans(); c.Kind == KindExpireOrphans && len(groups) > 0 {
				c = ExpireOrphans(rapid.SampledFrom(groups).Draw(t, "group"))
				data = EncodeDecisions(c)
			}
			index++
			before := r.State()
			o := mustApply(t, r, index, data)
			e := right{h, c, holdings(before), holdings(r.State())}
			if o.Err != nil || o.First > o.Last && h.Replica != "" { // refused, or known: it says that the replica is there
				e.Change = Change{Kind: KindOpenSession}
			}
			e.check(t)
			e.after.wantListed(t, r.State())
			if len(e.after.sessions) < len(e.before.sessions) {
				ended[c.Kind]++
			}
		})
	})
	for _, kind := range []Kind{KindCloseSession, KindExpireReplica, KindExpireOrphans, KindSettle} {
		if ended[kind] == 0 {
			t.Errorf("no session was ended by kind %d: %v", kind, slices.Sorted(maps.Keys(ended)))
		}
	}
}
