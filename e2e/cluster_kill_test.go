package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
)

// crowd is a cluster with clients at it.
type crowd struct {
	*cluster
	clients []*client
}

// newCrowd starts clients that list the replicas in different orders.
func newCrowd(t *testing.T, c *cluster, n int) *crowd {
	t.Helper()
	w := &crowd{cluster: c}
	for i := range n {
		first := i % len(c.replicas)
		addresses := slices.Concat(c.tcp()[first:], c.tcp()[:first])
		w.clients = append(w.clients, startClient(t, fmt.Sprintf("nsqd-%d", i), addresses,
			fmt.Sprintf("shared c%d", i), fmt.Sprintf("own-%d", i), fmt.Sprintf("own-%d e#ephemeral", i)))
	}
	w.recovers(t)
	return w
}

// recovers waits until every client has come back, and everything that they have is listed once, by
// all that run, and nothing else.
func (w *crowd) recovers(t *testing.T) {
	t.Helper()
	w.settle(t)
	eventually(t, clusterPatience, w.returned)
	eventually(t, clusterPatience, func() error {
		return w.everywhere(func(l *lookupd) error { return lists(l, w.clients) })
	})
	w.agree(t)
}

// returned returns nil when every client has registered all it has at a replica that runs.
func (w *crowd) returned() error {
	for _, c := range w.clients {
		at, err := c.where()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(w.up(), func(r *replica) bool { return r.lookupd.tcp == at }) {
			return fmt.Errorf("%s has not noticed that %s is gone", c.name, at)
		}
	}
	return nil
}

// servedBy is the replica at which a client is.
func (w *crowd) servedBy(t *testing.T, c *client) *replica {
	t.Helper()
	at, err := c.where()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.Index(w.tcp(), at)
	return w.replicas[i]
}

// kill ends all of the victims before it waits for any.
func kill(t *testing.T, victims ...*replica) {
	t.Helper()
	for _, r := range victims {
		if err := r.cmd.Process.Signal(os.Kill); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range victims {
		r.kill()
	}
}

// TestClusterKill kills replicas as kill -9 does, under clients that come back as nsqd does. The
// cluster stays the same from one case to the next: what one leaves behind, the next must stand.
func TestClusterKill(t *testing.T) {
	t.Parallel()
	w := newCrowd(t, newCluster(t, 3), 6)
	whole := t // the processes outlive the case that starts them
	restart := func(t *testing.T, victims ...*replica) {
		for _, r := range victims {
			r.launch(whole)
		}
		w.recovers(t)
	}
	one := func(choose func(*testing.T) *replica) func(*testing.T) {
		return func(t *testing.T) {
			r := choose(t)
			kill(t, r)
			w.recovers(t)
			restart(t, r)
		}
	}
	for _, tt := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"leader", one(func(t *testing.T) *replica { return w.settle(t) })},
		{"the one of a client", one(func(t *testing.T) *replica { return w.servedBy(t, w.clients[0]) })},
		{"follower in a storm", func(t *testing.T) { w.storm(t, kill, restart) }},
		{"two of three", func(t *testing.T) {
			two := slices.Clone(w.replicas[:2])
			kill(t, two...)
			left := w.replicas[2]
			eventually(t, patience, func() error { return left.refuses("/readyz", "no leader") })
			w.stillLists(t, left)
			restart(t, two...)
		}},
		{"all", func(t *testing.T) {
			kill(t, w.replicas...)
			restart(t, w.replicas...)
		}},
		{"one comes back with less", func(t *testing.T) {
			victim := w.follower(t)
			w.returnsWithLess(t, victim, func() { kill(t, victim) })
			restart(t, victim)
		}},
		{"clients leave", func(t *testing.T) {
			for _, c := range w.clients[3:] {
				c.stop()
			}
			w.clients = w.clients[:3]
			w.recovers(t)
		}},
	} {
		if !t.Run(tt.name, tt.run) {
			return
		}
	}
}

// returnsWithLess has an nsqd that loses its replica, and has fewer topics when it is back at another.
func (w *crowd) returnsWithLess(t *testing.T, victim *replica, kill func()) {
	t.Helper()
	const key = "nsqd-less:4150"
	listed := func(old ...string) func() error {
		return func() error {
			return w.everywhere(func(l *lookupd) error {
				return errors.Join(l.hasProducers("stays", key), l.hasProducers("goes", old...))
			})
		}
	}
	before := mustConnect(t, victim.lookupd, "nsqd-less", "stays c", "goes c")
	if err := before.expectOK("PING"); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, listed(key))
	kill()
	other := w.settle(t)
	after := mustConnect(t, other.lookupd, "nsqd-less", "stays c")
	throughout(t, time.Second, listed(key)) // it may have more to say, until its first PING
	if err := after.expectOK("PING"); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, listed())
	after.Close()
}

// stillLists holds that a replica without a leader goes on answering what it knows.
func (w *crowd) stillLists(t *testing.T, r *replica) {
	t.Helper()
	throughout(t, time.Second, func() error { return lists(r.lookupd, w.clients) })
}

const (
	stormClients = 20
	stormTopics  = 100
)

// storm kills a follower while many clients register.
func (w *crowd) storm(t *testing.T, kill, restart func(*testing.T, ...*replica)) {
	var topics []string
	for i := range stormTopics {
		topics = append(topics, fmt.Sprintf("storm-%d", i), fmt.Sprintf("storm-%d c", i))
	}
	victim := w.follower(t)
	before := w.clients
	var come []*client
	for i := range stormClients {
		come = append(come, startClient(t, fmt.Sprintf("storm-%d", i), w.tcp()[i%3:], topics...))
	}
	eventually(t, patience, func() error { return told(come, stormClients*stormTopics/10) })
	kill(t, victim)
	if told(come, 2*stormClients*stormTopics) == nil {
		t.Error("the storm was over before the kill")
	}
	w.clients = append(slices.Clone(before), come...)
	w.recovers(t)
	restart(t, victim)
	for _, c := range come {
		c.stop()
	}
	w.clients = before
	w.recovers(t)
}

// TestClusterPause stops replicas for so long that others take over, and lets them go on.
func TestClusterPause(t *testing.T) {
	t.Parallel()
	const pause = 10 * time.Second
	w := newCrowd(t, newCluster(t, 3), 6)
	for _, tt := range []struct {
		name   string
		choose func(*testing.T) *replica
	}{
		{"leader", func(t *testing.T) *replica { return w.settle(t) }},
		{"follower", func(t *testing.T) *replica { return w.follower(t) }},
	} {
		ok := t.Run(tt.name, func(t *testing.T) {
			victim := tt.choose(t)
			victim.pause(t)
			end := time.Now().Add(pause)
			w.recovers(t)
			throughout(t, time.Until(end), func() error { return w.everywhere(func(l *lookupd) error { return lists(l, w.clients) }) })
			victim.resume(t)
			w.recovers(t)
		})
		if !ok {
			return
		}
	}
}

// TestClusterRollingRestart restarts all replicas, one after another, as an upgrade does. No consumer may see a gap.
func TestClusterRollingRestart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	var clients []*client
	for _, address := range c.tcp() { // as an nsqd does that lists all three
		clients = append(clients, startClient(t, "nsqd-all", []string{address}, "kept c"))
	}
	for i, address := range c.tcp() {
		clients = append(clients, startClient(t, fmt.Sprintf("nsqd-one-%d", i), []string{address}, "kept c"))
	}
	w := &crowd{c, clients}
	w.recovers(t)
	stop := w.watch(t, "kept", "nsqd-all:4150", "nsqd-one-0:4150", "nsqd-one-1:4150", "nsqd-one-2:4150")
	for _, r := range w.replicas {
		if code := r.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("%s: exit code %d", r.name, code)
		}
		w.settle(t)
		r.launch(t)
		w.recovers(t)
	}
	stop()
}
