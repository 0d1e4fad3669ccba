package eventually

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// recorder is a test that notes its failure instead of ending.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatalf(format string, args ...any) { r.failure = fmt.Sprintf(format, args...) }

func TestTrueReturnsAtTheFirstSuccess(t *testing.T) {
	calls, r := 0, &recorder{}
	True(r, time.Minute, "third call", func() error {
		if calls++; calls < 3 {
			return errors.New("too early")
		}
		return nil
	})
	if calls != 3 || r.failure != "" {
		t.Errorf("calls = %d, failure = %q; want 3 and none", calls, r.failure)
	}
}

func TestTrueFailsWithTheLastError(t *testing.T) {
	calls, r := 0, &recorder{}
	True(r, 12*time.Millisecond, "the impossible", func() error {
		calls++
		return fmt.Errorf("attempt %d", calls)
	})
	last := fmt.Sprintf("attempt %d", calls)
	if !strings.Contains(r.failure, "the impossible") || !strings.HasSuffix(r.failure, last) {
		t.Errorf("failure = %q, want it to name what was awaited and %q", r.failure, last)
	}
}

func TestTrueAsksOnceEvenWithoutTime(t *testing.T) {
	calls, r := 0, &recorder{}
	True(r, 0, "now", func() error { calls++; return errors.New("no") })
	if calls != 1 || r.failure == "" {
		t.Errorf("calls = %d, failure = %q; want one call and a failure", calls, r.failure)
	}
}
