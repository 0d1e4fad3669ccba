package cluster

import (
	"context"
	"time"
)

// pace calls f once a period with the time that went by, until the context ends. A pause of the
// whole process or machine counts for two periods at most: nobody could be heard during it, so
// nobody's silence may grow by it.
func pace(ctx context.Context, period time.Duration, f func(step time.Duration)) {
	t := time.NewTicker(period)
	defer t.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			now := time.Now()
			f(min(now.Sub(last), 2*period))
			last = now
		}
	}
}

// periodFor is how often to look when something is due after the given time.
func periodFor(d time.Duration) time.Duration {
	return min(max(d/50, 10*time.Millisecond), time.Second)
}
