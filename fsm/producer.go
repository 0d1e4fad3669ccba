package fsm

import (
	"slices"
)

// session is one session in one state. It never changes.
type session struct {
	*identity
	active  bool // its nsqd has been heard from lately
	settled bool // its nsqd has registered all that it has
	orphan  bool // its replica is lost or has restarted, or it is detached
	// detached says that its connection has ended and that a replica may have caused that. It is an
	// orphan then, and never live again.
	detached bool
	since    uint64 // index of the entry that made it an orphan; 0 for none, and for level 0
}

// producer is an nsqd and its sessions in one state. It never changes.
type producer struct {
	key      ProducerKey
	sessions []*session // oldest first; never empty
}

func (p *producer) session(serial uint64) *session {
	for _, s := range p.sessions {
		if s.serial == serial {
			return s
		}
	}
	return nil
}

// with returns the producer with s added, or in the place of the session of the same serial.
func (p *producer) with(s *session) *producer {
	sessions := slices.Clone(p.sessions)
	for i := range sessions {
		if sessions[i].serial == s.serial {
			sessions[i] = s
			return &producer{key: p.key, sessions: sessions}
		}
	}
	return &producer{key: p.key, sessions: append(sessions, s)} // serials grow
}

// without returns the producer without the session, or nil when it was the last.
func (p *producer) without(serial uint64) *producer {
	if len(p.sessions) == 1 {
		return nil
	}
	sessions := slices.DeleteFunc(slices.Clone(p.sessions), func(s *session) bool {
		return s.serial == serial
	})
	return &producer{key: p.key, sessions: sessions}
}

// shown is the session that supplies the info in listings: the newest of the best, a live one
// being better than an orphan and an active one than an inactive one.
func (p *producer) shown() *session {
	var best *session
	for _, s := range p.sessions {
		if best == nil || !s.worse(best) {
			best = s
		}
	}
	return best
}

func (s *session) worse(o *session) bool {
	if s.active != o.active {
		return o.active
	}
	return s.orphan && !o.orphan
}

// active reports whether any session of the producer is.
func (p *producer) active() bool {
	return slices.ContainsFunc(p.sessions, func(s *session) bool { return s.active })
}

// live reports whether any session of the producer is no orphan.
func (p *producer) live() bool {
	return slices.ContainsFunc(p.sessions, func(s *session) bool { return !s.orphan })
}

// spoken reports whether a session of the producer makes its orphans superfluous.
func (p *producer) spoken() bool {
	return slices.ContainsFunc(p.sessions, func(s *session) bool {
		return !s.orphan && s.settled && s.active
	})
}
