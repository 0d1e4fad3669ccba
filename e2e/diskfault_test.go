package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// registrar is an nsqd at one replica that registers one new topic after another. What it has been told OK for it never
// repeats: nothing hides a loss.
type registrar struct {
	name string
	at   *replica

	mu   sync.Mutex
	ok   []string // the topics that were answered OK
	last error
}

// registerPause is between two REGISTERs, so that a case has hundreds of topics and not many thousands.
const registerPause = 20 * time.Millisecond

func (w *registrar) key() string { return w.name + ":4150" }

func (w *registrar) run(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		err := w.serve(ctx, &n)
		w.mu.Lock()
		w.last = err
		w.mu.Unlock()
		wait(ctx, registerPause)
	}
}

// serve keeps one connection until something is wrong. n is the number of the next topic.
func (w *registrar) serve(ctx context.Context, n *int) error {
	c, err := connect(w.at.lookupd, w.name)
	if err != nil {
		return err
	}
	defer c.Close()
	c.timeout = clientTimeout
	for ; ctx.Err() == nil; *n++ {
		topic := fmt.Sprintf("%s-%d", w.name, *n)
		answer, err := c.command("REGISTER " + topic)
		switch {
		case err != nil:
			return err
		case answer == "OK":
			w.mu.Lock()
			w.ok = append(w.ok, topic)
			w.mu.Unlock()
		case !strings.HasPrefix(answer, "E_PENDING"): // which says that it may come yet
			return fmt.Errorf("REGISTER: answered %q", answer)
		}
		wait(ctx, registerPause)
	}
	return nil
}

func (w *registrar) answered() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.ok)
}

// registrars are one at each replica of a cluster.
type registrars []*registrar

// startRegistrars returns them and what stops them.
func startRegistrars(t *testing.T, c *cluster, name string) (registrars, func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var ws registrars
	for _, r := range c.replicas {
		w := &registrar{name: name + "-" + r.name, at: r}
		ws = append(ws, w)
		wg.Go(func() { w.run(ctx) })
	}
	stop := func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return ws, stop
}

// goOn waits until each of them, but those at some replicas, has been told OK some more times.
func (ws registrars) goOn(t *testing.T, but ...*replica) {
	t.Helper()
	const more = 10
	before := map[*registrar]int{}
	for _, w := range ws {
		if !slices.Contains(but, w.at) {
			before[w] = len(w.answered())
		}
	}
	eventually(t, clusterPatience, func() error {
		for w, n := range before {
			if got := len(w.answered()); got < n+more {
				w.mu.Lock()
				defer w.mu.Unlock()
				return fmt.Errorf("%s was told OK for %d more topics, want %d; its last connection: %v", w.name, got-n, more, w.last)
			}
		}
		return nil
	})
}

// kept waits until all that run have every topic that has been answered OK by now, and list the nsqds that were at the
// victims: what they have stays until they are back.
func (b *brokenDisk) kept(t *testing.T, ws registrars, victims ...*replica) {
	t.Helper()
	var told []string
	for _, w := range ws {
		told = append(told, w.answered()...)
	}
	eventually(t, patience, func() error {
		return b.everywhere(func(l *lookupd) error { return errors.Join(hasAll(l, told), ws.listed(l, victims)) })
	})
}

func hasAll(l *lookupd, want []string) error {
	topics, err := l.topics()
	if err != nil {
		return err
	}
	slices.Sort(topics)
	for _, topic := range want {
		if _, found := slices.BinarySearch(topics, topic); !found {
			return fmt.Errorf("%s has lost %s, which was answered OK", l.name, topic)
		}
	}
	return nil
}

// listed returns nil when the replica lists the nsqds that are at these with the first and the last topic they have.
func (ws registrars) listed(l *lookupd, at []*replica) error {
	for _, w := range ws {
		if !slices.Contains(at, w.at) {
			continue
		}
		ok := w.answered()
		if err := errors.Join(l.hasProducers(ok[0], w.key()), l.hasProducers(ok[len(ok)-1], w.key())); err != nil {
			return err
		}
	}
	return nil
}

// brokenDisk is a cluster of which one replica's disk breaks.
type brokenDisk struct {
	*crowd
	says string // with which the replica ends
}

const steadyTopic = "steady"

// diskCluster is a cluster with an nsqd that moves on when its replica ends, and whose topic is asked for all the time.
func diskCluster(t *testing.T, c *cluster, says string) *brokenDisk {
	t.Helper()
	b := &brokenDisk{crowd: &crowd{cluster: c}, says: says}
	b.clients = []*client{startClient(t, "steady", c.tcp(), steadyTopic+" c")}
	b.recovers(t)
	return b
}

// diskArgs: OK means committed; and nobody's sessions expire before a disk that hangs is given up.
var diskArgs = []string{"-register-window", "0", "-replica-grace", "60s"}

// breaks lets strike break the victims' disks, one after another, under nsqds that register at all replicas. Each disk
// is mended once its replica has ended.
func (b *brokenDisk) breaks(t, whole *testing.T, strike func(*replica) (mend func()), victims ...*replica) {
	t.Helper()
	stopWatch := b.watch(t, steadyTopic, "steady:4150")
	ws, stop := startRegistrars(t, b.cluster, strings.ReplaceAll(filepath.Base(t.Name()), " ", "-"))
	ws.goOn(t)
	var mend []func()
	for i, v := range victims {
		mend = append(mend, strike(v))
		ws.goOn(t, victims[:i+1]...)
	}
	for i, v := range victims {
		v.endsItself(t, v.process, mend[i], b.says, "start again")
	}
	b.kept(t, ws, victims...)
	ws.goOn(t, victims...)
	for _, v := range victims {
		v.launch(whole)
	}
	b.settle(t)
	ws.goOn(t)
	stop()
	stopWatch()
	eventually(t, clusterPatience, b.level)
	b.kept(t, ws)
}

// level returns nil when all that run have the same registry; agree would ask for every topic.
func (b *brokenDisk) level() error {
	index, err := b.caughtUp()
	if err != nil {
		return err
	}
	return errors.Join(b.same(fmt.Sprintf("/cluster/fingerprint?index=%d", index)), b.same("/topics"))
}

// TestClusterDisk breaks the disks of replicas that run. One that hangs is given up after ten seconds: so a follower's
// and the leader's hang in one cluster.
func TestClusterDisk(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	needsStrace(t)
	full, failing, hanging := diskFaults[0], diskFaults[1], diskFaults[2]
	for _, tt := range []struct {
		fault    diskFault
		replicas int
		roles    []string
	}{
		{hanging, 5, []string{voterRole, leaderRole}},
		{full, 3, []string{leaderRole}},
		{full, 3, []string{voterRole}},
		{failing, 3, []string{leaderRole}},
		{failing, 3, []string{voterRole}},
	} {
		t.Run(tt.fault.name+" "+strings.Join(tt.roles, " "), func(t *testing.T) {
			t.Parallel()
			b := diskCluster(t, newCluster(t, tt.replicas, diskArgs...), tt.fault.says)
			victims := map[string]*replica{leaderRole: b.settle(t), voterRole: b.follower(t)}
			var chosen []*replica
			for _, role := range tt.roles {
				chosen = append(chosen, victims[role])
			}
			b.breaks(t, t, func(r *replica) func() { return tt.fault.strike(t, r) }, chosen...)
		})
	}
}

// TestStartOnBrokenDisk starts a replica on a broken disk, for the first time and again. A disk that hangs is waited for.
func TestStartOnBrokenDisk(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	needsStrace(t)
	for _, fault := range diskFaults[:2] {
		t.Run(fault.name, func(t *testing.T) {
			r := newReplica(t, "r1", "-register-window", "0")
			fails := func() { r.endsItself(t, fault.startOnBroken(t, r), func() {}, fault.says, "check the disk") }
			fails()
			r.start(t)
			mustConnect(t, r.lookupd, "nsqd", "kept")
			if code := r.stop(t, syscall.SIGTERM); code != 0 {
				t.Fatalf("exit code %d", code)
			}
			fails()
			r.start(t)
			if topics, err := r.topics(); err != nil || !slices.Contains(topics, "kept") {
				t.Errorf("topics %v, error %v", topics, err)
			}
		})
	}
}

// TestClusterDiskReallyFull has one replica on a file system of its own that fills up.
func TestClusterDiskReallyFull(t *testing.T) {
	t.Parallel()
	c := prepareCluster(t, 3, diskArgs...)
	small := smallDisk(t)
	victim := c.replicas[0]
	victim.args[slices.Index(victim.args, victim.data)] = small
	victim.data = small
	for _, r := range c.replicas {
		r.launch(t)
	}
	c.settle(t)
	b := diskCluster(t, c, "no space left on device")
	for _, role := range []string{leaderRole, voterRole} {
		ok := t.Run(role, func(sub *testing.T) {
			b.until(sub, t, victim, role)
			filler := filepath.Join(filepath.Dir(small), "filler")
			b.breaks(sub, t, func(*replica) func() {
				fill(sub, filler)
				return func() {
					if err := os.Remove(filler); err != nil {
						sub.Fatal(err)
					}
				}
			}, victim)
		})
		if !ok {
			return
		}
	}
}

// until restarts leaders until the victim has that role.
func (b *brokenDisk) until(t, whole *testing.T, victim *replica, role string) {
	t.Helper()
	for leader := b.settle(t); (leader == victim) != (role == leaderRole); leader = b.settle(t) {
		if code := leader.stop(t, syscall.SIGTERM); code != 0 {
			t.Fatalf("%s: exit code %d", leader.name, code)
		}
		b.settle(t)
		leader.launch(whole)
	}
	b.recovers(t)
}
