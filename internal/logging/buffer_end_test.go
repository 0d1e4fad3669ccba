package logging

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Write that fails is tried again from where it stopped, so that no line is torn.
func TestWriterThatFails(t *testing.T) {
	for name, cause := range map[string]error{"no room": syscall.ENOSPC, "no patience": syscall.EAGAIN,
		"no reader": syscall.EPIPE, "short": nil, "interrupted": syscall.EINTR} {
		t.Run(name, func(t *testing.T) {
			w := newGate(false)
			tries := 0
			w.set(false, func(p []byte) (int, error) {
				if tries++; tries%3 == 0 {
					return len(p), nil
				}
				return len(p) / 3, cause
			})
			l, b := buffered(t, w, 1<<20, "text")
			for i := range 3 {
				l.Info(fmt.Sprintf("line %d of several", i))
			}
			w.says(t, "line 0 of several", "line 1 of several", "line 2 of several\n")
			mustClose(t, b)
			if strings.Count(w.String(), "\n") != 3 {
				t.Errorf("wrote %q", w.String())
			}
		})
	}
}

func TestCloseWritesTheLastLines(t *testing.T) {
	w := newGate(true)
	l, b := buffered(t, w, 1<<20, "text")
	l.Info("first")
	w.stuck(t)
	l.Error("the last")
	closed := make(chan error, 1)
	go func() { closed <- b.Close(patience) }()
	w.set(false, nil)
	if err := <-closed; err != nil || !strings.Contains(w.String(), "the last") {
		t.Errorf("error %v, wrote %q", err, w.String())
	}
	if _, err := b.Write([]byte("too late\n")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a line after Close: %v", err)
	}
	l.Error("too late")
	mustClose(t, b)
	if strings.Contains(w.String(), "too late") {
		t.Error("a line was written after Close")
	}
}

func TestCloseHasADeadline(t *testing.T) {
	for name, w := range map[string]*gate{"blocks": newGate(true), "wants patience": newGate(false)} {
		w.set(w.shut, func([]byte) (int, error) { return 0, syscall.EAGAIN })
		l, b := buffered(t, w, 1<<20, "text")
		l.Info("m")
		start := time.Now()
		if err := b.Close(50 * time.Millisecond); !errors.Is(err, ErrNotWritten) || time.Since(start) > patience {
			t.Errorf("a writer that %s: error %v after %s", name, err, time.Since(start))
		}
	}
}

// A pipe that O_NONBLOCK was set on only asks for patience, also at the end.
func TestCloseIsPatient(t *testing.T) {
	w := newGate(true)
	l, b := buffered(t, w, 1<<20, "text")
	l.Error("the last")
	w.stuck(t)
	tries := 0
	outcome := func(p []byte) (int, error) {
		if tries++; tries < 3 {
			return 0, syscall.EAGAIN
		}
		return len(p), nil
	}
	closed := make(chan error, 1)
	go func() { closed <- b.Close(patience) }()
	<-b.closing
	w.set(false, outcome)
	if err := <-closed; err != nil || !strings.Contains(w.String(), "the last") {
		t.Errorf("error %v, wrote %q", err, w.String())
	}
}

// A writer that fails for good is not waited for at the end.
func TestCloseGivesUpAWriterThatFails(t *testing.T) {
	for _, cause := range []error{syscall.EPIPE, syscall.ENOSPC, syscall.EBADF} {
		w := newGate(false)
		w.set(false, func([]byte) (int, error) { return 0, cause })
		l, b := buffered(t, w, 1<<20, "text")
		l.Info("m")
		within(t, func() {
			if err := b.Close(10 * patience); !errors.Is(err, ErrNotWritten) {
				t.Errorf("%v: error %v", cause, err)
			}
		})
	}
}

func TestCloseMayBeCalledAgain(t *testing.T) {
	w := newGate(false)
	_, b := buffered(t, w, 1<<20, "text")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { _ = b.Close(patience) })
	}
	group.Wait()
	mustClose(t, b)
}
