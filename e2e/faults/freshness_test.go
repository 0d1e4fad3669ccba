package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/raftlookupd/raftlookupd/e2e/fleet"
)

// made is a topic with one channel, and when that had been acknowledged.
const made, madeChannel = "made-during-the-cut", "archive"

// maxStale is the bound that reads are asked with.
const maxStale = time.Second

// freshness asks a replica for a topic that was made without it, by max_stale and by /channels, and counts the answers
// that they must not give.
type freshness struct {
	replica *fleet.Replica
	stop    func()

	mu       sync.Mutex
	known    time.Time            // the topic and its channel had been acknowledged by then
	answers  map[string]int       // by what was asked and what came
	contacts map[string]int       // X-Raftlookup-Last-Contact of answers that were older than asked for
	last     map[string]time.Time // when each kind of answer came last
}

// followFreshness starts it; stop ends it.
func (s *scene) followFreshness(r *fleet.Replica) *freshness {
	ctx, cancel := context.WithCancel(s.ctx)
	f := &freshness{replica: r, answers: map[string]int{}, contacts: map[string]int{}, last: map[string]time.Time{}}
	var loops sync.WaitGroup
	loops.Go(func() { repeat(ctx, f.lookup) })
	loops.Go(func() { repeat(ctx, f.channels) })
	f.stop = func() { cancel(); loops.Wait() }
	s.Cleanup(f.stop)
	return f
}

func repeat(ctx context.Context, look func(context.Context)) {
	tick := time.NewTicker(fleet.Interval)
	defer tick.Stop()
	for {
		look(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// acknowledged says that the topic and its channel are there from now on.
func (f *freshness) acknowledged() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = time.Now()
}

// knownFor returns for how long the topic has been there at a time.
func (f *freshness) knownFor(at time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known.IsZero() {
		return 0
	}
	return at.Sub(f.known)
}

func (f *freshness) count(answer string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[answer]++
	f.last[answer] = time.Now()
}

// Answers that break a promise.
const (
	tooOld       = "lookup older than max_stale"
	falselyEmpty = "channels falsely empty"
)

func (f *freshness) lookup(ctx context.Context) {
	asked := time.Now()
	a, err := f.replica.Get(ctx, fmt.Sprintf("/lookup?topic=%s&max_stale=%v", made, maxStale))
	if err != nil || f.knownFor(asked) == 0 {
		return
	}
	f.count(fmt.Sprint("lookup ", a.Status))
	if a.Status == http.StatusNotFound && f.knownFor(asked) > maxStale {
		f.count(tooOld)
		f.mu.Lock()
		f.contacts[a.Header.Get("X-Raftlookup-Last-Contact")]++
		f.mu.Unlock()
	}
}

func (f *freshness) channels(ctx context.Context) {
	asked := time.Now()
	a, err := f.replica.Get(ctx, "/channels?topic="+made)
	if err != nil || f.knownFor(asked) == 0 {
		return
	}
	f.count(fmt.Sprint("channels ", a.Status))
	var body struct{ Channels []string }
	if a.Status == http.StatusOK && (json.Unmarshal(a.Body, &body) != nil || !slices.Contains(body.Channels, madeChannel)) {
		f.count(falselyEmpty)
	}
}

// judge ends it and fails the test when a promise was broken. since is when the fault was healed.
func (s *scene) judge(f *freshness, since time.Time) {
	s.Helper()
	f.stop()
	s.Logf("answers of %s: %v; last contact of those that were too old: %v", f.replica.Name(), f.answers, f.contacts)
	for _, bad := range []string{tooOld, falselyEmpty} {
		n := f.answers[bad]
		if n == 0 {
			s.row("answers: "+bad, "0")
			continue
		}
		s.row("answers: "+bad, "%d, the last %s after healing", n, seconds(f.last[bad].Sub(since)))
		s.Errorf("%d answers: %s", n, bad)
	}
	if f.answers["lookup 200"] == 0 {
		s.Error("the topic was never there")
	}
}

// makeTopic makes the topic and its channel at a replica.
func (s *scene) makeTopic(at *fleet.Replica) {
	s.Helper()
	s.must(at.Create(s.ctx, made))
	s.must(at.Post(s.ctx, "/channel/create?topic="+made+"&channel="+madeChannel))
}

// hasMade returns nil when a replica's local read shows the topic.
func (s *scene) hasMade(r *fleet.Replica) error {
	a, err := r.Get(s.ctx, "/lookup?topic="+made)
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", r.Name(), a.Status, a.Body)
	}
	return err
}
