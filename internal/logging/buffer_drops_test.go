package logging

import (
	"bytes"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Of the lines that were dropped the warnings and errors are counted by themselves.
func TestDroppedWarningsAreCounted(t *testing.T) {
	w := newGate(true)
	_, b := buffered(t, w, 1<<10, "text")
	w.stuckAfter(t, b, []byte("first\n"))
	long := make([]byte, 2<<10) // more than the buffer takes
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		_ = b.write(level, long)
	}
	w.set(false, nil)
	mustClose(t, b)
	if want := dropped + " lines=4 warnings_and_errors=2"; !strings.Contains(w.String(), want) {
		t.Errorf("it does not say %q: %s", want, w.String())
	}
}

// Once lines are dropped, those below a warning are until half of the buffer is free, so that they are lost
// in one piece.
func TestDropsGoOnUntilHalfIsFree(t *testing.T) {
	b := &Buffer{limit: 8 << 10, wake: make(chan struct{}, 1), explain: drops.plain}
	line := []byte(strings.Repeat("x", 99) + "\n")
	for b.drops.lines == 0 {
		_ = b.write(slog.LevelInfo, line)
	}
	b.head += 10 * len(line) // written
	if _ = b.write(slog.LevelInfo, line); b.drops.lines != 2 {
		t.Errorf("%d lines were dropped, want 2: a little more room is no end of it", b.drops.lines)
	}
	_ = b.write(slog.LevelWarn, line)
	if left := b.text[b.head:]; !bytes.HasSuffix(left, append([]byte(dropped+": 2\n"), line...)) {
		t.Errorf("the buffer ends with %q", left[len(left)-200:])
	}
	b.head = len(b.text) - b.limit/2
	b.take(nil)
	if _ = b.write(slog.LevelInfo, line); b.drops.lines > 0 {
		t.Error("a line was dropped when half of the buffer was free")
	}
}

// A line is written at once, and not when the buffer looks the next time.
func TestLineWakesTheWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGate(false)
		b := NewBuffer(w, 8<<10)
		for _, line := range []string{"one\n", "two\n"} {
			synctest.Wait() // the goroutine has nothing to do
			_, _ = b.Write([]byte(line))
			synctest.Wait()
			if !strings.HasSuffix(w.String(), line) {
				t.Errorf("written: %q", w.String())
			}
		}
		_ = b.Close(time.Second)
	})
}

// A writer that is never through does not make the buffer grow beyond its limit.
func TestBufferThatIsNeverEmptyStaysSmall(t *testing.T) {
	b := &Buffer{limit: 8 << 10, wake: make(chan struct{}, 1), explain: drops.plain}
	line := []byte(strings.Repeat("x", 99) + "\n")
	var piece []byte
	for range 10000 {
		_ = b.write(slog.LevelInfo, line)
		if len(b.text)-b.head > b.limit/2 {
			piece, _ = b.take(piece[:0])
		}
	}
	if b.drops.lines > 0 || cap(b.text) > 4*b.limit {
		t.Errorf("%d lines dropped, %d bytes of memory for %d", b.drops.lines, cap(b.text), b.limit)
	}
}

// When Close does not wait any longer, a writer that only asks for patience is not tried any more.
func TestCloseEndsTheTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGate(false)
		w.set(false, func([]byte) (int, error) { return 0, syscall.EAGAIN })
		b := NewBuffer(w, 8<<10)
		_, _ = b.Write([]byte("line\n"))
		if err := b.Close(time.Minute); err != ErrNotWritten {
			t.Errorf("error %v, want ErrNotWritten", err)
		}
		synctest.Wait()
		select {
		case <-b.done:
		default:
			t.Error("it is tried on")
		}
		w.set(false, nil)
	})
}

// Close may give up twice.
func TestCloseGivesUpTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newGate(true)
		b := NewBuffer(w, 8<<10)
		_, _ = b.Write([]byte("line\n"))
		for range 2 {
			if err := b.Close(time.Second); err != ErrNotWritten {
				t.Errorf("error %v, want ErrNotWritten", err)
			}
		}
		w.set(false, nil)
	})
}

// Only the memory of an empty buffer is given back.
func TestShrinkKeepsLines(t *testing.T) {
	b := &Buffer{text: append(make([]byte, 0, 2*keptSize), "line\n"...)}
	if b.shrink(); string(b.text) != "line\n" {
		t.Errorf("%q is left", b.text)
	}
}
