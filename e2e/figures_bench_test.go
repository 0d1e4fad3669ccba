package e2e

// How long clients of three real replicas wait, and what an idle cluster costs. The replicas run as users run them: own
// processes with data on disk and default flags. Nothing else should run on the machine meanwhile.
//
//	go test -run '^$' -bench 'LeaderKilled|HandOver' -benchtime 20x -timeout 30m .
//	go test -run '^$' -bench Visible -benchtime 2000x .
//	go test -run '^$' -bench Idle -benchtime 60x .
//
// The first two show each trial; one round of Idle is a second.

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// changeInterval is the time between two attempts to change something.
const changeInterval = 2 * time.Millisecond

// report shows the median, the 99th percentile and the worst of the trials.
func report(b *testing.B, prefix string, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(inMS(took[len(took)/2]), prefix+"p50-ms")
	b.ReportMetric(inMS(took[len(took)*99/100]), prefix+"p99-ms")
	b.ReportMetric(inMS(took[len(took)-1]), prefix+"worst-ms")
}

// trials shows each of them, in one line: of a benchmark's log only the first lines are printed.
func trials(b *testing.B, what string, took []time.Duration) {
	b.Helper()
	var all []string
	for _, d := range took {
		all = append(all, fmt.Sprintf("%.1f", inMS(d)))
	}
	b.Logf("%s, in ms: %s", what, strings.Join(all, " "))
}

func inMS(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// changeUntil makes changes at a replica, one after another, until stop says so after one that is committed.
func changeUntil(r *replica, name string, stop func(begun, done time.Time) bool) error {
	deadline := time.Now().Add(clusterPatience)
	tick := time.NewTicker(changeInterval)
	defer tick.Stop()
	for n := 0; ; n++ {
		begun := time.Now()
		err := r.post(fmt.Sprintf("/topic/create?topic=%s-%d", name, n))
		if err == nil && stop(begun, time.Now()) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("changes at %s go on for %v: %w", r.name, clusterPatience, err)
		}
		<-tick.C
	}
}

// BenchmarkLeaderKilled is the time from kill -9 of the leader to the next committed change at another replica.
func BenchmarkLeaderKilled(b *testing.B) {
	c := benchCluster(b)
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		old, others := c.parted(b)
		start := time.Now()
		if err := old.cmd.Process.Kill(); err != nil {
			b.Fatal(err)
		}
		var end time.Time
		err := changeUntil(others[n%len(others)], fmt.Sprintf("killed-%d", n), func(_, done time.Time) bool {
			end = done
			return true
		})
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, end.Sub(start))
		b.StopTimer()
		<-old.exited
		c.restart(b, old)
		b.StartTimer()
	}
	trials(b, "from the kill to the next committed change", took)
	report(b, "", took)
}

// BenchmarkHandOver stops the leader as an upgrade does, by SIGTERM, while changes are made at another replica. Shown
// are the time from the signal to a committed change that was asked for once that replica named another leader, the
// same from when it did (new), and the longest time between two committed changes (stall).
func BenchmarkHandOver(b *testing.B) {
	c := benchCluster(b)
	var took, led, stall []time.Duration
	for n := 0; b.Loop(); n++ {
		old, others := c.parted(b)
		h := &handOver{old: old}
		if err := h.run(others[n%len(others)], fmt.Sprintf("handed-%d", n)); err != nil {
			b.Fatal(err)
		}
		took = append(took, h.committed.Sub(h.signalled))
		led = append(led, h.committed.Sub(h.lost))
		stall = append(stall, h.stall)
		b.StopTimer()
		<-h.old.exited
		if code := h.old.cmd.ProcessState.ExitCode(); code != 0 {
			b.Fatalf("%s: exit code %d", h.old.name, code)
		}
		c.restart(b, h.old)
		b.StartTimer()
	}
	trials(b, "from the signal to the new leader's first change", took)
	trials(b, "from the new leader to its first change", led)
	trials(b, "longest time without a committed change", stall)
	report(b, "", took)
	report(b, "new-", led)
	report(b, "stall-", stall)
}

// handOver is one trial.
type handOver struct {
	old *replica

	signalled, committed time.Time
	stall                time.Duration

	mu   sync.Mutex
	lost time.Time // when another replica was said to lead
}

func (h *handOver) run(at *replica, name string) error {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { h.watch(ctx, at) })
	last := time.Now()
	return changeUntil(at, name, func(begun, done time.Time) bool {
		if h.signalled.IsZero() { // the first one: from here on changes follow each other
			h.signalled = time.Now()
			last = h.signalled
			return h.old.cmd.Process.Signal(syscall.SIGTERM) != nil
		}
		h.stall = max(h.stall, done.Sub(last))
		last, h.committed = done, done
		h.mu.Lock()
		defer h.mu.Unlock()
		return !h.lost.IsZero() && begun.After(h.lost)
	})
}

// watch notes when a replica names another leader.
func (h *handOver) watch(ctx context.Context, at *replica) {
	for ctx.Err() == nil {
		s, err := at.status()
		if err == nil && s.Leader != "" && s.Leader != h.old.name {
			h.mu.Lock()
			h.lost = time.Now()
			h.mu.Unlock()
			return
		}
		wait(ctx, time.Millisecond)
	}
}

// BenchmarkVisible is the time from a REGISTER at any replica until /lookup of all three shows it, with nothing else
// going on.
func BenchmarkVisible(b *testing.B) {
	const look = 200 * time.Microsecond
	c := benchCluster(b)
	var conns []*conn
	for i, r := range c.replicas {
		conn, err := connect(r.lookupd, fmt.Sprintf("nsqd-%d", i))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	c.level(b)
	chance := rand.New(rand.NewPCG(1, 1))
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		i := chance.IntN(len(conns))
		topic, key := fmt.Sprintf("visible-%d", n), fmt.Sprintf("nsqd-%d:4150", i)
		start := time.Now()
		if err := conns[i].expectOK("REGISTER " + topic); err != nil {
			b.Fatal(err)
		}
		for _, r := range c.replicas {
			for err := r.hasProducers(topic, key); err != nil; err = r.hasProducers(topic, key) {
				if time.Since(start) > patience {
					b.Fatal(err)
				}
				wait(b.Context(), look)
			}
		}
		took = append(took, time.Since(start))
		wait(b.Context(), pollInterval)
	}
	report(b, "", took)
}

// parted returns the leader and the others, once all are level.
func (c *cluster) parted(b *testing.B) (leader *replica, others []*replica) {
	b.Helper()
	c.level(b)
	leader, err := c.led()
	if err != nil {
		b.Fatal(err)
	}
	return leader, slices.DeleteFunc(slices.Clone(c.replicas), func(r *replica) bool { return r == leader })
}

// restart starts a replica that has ended, and waits until all are level again.
func (c *cluster) restart(b *testing.B, r *replica) {
	b.Helper()
	r.launch(b)
	c.level(b)
}
