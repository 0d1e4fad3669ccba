package fsm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The names from which histories are made.
var (
	replicaIDs   = []string{"a", "b", "c"}
	topicNames   = []string{"t", "T.u-v_1", "e#ephemeral", "t2"}
	channelNames = []string{"c", "d", "x#ephemeral"}
)

// model is the registry a second time, as dumb as can be: the oracle of the properties. It keeps
// registrations as nsqlookupd does (nsqio/nsq, nsqlookupd/registration_db.go), searches them whole
// for each answer, and tidies up after each change by looking at everything.
type model struct {
	index         uint64 // of the entry
	level         uint64
	serial        uint64
	sessions      map[SessionKey]*modelSession
	registrations map[registration]map[SessionKey]bool
	stones        map[stoneKey]uint64
	replicas      map[string]*Replica
	points        map[uint64]Fingerprint // what the registry's fingerprint was, by index
	events        []Event
}

type modelSession struct {
	key                     SessionKey
	serial                  uint64
	info                    ProducerInfo
	active, settled, orphan bool
	detached                bool
	since                   uint64
}

func (s *modelSession) producer() ProducerKey {
	return ProducerKey{s.info.BroadcastAddress, s.info.TCPPort}
}

type registration struct{ category, topic, channel string }

type stoneKey struct {
	topic    string
	producer ProducerKey
}

func newModel() *model {
	return &model{
		sessions:      map[SessionKey]*modelSession{},
		registrations: map[registration]map[SessionKey]bool{},
		stones:        map[stoneKey]uint64{},
		replicas:      map[string]*Replica{},
		points:        map[uint64]Fingerprint{},
	}
}

// modelOutcome is what the model says of a batch.
type modelOutcome struct {
	refused error
	first   uint64
	results []error // of the changes that were new
}

// batch applies a journal's batch: DESIGN.md, "The journal".
func (m *model) batch(h Header, changes []Change) modelOutcome {
	for i, c := range changes {
		if c.Kind == KindOpenReplica && h.First+uint64(i) != 1 {
			return modelOutcome{refused: errMalformed}
		}
	}
	if m.tooEarly(changes) {
		return modelOutcome{refused: errMalformed}
	}
	rep := m.replicas[h.Replica]
	if rep != nil && h.Incarnation < rep.Incarnation {
		return modelOutcome{refused: &IncarnationError{Known: rep.Incarnation}}
	}
	if rep == nil || h.Incarnation > rep.Incarnation {
		if h.First != 1 || len(changes) == 0 || changes[0].Kind != KindOpenReplica {
			return modelOutcome{refused: ErrNotOpen}
		}
		rep = m.openReplica(h, changes[0].Name)
	}
	if h.First == 0 || h.First > rep.Last+1 {
		return modelOutcome{refused: &GapError{Expected: rep.Last + 1}}
	}
	m.find(rep)
	o := modelOutcome{first: rep.Last + 1}
	for i, c := range changes {
		if number := h.First + uint64(i); number == rep.Last+1 {
			o.results = append(o.results, m.change(SessionKey{h.Replica, h.Incarnation, number}, c))
			rep.Last = number
			m.tidy()
		}
	}
	return o
}

func (m *model) openReplica(h Header, name string) *Replica {
	if old := m.replicas[h.Replica]; old != nil && old.Lost && m.level >= 1 {
		for _, s := range m.sessions { // their grace begins anew
			if s.key.Replica == old.ID && s.key.Incarnation == old.Incarnation && !s.detached {
				s.since = m.index
			}
		}
	}
	rep := &Replica{ID: h.Replica, Name: name, Incarnation: h.Incarnation}
	m.replicas[h.Replica] = rep
	m.orphan(h.Replica)
	m.events = append(m.events, Event{Kind: ReplicaOpened, Replica: rep.ID, Incarnation: rep.Incarnation})
	return rep
}

func (m *model) orphan(id string) {
	for _, s := range m.sessions {
		if s.key.Replica == id && !s.orphan {
			m.makeOrphan(s)
		}
	}
	m.tidy()
}

func (m *model) makeOrphan(s *modelSession) {
	s.orphan = true
	if m.level >= 1 {
		s.since = m.index
	}
}

// find makes a lost replica found.
func (m *model) find(rep *Replica) {
	if !rep.Lost {
		return
	}
	rep.Lost = false
	for _, s := range m.sessions {
		if s.key.Replica == rep.ID && s.key.Incarnation == rep.Incarnation && !s.detached {
			s.orphan, s.since = false, 0
		}
	}
	m.tidy()
	m.events = append(m.events, Event{Kind: ReplicaFound, Replica: rep.ID, Incarnation: rep.Incarnation})
}

// change applies one change of a journal; key is that of the session that it would open.
func (m *model) change(key SessionKey, c Change) error {
	s := m.sessions[SessionKey{key.Replica, key.Incarnation, c.Session}]
	switch c.Kind {
	case KindRegister, KindUnregister, KindSetActive, KindSettle, KindCloseSession:
		if s == nil || s.detached {
			return ErrSessionUnknown
		}
	case KindDetach:
		if s == nil {
			return ErrSessionUnknown
		}
	}
	switch c.Kind {
	case KindOpenSession:
		m.serial++
		m.sessions[key] = &modelSession{key: key, serial: m.serial, info: c.Info, active: true}
	case KindRegister:
		m.register(s, c.Topic, c.Channel)
	case KindUnregister:
		m.unregister(s, c.Topic, c.Channel)
	case KindSetActive:
		s.active = c.Active
	case KindSettle:
		s.settled = true
	case KindCloseSession:
		m.close(s)
	case KindDetach:
		if !s.detached {
			m.makeOrphan(s)
			s.detached = true
		}
	case KindCreateTopic:
		m.add(registration{"topic", c.Topic, ""})
	case KindDeleteTopic:
		m.removeAll(m.match("channel", c.Topic, "*"))
		m.removeAll(m.match("topic", c.Topic, ""))
	case KindCreateChannel:
		m.add(registration{"channel", c.Topic, c.Channel})
		m.add(registration{"topic", c.Topic, ""})
	case KindDeleteChannel:
		found := m.match("channel", c.Topic, c.Channel)
		if len(found) == 0 {
			return ErrChannelNotFound
		}
		m.removeAll(found)
	case KindTombstone:
		m.entomb(c.Topic, c.Name)
	case KindPrune:
		return m.prune(c.Topic, c.Channel)
	}
	return nil
}

func (m *model) prune(topic, channel string) error {
	var doomed []registration
	for k := range m.registrations {
		if k.topic == topic && (channel == "" || k.channel == channel) {
			doomed = append(doomed, k)
			if len(m.registrations[k]) > 0 {
				return ErrHeld
			}
		}
	}
	m.removeAll(doomed)
	return nil
}

// add is nsqlookupd's AddRegistration.
func (m *model) add(k registration) map[SessionKey]bool {
	if m.registrations[k] == nil {
		m.registrations[k] = map[SessionKey]bool{}
	}
	return m.registrations[k]
}

func (m *model) removeAll(found []registration) {
	for _, k := range found {
		delete(m.registrations, k)
	}
}

// match is nsqlookupd's FindRegistrations, sorted.
func (m *model) match(category, topic, channel string) []registration {
	var found []registration
	for k := range m.registrations {
		if k.category == category && (topic == "*" || k.topic == topic) &&
			(channel == "*" || k.channel == channel) {
			found = append(found, k)
		}
	}
	slices.SortFunc(found, func(a, b registration) int {
		return strings.Compare(a.topic+" "+a.channel, b.topic+" "+b.channel)
	})
	return found
}

func (m *model) register(s *modelSession, topic, channel string) {
	if channel != "" {
		m.add(registration{"channel", topic, channel})[s.key] = true
	}
	m.add(registration{"topic", topic, ""})[s.key] = true
}

// unregister is nsqlookupd's UNREGISTER (nsqlookupd/lookup_protocol_v1.go), for the session and
// the orphans of its producer.
func (m *model) unregister(s *modelSession, topic, channel string) {
	remove := func(k registration) {
		for key, o := range m.sessions {
			if o == s || o.orphan && o.producer() == s.producer() {
				delete(m.registrations[k], key)
			}
		}
	}
	last := registration{"channel", topic, channel}
	name := channel
	if channel == "" {
		for _, k := range m.match("channel", topic, "*") {
			remove(k)
		}
		last, name = registration{"topic", topic, ""}, topic
	}
	remove(last)
	if len(m.registrations[last]) == 0 && strings.HasSuffix(name, "#ephemeral") {
		delete(m.registrations, last)
	}
}

// close ends a session; the orphans of its producer go with its last live session, unless detached.
func (m *model) close(s *modelSession) {
	m.end(s)
	for _, o := range m.of(s.producer()) {
		if !o.orphan {
			return
		}
	}
	for _, o := range m.of(s.producer()) {
		if !o.detached {
			m.drop(o)
		}
	}
}

func (m *model) end(s *modelSession) {
	delete(m.sessions, s.key)
	for _, holders := range m.registrations {
		delete(holders, s.key)
	}
}

func (m *model) drop(s *modelSession) {
	m.end(s)
	m.events = append(m.events, Event{Kind: SessionDropped, Session: s.key})
}

// of returns the sessions of a producer, oldest first.
func (m *model) of(k ProducerKey) []*modelSession {
	return slices.DeleteFunc(m.bySerial(), func(s *modelSession) bool { return s.producer() != k })
}

func (m *model) bySerial() []*modelSession {
	return slices.SortedFunc(maps.Values(m.sessions), func(a, b *modelSession) int {
		return int(a.serial) - int(b.serial)
	})
}

func (m *model) entomb(topic, node string) {
	for _, k := range m.match("topic", topic, "") {
		for _, p := range m.holders(k) {
			shown := m.shown(p).info
			if fmt.Sprintf("%s:%d", shown.BroadcastAddress, shown.HTTPPort) == node {
				at := stoneKey{k.topic, p}
				m.unstone(at)
				m.serial++
				m.stones[at] = m.serial
				m.events = append(m.events, Event{Kind: TombstoneSet, ID: m.serial, Topic: k.topic, Producer: p})
			}
		}
	}
}

func (m *model) unstone(k stoneKey) {
	if id, ok := m.stones[k]; ok {
		delete(m.stones, k)
		m.events = append(m.events, Event{Kind: TombstoneGone, ID: id, Topic: k.topic, Producer: k.producer})
	}
}

// tidy drops what may no longer be: orphans for whom a settled live session speaks, and tombstones
// of producers that do not have the topic any more.
func (m *model) tidy() {
	for _, s := range m.bySerial() {
		if !s.orphan && s.settled && s.active {
			for _, o := range m.of(s.producer()) {
				if o.orphan {
					m.drop(o)
				}
			}
		}
	}
	for k := range maps.Clone(m.stones) {
		if !slices.Contains(m.holders(registration{"topic", k.topic, ""}), k.producer) {
			m.unstone(k)
		}
	}
}
