package cluster

import (
	"maps"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// closeAge is how long a CloseSession may wait. Later it is cut as Detach, because the cluster may
// have taken this replica for lost meanwhile.
const closeAge = time.Second

// sessionEnds is when the ends of sessions were queued that wait in a journal. The journal's lock guards it.
type sessionEnds struct {
	closes   []queuedClose        // the CloseSessions, by number
	detaches map[uint64]time.Time // the Detaches, by number
	closeAge time.Duration
	paused   func(since time.Time) bool
}

// queuedClose is a CloseSession that waits.
type queuedClose struct {
	number uint64
	at     time.Time
}

func newSessionEnds() sessionEnds {
	return sessionEnds{detaches: make(map[uint64]time.Time), closeAge: closeAge, paused: func(time.Time) bool { return false }}
}

// queued notes a change that was queued, if it ends a session.
func (e *sessionEnds) queued(number uint64, kind fsm.Kind) {
	switch kind {
	case fsm.KindCloseSession:
		e.closes = append(e.closes, queuedClose{number, time.Now()})
	case fsm.KindDetach:
		e.detaches[number] = time.Now()
	}
}

// applied forgets what is applied, up to that number.
func (e *sessionEnds) applied(last uint64) {
	if len(e.detaches) > 0 {
		maps.DeleteFunc(e.detaches, func(number uint64, _ time.Time) bool { return number <= last })
	}
	for len(e.closes) > 0 && e.closes[0].number <= last {
		e.closes = e.closes[1:]
	}
}

// levelAt is the level of log kinds that is in force, as far as this replica knew at a time.
type levelAt struct {
	level uint64
	at    time.Time
}

// outdated reports whether the change at that place of the queue is a Detach of which it is not known whether
// its level is in force.
func (j *journal) outdated(n int, known levelAt) bool {
	if known.level >= fsm.KindDetach.Level() || fsm.Kind(j.queue[n].change[0]) != fsm.KindDetach {
		return false
	}
	return known.at.Before(j.ends.detaches[j.first+uint64(n)])
}

// detachLate makes Detaches of the CloseSessions that have waited too long, or through a pause. Should one
// of them be on its way as a CloseSession, it counts as what is applied first.
func (j *journal) detachLate() {
	n := 0
	for ; n < len(j.ends.closes); n++ {
		c := j.ends.closes[n]
		if time.Since(c.at) <= j.ends.closeAge && !j.ends.paused(c.at) {
			break
		}
		j.queue[c.number-j.first].change[0] = byte(fsm.KindDetach)
		j.ends.queued(c.number, fsm.KindDetach)
	}
	j.ends.closes = j.ends.closes[n:]
}
