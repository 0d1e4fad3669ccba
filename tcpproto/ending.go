package tcpproto

import (
	"errors"
	"io"
	"time"
)

// nsqd waits one second for an answer, and then closes its connection, connects again and registers
// everything at its next command or PING, up to 15 s later (nsqio/nsq, nsqd/lookup_peer.go). So the end
// of a connection is the nsqd's word only if this replica cannot have caused it.
const (
	// lateAnswer is the time from reading a command to having written its answer from which on nsqd may
	// have given up. With the longest pause that is not noticed (600 ms, internal/pause) before the read
	// it stays inside nsqd's second.
	lateAnswer = 350 * time.Millisecond
	// dialTime is how long before accept an nsqd may have connected and still wait for an answer: the
	// kernel lets it connect and send while this process stands still.
	dialTime = 2 * time.Second
	// ackWait bounds how long the end of a connection waits for the peer to acknowledge the last answer,
	// or to reset the connection because it had closed it before the answer came.
	ackWait = 200 * time.Millisecond
	// recentAnswer is how old the last answer must be, where the socket does not tell, to have arrived.
	recentAnswer = 300 * time.Millisecond
)

// cause says why the end of a connection may be the replica's doing. "" is the nsqd's own.
type cause string

const (
	causeNone        cause = ""
	causeEvicted     cause = "the replica evicted it"
	causeUnavailable cause = "the replica refused a command"
	causeBroken      cause = "the connection broke"
	causeLate        cause = "the last answer came late"
	causePending     cause = "the last command was not committed in time"
	causePaused      cause = "this process stood still"
	causeUnread      cause = "the last answer did not reach the client"
)

// facts are what is known when a connection has ended.
type facts struct {
	evicted     bool
	unavailable bool // the end follows an answer E_UNAVAILABLE
	invalid     bool // the end follows another fatal answer: the client broke the protocol
	eof         bool // the client has closed the connection, which did not break
	last        answerKind
	paused      bool // this process stood still after the last answer that the client has proven to have got
	unread      bool // the last answer was not acknowledged, or was answered with a reset
}

// meaning returns why a session is to be detached, or causeNone when it is to be closed.
func meaning(f facts) cause {
	switch {
	case f.evicted:
		return causeEvicted
	case f.unavailable:
		return causeUnavailable
	case f.invalid: // no nsqd does that; nsqlookupd unlists at once
		return causeNone
	case !f.eof:
		return causeBroken
	case f.last == answerLate:
		return causeLate
	case f.last == answerPending:
		return causePending
	case f.paused:
		return causePaused
	case f.unread:
		return causeUnread
	}
	return causeNone
}

// answerKind says how a command was answered.
type answerKind uint8

const (
	answerInTime answerKind = iota
	answerLate
	answerPending
)

// patience keeps what the commands and answers of a connection say about its client's patience.
type patience struct {
	// proven is when the answer before the last was written. Reading the last command has proven that
	// the client got it in time, because an nsqd sends one command at a time and closes when it waits
	// too long.
	proven time.Time
	// answered is when the last answer was written.
	answered time.Time
	last     answerKind
}

func newPatience(accepted time.Time) patience {
	before := accepted.Add(-dialTime)
	return patience{proven: before, answered: before}
}

// wrote notes the answer to a command that was read then. It is late when it took that long.
func (e *patience) wrote(read, now time.Time, late time.Duration, pending bool) {
	e.proven, e.answered = e.answered, now
	switch {
	case pending:
		e.last = answerPending
	case now.Sub(read) >= late:
		e.last = answerLate
	default:
		e.last = answerInTime
	}
}

// endOf returns why the session must be detached now that its connection has ended with err.
func (c *conn) endOf(err error) cause {
	f := facts{evicted: c.evicted.Load(), eof: err == io.EOF, last: c.patience.last}
	var perr *protocolError
	if errors.As(err, &perr) {
		f.unavailable = perr.code == codeUnavailable
		f.invalid = !f.unavailable
	}
	f.paused = c.srv.cfg.Paused(c.patience.proven)
	if why := meaning(f); why != causeNone || f.invalid {
		return why
	}
	f.unread = !c.delivered()
	f.evicted = c.evicted.Load()
	return meaning(f)
}

// delivered reports whether the client got the last answer. Closing a socket with an unread answer resets
// the connection, and so does an answer that comes after the close; so the answer has reached the client
// when it was acknowledged and no reset came. A client that hangs up of its own will has acknowledged
// everything before, so this waits only when something is wrong.
func (c *conn) delivered() bool {
	first, wait := time.Now(), time.Millisecond
	for {
		switch lookAt(c.nc) {
		case peerHasAll:
			return true
		case peerReset:
			return false
		case peerUnknown:
			return time.Since(c.patience.answered) >= recentAnswer
		}
		if time.Since(first) >= ackWait || c.srv.isClosing() {
			return false
		}
		c.srv.pause(wait)
		wait = min(2*wait, ackWait/10)
	}
}

// peerState is what a socket tells of the answers that were written to it.
type peerState uint8

const (
	peerHasAll  peerState = iota // all are acknowledged, and no reset has come
	peerWaits                    // some are on their way
	peerReset                    // the peer has reset the connection
	peerUnknown                  // the system does not tell
)
