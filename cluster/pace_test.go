package cluster

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestPaceGivesTheTimeThatWentBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(context.Background(), 10*time.Second+time.Millisecond)
		defer stop()
		calls, sum := 0, time.Duration(0)
		pace(ctx, 100*time.Millisecond, func(step time.Duration) { calls++; sum += step })
		if calls != 100 || sum != 10*time.Second {
			t.Errorf("%d steps of %s together, want 100 of 10s", calls, sum)
		}
	})
}

// A pause of the process, or a call that takes long, counts for two periods.
func TestPaceDoesNotCountAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const period = 100 * time.Millisecond
		ctx, stop := context.WithCancel(context.Background())
		var steps []time.Duration
		pace(ctx, period, func(step time.Duration) {
			steps = append(steps, step)
			switch len(steps) {
			case 2:
				time.Sleep(time.Hour)
			case 8:
				stop()
			}
		})
		sum := time.Duration(0)
		for _, step := range steps {
			if step > 2*period {
				t.Errorf("a step of %s", step)
			}
			sum += step
		}
		if sum > 9*period {
			t.Errorf("8 steps count for %s", sum)
		}
	})
}

func TestPeriodFor(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		time.Nanosecond: 10 * time.Millisecond, 500 * time.Millisecond: 10 * time.Millisecond,
		10 * time.Second: 200 * time.Millisecond, 5 * time.Minute: time.Second,
	} {
		if got := periodFor(d); got != want {
			t.Errorf("periodFor(%s) = %s, want %s", d, got, want)
		}
	}
}
