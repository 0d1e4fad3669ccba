package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// saysCopy is what both sides say of a replica that was started from a copy of a data path.
var saysCopy = regexp.MustCompile(`\b(copy|copied)\b`)

// copyData copies the data path of a replica that does not run, or that is stopped by SIGSTOP, as a backup or a
// snapshot of a virtual machine does.
func (r *replica) copyData(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(r.data)); err != nil {
		t.Fatal(err)
	}
	return to
}

// restore puts a copy of its data path in the place of the one that a replica has. It must not run.
func (r *replica) restore(t *testing.T, copied string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(r.data), os.CopyFS(r.data, os.DirFS(copied))); err != nil {
		t.Fatal(err)
	}
}

// refusesCopy waits until a replica that was started from a copy has ended by itself with one line, and one of the
// others has said why.
func (c *cluster) refusesCopy(t *testing.T, r *replica) {
	t.Helper()
	select {
	case <-r.exited:
	case <-time.After(clusterPatience):
		t.Fatalf("%s goes on from a copy of its data path\n%s", r.name, r.stderr.tail())
	}
	line := r.lastLine()
	if code := r.exitCode(t); code != 1 || !strings.HasPrefix(line, "raftlookupd: ") || !saysCopy.MatchString(line) {
		t.Errorf("%s: exit code %d, the last line is %q", r.name, code, line)
	}
	t.Logf("%s says: %s", r.name, line)
	eventually(t, patience, func() error {
		for _, other := range c.up() {
			for line := range strings.Lines(other.stderr.String()) {
				if strings.Contains(line, "name="+r.name) && saysCopy.MatchString(line) {
					return nil
				}
			}
		}
		return fmt.Errorf("no other replica has said why %s is refused", r.name)
	})
}

// hasTopics returns nil when all that run list each of the topics.
func (c *cluster) hasTopics(topics ...string) error {
	return c.everywhere(func(l *lookupd) error {
		for _, topic := range topics {
			if err := l.hasTopic(topic); err != nil {
				return err
			}
		}
		return nil
	})
}

// created creates topics at one replica, and returns when the others have them too.
func (c *cluster) created(t *testing.T, at *replica, prefix string) []string {
	t.Helper()
	var topics []string
	for i := range 10 {
		topics = append(topics, fmt.Sprintf("%s-%d", prefix, i))
		if err := at.post("/topic/create?topic=" + topics[i]); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, patience, func() error { return c.hasTopics(topics...) })
	return topics
}

// TestOlderCopy starts a replica with a copy of its data path that is older than what it has acknowledged since. It is
// refused, the others go on, and it can come back with an empty data path.
func TestOlderCopy(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	r1, r2, r3 := c.replicas[0], c.replicas[1], c.replicas[2]
	c.created(t, r1, "before")
	c.stopAll(t, r2)
	older := r2.copyData(t)
	c.startAll(t, r2)
	topics := c.created(t, r2, "since")
	for _, leader := range []*replica{r1, r3} {
		(&cluster{replicas: []*replica{r1, r3}}).settle(t)
		if !r2.hasExited() {
			c.leads(t, leader)
			c.stopAll(t, r2)
		}
		r2.restore(t, older)
		r2.launch(t)
		c.refusesCopy(t, r2)
	}
	r2.recoverable(t) // where nothing else is left
	topics = append(topics, c.created(t, r1, "without")...)
	c.agree(t)
	if err := os.RemoveAll(r2.data); err != nil {
		t.Fatal(err)
	}
	c.startAll(t, r2)
	eventually(t, clusterPatience, func() error { return c.isVoter("r2") })
	if err := c.hasTopics(topics...); err != nil {
		t.Error(err)
	}
}

// TestOlderCopyIsNoMajority starts a replica with an older copy while the one replica is down that has what the copy
// lacks. It must not form a majority with the third, for that would lose what was acknowledged.
func TestOlderCopyIsNoMajority(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	r1, r2, r3 := c.replicas[0], c.replicas[1], c.replicas[2]
	c.created(t, r1, "before")
	c.stopAll(t, r2)
	older := r2.copyData(t)
	c.startAll(t, r2) // r3 hears of it
	c.stopAll(t, r3)
	topics := c.created(t, r1, "since")
	c.stopAll(t, r2, r1)
	r2.restore(t, older)
	r3.launch(t)
	r2.launch(t)
	eventually(t, clusterPatience, func() error {
		s, err := r3.status()
		if s.Leader != "" {
			eventually(t, clusterPatience, r3.serves)
			t.Fatalf("r3 and the copy have elected %s; of what was acknowledged: %v", s.Leader, r3.hasTopic(topics[0]))
		}
		if err == nil && !r2.hasExited() {
			err = errors.New("the copy goes on")
		}
		return err
	})
	c.refusesCopy(t, r2)
	throughout(t, 3*time.Second, func() error {
		s, err := r3.status()
		if s.Leader != "" {
			err = fmt.Errorf("%s leads", s.Leader)
		}
		return err
	})
	c.startAll(t, r1)
	if err := c.hasTopics(topics...); err != nil {
		t.Error(err)
	}
	c.created(t, r3, "after")
}

// TestCopyOfLiveReplica starts a copy of the data path of a replica that runs, at other addresses and under traffic.
// The one that runs goes on, and no consumer sees a gap.
func TestCopyOfLiveReplica(t *testing.T) {
	t.Parallel()
	w := newCrowd(t, newCluster(t, 3), 3)
	var all []string
	for _, client := range w.clients {
		all = append(all, client.key())
	}
	edits := newStorm(t, w.replicas[0])
	for _, choose := range []func(testing.TB) *replica{w.follower, w.settle} {
		live := choose(t)
		live.pause(t)
		copied := live.copyData(t)
		live.resume(t)
		w.settle(t)
		stop := w.watch(t, "shared", all...)
		clone := &replica{data: copied, common: append([]string{"-join", w.gossip()}, defaultTimes...)}
		clone.move(t, live.name)
		clone.launch(t)
		w.refusesCopy(t, clone)
		throughout(t, time.Second, func() error { return w.isVoter(live.name) })
		w.allRun(t)
		stop()
	}
	edits.stop()
	w.recovers(t)
	if err := w.hasTopics(edits.created...); err != nil {
		t.Error(err)
	}
}

// TestRefusedCopyStaysRefused starts a copy again and again, as a service manager does, while the replica that it was
// taken from stands still for a while. What was refused once does not take its place.
func TestRefusedCopyStaysRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	eventually(t, clusterPatience, func() error { return c.hasLevel(1) })
	c.agree(t) // nothing is written from here on, so that the copy lacks nothing
	live := c.follower(t)
	live.pause(t)
	copied := live.copyData(t)
	live.resume(t)
	clone := &replica{data: copied, common: append([]string{"-join", c.gossip()}, defaultTimes...)}
	clone.move(t, live.name)
	clone.launch(t)
	c.refusesCopy(t, clone)
	live.pause(t)
	for range 3 {
		clone.launch(t)
		c.refusesCopy(t, clone)
	}
	live.resume(t)
	c.agree(t)
	c.allRun(t)
}

// TestDataPathMoves copies a data path to another place and starts it there, while the first one is down: that is a
// move. Whatever starts from the first one afterwards is the copy, and is refused.
func TestDataPathMoves(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	first := c.follower(t)
	i := slices.Index(c.replicas, first)
	c.stopAll(t, first)
	moved := &replica{data: first.copyData(t), common: append([]string{"-join", c.gossip()}, defaultTimes...)}
	moved.move(t, first.name)
	c.replicas[i] = moved
	c.startAll(t, moved)
	topics := c.created(t, moved, "since")
	first.launch(t)
	c.refusesCopy(t, first)
	c.allRun(t)
	if err := c.hasTopics(topics...); err != nil {
		t.Error(err)
	}
}

// TestAllFromCopies starts all replicas from copies of one moment: nobody is left to know better.
func TestAllFromCopies(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	topics := c.created(t, c.replicas[0], "before")
	c.stopAll(t, c.replicas...)
	var copies []string
	for _, r := range c.replicas {
		copies = append(copies, r.copyData(t))
	}
	c.startAll(t, c.replicas...)
	c.created(t, c.replicas[0], "since")
	c.stopAll(t, c.replicas...)
	for i, r := range c.replicas {
		r.restore(t, copies[i])
	}
	c.startAll(t, c.replicas...)
	c.allRun(t)
	if err := c.hasTopics(topics...); err != nil {
		t.Error(err)
	}
}

// TestHonestRestarts restarts replicas in every way that leaves them their data path: none is refused.
func TestHonestRestarts(t *testing.T) {
	t.Parallel()
	w := newCrowd(t, newCluster(t, 3), 3)
	edits := newStorm(t, w.replicas[0])
	for range 3 {
		for _, r := range w.replicas {
			r.kill()
			w.startAgain(t, r)
		}
	}
	r := w.follower(t) // several starts without ever being ready
	for range 5 {
		r.kill()
		r.launch(t)
	}
	w.startAgain(t, r)
	edits.stop()
	w.recovers(t)
	w.stopAll(t, w.replicas...)
	w.startAgain(t, w.replicas...)
	kill(t, w.replicas...)
	w.startAgain(t, w.replicas...)
	w.recovers(t)
	if err := w.hasTopics(edits.created...); err != nil {
		t.Error(err)
	}
	for _, r := range w.replicas {
		if saysCopy.MatchString(r.stderr.String()) {
			t.Errorf("%s has taken another replica for a copy\n%s", r.name, r.stderr.tail())
		}
	}
}

// startAgain starts replicas that do not run, or have just been started.
func (w *crowd) startAgain(t *testing.T, replicas ...*replica) {
	t.Helper()
	for _, r := range replicas {
		if r.hasExited() {
			r.launch(t)
		}
	}
	w.settle(t)
	w.allRun(t)
}

// TestMovedReplica restarts one replica at other addresses, while the others know the earlier ones.
func TestMovedReplica(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	r := c.follower(t)
	join := c.gossip()
	for _, stop := range []func(){func() { r.stop(t, syscall.SIGTERM) }, func() { r.kill() }} {
		c.created(t, c.replicas[0], fmt.Sprintf("before-%d", time.Now().UnixNano()))
		stop()
		r.move(t, r.name)
		r.args = append(slices.Clone(r.args), "-join", join)
		c.startAll(t, r)
	}
	eventually(t, clusterPatience, func() error { return c.isVoter(r.name) })
}
