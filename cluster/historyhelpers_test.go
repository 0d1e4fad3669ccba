package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// swap puts a copy in the place of the data path of the i-th replica, which must be stopped.
func (c *trio) swap(i int, copied string) {
	c.t.Helper()
	dir := filepath.Join(c.dir, string(rune('0'+i)))
	if err := os.RemoveAll(dir); err != nil {
		c.t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(copied)); err != nil {
		c.t.Fatal(err)
	}
}

// copyPath copies the data path of the i-th replica.
func (c *trio) copyPath(i int) string {
	return copyTree(c.t, filepath.Join(c.dir, string(rune('0'+i))))
}

// isRefused opens the i-th replica, which must end with one line that says why and what to do.
func (c *trio) isRefused(i int, parts ...string) {
	c.t.Helper()
	c.endsRefused(i, filepath.Join(c.dir, string(rune('0'+i))), parts...)
}

func (c *trio) endsRefused(i int, dir string, parts ...string) {
	c.t.Helper()
	r, err := c.tryOpen(i, dir)
	if err == nil {
		defer func() { _ = r.Close() }()
		select {
		case err = <-r.Failed():
		case <-time.After(soon):
			c.t.Fatal("the copy goes on")
		}
	}
	for _, part := range append(parts, "refused by its cluster", "data path") {
		if !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
			c.t.Errorf("it does not say %q on one line: %v", part, err)
		}
	}
}

// tryOpen opens a replica as start does, on any data path.
func (c *trio) tryOpen(i int, dir string) (*Replica, error) {
	cfg := testConfig(dir)
	cfg.Name = "r" + string(rune('0'+i))
	cfg.RaftTimeout = 200 * time.Millisecond
	cfg.Logger = c.log.logger().With("replica", cfg.Name+" copy")
	cfg.BootstrapExpect = len(c.replicas)
	for _, r := range c.running() {
		cfg.Gossip.Join = append(cfg.Gossip.Join, r.gossip.address)
	}
	if c.alter != nil {
		c.alter(i, &cfg)
	}
	return openListening(cfg)
}

// knowsLife waits until a replica knows the other's present life.
func (c *trio) knowsLife(of *Replica, by ...*Replica) {
	c.t.Helper()
	for _, r := range by {
		eventually.True(c.t, soon, "the life is known", func() error {
			if known := r.book.get(of.ID()); known.Life != of.lineage.life() {
				return errNotDead
			}
			return nil
		})
	}
}
