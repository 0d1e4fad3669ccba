package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestClusterWaitsToForm starts one of three: it says what it waits for, and serves nothing.
func TestClusterWaitsToForm(t *testing.T) {
	t.Parallel()
	c := prepareCluster(t, 3)
	first := c.replicas[0]
	first.launch(t)
	eventually(t, patience, func() error { return errors.Join(first.get("/ping", nil), first.says("1 of 3 seen")) })
	check := func() error {
		return errors.Join(first.refuses("/readyz", ""), first.refuses("/lookup?topic=t", "NOT_READY"))
	}
	throughout(t, time.Second, check)
	c.replicas[1].launch(t)
	eventually(t, patience, func() error { return first.says("2 of 3 seen") })
	throughout(t, time.Second, check)
	c.replicas[2].launch(t)
	c.agree(t)
}

// says returns nil when the log has a line with that text.
func (r *replica) says(text string) error {
	if !strings.Contains(r.stderr.String(), text) {
		return fmt.Errorf("%s has not logged %q", r.name, text)
	}
	return nil
}

// refuses returns nil when a GET is answered 503 with that message.
func (r *replica) refuses(path, message string) error {
	a, err := request(r.client, http.MethodGet, "http://"+r.http+path, "")
	if err != nil {
		return err
	}
	if a.Status != http.StatusServiceUnavailable || !strings.Contains(string(a.Body), message) {
		return fmt.Errorf("%s: GET %s: %d %s, want 503 with %q", r.name, path, a.Status, a.Body, message)
	}
	return nil
}

// TestClusterMoves stops all replicas and starts them elsewhere, with the data that they had.
func TestClusterMoves(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	conn := mustConnect(t, c.follower(t).lookupd, "nsqd-m", "t1 c1")
	if err := conn.expectOK("PING"); err != nil {
		t.Fatal(err)
	}
	c.agree(t)
	for _, r := range c.replicas {
		if code := r.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("%s: exit code %d", r.name, code)
		}
	}
	for _, r := range c.replicas {
		r.move(t, r.name)
	}
	c.joinAll([]string{"-replica-grace", "10s", "-isolation-timeout", "5s", "-bootstrap-expect", "3"})
	for _, r := range c.replicas {
		r.launch(t)
	}
	c.agree(t)
	if err := c.everywhere(func(l *lookupd) error { return l.hasProducers("t1", "nsqd-m:4150") }); err != nil {
		t.Error(err)
	}
	for _, r := range c.replicas {
		if err := c.hasMembers(r.name, 1); err != nil {
			t.Error(err)
		}
	}
	// Nobody comes back for it.
	eventually(t, clusterPatience, func() error {
		return c.everywhere(func(l *lookupd) error { return errors.Join(l.hasProducers("t1"), l.hasNodes()) })
	})
}

// hasMembers returns nil when all that run list so many replicas of that name.
func (c *cluster) hasMembers(name string, want int) error {
	for _, r := range c.up() {
		s, err := r.status()
		if err != nil {
			return err
		}
		n := 0
		for _, m := range s.Members {
			if m.Name == name {
				n++
			}
		}
		if n != want {
			return fmt.Errorf("%s lists %s %d times, want %d", r.name, name, n, want)
		}
	}
	return nil
}

// logged returns nil when one of those that run has logged the text.
func (c *cluster) logged(text string) error {
	var errs []error
	for _, r := range c.up() {
		err := r.says(text)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// TestClusterRefuses starts replicas beside a cluster that must not become part of it.
func TestClusterRefuses(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	mustConnect(t, c.replicas[0].lookupd, "nsqd-x", "ours c1")
	t.Run("of another cluster", func(t *testing.T) {
		lone := newReplica(t, "r9")
		lone.start(t)
		mustConnect(t, lone.lookupd, "nsqd-y", "theirs")
		eventually(t, patience, func() error { return lone.hasProducers("theirs", "nsqd-y:4150") })
		lone.stop(t, syscall.SIGTERM)
		lone.args = append(lone.args, "-join", c.gossip())
		lone.launch(t)
		eventually(t, patience, func() error { return c.logged("it is of another cluster") })
		c.unchanged(t, "r9")
	})
	t.Run("of a living name", func(t *testing.T) {
		double := newReplica(t, "r2", "-join", c.gossip())
		double.launch(t)
		eventually(t, patience, func() error { return c.logged("of that name is alive") })
		throughout(t, 3*time.Second, func() error { return double.refuses("/lookup?topic=ours", "NOT_READY") })
		if s, err := double.status(); err != nil || s.Role != "none" {
			t.Errorf("role %q, %v; want none", s.Role, err)
		}
	})
	c.agree(t)
}

// unchanged holds for a while that nobody of that name votes, and that nothing of its registry arrives.
func (c *cluster) unchanged(t *testing.T, name string) {
	t.Helper()
	throughout(t, 3*time.Second, func() error {
		for _, r := range c.up() {
			s, err := r.status()
			if err != nil {
				return err
			}
			for _, m := range s.Members {
				if m.Name == name && m.Role != "none" {
					return fmt.Errorf("%s says that %s is %s", r.name, name, m.Role)
				}
			}
			if err := hasTopics(r.lookupd, "ours"); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestClusterLostDisk starts a replica again whose data path is gone.
func TestClusterLostDisk(t *testing.T) {
	t.Parallel()
	w := newCrowd(t, newCluster(t, 3), 3)
	for _, victim := range []*replica{w.follower(t), w.settle(t)} {
		before, err := victim.status()
		if err != nil {
			t.Fatal(err)
		}
		victim.kill()
		if err := os.RemoveAll(victim.data); err != nil {
			t.Fatal(err)
		}
		w.settle(t)
		victim.launch(t)
		eventually(t, clusterPatience, func() error {
			if err := w.isMember(before.ID, false); err != nil {
				return err
			}
			after, err := victim.status()
			if err != nil {
				return err
			}
			if after.ID == before.ID {
				t.Fatalf("%s came back as %s, which has forgotten its votes", victim.name, before.ID)
			}
			return errors.Join(w.isMember(after.ID, true), w.isVoter(victim.name))
		})
		w.recovers(t)
	}
}

// isMember returns nil when all that run list the id, or none does.
func (c *cluster) isMember(id string, want bool) error {
	for _, r := range c.up() {
		s, err := r.status()
		if err != nil {
			return err
		}
		got := false
		for _, m := range s.Members {
			got = got || m.ID == id
		}
		if got != want {
			return fmt.Errorf("%s lists %s: %v, want %v, in %+v", r.name, id, got, want, s.Members)
		}
	}
	return nil
}

// isVoter returns nil when all that run say that the replica votes, or leads.
func (c *cluster) isVoter(name string) error {
	if err := c.hasRole(name, voterRole); err == nil {
		return nil
	}
	return c.hasRole(name, leaderRole)
}

// TestClusterGrows adds a reader, and then a voter.
func TestClusterGrows(t *testing.T) {
	t.Parallel()
	w := newCrowd(t, newCluster(t, 3), 3)
	join := []string{"-join", w.gossip(), "-replica-grace", "10s", "-isolation-timeout", "5s"}
	for _, r := range []*replica{newReplica(t, "r4", append(join, "-reader")...), newReplica(t, "r5", join...)} {
		r.start(t)
		w.replicas = append(w.replicas, r)
		w.recovers(t)
	}
	eventually(t, clusterPatience, func() error { return w.isVoter("r5") })
	// The reader has been there for longer than it takes to become a voter.
	if err := w.hasRole("r4", readerRole); err != nil {
		t.Error(err)
	}
	w.clients = append(w.clients, startClient(t, "nsqd-reader", w.tcp()[3:4], "at-the-reader c"))
	w.recovers(t)
	// Of four voters three are left without the reader: it is not needed, and does not lead.
	w.settle(t).kill()
	w.recovers(t)
	if err := w.hasRole("r4", readerRole); err != nil {
		t.Error(err)
	}
}

// TestClusterIdle holds that a cluster with nothing but PINGs writes nothing.
func TestClusterIdle(t *testing.T) {
	t.Parallel()
	w := newCrowd(t, newCluster(t, 3), 6)
	eventually(t, clusterPatience, func() error { return w.hasLevel(1) }) // the last entry of a new cluster
	for try := 1; ; try++ {
		w.agree(t)
		before := w.position(t)
		wait(t.Context(), 10*time.Second)
		w.agree(t)
		switch after := w.position(t); {
		case after == before:
			return
		case after.term == before.term || try == 3: // an election on a busy machine writes
			t.Fatalf("the log has grown from %+v to %+v", before, after)
		}
	}
}

// position is where the log ends, and in which term.
type position struct{ index, term uint64 }

func (c *cluster) position(t *testing.T) (p position) {
	t.Helper()
	eventually(t, clusterPatience, func() (err error) {
		if p.index, err = c.caughtUp(); err != nil {
			return err
		}
		s, err := c.up()[0].status()
		p.term = s.Term
		return err
	})
	return p
}
