package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// trailingLogs is how many entries a leader keeps behind its snapshot. A replica that was away for longer is caught up
// by a snapshot.
const trailingLogs = 20480

// defaultTimes are the defaults of the flags that tests of clusters shorten.
var defaultTimes = []string{"-replica-grace", "60s", "-isolation-timeout", "30s"}

// TestLongAbsence has replicas that are caught up by a snapshot, because they were away for longer than the log goes
// back. Their own log keeps what was before, and goes on behind the snapshot. They start again, as often as they are
// asked to, also when they are needed for the majority, and also from a data path that the first release has left.
func TestLongAbsence(t *testing.T) {
	if testing.Short() {
		t.Skip("makes some 30,000 entries")
	}
	t.Parallel()
	c := prepareCluster(t, 5, defaultTimes...)
	stay, away := c.replicas[:3], c.replicas[3:]
	older, newer := away[0], away[1]
	older.bin = release(t, firstRelease)
	for _, r := range c.replicas {
		r.launch(t)
	}
	c.settle(t)
	c.creates(t, "before")
	c.stopAll(t, away...)
	c.fill(t, func() error { return hasSnapshotAt(trailingLogs+1000, stay...) })
	c.creates(t, "meanwhile")
	c.startAll(t, away...)
	if err := hasSnapshotAt(trailingLogs, away...); err != nil {
		t.Fatalf("not caught up by a snapshot: %v", err)
	}
	older.stop(t, syscall.SIGTERM)
	older.launch(t)
	if code := older.exitCode(t); code != 1 || older.says("log not found") != nil {
		t.Errorf("%s exits with %d: the data path is none that it cannot read", firstRelease, code)
	}
	older.bin = programs.raftlookupd
	older.recoverable(t)
	c.startAll(t, older)
	c.restartsTwice(t, newer)
	c.restartsTwice(t, older)
	c.stopAll(t, c.replicas...)
	for _, r := range away {
		r.recoverable(t)
	}
	c.startAll(t, away[0], away[1], stay[0]) // the majority needs those that were away
	c.startAll(t, stay[1:]...)
	if err := c.everywhere(func(l *lookupd) error { return errors.Join(l.hasTopic("before"), l.hasTopic("meanwhile")) }); err != nil {
		t.Error(err)
	}
}

// creates creates topics at all that run.
func (c *cluster) creates(t *testing.T, topics ...string) {
	t.Helper()
	for _, r := range c.up() {
		for _, topic := range topics {
			if err := r.post("/topic/create?topic=" + topic); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// stopAll ends replicas one after another, as a service manager does.
func (c *cluster) stopAll(t *testing.T, replicas ...*replica) {
	t.Helper()
	for _, r := range replicas {
		if code := r.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("%s: exit code %d", r.name, code)
		}
	}
}

// startAll starts replicas that have to be ready soon, and not to end.
func (c *cluster) startAll(t *testing.T, replicas ...*replica) {
	t.Helper()
	for _, r := range replicas {
		r.launch(t)
	}
	for _, r := range replicas {
		eventually(t, clusterPatience, func() error {
			err := r.serves()
			if errors.Is(err, errExited) {
				t.Fatalf("%s has ended: %s", r.name, r.lastLine())
			}
			return err
		})
	}
	c.agree(t)
}

// lastLine is the last line that the program wrote.
func (p *process) lastLine() string {
	lines := strings.Split(strings.TrimSpace(p.stderr.String()), "\n")
	return lines[len(lines)-1]
}

// restartsTwice stops a replica by SIGTERM and starts it, then kills it and starts it.
func (c *cluster) restartsTwice(t *testing.T, r *replica) {
	t.Helper()
	c.stopAll(t, r)
	c.startAll(t, r)
	r.kill()
	c.startAll(t, r)
}

// recoverable holds that a replica, which does not run, could be made the only one of a new cluster. Nothing is changed.
func (r *replica) recoverable(t *testing.T) {
	t.Helper()
	cmd := exec.Command(programs.raftlookupd, "recover", "-data-path", r.data)
	cmd.Env = cleanEnviron()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), fmt.Sprintf("makes %s the only replica", r.name)) {
		t.Errorf("recover %s: %v: %s", r.name, err, out)
	}
}
