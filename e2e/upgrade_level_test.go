package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUpgradeRaisesLevel holds that an upgrade changes what goes into the log only when the last replica is replaced, and
// what comes of an older program afterwards.
func TestUpgradeRaisesLevel(t *testing.T) {
	t.Parallel()
	c := newClusterOf(t, firstRelease)
	older := c.replicas[0].bin
	r1, r2, r3 := c.replicas[0], c.replicas[1], c.replicas[2]
	c.creates(t, "before")
	c.replace(t, r1, programs.raftlookupd)
	c.replace(t, r2, programs.raftlookupd)
	for _, leader := range []*replica{r3, r1} {
		c.leads(t, leader)
		c.pausesUnderNsqd(t, r2) // r2 would write a new kind if it could
		c.agree(t)
	}
	c.stopAll(t, r3)
	mixed := &cluster{replicas: []*replica{r1, r2}}
	mixed.settle(t)
	throughout(t, 2*time.Second, func() error { return mixed.hasLevel(0) }) // r3 may come back as it was
	r3.bin = programs.raftlookupd
	c.startAll(t, r3)
	eventually(t, clusterPatience, func() error { return c.hasLevel(1) })
	c.creates(t, "after")
	throughout(t, 2*time.Second, c.pausesUnderNsqd(t, c.follower(t)))
	c.refusesOlder(t, older)
	c.refusesOlderMember(t, older)
	c.agree(t)
	if err := errors.Join(c.hasLevel(1), c.hasTopics("before", "after")); err != nil {
		t.Error(err)
	}
}

// pausesUnderNsqd pauses a replica for longer than an nsqd waits for an answer, so that the nsqd ends the connection. At
// level 1 the nsqd stays listed, which the returned function tells.
func (c *cluster) pausesUnderNsqd(t *testing.T, r *replica) (listed func() error) {
	t.Helper()
	nsqd := mustConnect(t, r.lookupd, "nsqd-paused", "paused c")
	nsqd.timeout = clientTimeout
	listed = func() error {
		return c.everywhere(func(l *lookupd) error { return l.hasProducers("paused", "nsqd-paused:4150") })
	}
	if err := nsqd.expectOK("PING"); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, listed)
	r.pause(t)
	eventually(t, patience, func() error { // the stop may come after an answer
		if nsqd.expectOK("PING") == nil {
			return fmt.Errorf("%s still answers", r.name)
		}
		return nil
	})
	nsqd.Close()
	r.resume(t)
	c.allRun(t)
	return listed
}

// refusesOlder starts an older program on the data path of each replica, one after another.
func (c *cluster) refusesOlder(t *testing.T, older string) {
	t.Helper()
	for _, r := range c.replicas {
		c.stopAll(t, r)
		r.bin = older
		r.launch(t)
		if code := r.exitCode(t); code != 1 || !tooOld.MatchString(r.lastLine()) {
			t.Errorf("%s on a data path of level 1: exit code %d, the last line is %q", firstRelease, code, r.lastLine())
		}
		t.Logf("%s says: %s", firstRelease, r.lastLine())
		r.bin = programs.raftlookupd
		c.startAll(t, r)
	}
}

// tooOld is what tells an operator that a program is too old for a cluster or a data path.
var tooOld = regexp.MustCompile(`newer version of raftlookupd|too old|upgrade`)

// refusesOlderMember starts an older program beside the cluster, which must not take it in.
func (c *cluster) refusesOlderMember(t *testing.T, older string) {
	t.Helper()
	r := newReplica(t, "r9", append([]string{"-join", c.gossip()}, defaultTimes...)...)
	r.bin = older
	r.launch(t)
	c.saysTooOld(t, r)
	throughout(t, 2*time.Second, func() error { return c.hasRole("r9", "none") })
	if r.hasExited() {
		t.Errorf("it has ended: %s", r.lastLine())
	}
	t.Logf("%s says: %s", r.name, r.lastLine())
	r.kill()
}

// saysTooOld waits until one of those that run has said of a replica that its program is too old.
func (c *cluster) saysTooOld(t *testing.T, r *replica) {
	t.Helper()
	eventually(t, clusterPatience, func() error {
		for _, other := range c.up() {
			for line := range strings.Lines(other.stderr.String()) {
				if strings.Contains(line, "name="+r.name) && tooOld.MatchString(line) {
					t.Logf("%s says: %s", other.name, strings.TrimSpace(line))
					return nil
				}
			}
		}
		return fmt.Errorf("no replica has said that %s is too old", r.name)
	})
}

// TestUpgradeLeavesOneBehind takes a dead replica out of a cluster that is being upgraded. When its old program comes
// back with its data, it is not taken in, and the cluster goes on.
func TestUpgradeLeavesOneBehind(t *testing.T) {
	t.Parallel()
	c := newClusterOf(t, firstRelease)
	r1, r2, r3 := c.replicas[0], c.replicas[1], c.replicas[2]
	c.replace(t, r1, programs.raftlookupd)
	c.replace(t, r2, programs.raftlookupd)
	r3.kill()
	c.settle(t)
	eventually(t, clusterPatience, func() error {
		_, err := r1.tryLookupctl(t, "remove", r3.name) // the leader wants to be sure that it is dead
		return err
	})
	eventually(t, clusterPatience, func() error { return c.hasLevel(1) })
	r3.launch(t)
	left := &cluster{replicas: []*replica{r1, r2}}
	left.saysTooOld(t, r3)
	throughout(t, 2*time.Second, func() error { return left.hasRole("r3", "none") })
	left.creates(t, "after")
	t.Logf("r3 says: %s", r3.lastLine())
	if !r3.hasExited() {
		r3.kill()
	}
	r3.bin = programs.raftlookupd
	c.startAll(t, r3)
	if err := c.hasTopics("after"); err != nil {
		t.Error(err)
	}
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
