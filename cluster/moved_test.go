package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// deafTo returns what makes gossip hear nothing from now on, also in the replicas that start later.
func (c *trio) deafTo() (set func()) {
	deaf := make(chan struct{})
	before := c.alter
	c.alter = func(i int, cfg *Config) {
		if before != nil {
			before(i, cfg)
		}
		cfg.deaf = func() bool {
			select {
			case <-deaf:
				return true
			default:
				return false
			}
		}
	}
	return func() { close(deaf) }
}

// Every replica moves to another address, one by one, and gossip tells nobody of it: those that move
// greet the others, which remember.
func TestAllMoveWithoutGossip(t *testing.T) {
	c := newTrio(t, 0, nil)
	c.replicas = make([]*Replica, 3)
	deafen := c.deafTo()
	for i := range c.replicas {
		c.start(i)
	}
	c.ready()
	c.agree()
	for i, r := range c.replicas {
		for j, o := range c.replicas {
			if i != j {
				c.knowsLife(o, r)
			}
		}
	}
	deafen()
	for round := range 2 {
		for i := range c.replicas {
			c.stop(i)
			c.start(i)
			c.ready()
			change(t, c.replicas[i], fsm.CreateTopic("moved-"+string(rune('a'+3*round+i))))
		}
	}
	c.agree()
	for _, m := range c.leader().Status().Members {
		if m.Name == "" || m.Version == "" || m.Addresses.Cluster == "" || m.Addresses.Gossip == "" {
			t.Errorf("gossip does not see it, and status does not tell: %+v", m)
		}
	}
}

// One replica is cut off while another restarts elsewhere; then the third ends. The two that can talk
// commit, though gossip has told neither of them of the other.
func TestMajorityThatGossipDoesNotKnow(t *testing.T) {
	c := newTrio(t, 0, nil)
	c.replicas = make([]*Replica, 3)
	deafen := c.deafTo()
	for i := range c.replicas {
		c.start(i)
	}
	c.ready()
	c.agree()
	c.knowsLife(c.replicas[0], c.replicas[2])
	c.knowsLife(c.replicas[2], c.replicas[0])
	deafen()
	c.part(c.replicas[0], true)
	c.stop(2)
	c.start(2)
	c.part(c.replicas[0], true)
	waitReady(t, c.replicas[2])
	c.heal()
	c.stop(1)
	change(t, c.leader(), fsm.CreateTopic("afterwards"))
	eventually.True(t, soon, "both have it", func() error {
		for _, r := range c.running() {
			if _, ok := r.registry.State().Lookup("afterwards"); !ok {
				return errors.New("not yet")
			}
		}
		return nil
	})
}

// A replica of release 0.1.0 and one of today's talk in both directions, one has no life for the other,
// and on its way there and back nothing is refused.
func TestTalkWithTheOlderRelease(t *testing.T) {
	older := [3]bool{true, true, true}
	c := newTrio(t, 3, func(i int, cfg *Config) {
		is := older[i]
		cfg.older = func() bool { return is }
	})
	for n, upgraded := range [][]int{{0}, {1}, {}, {0}} {
		i := 0
		if n < 2 {
			i = n
		}
		older[i] = len(upgraded) == 0
		c.stop(i)
		if older[i] { // it drops what it does not know
			path := filepath.Join(c.dir, string(rune('0'+i)), bookFile)
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		c.start(i)
		c.ready()
		for j, r := range c.replicas {
			change(t, r, fsm.CreateTopic("t-"+string(rune('a'+3*n+j))))
		}
	}
	c.agree()
	if c.leader().registry.State().Level() != 0 {
		t.Error("the level rose")
	}
	older[2] = false
	c.stop(2)
	c.start(2)
	older[0] = false
	c.stop(0)
	c.start(0)
	c.ready()
	eventually.True(t, soon, "all are of today's, and the level rises", func() error {
		if c.leader().registry.State().Level() != knownLevel {
			return errors.New("not yet")
		}
		return nil
	})
	c.agree()
}
