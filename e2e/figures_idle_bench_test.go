package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	idleTopics = 3                // of each nsqd
	idlePing   = 15 * time.Second // nsqio/nsq, nsqd/lookup.go
	idleWarmUp = 5 * time.Second
	idleRound  = time.Second
	clockTick  = 10 * time.Millisecond // the unit of /proc/PID/stat: USER_HZ is 100 on every Linux
	mebibyte   = 1 << 20
)

// BenchmarkIdle is what three replicas cost while nothing changes: the share of one core and the memory of each, with no
// client, and with so many nsqds that only PING. It fails when the log grows.
func BenchmarkIdle(b *testing.B) {
	for _, clients := range []int{0, 1000} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) { benchIdle(b, clients) })
	}
}

func benchIdle(b *testing.B, clients int) {
	c := benchCluster(b)
	idle := startIdle(b, c, clients)
	wait(b.Context(), idleWarmUp)
	leader, _ := c.parted(b)
	before, err := c.indexes()
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	used := make(map[*replica]usage)
	for _, r := range c.replicas {
		used[r] = r.usage(b)
	}
	for b.Loop() {
		wait(b.Context(), idleRound)
	}
	elapsed := time.Since(start)
	for _, r := range c.replicas {
		now, role := r.usage(b), ""
		if r == leader {
			role = ", leads"
		}
		percent := 100 * float64(now.cpu-used[r].cpu) / float64(elapsed)
		b.Logf("%s%s: %.2f %% of one core, %.1f MiB, in %v", r.name, role, percent, now.rss, elapsed.Round(time.Second))
		b.ReportMetric(percent, r.name+"-cpu-%")
		b.ReportMetric(now.rss, r.name+"-MiB")
	}
	after, err := c.indexes()
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("commit and applied index of each before %v, after %v", before, after)
	if fmt.Sprint(before) != fmt.Sprint(after) {
		b.Errorf("an idle cluster has written: %v became %v", before, after)
	}
	if err := idle(); err != nil {
		b.Error(err)
	}
}

// indexes returns commit and applied index of every replica.
func (c *cluster) indexes() (all [][2]uint64, err error) {
	for _, r := range c.replicas {
		s, err := r.status()
		if err != nil {
			return nil, err
		}
		all = append(all, [2]uint64{s.CommitIndex, s.AppliedIndex})
	}
	return all, nil
}

// startIdle connects nsqds, spread over the replicas, that have registered all they have and go on to PING. The
// returned function ends them, and returns what went wrong with any.
func startIdle(b *testing.B, c *cluster, n int) (stop func() error) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	failed := make(chan error, n)
	stop = sync.OnceValue(func() error {
		cancel()
		wg.Wait()
		close(failed)
		var errs []error
		for err := range failed {
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	b.Cleanup(func() { stop() })
	for i := range n {
		conn, err := idler(c.replicas[i%len(c.replicas)].lookupd, i)
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			defer conn.Close()
			if err := pingOn(ctx, conn); err != nil {
				failed <- fmt.Errorf("nsqd-%d: %w", i, err)
			}
		})
	}
	return stop
}

// idler connects one nsqd. Its first PING, which says that it has registered all it has, is a change.
func idler(l *lookupd, i int) (*conn, error) {
	var registrations []string
	for topic := range idleTopics {
		registrations = append(registrations, fmt.Sprintf("topic-%d-%d c", i, topic))
	}
	conn, err := connect(l, fmt.Sprintf("nsqd-%d", i), registrations...)
	if err != nil {
		return nil, err
	}
	if err := conn.expectOK("PING"); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// pingOn sends PINGs from a moment of its own on, as nsqds that were not started together do.
func pingOn(ctx context.Context, c *conn) error {
	for wait(ctx, rand.N(idlePing)); ctx.Err() == nil; wait(ctx, idlePing) {
		if err := c.expectOK("PING"); err != nil {
			return err
		}
	}
	return nil
}

// usage is what a process has used of the machine.
type usage struct {
	cpu time.Duration // in user and in kernel mode, since its start
	rss float64       // MiB, now
}

// usage reads /proc/PID/stat (proc_pid_stat(5)): utime and stime are the fields 14 and 15, rss is 24, in pages. The name
// in field 2 may hold spaces, so fields count from behind it.
func (r *replica) usage(b *testing.B) usage {
	b.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid), "stat"))
	if errors.Is(err, os.ErrNotExist) && !r.hasExited() {
		b.Skip("no /proc: CPU and memory cannot be read")
	}
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	field := func(n int) int64 { // numbered as in the manual
		if len(fields) <= n-3 {
			b.Fatalf("read %s's stat: %s", r.name, text)
		}
		v, err := strconv.ParseInt(fields[n-3], 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
	return usage{
		cpu: time.Duration(field(14)+field(15)) * clockTick,
		rss: float64(field(24)) * float64(os.Getpagesize()) / mebibyte,
	}
}
