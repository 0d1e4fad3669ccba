package eventually

import (
	"testing"
	"time"
)

const interval = 5 * time.Millisecond

// True calls ok every few milliseconds until it returns nil. When that has not happened within the
// given time, the test fails at once, saying what was awaited and the last error. ok is called at
// least once, always on the caller's goroutine, so it may use t.
func True(t testing.TB, within time.Duration, what string, ok func() error) {
	t.Helper()
	start := time.Now()
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Since(start) >= within {
			t.Fatalf("%s: not within %v: %v", what, within, err)
			return
		}
		time.Sleep(interval)
	}
}
