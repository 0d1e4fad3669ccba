package logging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

const patience = 30 * time.Second

// gate is a writer that lets nothing through while it is shut, or answers a Write with an outcome.
type gate struct {
	mu      sync.Mutex
	opened  *sync.Cond
	shut    bool
	waiting int
	outcome func(p []byte) (n int, err error) // nil: all is taken
	text    bytes.Buffer
	writes  [][]byte
}

func newGate(shut bool) *gate {
	g := &gate{shut: shut}
	g.opened = sync.NewCond(&g.mu)
	return g
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting++
	for g.shut {
		g.opened.Wait()
	}
	g.waiting--
	n, err := len(p), error(nil)
	if g.outcome != nil {
		n, err = g.outcome(p)
	}
	g.text.Write(p[:n])
	g.writes = append(g.writes, bytes.Clone(p[:n]))
	return n, err
}

func (g *gate) set(shut bool, outcome func([]byte) (int, error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut, g.outcome = shut, outcome
	g.opened.Broadcast()
}

func (g *gate) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

// stuck waits until a Write waits at the gate.
func (g *gate) stuck(t *testing.T) {
	t.Helper()
	eventually.True(t, patience, "a Write waits", func() error {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.waiting == 0 {
			return errors.New("none does")
		}
		return nil
	})
}

func (g *gate) says(t *testing.T, parts ...string) {
	t.Helper()
	eventually.True(t, patience, "the lines are written", func() error {
		for _, part := range parts {
			if !strings.Contains(g.String(), part) {
				return fmt.Errorf("%q is missing in %q", part, g.String())
			}
		}
		return nil
	})
}

// buffered is a logger before a buffer before w.
func buffered(t *testing.T, w *gate, limit int, format string) (*slog.Logger, *Buffer) {
	t.Helper()
	b := NewBuffer(w, limit)
	t.Cleanup(func() {
		w.set(false, nil)
		_ = b.Close(patience)
	})
	l, err := New(b, "debug", format, "[nsqlookupd] ")
	if err != nil {
		t.Fatal(err)
	}
	return l, b
}

// within fails the test when f blocks.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("it blocks")
	}
}

func mustClose(t *testing.T, b *Buffer) {
	t.Helper()
	if err := b.Close(patience); err != nil {
		t.Fatal(err)
	}
}

func TestLinesPassInOrder(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		w := newGate(false)
		l, b := buffered(t, w, 1<<20, format)
		const n = 1000
		for i := range n {
			l.Info("m", "i", i)
		}
		mustClose(t, b)
		found := regexp.MustCompile(`i"?[=:](\d+)`).FindAllStringSubmatch(w.String(), -1)
		if len(found) != n || strings.Count(w.String(), "\n") != n {
			t.Fatalf("%s: %d lines", format, len(found))
		}
		for i, m := range found {
			if m[1] != strconv.Itoa(i) {
				t.Fatalf("%s: line %d is %s", format, i, m[1])
			}
		}
		for _, p := range w.writes {
			if len(p) > writeSize || p[len(p)-1] != '\n' {
				t.Errorf("%s: a Write of %d bytes that ends with %q", format, len(p), p[len(p)-1])
			}
		}
	}
}

// A writer that blocks holds up no call. What is lost is counted where it was lost, in the logger's form,
// once the writer goes again, without a further line.
func TestWriterThatBlocksForLong(t *testing.T) {
	for format, mark := range map[string]string{
		"text": `WARNING: ` + dropped + ` lines=LOST warnings_and_errors=0`,
		"json": `"level":"WARNING","msg":"` + dropped + `","lines":LOST,"warnings_and_errors":0`,
	} {
		w := newGate(true)
		l, b := buffered(t, w, 64<<10, format)
		l.Info("first")
		w.stuck(t)
		const n = 5000
		within(t, func() {
			for i := range n {
				l.Info("flood", "i", i)
			}
		})
		w.set(false, nil)
		w.says(t, dropped)
		l.Info("after")
		mustClose(t, b)
		text := w.String()
		kept := strings.Count(text, "flood")
		if kept == 0 || kept == n {
			t.Fatalf("%s: %d lines were kept", format, kept)
		}
		if want := strings.Replace(mark, "LOST", strconv.Itoa(n-kept), 1); strings.Count(text, want) != 1 || strings.Count(text, dropped) != 1 {
			t.Errorf("%s: it does not say once %q:\n%s", format, want, text[len(text)-1000:])
		}
		order := []int{strings.Index(text, "first"), strings.LastIndex(text, "flood"), strings.Index(text, dropped), strings.Index(text, "after")}
		for i := range order[1:] {
			if order[i] >= order[i+1] {
				t.Errorf("%s: the order is %v", format, order)
			}
		}
	}
}

func TestBufferIsBounded(t *testing.T) {
	w := newGate(true)
	const limit = 64 << 10
	_, b := buffered(t, w, limit, "text")
	line := []byte(strings.Repeat("x", 99) + "\n")
	w.stuckAfter(t, b, line)
	held := func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.text) - b.head
	}
	for range 10 * limit / len(line) {
		_ = b.write(slog.LevelInfo, line)
	}
	if n := held(); n > limit-limit/8 || n < limit-limit/8-len(line) {
		t.Errorf("%d bytes of INFO are kept", n)
	}
	for range 10 * limit / len(line) {
		_ = b.write(slog.LevelError, line)
	}
	const told = 256 // the line about drops
	if n := held(); n > limit+told || n < limit-len(line)-told {
		t.Errorf("%d bytes are kept, of at most %d", n, limit)
	}
	if err := b.write(slog.LevelError, make([]byte, limit+1)); err != nil {
		t.Errorf("a line that is longer than the buffer: %v", err)
	}
	if n := held(); n > limit+told {
		t.Errorf("%d bytes are kept after a line of more than %d", n, limit)
	}
}

// stuckAfter writes a line and waits until the goroutine is stuck with it.
func (g *gate) stuckAfter(t *testing.T, b *Buffer, line []byte) {
	t.Helper()
	if _, err := b.Write(line); err != nil {
		t.Fatal(err)
	}
	g.stuck(t)
}

// Errors find room when the buffer is full of the rest: they say why a process ends.
func TestErrorsAreKeptWhenTheBufferIsFull(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		w := newGate(true)
		l, b := buffered(t, w, 64<<10, format)
		for range 5000 {
			l.Debug("flood")
		}
		l.Error("the reason")
		for range 5000 {
			l.Debug("flood")
		}
		_, _ = b.Write([]byte("raftlookupd: the end"))
		w.set(false, nil)
		mustClose(t, b)
		text := w.String()
		if strings.Count(text, dropped) != 2 {
			t.Errorf("%s: the drops before and after the error are told %d times", format, strings.Count(text, dropped))
		}
		if !strings.Contains(text, "the reason") || !strings.HasSuffix(text, "raftlookupd: the end\n") {
			t.Errorf("%s: it ends with %q", format, text[len(text)-200:])
		}
	}
}

// Every line of many goroutines is written or counted, and a writer that stops and goes tears none.
func TestConcurrentLinesAreWrittenOrCounted(t *testing.T) {
	w := newGate(false)
	l, b := buffered(t, w, 8<<10, "text")
	const workers, each = 8, 500
	var group sync.WaitGroup
	for i := range workers {
		group.Go(func() {
			for n := range each {
				l.With("worker", i).Info("two\nlines", "n", n)
				w.set(n%50 < 25, nil)
			}
		})
	}
	group.Wait()
	w.set(false, nil)
	mustClose(t, b)
	written, lost := 0, 0
	form := regexp.MustCompile(`^\[nsqlookupd\] ` + stamp + `(INFO: two\\nlines worker=\d n=\d+|WARNING: ` + dropped + ` lines=(\d+) warnings_and_errors=0)$`)
	for line := range strings.Lines(w.String()) {
		m := form.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		switch {
		case m == nil:
			t.Fatalf("a line is torn: %q", line)
		case m[2] != "":
			n, _ := strconv.Atoi(m[2])
			lost += n
		default:
			written++
		}
	}
	if written+lost != workers*each {
		t.Errorf("%d written and %d lost, want %d", written, lost, workers*each)
	}
}

// Raft's and memberlist's loggers go through the buffer as well.
func TestAdaptersDoNotBlock(t *testing.T) {
	w := newGate(true)
	l, _ := buffered(t, w, 16<<10, "text")
	raft, gossip := HCLog(l, "raft"), HCLog(l, "gossip").StandardLogger(nil)
	within(t, func() {
		for range 1000 {
			raft.Info("entering follower state", "leader", "r1")
			gossip.Print("[WARN] memberlist: suspect")
		}
	})
	w.set(false, nil)
	w.says(t, "entering follower state component=raft", "memberlist: suspect component=gossip", dropped)
}

func TestMemoryIsGivenBackAfterABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGate(true)
		l, b := buffered(t, w, 1<<20, "text")
		memory := func() int {
			b.mu.Lock()
			defer b.mu.Unlock()
			return cap(b.text)
		}
		for range 5000 {
			l.Info("flood")
		}
		w.set(false, nil)
		synctest.Wait()
		if memory() <= keptSize {
			t.Fatal("there was no burst")
		}
		time.Sleep(keptFor + time.Second)
		synctest.Wait()
		if n := memory(); n > keptSize {
			t.Errorf("%d bytes are kept", n)
		}
		mustClose(t, b)
	})
}

func TestLevelOfJSON(t *testing.T) {
	var out bytes.Buffer
	l, err := New(&out, "debug", "json", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		out.Reset()
		l.Log(context.Background(), level, `"level":"DEBUG"`)
		if got := levelOfJSON(out.Bytes()); got != level {
			t.Errorf("%s: level %v", out.String(), got)
		}
	}
	if got := levelOfJSON([]byte("raftlookupd: over\n")); got != LevelFatal {
		t.Errorf("no level is %v", got)
	}
}

func TestWholeLines(t *testing.T) {
	line := func(n int) string { return strings.Repeat("x", n-1) + "\n" }
	for _, c := range []struct {
		text string
		want int
	}{
		{line(10), 10},
		{line(writeSize), writeSize},
		{line(10) + line(20), 30},
		{line(writeSize) + line(1), writeSize},
		{line(writeSize-1) + line(10), writeSize - 1},
		{line(writeSize+1) + line(10), writeSize + 1},
		{line(writeSize + 1), writeSize + 1},
		{line(10) + line(2*writeSize), 10},
		{line(2*writeSize) + line(10), 2 * writeSize},
	} {
		if got := wholeLines([]byte(c.text)); got != c.want {
			t.Errorf("%d bytes: %d, want %d", len(c.text), got, c.want)
		}
	}
}
