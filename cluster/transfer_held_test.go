package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// A transfer of leadership to a replica that does not take entries fails, however often it is tried, and the
// leader goes on. The library would wait for its replication to that replica, and commit nothing meanwhile.
func TestTransferToAReplicaThatIsHeld(t *testing.T) {
	var faulty atomic.Pointer[string]
	c := newTrio(t, 3, func(_ int, cfg *Config) {
		cfg.fault = func(to string, beat bool) error {
			if id := faulty.Load(); id != nil && *id == to && !beat {
				return errors.New("it does not take entries")
			}
			return nil
		}
	})
	leader, to := c.leader(), c.follower()
	id := to.ID()
	faulty.Store(&id)
	change(t, leader, fsm.CreateTopic("before")) // the other does not have it
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*transportTimeout)
		if err := leader.transferTo(ctx, id); err == nil {
			t.Error("leadership was handed over")
		}
		cancel()
		change(t, leader, fsm.CreateTopic("between"))
	}
	select {
	case err := <-leader.Failed():
		t.Error(err)
	default:
	}
}

// A transfer that has failed is not tried again at once: its order may not have been taken yet.
func TestTransferThatHasJustFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTransferWatch(time.Second, func(error) {})
		w.hasFailed("r2")
		if !w.failedLately("r2") || w.failedLately("r3") {
			t.Error("it is tried again at once, or another one is not")
		}
		time.Sleep(orderTaken)
		if w.failedLately("r2") {
			t.Error("it is never tried again")
		}
	})
}
