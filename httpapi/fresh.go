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
	answerNotConfirmed       = message(http.StatusServiceUnavailable, "NOT_CONFIRMED")
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
	d.tags = r.Header["If-None-Match"]
	v, err := s.view(r.Context(), d, about)
	if err != nil {
		return s.failure(r, err)
	}
	if v.tooStale(d) {
		return answerStale
	}
	if d.after > 0 && v.state.Modified(about.thing()) <= d.after {
		return s.readLater(w, r, d, about, v)
	}
	return s.readNow(d, about, v)
}

// noChannels is the body of /channels for a topic that has none, or does not exist.
const noChannels = `{"channels":[]}`

// view is what a read is answered from.
type view struct {
	state *fsm.State
	asOf  time.Time // the state has everything that had been committed by then; zero when nothing is known
	level consistency.Level
	// unconfirmed says that the read had to be linearizable without the client having said so, and no
	// majority has confirmed it.
	unconfirmed bool
}

// age is how old the state may be now, below 0 when nothing is known.
func (v view) age() time.Duration {
	if v.asOf.IsZero() {
		return -1
	}
	return max(0, time.Since(v.asOf))
}

// tooStale reports whether the state may be older than the client takes.
func (v view) tooStale(d demand) bool {
	return v.level == consistency.Local && isTooStale(v.age(), d.maxStale)
}

// isTooStale reports whether an age, below 0 for unknown, is above what is allowed, below 0 for any.
func isTooStale(age, allowed time.Duration) bool { return allowed >= 0 && (age < 0 || age > allowed) }

// readLater answers when there is something new.
func (s *Server) readLater(w http.ResponseWriter, r *http.Request, d demand, about subject, v view) answer {
	was := about.look(v.state)
	v.state = nil // see look
	if s.park(w, r, d, about, v, was) {
		return answer{form: formSent}
	}
	err := s.changed(r.Context(), d, about, &v, was)
	s.renewWrite(w)
	if err != nil {
		return s.failure(r, err)
	}
	return s.readNow(d, about, v)
}

// readNow answers from a view. Its age is taken when the answer is made.
func (s *Server) readNow(d demand, about subject, v view) answer {
	applied, cluster, leader, _ := s.cfg.Fresh.Position()
	body, ok := about.render(v.state)
	if v.unconfirmed && string(body) == noChannels {
		return answerNotConfirmed // nsqd would create no channel; it asks the other replicas, too
	}
	if v.tooStale(d) {
		return answerStale
	}
	a := answer{code: http.StatusOK, form: formJSON, body: body}
	fresh := freshHeader{index: v.state.Modified(about.thing()), applied: max(applied, v.state.Index()),
		leader: leader, contact: v.age(), level: v.level, unconfirmed: v.unconfirmed}
	if ok {
		fresh.tag = entityTag(cluster, fresh.index)
	} else {
		a, fresh.index = answerTopicNotFound, v.state.Index() // nothing says since when it does not exist
	}
	if ok && matches(d.tags, fresh.tag) {
		a = answer{code: http.StatusNotModified, form: formEmpty}
	}
	a.fresh = fresh
	return a
}

// view gets what a read is answered from.
func (s *Server) view(ctx context.Context, d demand, about subject) (v view, err error) {
	v.level, v.asOf = d.level, s.cfg.Fresh.FreshAsOf() // before the state, which so is as fresh
	if about.route == routeChannels && !d.given && d.level != consistency.Linearizable {
		try, cancel := context.WithTimeout(ctx, channelsWait)
		defer cancel()
		if v.state, err = s.cfg.Fresh.ReadFresh(try, consistency.Linearizable); err == nil {
			v.level = consistency.Linearizable
			return v, nil
		}
		v.unconfirmed, v.asOf = true, s.cfg.Fresh.FreshAsOf()
	}
	if d.level != consistency.Local {
		v.state, err = s.cfg.Fresh.ReadFresh(ctx, d.level)
		return v, err
	}
	v.state, err = s.cfg.Replica.Read(ctx)
	return v, err
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

// changed waits until the thing's answer is another one, or until the wait ends. Then the view has a
// state that is as fresh as the read demands.
func (s *Server) changed(ctx context.Context, d demand, about subject, v *view, was look) error {
	asOf, state, err := s.awaitChange(ctx, d, about, was)
	if err != nil {
		return err
	}
	if v.level == consistency.Local && !v.unconfirmed {
		v.asOf, v.state = asOf, state
		return nil
	}
	*v, err = s.view(ctx, d, about) // what this replica has seen by itself is no more than local
	return err
}

// awaitChange waits for changed. It returns this replica's newest state and as of when that is fresh.
func (s *Server) awaitChange(ctx context.Context, d demand, about subject, was look) (asOf time.Time, newest *fsm.State, err error) {
	timer := time.NewTimer(d.wait)
	defer timer.Stop()
	for {
		change := s.cfg.Fresh.Watch(about.thing())
		asOf = s.cfg.Fresh.FreshAsOf()
		newest, err = s.cfg.Replica.Read(ctx)
		if err != nil {
			change.Stop()
			return asOf, nil, err
		}
		if newest.Modified(about.thing()) != was.modified {
			is := about.look(newest)
			if is.exists != was.exists || is.sum != was.sum {
				change.Stop()
				return asOf, newest, nil
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
		asOf = s.cfg.Fresh.FreshAsOf()
		newest, err = s.cfg.Replica.Read(ctx)
		return asOf, newest, err
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
	unconfirmed    bool
}

// The headers' names in the form in which net/http keeps them.
const (
	headerIndex       = "X-Raftlookup-Index"
	headerApplied     = "X-Raftlookup-Applied-Index"
	headerLeader      = "X-Raftlookup-Leader"
	headerContact     = "X-Raftlookup-Last-Contact"
	headerConsistency = "X-Raftlookup-Consistency"
	headerTag         = "Etag"
	headerUnconfirmed = "X-Raftlookup-Unconfirmed"
)

var headerTrue = []string{"true"}

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
	if f.unconfirmed {
		h[headerUnconfirmed] = headerTrue
	}
}
