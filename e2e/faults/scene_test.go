package faults

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/e2e/fleet"
	"github.com/raftlookupd/raftlookupd/e2e/netlab"
)

// busy is what a promised time is lengthened by before a test fails: the machine runs other tests too. The table shows
// what was measured.
const busy = time.Second

// scene is a fleet in a test.
type scene struct {
	*testing.T
	*fleet.Fleet
	ctx   context.Context
	watch *fleet.Watcher
}

// long marks a test that runs only when E2E_LONG is 1.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("E2E_LONG") != "1" {
		t.Skip("takes minutes: set E2E_LONG=1")
	}
}

// newScene starts replicas and a watcher. The test runs beside others.
func newScene(t *testing.T, replicas int, args ...string) *scene {
	t.Helper()
	t.Parallel()
	if testing.Short() {
		t.Skip("takes up to a minute")
	}
	if suite.standIn {
		t.Skip("nsqlookupd stands in for raftlookupd")
	}
	needsLab(t)
	name := strings.ToLower(strings.NewReplacer("Test", "", "/", "-").Replace(t.Name()))
	dir := filepath.Join(suite.dir, name)
	if keep := os.Getenv("E2E_KEEP"); keep != "" {
		dir = filepath.Join(keep, name)
	}
	lab, err := netlab.New(name, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &scene{T: t, ctx: t.Context()}
	s.Fleet, err = fleet.Start(s.ctx, lab, suite.programs, replicas, args...)
	s.must(err)
	t.Cleanup(s.end)
	_, err = fleet.Until(s.ctx, backPatience, func() error { return s.LevelInForce(s.ctx) })
	s.must(err)
	s.watch = s.Watch(s.ctx)
	return s
}

// needsLab skips a test where no namespaces can be made, and fails it in a strict run.
func needsLab(t *testing.T) {
	t.Helper()
	if suite.noLab == nil {
		return
	}
	if os.Getenv("E2E_STRICT") == "1" {
		t.Fatalf("%v, and E2E_STRICT=1", suite.noLab)
	}
	t.Skip(suite.noLab)
}

// end reports what the replicas logged, when the test has failed or they did what they must not.
func (s *scene) end() {
	s.Fleet.Close()
	for _, r := range s.Replicas {
		log := r.Process.Tail(100000)
		for _, bad := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE"} {
			if at := strings.Index(log, bad); at >= 0 {
				s.Errorf("%s wrote %s", r.Name(), log[at:min(at+4000, len(log))])
			}
		}
		if s.Failed() {
			s.Logf("%s:\n%s", r.Name(), withoutRequests(log, 15))
		}
	}
}

// withoutRequests returns the last lines of a log, but for those of HTTP requests: tests ask all the time.
func withoutRequests(log string, lines int) string {
	all := slices.DeleteFunc(strings.Split(log, "\n"), func(line string) bool {
		return strings.Contains(line, " GET /") || strings.Contains(line, " POST /")
	})
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) hold(d time.Duration) {
	s.Helper()
	s.must(fleet.Hold(s.ctx, d))
}

// nsqds starts n of them that know these replicas, and expects them everywhere from then on.
func (s *scene) nsqds(n int, know ...*fleet.Replica) []*fleet.Nsqd {
	s.Helper()
	var all []*fleet.Nsqd
	for range n {
		one, err := s.AddNsqd(s.ctx, know...)
		s.must(err)
		all = append(all, one)
	}
	s.must(s.watch.Expect(s.ctx, all...))
	return all
}

// cut cuts links, and returns what heals them.
func (s *scene) cut(links netlab.Links) (heal func()) {
	s.Helper()
	h, err := s.Lab.Cut(links)
	s.must(err)
	return func() { s.Helper(); s.must(h()) }
}

func (s *scene) pause(replicas ...*fleet.Replica) {
	s.Helper()
	for _, r := range replicas {
		s.must(r.Process.Pause())
	}
}

func (s *scene) resume(replicas ...*fleet.Replica) {
	s.Helper()
	for _, r := range replicas {
		s.must(r.Process.Resume())
	}
}

// row adds a measurement to the table.
func (s *scene) row(what, format string, args ...any) {
	measured := fmt.Sprintf(format, args...)
	s.Logf("%s: %s", what, measured)
	suite.table.add(s.Name(), what, measured)
}

// noneMissing stops the watcher and fails the test when an nsqd was ever missing that is alive.
func (s *scene) noneMissing() {
	s.Helper()
	saw := s.watch.Stop()
	s.row("longest time a live nsqd was missing", "%s (%d of %d nsqds, %d answers)",
		seconds(saw.Longest()), saw.Missing(), len(s.Nsqds), saw.Polls)
	for i, a := range saw.Absences {
		if i == 4 {
			s.Logf("… and %d more", len(saw.Absences)-i)
			break
		}
		s.Log(a)
	}
	if len(saw.Absences) > 0 {
		s.Errorf("%d of %d live nsqds were missing, for up to %s", saw.Missing(), len(s.Nsqds), seconds(saw.Longest()))
	}
	if saw.Polls == 0 {
		s.Error("the watcher has had no answer")
	}
}

// within measures how long it takes until check returns nil, and fails the test when that is longer than promised. It
// waits for patience.
func (s *scene) within(what string, promised, patience time.Duration, check func() error) {
	s.Helper()
	took, err := fleet.Until(s.ctx, patience, check)
	switch {
	case err != nil:
		s.row(what, "not within %s", seconds(took))
		s.Errorf("%s: %v", what, err)
	case took > promised+busy:
		s.row(what, "%s", seconds(took))
		s.Errorf("%s: %s, promised within %s", what, seconds(took), seconds(promised))
	default:
		s.row(what, "%s", seconds(took))
	}
}

// commits returns nil when a change made at each of the replicas goes through, and a linearizable read too. Each call
// makes other topics.
func (s *scene) commits(replicas ...*fleet.Replica) error {
	errs := make([]error, len(replicas))
	var all sync.WaitGroup
	for i, r := range replicas {
		all.Go(func() {
			topic := fmt.Sprintf("made-at-%s-%d", r.Name(), time.Now().UnixNano())
			if errs[i] = r.Create(s.ctx, topic); errs[i] == nil {
				errs[i] = r.ReadLinearizably(s.ctx, topic)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// isolated returns nil when a replica is not ready.
func (s *scene) isolated(r *fleet.Replica) error {
	a, err := r.Get(s.ctx, "/readyz")
	if err == nil && a.Status != http.StatusServiceUnavailable {
		err = fmt.Errorf("/readyz of %s: %d", r.Name(), a.Status)
	}
	return err
}
