package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/consistency"
)

const (
	// channelsWait is how long /channels tries to be linearizable when nobody says what it shall be.
	// nsqd asks it once for a topic, when it creates that: a channel that is missing then gets none of
	// the topic's messages until somebody subscribes (nsqio/nsq, nsqd/nsqd.go, GetTopic).
	channelsWait = 500 * time.Millisecond
	// maxWait bounds ?wait=; defaultWait is it when there is only ?index=.
	maxWait     = 10 * time.Minute
	defaultWait = 30 * time.Second
)

var (
	answerInvalidConsistency = message(http.StatusBadRequest, "INVALID_ARG_CONSISTENCY")
	answerInvalidMaxStale    = message(http.StatusBadRequest, "INVALID_ARG_MAX_STALE")
	answerInvalidWait        = message(http.StatusBadRequest, "INVALID_ARG_WAIT")
	answerStale              = message(http.StatusServiceUnavailable, "STALE")
)

// demand is what a read asks for.
type demand struct {
	level    consistency.Level
	given    bool          // the client has named the level
	maxStale time.Duration // below 0: any
	after    uint64        // answer when the thing has changed after that index; 0: at once
	wait     time.Duration // but no later than that
	tags     []string      // of If-None-Match
}

// demanded reads a read's parameters. When problem is not nil it is the answer.
func (s *Server) demanded(q query) (d demand, problem *answer) {
	d = demand{level: s.cfg.Consistency, maxStale: -1, wait: defaultWait}
	if text, ok := q.get("consistency"); ok {
		var err error
		if d.level, err = consistency.Parse(text); err != nil {
			return d, &answerInvalidConsistency
		}
		d.given = true
	}
	if text, ok := q.get("max_stale"); ok {
		var err error
		if d.maxStale, err = time.ParseDuration(text); err != nil || d.maxStale < 0 {
			return d, &answerInvalidMaxStale
		}
	}
	if text, ok := q.get("index"); ok {
		var err error
		if d.after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return d, &answerInvalidIndex
		}
	}
	if text, ok := q.get("wait"); ok {
		var err error
		if d.wait, err = time.ParseDuration(text); err != nil || d.wait < 0 {
			return d, &answerInvalidWait
		}
		d.wait = min(d.wait, maxWait)
	}
	return d, nil
}

// subject is what a read is about.
type subject struct {
	route readRoute
	topic string // of the routes that have one
}

type readRoute uint8

const (
	routeLookup readRoute = iota
	routeChannels
	routeTopics
	routeNodes
)

// thing is what the registry calls it.
func (a subject) thing() fsm.Thing {
	switch a.route {
	case routeTopics:
		return fsm.Thing{Topics: true}
	case routeNodes:
		return fsm.Thing{Nodes: true}
	}
	return fsm.WhatToWatch(a.topic)
}

// render makes the body; not ok when there is no such thing.
func (a subject) render(s *fsm.State) (body []byte, ok bool) {
	switch a.route {
	case routeTopics:
		return s.Topics(), true
	case routeNodes:
		return s.Nodes(), true
	case routeChannels:
		return s.Channels(a.topic), true
	}
	return s.Lookup(a.topic)
}

// read answers a read: as fresh as is demanded, when it is demanded, and saying how fresh it is.
func (s *Server) read(w http.ResponseWriter, r *http.Request, q query, about subject) answer {
	d, problem := s.demanded(q)
	if problem != nil {
		return *problem
	}
	state, level, err := s.state(r.Context(), d, about)
	if err != nil {
		return s.failure(r, err)
	}
	d.level, d.tags = level, r.Header["If-None-Match"]
	if _, _, _, contact := s.cfg.Fresh.Position(); d.maxStale >= 0 && level == consistency.Local && (contact < 0 || contact > d.maxStale) {
		return answerStale
	}
	if d.after > 0 && state.Modified(about.thing()) <= d.after {
		return s.readLater(w, r, d, about, state)
	}
	return s.readNow(d, about, state)
}

// readLater answers when there is something new.
func (s *Server) readLater(w http.ResponseWriter, r *http.Request, d demand, about subject, state *fsm.State) answer {
	was := about.look(state)
	if s.park(w, r, d, about, was) {
		return answer{form: formSent}
	}
	state, err := s.changed(r.Context(), d, about, was)
	s.renewWrite(w)
	if err != nil {
		return s.failure(r, err)
	}
	return s.readNow(d, about, state)
}

// readNow answers from a state.
func (s *Server) readNow(d demand, about subject, state *fsm.State) answer {
	applied, cluster, leader, contact := s.cfg.Fresh.Position()
	body, ok := about.render(state)
	a := answer{code: http.StatusOK, form: formJSON, body: body}
	fresh := freshHeader{index: state.Modified(about.thing()), applied: max(applied, state.Index()),
		leader: leader, contact: contact, level: d.level}
	if ok {
		fresh.tag = entityTag(cluster, fresh.index)
	} else {
		a, fresh.index = answerTopicNotFound, state.Index() // nothing says since when it does not exist
	}
	if ok && matches(d.tags, fresh.tag) {
		a = answer{code: http.StatusNotModified, form: formEmpty}
	}
	a.fresh = fresh
	return a
}

// state gets the state that a read is answered from, and the level that it has.
func (s *Server) state(ctx context.Context, d demand, about subject) (*fsm.State, consistency.Level, error) {
	if about.route == routeChannels && !d.given && d.level != consistency.Linearizable {
		try, cancel := context.WithTimeout(ctx, channelsWait)
		defer cancel()
		if state, err := s.cfg.Fresh.ReadFresh(try, consistency.Linearizable); err == nil {
			return state, consistency.Linearizable, nil
		}
	}
	if d.level != consistency.Local {
		state, err := s.cfg.Fresh.ReadFresh(ctx, d.level)
		return state, d.level, err
	}
	state, err := s.cfg.Replica.Read(ctx)
	return state, consistency.Local, err
}

// look is what has to be known of a thing to see that it has changed. Who waits holds no state: that
// would keep all that has changed since in memory.
type look struct {
	modified uint64
	exists   bool
	sum      uint64 // of the answer
}

func (a subject) look(s *fsm.State) look {
	body, ok := a.render(s)
	return look{s.Modified(a.thing()), ok, xxh3.Hash(body)}
}

// changed waits until the thing's answer is another one, or until the wait ends. It returns the
// newest state.
func (s *Server) changed(ctx context.Context, d demand, about subject, was look) (*fsm.State, error) {
	timer := time.NewTimer(d.wait)
	defer timer.Stop()
	for {
		change := s.cfg.Fresh.Watch(about.thing())
		newest, err := s.cfg.Replica.Read(ctx)
		if err != nil {
			change.Stop()
			return nil, err
		}
		if newest.Modified(about.thing()) != was.modified {
			is := about.look(newest)
			if is.exists != was.exists || is.sum != was.sum {
				change.Stop()
				return newest, nil
			}
			was = is
		}
		newest = nil // see look
		select {
		case <-change.C:
			continue
		case <-timer.C:
		case <-s.stopping:
		case <-ctx.Done():
		}
		change.Stop()
		return s.cfg.Replica.Read(ctx)
	}
}

// entityTag is the same for all replicas of a cluster: equal indexes mean equal bytes.
func entityTag(cluster string, modified uint64) string {
	const enough = 8 // of the id, to tell a cluster from one that was made anew
	return `"` + cluster[:min(enough, len(cluster))] + "-" + strconv.FormatUint(modified, 16) + `"`
}

// matches reports whether an If-None-Match names the tag (RFC 9110, 13.1.2).
func matches(header []string, tag string) bool {
	for _, line := range header {
		for _, is := range strings.Split(line, ",") {
			if is = strings.TrimSpace(is); is == "*" || strings.TrimPrefix(is, "W/") == tag {
				return true
			}
		}
	}
	return false
}

// freshHeader says how fresh an answer is; the zero value says nothing.
type freshHeader struct {
	index, applied uint64
	leader         string
	contact        time.Duration
	level          consistency.Level
	tag            string
}

// The headers' names in the form in which net/http keeps them.
const (
	headerIndex       = "X-Raftlookup-Index"
	headerApplied     = "X-Raftlookup-Applied-Index"
	headerLeader      = "X-Raftlookup-Leader"
	headerContact     = "X-Raftlookup-Last-Contact"
	headerConsistency = "X-Raftlookup-Consistency"
	headerTag         = "Etag"
)

func (f *freshHeader) write(h http.Header) {
	if f.applied == 0 {
		return
	}
	contact := int64(-1)
	if f.contact >= 0 {
		contact = f.contact.Milliseconds()
	}
	values := [...]string{strconv.FormatUint(f.index, 10), strconv.FormatUint(f.applied, 10), f.leader,
		strconv.FormatInt(contact, 10), f.level.String(), f.tag}
	for i, name := range [...]string{headerIndex, headerApplied, headerLeader, headerContact, headerConsistency, headerTag} {
		if values[i] != "" || name == headerLeader {
			h[name] = values[i : i+1 : i+1] // one allocation for all of them
		}
	}
}
