package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// lookupctl runs the operator's program against a replica; it has to succeed.
func (r *replica) lookupctl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := r.tryLookupctl(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (r *replica) tryLookupctl(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*clusterPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, programs.lookupctl, append([]string{"--addr", "http://" + r.http}, args...)...)
	cmd.Env = cleanEnviron()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("lookupctl %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// TestGrowth takes a cluster from one replica to three, to five, and back to three, with lookupctl and under
// clients that register all the while. No consumer may see a gap, and in the end nothing is missing.
func TestGrowth(t *testing.T) {
	t.Parallel()
	oursOnly(t)
	var all []*replica
	for i := range 5 {
		args := []string{"-replica-grace", "10s", "-isolation-timeout", "5s"}
		if i > 0 {
			args = append(args, "-bootstrap-expect", "0")
		}
		r := newReplica(t, fmt.Sprintf("r%d", i+1), args...)
		r.launch(t)
		all = append(all, r)
	}
	c := &cluster{replicas: all[:1]}
	c.settle(t)
	var addresses []string
	for _, r := range all[:3] {
		addresses = append(addresses, r.lookupd.tcp)
	}
	w := &crowd{cluster: c}
	for i := range 6 {
		w.clients = append(w.clients, startClient(t, fmt.Sprintf("nsqd-%d", i), slices.Concat(addresses[:1+i%3], addresses[:1]),
			"kept c", fmt.Sprintf("own-%d", i)))
	}
	w.recovers(t)
	var producers []string
	for _, client := range w.clients {
		producers = append(producers, client.key())
	}
	watched := &crowd{cluster: &cluster{replicas: all[:3]}}
	stop := watched.watch(t, "kept", producers...)
	grow := newStorm(t, all[0])
	for n := 1; n < 5; n++ {
		all[n].lookupctl(t, "join", all[0].gossip)
		c.replicas = all[:n+1]
		w.votes(t, n+1)
	}
	for n := 4; n >= 3; n-- {
		all[n].lookupctl(t, "leave")
		all[n].away = true
		c.replicas = all[:n]
		w.votes(t, n)
	}
	grow.stop()
	stop()
	w.recovers(t)
	for _, topic := range grow.created {
		if err := w.everywhere(func(l *lookupd) error { return l.hasTopic(topic) }); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d topics were created meanwhile", len(grow.created))
	all[4].lookupctl(t, "join", all[1].gossip) // who has left can come again
	all[4].away = false
	c.replicas = []*replica{all[0], all[1], all[2], all[4]}
	w.votes(t, 4)
	w.agree(t)
}

// votes waits until so many replicas vote, all of them the ones that the cluster has.
func (w *crowd) votes(t *testing.T, n int) {
	t.Helper()
	eventually(t, clusterPatience, func() error {
		for _, r := range w.up() {
			s, err := r.status()
			if err != nil {
				return err
			}
			votes := 0
			for _, m := range s.Members {
				if m.Role == voterRole || m.Role == leaderRole {
					votes++
				}
			}
			if votes != n {
				return fmt.Errorf("%s says that %d vote, want %d", r.name, votes, n)
			}
		}
		return nil
	})
}

// hasTopic returns nil when the topic is listed.
func (l *lookupd) hasTopic(topic string) error {
	topics, err := l.topics()
	if err == nil && !slices.Contains(topics, topic) {
		err = fmt.Errorf("%s does not list %s", l.name, topic)
	}
	return err
}

// creating creates topics at one replica, one after another.
type creating struct {
	created []string
	stop    func()
}

func newStorm(t *testing.T, at *replica) *creating {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	s := &creating{}
	s.stop = func() { cancel(); <-done }
	t.Cleanup(s.stop)
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			topic := fmt.Sprintf("grown-%d", i)
			if err := at.post("/topic/create?topic=" + topic); err == nil {
				s.created = append(s.created, topic)
			} else if !errors.Is(err, context.Canceled) {
				t.Logf("create %s: %v", topic, err) // it may be or not
			}
			wait(ctx, 20*time.Millisecond)
		}
	}()
	return s
}
