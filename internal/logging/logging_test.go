package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

const stamp = `\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} `

func newText(t *testing.T, w io.Writer, level string) *slog.Logger {
	t.Helper()
	l, err := New(w, level, "text", "[nsqlookupd] ")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// line checks that out is one line in nsqlookupd's form and returns it without prefix and time.
func line(t *testing.T, out *bytes.Buffer) string {
	t.Helper()
	defer out.Reset()
	m := regexp.MustCompile(`^\[nsqlookupd\] ` + stamp + `(.*)\n$`).FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("%q is not one line in nsqlookupd's form", out.String())
	}
	return m[1]
}

func TestTextForm(t *testing.T) {
	var out bytes.Buffer
	l := newText(t, &out, "debug")
	ctx := context.Background()
	for _, c := range []struct {
		log  func()
		want string
	}{
		{func() { l.Debug("plain") }, `DEBUG: plain`},
		{func() { l.Info("TCP: listening", "address", "[::]:4160") }, `INFO: TCP: listening address=[::]:4160`},
		{func() { l.Warn("slow", "took", 1500*time.Millisecond) }, `WARNING: slow took=1.5s`},
		{func() { l.Error("it broke", "err", errors.New("a b")) }, `ERROR: it broke err="a b"`},
		{func() { l.Log(ctx, LevelFatal, "over") }, `FATAL: over`},
		{func() { l.Info("empty", "k", "") }, `INFO: empty k=""`},
		{func() { l.Info("odd", "k", `a"=`) }, `INFO: odd k="a\"="`},
		{func() { l.Info("two\nlines", "k", "a\nb") }, `INFO: two\nlines k="a\nb"`},
		{func() { l.Info("esc\x1b[2J", "k", "\xff") }, `INFO: esc\x1b[2J k="\xff"`},
		{func() { l.Info("bytes", "k", []byte("raw")) }, `INFO: bytes k=raw`},
		{func() { l.With("a", 1).WithGroup("g").With("b", 2).Info("m", "c", 3) }, `INFO: m a=1 g.b=2 g.c=3`},
		{func() { l.WithGroup("").Info("m", slog.Group("g", "a", 1), slog.Attr{}) }, `INFO: m g.a=1`},
		{func() { l.Info("m", "at", time.Unix(0, 0).UTC()) }, `INFO: m at=1970-01-01T00:00:00Z`},
		{func() { l.Info("m", "v", struct{ A int }{1}) }, `INFO: m v={A:1}`},
	} {
		c.log()
		if got := line(t, &out); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestWithDoesNotChangeItsParent(t *testing.T) {
	var out bytes.Buffer
	parent := newText(t, &out, "info").With("p", 1)
	first := parent.With("a", 1)
	parent.With("b", 2)
	first.Info("m")
	if got := line(t, &out); got != "INFO: m p=1 a=1" {
		t.Errorf("got %q", got)
	}
}

func TestLevels(t *testing.T) {
	all := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, LevelFatal}
	for format, mark := range map[string]string{"text": "WORD: ", "json": `"level":"WORD"`} {
		for i, level := range []string{"debug", "INFO", "Warn", "error", "fatal"} {
			var out bytes.Buffer
			l, err := New(&out, level, format, "")
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range all {
				l.Log(context.Background(), at, "m")
			}
			for j, word := range []string{"DEBUG", "INFO", "WARNING", "ERROR", "FATAL"} {
				has := strings.Contains(out.String(), strings.Replace(mark, "WORD", word, 1))
				if has != (j >= i) {
					t.Errorf("%s at level %s: %s printed: %v", format, level, word, has)
				}
			}
		}
	}
}

func TestNewRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, c := range [][2]string{{"warning", "text"}, {"", "text"}, {"info", "xml"}, {"info", ""}} {
		if _, err := New(io.Discard, c[0], c[1], ""); err == nil {
			t.Errorf("level %q, format %q: no error", c[0], c[1])
		}
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	l, err := New(&out, "info", "json", "[nsqlookupd] ")
	if err != nil {
		t.Fatal(err)
	}
	l.Warn("m", "took", time.Second, "err", errors.New("bad"), slog.Group("g", "level", slog.LevelWarn))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %q", err, out.String())
	}
	delete(got, "time")
	want := `map[err:bad g:map[level:WARN] level:WARNING msg:m took:1s]`
	if s := fmt.Sprint(got); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

// singleWrites fails when a Write is not exactly one whole line.
type singleWrites struct {
	t     *testing.T
	mu    sync.Mutex
	lines int
}

func (s *singleWrites) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines++
	if bytes.Count(p, []byte("\n")) != 1 || p[len(p)-1] != '\n' {
		s.t.Errorf("write of %q is not one line", p)
	}
	return len(p), nil
}

func TestConcurrentRecordsAreWholeLines(t *testing.T) {
	w := &singleWrites{t: t}
	l := newText(t, w, "info")
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 100 {
				l.With("worker", i).Info("two\nlines", "k", "v")
			}
		})
	}
	group.Wait()
	if w.lines != 800 {
		t.Errorf("%d lines, want 800", w.lines)
	}
}

func TestDisabledLevelsAllocateNothing(t *testing.T) {
	ctx := context.Background()
	for _, format := range []string{"text", "json"} {
		l, err := New(io.Discard, "info", format, "")
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			l.Debug("m", "k", "v")
			l.LogAttrs(ctx, slog.LevelDebug, "m", slog.Int("n", 123456), slog.String("k", "v"))
			h := l.Handler()
			h.Enabled(ctx, slog.LevelDebug)
		}); n != 0 {
			t.Errorf("%s: %v allocations for a disabled record", format, n)
		}
	}
}

func BenchmarkText(b *testing.B) {
	l, err := New(io.Discard, "info", "text", "[nsqlookupd] ")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Info("client connected", "address", "127.0.0.1:1234", "session", 12)
	}
}
