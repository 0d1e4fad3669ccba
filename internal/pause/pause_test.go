package pause

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clocks are those of a test.
type clocks struct{ now reading }

func (c *clocks) goOn(d time.Duration) {
	c.now = reading{c.now.at.Add(d), c.now.boot + d, c.now.wall + int64(d)}
}

func watched() (*Watch, *clocks, *[]time.Duration) {
	c := &clocks{reading{time.Now(), time.Hour, 1e18}}
	var pauses []time.Duration
	return &Watch{read: func() reading { return c.now }, noticed: func(d time.Duration) { pauses = append(pauses, d) }, last: c.now}, c, &pauses
}

func TestWhatIsAPause(t *testing.T) {
	for name, tc := range map[string]struct {
		pass func(c *clocks)
		want bool
	}{
		"nothing":                    {func(*clocks) {}, false},
		"a beat":                     {func(c *clocks) { c.goOn(beat) }, false},
		"the limit":                  {func(c *clocks) { c.goOn(Limit) }, false},
		"a little more":              {func(c *clocks) { c.goOn(Limit + 1) }, true},
		"a minute":                   {func(c *clocks) { c.goOn(time.Minute) }, true},
		"a sleep":                    {func(c *clocks) { c.now.boot += time.Minute }, true},
		"only the monotonic clock":   {func(c *clocks) { c.now.at = c.now.at.Add(time.Minute) }, true},
		"the wall clock set forward": {func(c *clocks) { c.now.wall += int64(time.Minute) }, true},
		"the wall clock set back":    {func(c *clocks) { c.now.wall -= int64(time.Minute) }, false},
		"a pause and set back":       {func(c *clocks) { c.goOn(time.Second); c.now.wall -= int64(time.Minute) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, c, pauses := watched()
			before := c.now.at
			tc.pass(c)
			if got := w.Since(before); got != tc.want {
				t.Errorf("before the beat: %v, want %v", got, tc.want)
			}
			w.beat()
			if got := w.Since(before); got != tc.want {
				t.Errorf("after the beat: %v, want %v", got, tc.want)
			}
			if got := len(*pauses) == 1; got != tc.want {
				t.Errorf("told of %v, want one: %v", *pauses, tc.want)
			}
		})
	}
}

func TestSinceWhen(t *testing.T) {
	w, c, pauses := watched()
	before := c.now.at
	c.goOn(3 * time.Second)
	w.beat()
	ended := c.now.at
	c.goOn(beat)
	w.beat()
	after := c.now.at
	for name, tc := range map[string]struct {
		since time.Time
		want  bool
	}{
		"before it": {before, true}, "in the middle of it": {before.Add(time.Second), true}, "its end": {ended, true},
		"just behind it": {ended.Add(1), false}, "after it": {after, false}, "the zero time": {time.Time{}, true},
	} {
		if got := w.Since(tc.since); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
	if len(*pauses) != 1 || (*pauses)[0] != 3*time.Second {
		t.Errorf("told of %v, want one of 3s", *pauses)
	}
}

func TestNoPause(t *testing.T) {
	var none *Watch
	if none.Since(time.Time{}) {
		t.Error("a nil Watch saw a pause")
	}
	w, _, _ := watched()
	if w.Since(time.Time{}) {
		t.Error("a pause that never was")
	}
}

// Each clock of this machine is read, and a new Watch begins with what they say: there was no pause yet.
func TestNew(t *testing.T) {
	before := time.Now()
	r := readClocks()
	if r.at.Before(before) || time.Since(time.Unix(0, r.wall)) > time.Hour || runtime.GOOS == "linux" && r.boot <= 0 {
		t.Errorf("read %+v", r)
	}
	eventually.True(t, 30*time.Second, "no pause at the beginning", func() error { // unless this process stood still just now
		var first time.Duration
		w := New(func(d time.Duration) { first = d })
		if paused := w.Since(before); paused {
			return errors.New("there was one before the first beat")
		}
		w.beat()
		if first > 0 {
			return fmt.Errorf("one of %s", first)
		}
		return nil
	})
}

// A Watch that nobody runs must not say that all is well.
func TestWithoutBeats(t *testing.T) {
	w, c, _ := watched()
	for range 10 {
		c.goOn(beat)
	}
	if !w.Since(c.now.at) {
		t.Error("no pause, though nobody looks at the clocks")
	}
}

// A stopped process sees it after SIGCONT, whichever of its goroutines is the first to run: many ask all
// the time, and none may be told that there was no pause once the clock has jumped.
func TestStoppedProcess(t *testing.T) {
	if os.Getenv("PAUSE_TEST_CHILD") != "" {
		child()
	}
	for range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestStoppedProcess$")
		cmd.Env = append(os.Environ(), "PAUSE_TEST_CHILD=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		ready := make([]byte, 1)
		if _, err := out.Read(ready); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		stopped := time.Now()
		eventually.True(t, 30*time.Second, "stopped for a while", func() error {
			if time.Since(stopped) < 2*Limit {
				return strconv.ErrRange
			}
			return nil
		})
		if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the stopped process: %v (3: a pause was not seen)", err)
		}
	}
}

// child ends with 0 when each of its goroutines has seen the pause that the clock shows.
func child() {
	w := New(nil)
	go func() { _ = w.Run(context.Background()) }()
	var all, running sync.WaitGroup
	for range 20 {
		running.Add(1)
		all.Go(func() {
			t := time.NewTicker(time.Millisecond)
			defer t.Stop()
			last := time.Now()
			running.Done()
			for range t.C {
				now := time.Now()
				// A gap of more than limit and a beat holds a pause, whenever the last beat was.
				if gap := now.Sub(last); gap > Limit+beat {
					if !w.Since(last) {
						os.Exit(3)
					}
					return
				}
				last = now
			}
		})
	}
	running.Wait()
	_, _ = os.Stdout.WriteString("x")
	all.Wait()
	os.Exit(0)
}
