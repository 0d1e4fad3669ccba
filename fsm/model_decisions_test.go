package fsm

import (
	"maps"
	"slices"
)

// What the model makes of a leader's decisions, and of levels.

// tooEarly reports whether an entry has a change of a level that is not in force.
func (m *model) tooEarly(changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool {
		return (c.Kind == KindDetach || c.Kind == KindExpireOrphans) && m.level < 1
	})
}

// rule applies an entry of the leader's decisions.
func (m *model) rule(changes []Change) modelOutcome {
	if m.tooEarly(changes) {
		return modelOutcome{refused: errMalformed}
	}
	for _, c := range changes {
		m.decide(c)
	}
	return modelOutcome{first: 1}
}

// decide applies a decision of the leader.
func (m *model) decide(c Change) {
	rep := m.replicas[c.Replica]
	switch c.Kind {
	case KindClearTombstone:
		if k := (stoneKey{c.Topic, c.Producer}); m.stones[k] == c.ID {
			m.unstone(k)
		}
	case KindLoseReplica:
		if rep != nil && rep.Incarnation == c.Incarnation && !rep.Lost {
			rep.Lost = true
			m.orphan(rep.ID)
			m.events = append(m.events, Event{Kind: ReplicaLost, Replica: rep.ID, Incarnation: rep.Incarnation})
		}
	case KindExpireReplica:
		for _, s := range m.bySerial() {
			if s.orphan && s.key.Replica == c.Replica && s.key.Incarnation <= c.Incarnation {
				m.drop(s)
			}
		}
	case KindExpireOrphans:
		for _, s := range m.bySerial() {
			if s.orphan && s.key.Replica == c.Replica && s.key.Incarnation == c.Incarnation && s.since == c.ID {
				m.drop(s)
			}
		}
	case KindRaiseLevel:
		if c.ID > m.level {
			m.level = c.ID
			m.events = append(m.events, Event{Kind: LevelRaised, ID: c.ID})
		}
	case KindCheckpoint:
		if have, ok := m.fingerprintAt(c.ID); ok && have != c.Fingerprint {
			m.events = append(m.events, Event{Kind: Diverged, ID: c.ID, Have: have, Want: c.Fingerprint})
		}
	}
	m.tidy()
}

func (m *model) fingerprintAt(index uint64) (f Fingerprint, ok bool) {
	for _, at := range slices.Sorted(maps.Keys(m.points)) {
		if at <= index {
			f, ok = m.points[at], true
		}
	}
	return f, ok
}
