package e2e

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// newCommands is how much of the traffic has to go through between two steps of an upgrade.
const newCommands = 50

// TestUpgrade replaces the programs of a cluster one by one under traffic: forth, back before all were replaced, and
// forth again. It has a leader of each version above followers of the other. No consumer sees a gap, nothing that was
// answered OK is lost, and all have the same fingerprints, at each step.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	c := newClusterOf(t, firstRelease)
	older := c.replicas[0].bin
	w := startTraffic(t, c)
	r1, r2, r3 := c.replicas[0], c.replicas[1], c.replicas[2]
	w.goesOn(t, "all are old")
	for _, step := range []struct {
		r      *replica
		bin    string
		leader *replica // afterwards
		what   string
	}{
		{r1, programs.raftlookupd, r1, "a new leader above two old followers"},
		{r2, programs.raftlookupd, r3, "an old leader above two new followers"},
		{r2, older, r2, "back: an old leader above a new follower"},
		{r1, older, r1, "back: all are old again"},
		{r3, programs.raftlookupd, r2, "an old leader above a new follower"},
		{r1, programs.raftlookupd, r3, "a new leader above an old follower"},
	} {
		c.replace(t, step.r, step.bin)
		w.goesOn(t, "replaced: "+step.what)
		c.leads(t, step.leader)
		w.goesOn(t, step.what)
	}
	c.replace(t, r2, programs.raftlookupd)
	w.goesOn(t, "all are new")
	w.ends(t)
}

// newClusterOf starts three replicas of a release.
func newClusterOf(t *testing.T, tag string) *cluster {
	t.Helper()
	c := prepareCluster(t, 3, defaultTimes...)
	for _, r := range c.replicas {
		r.bin = release(t, tag)
		r.launch(t)
	}
	c.settle(t)
	return c
}

// replace stops a replica and starts it with another program on the same data path.
func (c *cluster) replace(t *testing.T, r *replica, bin string) {
	t.Helper()
	start := time.Now()
	if code := r.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("%s: exit code %d", r.name, code)
	}
	r.bin = bin
	r.launch(t)
	c.settle(t)
	c.allRun(t)
	t.Logf("%s is replaced: %v", r.name, time.Since(start).Round(time.Millisecond))
}

// allRun fails the test when a replica has ended.
func (c *cluster) allRun(t *testing.T) {
	t.Helper()
	for _, r := range c.replicas {
		if r.hasExited() {
			t.Fatalf("%s has ended: %s", r.name, r.lastLine())
		}
	}
}

// leads makes a replica the leader. What it takes over is not sure to be there at once.
func (c *cluster) leads(t *testing.T, r *replica) {
	t.Helper()
	start := time.Now()
	eventually(t, clusterPatience, func() error {
		if leader, err := c.led(); err != nil || leader == r {
			return err
		}
		_, err := c.up()[0].tryLookupctl(t, "transfer", r.name)
		return errors.Join(err, errors.New("leadership has just been moved"))
	})
	t.Logf("%s leads: %v", r.name, time.Since(start).Round(time.Millisecond))
}

// goesOn waits until more of each kind of traffic has gone through, all run and have the same registry, and a change
// commits at each replica.
func (w *traffic) goesOn(t *testing.T, what string) {
	t.Helper()
	start := time.Now()
	before := w.progress()
	check := func() error {
		for i, n := range w.progress() {
			if n < before[i]+newCommands {
				return fmt.Errorf("%s: %d changes of kind %d, were %d", what, n, i, before[i])
			}
		}
		return w.fingerprints()
	}
	if err := poll(clusterPatience, check); err != nil {
		t.Error(err)
	}
	w.allRun(t)
	w.creates(t, "at-each-step")
	t.Logf("%s: %v", what, time.Since(start).Round(time.Millisecond))
}

// ends ends the traffic and compares what there is with what there has to be.
func (w *traffic) ends(t *testing.T) {
	t.Helper()
	w.quiet()
	w.complete(t)
	for _, n := range w.changing {
		eventually(t, clusterPatience, func() error { return w.everywhere(n.isListed) })
	}
	eventually(t, clusterPatience, func() error { // agree would ask for each of some thousand topics
		return errors.Join(w.fingerprints(), w.same("/topics"), w.same("/nodes"), w.same("/lookup?topic="+keptTopic))
	})
	w.allRun(t)
	w.stop()
}

// hasLevel returns nil when all that run say that this level of log kinds is in force.
func (c *cluster) hasLevel(want uint64) error {
	for _, r := range c.up() {
		var s struct {
			Registry struct {
				LogLevel *uint64 `json:"log_level"`
			}
		}
		if err := r.get("/cluster/status", &s); err != nil {
			return err
		}
		if got := s.Registry.LogLevel; got == nil || *got != want {
			return fmt.Errorf("%s does not say that log level %d is in force", r.name, want)
		}
	}
	return nil
}
