package e2e

import (
	"fmt"
	"strconv"
	"testing"
)

// benchCluster starts three replicas with default flags, so that the figures are what users get, and
// returns when they are level.
func benchCluster(b *testing.B) *cluster {
	b.Helper()
	oursOnly(b)
	const n = 3
	c := &cluster{}
	for i := range n {
		c.replicas = append(c.replicas, newReplica(b, fmt.Sprintf("r%d", i+1)))
	}
	c.joinAll([]string{"-bootstrap-expect", strconv.Itoa(n)})
	for _, r := range c.replicas {
		r.launch(b)
	}
	c.level(b)
	return c
}

// level waits until all are ready, agree on a leader, and have applied the same.
func (c *cluster) level(b *testing.B) {
	b.Helper()
	eventually(b, clusterPatience, func() error {
		if _, err := c.led(); err != nil {
			return err
		}
		_, err := c.caughtUp()
		return err
	})
}
