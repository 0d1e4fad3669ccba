package faults

import (
	"context"
	"os"
	"strings"
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
	for _, replicas := range [][]*fleet.Replica{s.Replicas, s.Replicas[:1]} {
		s.gone("SIGTERM", s.nsqds(3, replicas...), func(n *fleet.Nsqd) error { return n.Process.Signal(syscall.SIGTERM) })
		s.gone("kill -9", s.nsqds(3, replicas...), func(n *fleet.Nsqd) error { n.Process.Kill(); return nil })
	}
	s.noneMissing()
}

// gone measures how long an nsqd is listed after its end. Where a replica says that it stood still, as on a busy
// machine, it is right to keep the nsqd, and the next one is tried.
func (s *scene) gone(how string, nsqds []*fleet.Nsqd, end func(*fleet.Nsqd) error) {
	s.Helper()
	for _, n := range nsqds {
		s.watch.Release(n)
		before := time.Now()
		s.must(end(n))
		s.hold(3 * time.Second)
		after := s.watch.LastSeen(n).Sub(before)
		switch {
		case after <= time.Second+busy:
			s.row("an nsqd is listed after "+how, "%s", seconds(max(0, after)))
			return
		case !s.stoodStill(n):
			s.Errorf("%s was listed for %s after %s", n.Key(), seconds(after), how)
			return
		}
	}
	s.Errorf("%s: a replica stood still each time", how)
}

// stoodStill reports whether a replica has detached the nsqd's session because of a pause.
func (s *scene) stoodStill(n *fleet.Nsqd) bool {
	for _, r := range s.Replicas {
		text, err := os.ReadFile(r.Process.LogPath)
		s.must(err)
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "client="+n.IP+":") && strings.Contains(line, "detached: this process stood still") {
				return true
			}
		}
	}
	return false
}
