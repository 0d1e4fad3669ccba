package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

func TestFreshAsOf(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const lease = 300 * time.Millisecond
	for name, c := range map[string]struct {
		facts freshFacts
		want  time.Time
	}{
		"never":                           {freshFacts{}, time.Time{}},
		"follower":                        {freshFacts{asOf: ago(time.Hour)}, ago(time.Hour)},
		"follower that led":               {freshFacts{asOf: ago(2), majority: ago(1)}, ago(2)},
		"leader":                          {freshFacts{leads: true, applied: now, asOf: ago(time.Hour), majority: ago(lease)}, now},
		"leader under load":               {freshFacts{leads: true, applied: ago(2), asOf: ago(time.Hour), majority: ago(lease)}, ago(2)},
		"leader under load, asked itself": {freshFacts{leads: true, applied: ago(2), asOf: ago(1), majority: ago(lease)}, ago(1)},
		"leader that was paused":          {freshFacts{leads: true, applied: now, asOf: ago(time.Hour), majority: ago(lease + 1)}, ago(lease + 1)},
		"paused and behind":               {freshFacts{leads: true, applied: ago(2 * lease), asOf: ago(time.Hour), majority: ago(lease + 1)}, ago(2 * lease)},
		"leader that asked itself since":  {freshFacts{leads: true, applied: now, asOf: ago(time.Second), majority: ago(time.Minute)}, ago(time.Second)},
		"leader that nobody has answered": {freshFacts{leads: true, applied: now, asOf: ago(time.Hour)}, ago(time.Hour)},
		"leader at once, no answer":       {freshFacts{leads: true, applied: now}, time.Time{}},
	} {
		c.facts.lease = lease
		if got := freshAsOf(now, c.facts); !got.Equal(c.want) {
			t.Errorf("%s: fresh as of %s ago, want %s", name, now.Sub(got), now.Sub(c.want))
		}
	}
	for asOf, want := range map[time.Time]time.Duration{{}: -1, ago(5): 5, now: 0, now.Add(1): 0} {
		if got := ageOf(now, asOf); got != want {
			t.Errorf("age %s, want %s", got, want)
		}
	}
}

func TestMajorityContact(t *testing.T) {
	now := time.Now()
	at := func(seconds ...int) (all []time.Time) {
		for _, s := range seconds {
			if s < 0 {
				all = append(all, time.Time{})
				continue
			}
			all = append(all, now.Add(-time.Duration(s)*time.Second))
		}
		return all
	}
	for _, c := range []struct {
		voter  bool
		others []time.Time
		want   time.Time
	}{
		{true, nil, now},
		{false, nil, time.Time{}},
		{true, at(3), now.Add(-3 * time.Second)}, // two voters: both
		{true, at(-1), time.Time{}},
		{true, at(5, 3), now.Add(-3 * time.Second)}, // three: the newer of the others
		{true, at(-1, 3), now.Add(-3 * time.Second)},
		{true, at(-1, -1), time.Time{}},
		{true, at(9, 1, 5), now.Add(-5 * time.Second)},    // four: the second
		{true, at(9, 1, 5, 7), now.Add(-5 * time.Second)}, // five: the second
		{false, at(9, 1, 5), now.Add(-5 * time.Second)},   // it votes no longer
	} {
		if got := majorityContact(now, c.voter, c.others); !got.Equal(c.want) {
			t.Errorf("%+v: %s ago", c, now.Sub(got))
		}
	}
}

func TestContactsCountInOneTerm(t *testing.T) {
	var c contacts
	now := time.Now()
	c.answered("a", 2, now)
	c.answered("a", 2, now.Add(-1)) // an answer that came late
	c.answered("a", 1, now.Add(1))
	c.answered("b", 1, now)
	if got := c.in(2, []string{"a", "b", "c"}); !got[0].Equal(now) || !got[1].IsZero() || !got[2].IsZero() {
		t.Errorf("%v", got)
	}
	c.answered("a", 3, now.Add(-1))
	if got := c.in(3, []string{"a"}); !got[0].Equal(now.Add(-1)) {
		t.Errorf("%v", got)
	}
}

// An index that is never reached is given up.
func TestPendingTarget(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		target freshTarget
		want   bool
	}{
		{freshTarget{}, false},
		{freshTarget{0, now}, false},
		{freshTarget{7, now}, true},
		{freshTarget{7, now.Add(-targetPatience + 1)}, true},
		{freshTarget{7, now.Add(-targetPatience)}, false},
	} {
		if got := c.target.pending(now); got != c.want {
			t.Errorf("%+v: %v", c.target, got)
		}
	}
}

// A leader under load is as fresh as of when it had committed no more than it has applied.
func TestAppliedCommits(t *testing.T) {
	start := time.Now()
	var c caughtUp
	asked := start.Add(-time.Second)
	c.advance(asked)
	for i, step := range []struct {
		committed, applied uint64
		want               time.Duration // since start
	}{
		{7, 7, 0},
		{10, 9, -time.Second}, // 10 had been committed as of 1
		{12, 9, -time.Second},
		{13, 10, 1},
		{14, 12, -time.Second}, // 13 as of 3 is waited for
		{15, 14, 3},
		{15, 15, 6},
	} {
		now := start.Add(time.Duration(i))
		if got := c.applied(now, step.committed, func(index uint64) bool { return index <= step.applied }); !got.Equal(start.Add(step.want)) {
			t.Errorf("step %d: as of %s, want %s", i, got.Sub(start), step.want)
		}
	}
	c.advance(asked.Add(-time.Second))
	if got := loaded(&c.asOf); !got.Equal(asked) {
		t.Errorf("it went back by %s", asked.Sub(got))
	}
}

// What was known of the majority in another term, or a while ago, does not count.
func TestLastMajorityIsThatOfTheTerm(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	term, now := r.raft.CurrentTerm(), time.Now()
	known := now.Add(-time.Hour)
	for name, c := range map[string]struct {
		term uint64
		at   time.Time
		want time.Time
	}{
		"just now":     {term, now, known},
		"a moment ago": {term, now.Add(-majorityKept + 1), known},
		"a while ago":  {term, now.Add(-majorityKept), now},
		"another term": {term - 1, now, now},
	} {
		r.fresh.majority.Store(&majorityAt{c.term, c.at, known})
		if got := r.lastMajority(now); !got.Equal(c.want) {
			t.Errorf("%s: %s ago, want %s", name, now.Sub(got), now.Sub(c.want))
		}
	}
}

func TestReadiness(t *testing.T) {
	good := readiness{started: true, isolation: 30 * time.Second}
	for want, spoil := range map[string]func(*readiness){
		"":                                          func(*readiness) {},
		"has not caught up since its start":         func(f *readiness) { f.started = false },
		"has not caught up since its start ":        func(f *readiness) { f.age = -1 },
		"is not part of its cluster any more":       func(f *readiness) { f.outside = true },
		"has heard no leader for 30s":               func(f *readiness) { f.isolated, f.age = true, time.Minute },
		"its registry differs from the leader's":    func(f *readiness) { f.diverges = true },
		"is stopping":                               func(f *readiness) { f.stopped = true },
		"has not caught up with the leader for 34s": func(f *readiness) { f.age = 34567 * time.Millisecond },
		" ": func(f *readiness) { f.age = 30 * time.Second },
	} {
		f := good
		spoil(&f)
		want = strings.TrimSpace(want)
		if ok, reason := f.isReady(); reason != want || ok != (want == "") {
			t.Errorf("%+v: %v %q, want %q", f, ok, reason, want)
		}
	}
}

func TestHearsLeader(t *testing.T) {
	for _, c := range []struct {
		known, itself       bool
		answered, isolation time.Duration
		want                bool
	}{
		{false, false, 0, time.Minute, false},
		{true, true, -1, time.Minute, true},
		{true, false, -1, time.Minute, false},
		{true, false, maxUnanswered, time.Minute, true},
		{true, false, maxUnanswered + 1, time.Minute, false},
		{true, false, 100, 200, true},
		{true, false, 101, 200, false},
	} {
		if got := hearsLeader(c.known, c.itself, c.answered, c.isolation); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// A follower that hears heartbeats, but gets no entries, says that it is not fresh, and is not ready
// after the isolation timeout.
func TestHeartbeatsDoNotMakeFresh(t *testing.T) {
	var starved atomic.Pointer[string]
	c := newTrio(t, 3, func(_ int, cfg *Config) {
		cfg.IsolationTimeout = 2 * time.Second
		cfg.fault = func(to string, beat bool) error {
			if id := starved.Load(); id != nil && *id == to && !beat {
				return errCut
			}
			return nil
		}
	})
	c.agree()
	leader, f := c.leader(), c.follower()
	if _, _, _, age := leader.Position(); age != 0 {
		t.Errorf("the leader's age is %s", age)
	}
	starved.Store(&f.data.ID)
	change(t, leader, fsm.CreateTopic("topic"))
	committed := time.Now()
	eventually.True(t, soon, "the follower is not ready", func() error {
		if asOf := f.FreshAsOf(); asOf.After(committed) {
			t.Fatal("the follower says that it is fresh")
		}
		if known := f.level(); known.at.After(committed) {
			t.Fatal("the follower says that it knows the level in force")
		}
		if ok, _ := f.Ready(); ok {
			return errors.New("it is")
		}
		return nil
	})
	if _, reason := f.Ready(); !strings.Contains(reason, "has not caught up with the leader for ") {
		t.Errorf("reason %q", reason)
	}
	if f.leader() == "" || !f.Admits() {
		t.Errorf("leader %q, takes nsqds: %v", f.leader(), f.Admits())
	}
	if ms := f.Status().LastContactMS; ms < 2000 {
		t.Errorf("the status says %d ms", ms)
	}
	starved.Store(nil)
	waitReady(t, f)
	if asOf := f.FreshAsOf(); !asOf.After(committed) || !strings.Contains(listings(f.registry.State()), `"topic"`) {
		t.Errorf("fresh as of %s before the topic", committed.Sub(asOf))
	}
}

// committedTopics is what has been committed, and when that was known.
type committedTopics struct {
	mu  sync.Mutex
	all []committedTopic
}

type committedTopic struct {
	name string
	done time.Time
}

// write makes topics at a replica until the context ends.
func (h *committedTopics) write(ctx context.Context, r *Replica) {
	for n := 0; ctx.Err() == nil; n++ {
		name := fmt.Sprintf("t-%s-%d", r.Name(), n)
		if r.Change(context.Background(), fsm.CreateTopic(name)) == nil {
			h.mu.Lock()
			h.all = append(h.all, committedTopic{name, time.Now()})
			h.mu.Unlock()
		}
	}
}

// check looks whether a replica's state lacks what had been committed by the time as of which it is fresh.
func (h *committedTopics) check(r *Replica) error {
	h.mu.Lock()
	known := h.all[max(0, len(h.all)-200):]
	h.mu.Unlock()
	asOf := r.FreshAsOf()
	state := r.registry.State()
	for _, one := range known {
		if _, there := state.Lookup(one.name); !there && one.done.Before(asOf) {
			return fmt.Errorf("%s lacks %s, committed %s before the time as of which it is fresh", r.Name(), one.name, asOf.Sub(one.done))
		}
	}
	return nil
}

// Whatever is cut: a state that is taken after FreshAsOf has everything that had been committed by then.
func TestFreshAsOfIsTrue(t *testing.T) {
	c := newTrio(t, 3, nil)
	ctx, stop := context.WithCancel(t.Context())
	var h committedTopics
	var all sync.WaitGroup
	for _, r := range c.replicas {
		all.Go(func() { h.write(ctx, r) })
		all.Go(func() {
			for ctx.Err() == nil {
				if err := h.check(r); err != nil {
					t.Error(err)
					return
				}
				pause(ctx, time.Millisecond)
			}
		})
	}
	for i := range 4 {
		pause(ctx, 500*time.Millisecond)
		cut := c.replicas[i%3]
		if i%2 == 0 {
			cut = c.leader()
		}
		c.part(cut, true)
		pause(ctx, 700*time.Millisecond)
		c.heal()
		c.leader()
	}
	stop()
	all.Wait()
	c.agree()
	for _, r := range c.replicas {
		begin := time.Now()
		eventually.True(t, soon, "fresh again", func() error {
			if !r.FreshAsOf().After(begin) {
				return errors.New(r.Name())
			}
			return nil
		})
	}
}

// A follower is no fresher than the leader that it asks.
func TestFollowerCountsTheLeadersAge(t *testing.T) {
	c := newTrio(t, 2, nil)
	c.agree()
	leader, f := c.leader(), c.follower()
	now := time.Now()
	half := now.Add(-30 * time.Minute)
	leader.fresh.majority.Store(&majorityAt{term: leader.raft.CurrentTerm(), at: now.Add(time.Hour), last: half})
	if _, age, _, err := f.caller.freshIndex(t.Context(), leader.data.ID); err != nil || age < 30*time.Minute {
		t.Errorf("age %s, error %v", age, err)
	}
	if _, age, _, err := leader.askLeader(t.Context()); err != nil || age < 30*time.Minute {
		t.Errorf("the leader itself: age %s, error %v", age, err)
	}
	before := f.FreshAsOf()
	eventually.True(t, soon, "another answer", func() error {
		if !loaded(&f.fresh.answered).After(now.Add(2 * freshPeriod)) {
			return errors.New("not yet")
		}
		return nil
	})
	// What was asked before the contact was made old may still count.
	if after := f.FreshAsOf(); after.After(before) && after.After(now) {
		t.Errorf("fresh as of %s after the leader's last contact", after.Sub(half))
	}
}

// An answer is as old as its question, and as the leader says in addition.
func TestAnswerIsAsOldAsItsQuestion(t *testing.T) {
	clock := time.Unix(1000, 0)
	q := ask(func() time.Time { return clock }, func() (uint64, time.Duration, bool, error) {
		clock = clock.Add(5 * time.Second) // on its way
		return 7, 2 * time.Second, true, nil
	})
	if got := q.target(); got != (freshTarget{7, time.Unix(998, 0)}) || !q.answered || q.err != nil {
		t.Errorf("%+v of %+v", got, q)
	}
}
