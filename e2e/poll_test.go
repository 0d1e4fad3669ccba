package e2e

import (
	"fmt"
	"testing"
	"time"
)

const (
	pollInterval = 10 * time.Millisecond
	patience     = 15 * time.Second // for what should take milliseconds, on a machine that is busy
)

// poll calls check until it returns nil, and returns its last error when that takes too long.
func poll(within time.Duration, check func() error) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("not within %v: %w", within, err)
		}
	}
}

// eventually fails the test unless check returns nil in time.
func eventually(t testing.TB, within time.Duration, check func() error) {
	t.Helper()
	if err := poll(within, check); err != nil {
		t.Fatal(err)
	}
}

// throughout fails the test when check fails at any time during d.
func throughout(t testing.TB, d time.Duration, check func() error) {
	t.Helper()
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for start := time.Now(); ; {
		if err := check(); err != nil {
			t.Fatalf("after %v of %v: %v", time.Since(start), d, err)
		}
		select {
		case <-tick.C:
		case <-end.C:
			return
		}
	}
}
