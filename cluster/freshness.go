package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/consistency"
)

// A replica is fresh as of a time when it has applied everything that had been committed by then. A
// heartbeat tells nothing of that: a follower hears them while it lacks thousands of entries. So each
// replica asks the leader now and again up to where it has committed, notes when it asked, and waits
// until it has applied that much. Then it is fresh as of when it asked.
//
// A leader knows that only as of when a majority was last known to follow it. It tells the age of that
// with its answer, and the follower is fresh as of so much earlier. Release 0.1.0 tells no age.
const (
	freshPeriod = 100 * time.Millisecond
	// ageHeader has the age of a leader's answer in microseconds.
	ageHeader = "X-Raftlookup-Age-Us"
	// targetPatience is after what time an index that the leader told is given up.
	targetPatience = 10 * time.Second
	// maxAge is how old an answer may be that says anything.
	maxAge = time.Hour
	// majorityKept is how old the newest contact with a majority may be that is used again.
	majorityKept = 10 * time.Millisecond
)

// caughtUp knows as of when this replica is fresh.
type caughtUp struct {
	started  time.Time                 // before this replica's first change since the start was queued
	asOf     atomic.Pointer[time.Time] // nil: never
	answered atomic.Pointer[time.Time] // when the question was asked that the leader has answered last
	majority atomic.Pointer[majorityAt]
	commits  atomic.Pointer[freshTarget] // of this replica as the leader: not applied yet when it was looked at

	target freshTarget // that is not reached yet; only refresh uses it
	mu     sync.Mutex  // held while asOf is moved
}

// freshTarget makes this replica fresh as of a time once it has applied an index.
type freshTarget struct {
	index uint64
	asOf  time.Time
}

// pending reports whether the target is worth waiting for. An index that a leader told which was deposed may
// never be reached.
func (t freshTarget) pending(now time.Time) bool {
	return t.index != 0 && now.Sub(t.asOf) < targetPatience
}

// majorityAt is what was known at a time of the newest contact with a majority.
type majorityAt struct {
	term     uint64
	at, last time.Time
}

// advance moves the time as of which this replica is fresh, never back.
func (c *caughtUp) advance(to time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was := c.asOf.Load(); was == nil || to.After(*was) {
		c.asOf.Store(&to)
	}
}

// loaded returns the time that p has, the zero time for none.
func loaded(p *atomic.Pointer[time.Time]) time.Time {
	if t := p.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// keepFresh finds out as of when this replica is fresh, until the context ends.
func (r *Replica) keepFresh(ctx context.Context) error {
	pace(ctx, freshPeriod, func(time.Duration) { r.refresh(ctx) })
	return nil
}

// refresh asks the leader once, and waits for what it said until the next question is due.
func (r *Replica) refresh(ctx context.Context) {
	c := &r.fresh.caughtUp
	r.reachTarget()
	q := ask(time.Now, func() (uint64, time.Duration, bool, error) { return r.askLeader(ctx) })
	if q.answered {
		c.answered.Store(&q.asked)
	}
	if c.target.pending(q.asked) {
		return // an earlier index is reached earlier
	}
	if q.err != nil || q.age > maxAge {
		return
	}
	c.target = q.target()
	ctx, cancel := context.WithTimeout(ctx, freshPeriod)
	defer cancel()
	_ = r.awaitIndex(ctx, c.target.index) // late: the next step sees
	r.reachTarget()
}

// question is what was asked of the leader, and its answer.
type question struct {
	asked    time.Time // before it was asked
	index    uint64
	age      time.Duration // of the answer
	answered bool
	err      error
}

// ask asks, and notes when it began.
func ask(now func() time.Time, leader func() (uint64, time.Duration, bool, error)) question {
	q := question{asked: now()}
	q.index, q.age, q.answered, q.err = leader()
	return q
}

// target returns what makes a replica fresh. The answer may be as old as the question, because the leader
// may have looked before anything was committed while the answer was on its way.
func (q question) target() freshTarget { return freshTarget{q.index, q.asked.Add(-q.age)} }

func (r *Replica) reachTarget() {
	c := &r.fresh.caughtUp
	if c.target.index != 0 && r.registry.State().Index() >= c.target.index {
		c.advance(c.target.asOf)
		c.target = freshTarget{}
	}
}

// askLeader asks whoever leads for the index up to which a replica must have applied the log, and for
// how old that answer is. Answered is true when there was an answer at all.
func (r *Replica) askLeader(ctx context.Context) (index uint64, age time.Duration, answered bool, err error) {
	switch leader := r.leader(); leader {
	case "":
		return 0, 0, false, ErrNoLeader
	case r.data.ID:
		ctx, cancel := context.WithTimeout(ctx, roundWait)
		defer cancel()
		age = time.Since(r.lastMajority(time.Now()))
		index, err = r.readIndex(ctx, consistency.Leader)
		return index, age, true, err
	default:
		return r.caller.freshIndex(ctx, leader)
	}
}

// freshIndex asks the leader of that id for what askLeader returns.
func (c caller) freshIndex(ctx context.Context, id string) (index uint64, age time.Duration, answered bool, err error) {
	url := "http://" + id + readIndexPath + "?level=" + consistency.Leader.String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, 0, false, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, 0, false, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, 0, false, err
	}
	if resp.StatusCode != http.StatusOK {
		return 0, 0, true, fmt.Errorf("ask replica %.8s…: %s", id, resp.Status)
	}
	if text := resp.Header.Get(ageHeader); text != "" {
		us, err := strconv.ParseInt(text, 10, 64)
		if err != nil || us < 0 || us > maxAge.Microseconds() {
			return 0, 0, true, fmt.Errorf("the answer of replica %.8s… is of age %q", id, text)
		}
		age = time.Duration(us) * time.Microsecond
	}
	index, err = strconv.ParseUint(string(body), 10, 64)
	return index, age, true, err
}

// lastMajority returns the newest time for which it is known that a majority of voters was in the
// current term, in which this replica leads. It may be some milliseconds behind.
func (r *Replica) lastMajority(now time.Time) time.Time {
	term := r.raft.CurrentTerm()
	if m := r.fresh.majority.Load(); m != nil && m.term == term && now.Sub(m.at) < majorityKept {
		return m.last
	}
	voters := r.voters()
	var others []string
	for id := range voters {
		if id != r.data.ID {
			others = append(others, id)
		}
	}
	last := majorityContact(now, voters[r.data.ID], r.transport.contacts.in(term, others))
	r.fresh.majority.Store(&majorityAt{term, now, last})
	return last
}

// FreshAsOf returns the time as of which this replica is fresh: it has applied everything that had been
// committed by then. The zero time when it has not caught up since its start. It does not block. What
// is read of the registry afterwards is as fresh.
func (r *Replica) FreshAsOf() time.Time { return r.freshAsOf(time.Now()) }

func (r *Replica) freshAsOf(now time.Time) time.Time {
	f := freshFacts{asOf: loaded(&r.fresh.asOf), lease: r.cfg.RaftTimeout}
	if f.asOf.IsZero() && r.journal.applied.Load() > 0 {
		f.asOf = r.fresh.started
	}
	if term := r.fresh.readyTerm.Load(); term != 0 && r.leads() && r.raft.CurrentTerm() == term {
		f.leads, f.majority = true, r.lastMajority(now)
		f.applied = r.appliedCommits(now)
	}
	return freshAsOf(now, f)
}

// appliedCommits returns the newest time for which it is known that the leader has applied what it had
// committed by then: now, but for some milliseconds under load. A follower may be ahead of it, because
// it hears of a commit beside the leader's registry.
func (r *Replica) appliedCommits(now time.Time) time.Time {
	return r.fresh.caughtUp.applied(now, r.raft.CommitIndex(), r.reached)
}

// applied is told what the leader has committed by now, and whether it has applied an index.
func (c *caughtUp) applied(now time.Time, committed uint64, reached func(uint64) bool) time.Time {
	if reached(committed) {
		return now
	}
	waiting := c.commits.Load()
	switch {
	case waiting == nil:
		c.commits.CompareAndSwap(nil, &freshTarget{committed, now})
	case reached(waiting.index):
		c.commits.CompareAndSwap(waiting, &freshTarget{committed, now})
		return waiting.asOf
	}
	return loaded(&c.asOf)
}

// age returns how long ago this replica was last known to have applied what the leader had committed: 0
// on the leader, below 0 for never.
func (r *Replica) age() time.Duration {
	now := time.Now()
	return ageOf(now, r.freshAsOf(now))
}

// freshFacts is what decides as of when a replica is fresh.
type freshFacts struct {
	leads    bool          // and has committed something in its term, so that it has applied what was before
	applied  time.Time     // when it leads: as of when it has applied all that it had committed
	majority time.Time     // when it leads: when it last knew a majority to follow it
	lease    time.Duration // for so long after that no other can be elected
	asOf     time.Time     // what is known from questions to the leader
}

// freshAsOf returns the time as of which a replica is fresh. A leader is as fresh as its registry while
// no other can have been elected. One that was paused for longer may have been replaced.
func freshAsOf(now time.Time, f freshFacts) time.Time {
	leading := f.applied
	if now.Sub(f.majority) > f.lease && f.majority.Before(leading) {
		leading = f.majority
	}
	if f.leads && leading.After(f.asOf) {
		return leading
	}
	return f.asOf
}

// ageOf returns how old something is that is fresh as of a time, below 0 for the zero time.
func ageOf(now, asOf time.Time) time.Duration {
	if asOf.IsZero() {
		return -1
	}
	return max(0, now.Sub(asOf))
}

// readiness is what decides whether a replica should get traffic.
type readiness struct {
	started   bool // its first change since the start is applied
	outside   bool // it is no part of its cluster any more
	isolated  bool // it has heard no leader for the isolation timeout
	diverges  bool
	stopped   bool
	age       time.Duration // see age
	isolation time.Duration // the timeout
}

// isReady reports whether the replica should get traffic, or why not.
func (f readiness) isReady() (ok bool, reason string) {
	switch {
	case !f.started || f.age < 0:
		return false, "has not caught up since its start"
	case f.outside:
		return false, "is not part of its cluster any more"
	case f.isolated:
		return false, fmt.Sprintf("has heard no leader for %s", f.isolation)
	case f.diverges:
		return false, "its registry differs from the leader's"
	case f.stopped:
		return false, "is stopping"
	case f.age > f.isolation:
		return false, fmt.Sprintf("has not caught up with the leader for %s", f.age.Truncate(min(time.Second, f.isolation)))
	}
	return true, ""
}
