package faults

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/e2e/fleet"
)

// TestKillMajority kills two of three replicas for longer than the isolation timeout. Each replica has an nsqd.
func TestKillMajority(t *testing.T) {
	s := newScene(t, 3)
	for _, r := range s.Replicas {
		s.nsqds(1, r)
	}
	killed := s.Replicas[1:]
	for _, r := range killed {
		r.Process.Kill()
	}
	s.hold(35 * time.Second)
	for _, r := range killed {
		s.must(r.Start())
	}
	s.hold(35 * time.Second)
	s.noneMissing()
}

// TestRestartReplica stops and starts the only replica that four nsqds know.
func TestRestartReplica(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(context.Context, *fleet.Replica) error{
		"SIGTERM": terminate, "kill": kill,
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 3)
			r1 := s.Replicas[0]
			s.nsqds(4, r1)
			s.must(end(s.ctx, r1))
			s.hold(2 * time.Second)
			s.must(r1.Start())
			s.hold(afterwards)
			s.noneMissing()
		})
	}
}

func kill(_ context.Context, r *fleet.Replica) error {
	r.Process.Kill()
	return nil
}

func terminate(ctx context.Context, r *fleet.Replica) error {
	_, err := r.Process.Stop(ctx)
	return err
}

// TestNsqdEnds shows that the other nsqds stay and that one that ends is gone at once: asked to end, and killed, where
// the kernel closes its connection.
func TestNsqdEnds(t *testing.T) {
	s := newScene(t, 3)
	nsqds := s.nsqds(4, s.Replicas...)
	nsqds = append(nsqds, s.nsqds(4, s.Replicas[0])...)
	for _, i := range []int{0, 4} {
		s.gone("SIGTERM", nsqds[i], func() error { return nsqds[i].Process.Signal(syscall.SIGTERM) })
		s.gone("kill -9", nsqds[i+1], func() error { nsqds[i+1].Process.Kill(); return nil })
	}
	s.noneMissing()
}

// gone measures how long an nsqd is listed after its end.
func (s *scene) gone(how string, n *fleet.Nsqd, end func() error) {
	s.Helper()
	s.watch.Release(n)
	before := time.Now()
	s.must(end())
	s.hold(3 * time.Second)
	after := s.watch.LastSeen(n).Sub(before)
	s.row("an nsqd is listed after "+how, "%s", seconds(max(0, after)))
	if after > time.Second+busy {
		s.Errorf("%s was listed for %s after %s", n.Key(), seconds(after), how)
	}
}
