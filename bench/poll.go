package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	pollInterval = 5 * time.Millisecond
	patience     = time.Minute // for what should take seconds, on a machine that is busy
)

// until calls check until it returns nil, and returns its last error when that takes too long, or a program has exited.
func until(ctx context.Context, every, within time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil || errors.Is(err, errExited) {
			return err
		}
		if !wait(ctx, every) {
			return fmt.Errorf("not within %v: %w", within, err)
		}
	}
}

// wait waits; false when the context has ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
