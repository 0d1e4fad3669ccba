package fleet

import (
	"context"
	"fmt"
	"time"
)

// Interval is the time between two looks at the same thing.
const Interval = 20 * time.Millisecond

// Hold returns after d, or when ctx ends.
func Hold(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Until calls check each Interval until it returns nil, and returns how long that took; check's last error when it
// takes longer than within.
func Until(ctx context.Context, within time.Duration, check func() error) (time.Duration, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return time.Since(start), nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Since(start), fmt.Errorf("not within %v: %w", within, err)
		}
	}
}
