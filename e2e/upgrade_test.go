package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
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
	if code := r.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("%s: exit code %d", r.name, code)
	}
	r.bin = bin
	r.launch(t)
	c.settle(t)
	c.allRun(t)
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
	eventually(t, clusterPatience, func() error {
		if leader, err := c.led(); err != nil || leader == r {
			return err
		}
		_, err := c.up()[0].tryLookupctl(t, "transfer", r.name)
		return errors.Join(err, errors.New("leadership has just been moved"))
	})
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
	w.agree(t)
	w.allRun(t)
	w.stop()
}

// logLevel is what a status says of the kinds of log entries that are in force.
type logLevel struct {
	Level   uint64 `json:"log_level"`
	Members []struct {
		Name, Version string
	}
}

// hasLevel returns nil when all that run say that it is in force.
func (c *cluster) hasLevel(want uint64) error {
	for _, r := range c.up() {
		var s logLevel
		if err := r.get("/cluster/status", &s); err != nil {
			return err
		}
		if s.Level != want {
			return fmt.Errorf("%s says that log level %d is in force, want %d", r.name, s.Level, want)
		}
	}
	return nil
}

// TestUpgradeRaisesLevel holds that an upgrade changes what goes into the log only when the last replica is replaced, and
// what comes of an older program afterwards.
func TestUpgradeRaisesLevel(t *testing.T) {
	t.Parallel()
	c := newClusterOf(t, firstRelease)
	older := c.replicas[0].bin
	c.creates(t, "before")
	for _, r := range c.replicas[:2] {
		c.replace(t, r, programs.raftlookupd)
	}
	mixed := &cluster{replicas: c.replicas[:2]}
	throughout(t, 2*time.Second, func() error { return mixed.hasLevel(0) })
	c.replace(t, c.replicas[2], programs.raftlookupd)
	eventually(t, clusterPatience, func() error { return c.hasLevel(1) })
	c.creates(t, "after")
	c.detaches(t)
	c.refusesOlder(t, older)
	c.refusesOlderMember(t, older)
	c.agree(t)
	if err := errors.Join(c.hasLevel(1), c.hasTopics("before", "after")); err != nil {
		t.Error(err)
	}
}

// detaches pauses a replica for longer than an nsqd waits for an answer. At level 1 the nsqd stays listed.
func (c *cluster) detaches(t *testing.T) {
	t.Helper()
	r := c.follower(t)
	nsqd := mustConnect(t, r.lookupd, "nsqd-paused", "paused c")
	nsqd.timeout = clientTimeout
	listed := func() error {
		return c.everywhere(func(l *lookupd) error { return l.hasProducers("paused", "nsqd-paused:4150") })
	}
	if err := nsqd.expectOK("PING"); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, listed)
	r.pause(t)
	err := nsqd.expectOK("PING")
	nsqd.Close()
	r.resume(t)
	if err == nil {
		t.Error("a replica that is stopped has answered")
	}
	throughout(t, 2*time.Second, listed)
	c.settle(t)
}

// refusesOlder starts an older program on the data path of each replica, one after another.
func (c *cluster) refusesOlder(t *testing.T, older string) {
	t.Helper()
	for _, r := range c.replicas {
		c.stopAll(t, r)
		r.bin = older
		r.launch(t)
		if code := r.exitCode(t); code != 1 || !saysTooOld.MatchString(r.lastLine()) {
			t.Errorf("%s on a data path of level 1: exit code %d, the last line is %q", firstRelease, code, r.lastLine())
		}
		t.Logf("%s says: %s", firstRelease, r.lastLine())
		r.bin = programs.raftlookupd
		c.startAll(t, r)
	}
}

// saysTooOld is what tells an operator that a program is too old for a cluster or a data path.
var saysTooOld = regexp.MustCompile(`newer version of raftlookupd|too old|upgrade`)

// refusesOlderMember starts an older program beside the cluster, which must not take it in.
func (c *cluster) refusesOlderMember(t *testing.T, older string) {
	t.Helper()
	r := newReplica(t, "r9", append([]string{"-join", c.gossip()}, defaultTimes...)...)
	r.bin = older
	r.launch(t)
	said := regexp.MustCompile(`name=r9 .*(` + saysTooOld.String() + `)|(` + saysTooOld.String() + `).* name=r9`)
	eventually(t, clusterPatience, func() error {
		for _, other := range c.up() {
			if line := said.FindString(other.stderr.String()); line != "" {
				t.Logf("%s says: %s", other.name, line)
				return nil
			}
		}
		return errors.New("no replica has said that r9 is too old")
	})
	throughout(t, 2*time.Second, func() error { return c.hasRole("r9", "none") })
	if r.hasExited() {
		t.Errorf("it has ended: %s", r.lastLine())
	}
	r.kill()
}

// TestUpgradeReadsSnapshot starts today's program on a data path whose snapshot the first release has written.
func TestUpgradeReadsSnapshot(t *testing.T) {
	t.Parallel()
	r := newReplica(t, "r1", defaultTimes...)
	r.bin = release(t, firstRelease)
	r.start(t)
	if err := r.post("/channel/create?topic=kept&channel=c"); err != nil {
		t.Fatal(err)
	}
	mustConnect(t, r.lookupd, "nsqd-old", "registered c")
	eventually(t, patience, func() error { return r.hasProducers("registered", "nsqd-old:4150") })
	r.stop(t, syscall.SIGTERM)
	recovery := exec.Command(r.bin, "recover", "-data-path", r.data, "-yes") // which leaves a snapshot and no log
	recovery.Env = cleanEnviron()
	if out, err := recovery.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := hasSnapshotAt(1, r); err != nil {
		t.Fatal(err)
	}
	r.bin = programs.raftlookupd
	r.start(t)
	complete := func() error {
		channels, err := r.channels("kept")
		if err == nil && !slices.Equal(channels, []string{"c"}) {
			err = fmt.Errorf("channels are %v", channels)
		}
		return errors.Join(err, r.hasProducers("registered", "nsqd-old:4150"))
	}
	if err := complete(); err != nil {
		t.Error(err)
	}
	// It is all of its cluster, so that the level rises at once.
	lone := &cluster{replicas: []*replica{r}}
	eventually(t, patience, func() error { return lone.hasLevel(1) })
	lone.refusesOlder(t, release(t, firstRelease))
	if err := complete(); err != nil {
		t.Error(err)
	}
}
