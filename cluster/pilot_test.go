package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// A replica that has never caught up looks unhealthy to autopilot, not healthy by a contact below 0.
func TestContactThatAutopilotGets(t *testing.T) {
	for ms, want := range map[int64]time.Duration{-1: time.Hour, 0: 0, 7: 7 * time.Millisecond} {
		if got := pilotContact(ms); got != want {
			t.Errorf("%d ms: %s, want %s", ms, got, want)
		}
	}
	c := newTrio(t, 2, nil)
	leader, f := c.leader(), c.follower()
	id := raft.ServerID(f.data.ID)
	eventually.True(t, soon, "never caught up", func() error {
		f.journal.applied.Store(0) // and soon it has caught up again
		f.fresh.asOf.Store(nil)
		stats := pilot{r: leader}.FetchServerStats(t.Context(), map[raft.ServerID]*autopilot.Server{id: nil})
		if s := stats[id]; s == nil || s.LastContact < time.Hour {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}
