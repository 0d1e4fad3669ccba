package logging

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// writeSize is how many bytes of whole lines go into one Write: what a pipe takes in one piece
	// (PIPE_BUF), so that lines of several programs do not mix.
	writeSize = 4096
	// keptSize is how much memory a buffer keeps that was empty for keptFor: the rest was for a burst.
	keptSize = 64 << 10
	keptFor  = 10 * time.Second
	// firstRetry and lastRetry are the first and the longest pause before a Write that failed is tried
	// again.
	firstRetry = 10 * time.Millisecond
	lastRetry  = time.Second
)

// Buffer keeps lines until a goroutine of its own has written them, so that a call that logs never
// waits for the writer. Lines that do not fit are dropped and counted, and a line in their place says
// how many. A Write of the underlying writer that fails is tried again from where it stopped.
type Buffer struct {
	w       io.Writer
	limit   int
	wake    chan struct{} // holds a token when there may be lines to write
	closing chan struct{} // closed when no line is taken any more
	abandon chan struct{} // closed when Close no longer waits
	giveUp  sync.Once     // closes it
	done    chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	text    []byte // whole lines; those before head are with the goroutine or written
	head    int
	drops   drops // since the last line about them
	full    bool  // lines are dropped until half of the buffer is free
	closed  bool
	lost    bool               // the goroutine has given up a piece
	explain func(drops) []byte // makes the line about drops
}

// NewBuffer starts a buffer of at most limit bytes in front of w. Close it.
func NewBuffer(w io.Writer, limit int) *Buffer {
	b := &Buffer{w: w, limit: limit, wake: make(chan struct{}, 1), closing: make(chan struct{}),
		abandon: make(chan struct{}), done: make(chan struct{}), explain: drops.plain}
	go b.run()
	return b
}

// Write takes a line that has no level; it is kept as an error is. It implements io.Writer.
func (b *Buffer) Write(line []byte) (int, error) {
	if err := b.write(LevelFatal, line); err != nil {
		return 0, err
	}
	return len(line), nil
}

// write takes a line. It never waits for the writer, and fails only when the buffer is closed.
func (b *Buffer) write(level slog.Level, line []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return os.ErrClosed
	}
	if b.fits(level, len(line)) {
		b.tellDrops()
		b.push(line)
	} else {
		b.full = true
		b.drops.add(level)
	}
	select { // also for a drop: the buffer may be empty, and the line too long for it
	case b.wake <- struct{}{}:
	default:
	}
	return nil
}

// fits reports whether a line is taken. The last eighth of the buffer is for warnings and errors.
func (b *Buffer) fits(level slog.Level, size int) bool {
	after := len(b.text) - b.head + size
	if level >= slog.LevelWarn {
		return after <= b.limit
	}
	return !b.full && after <= b.limit-b.limit/8
}

// push appends a line. The caller holds the lock.
func (b *Buffer) push(line []byte) {
	if len(b.text)+len(line) > cap(b.text) && b.head > len(b.text)/2 {
		b.text = b.text[:copy(b.text, b.text[b.head:])]
		b.head = 0
	}
	b.text = append(b.text, line...)
	if len(line) == 0 || line[len(line)-1] != '\n' {
		b.text = append(b.text, '\n')
	}
}

// tellDrops puts the line about drops where they were, if there were any. The caller holds the lock.
func (b *Buffer) tellDrops() {
	if b.drops.lines > 0 {
		b.push(b.explain(b.drops))
		b.drops = drops{}
	}
}

// describe sets what makes the line about drops.
func (b *Buffer) describe(explain func(drops) []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.explain = explain
}

// run writes until the buffer is closed and empty, or abandoned.
func (b *Buffer) run() {
	defer close(b.done)
	idle := time.NewTimer(keptFor)
	defer idle.Stop()
	var piece []byte
	for {
		var ended bool
		piece, ended = b.take(piece[:0])
		if ended || !b.put(piece) {
			return
		}
		if len(piece) > 0 {
			continue
		}
		idle.Reset(keptFor)
		select {
		case <-b.wake:
		case <-b.closing:
		case <-idle.C:
			b.shrink()
		}
	}
}

// shrink gives back the memory of an empty buffer.
func (b *Buffer) shrink() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.text) == 0 && cap(b.text) > keptSize {
		b.text = nil
	}
}

// take moves the next lines into piece; ended when there are none and none come.
func (b *Buffer) take(piece []byte) (_ []byte, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.text)-b.head <= b.limit/2 {
		b.full = false
		b.tellDrops()
	}
	if b.head == len(b.text) {
		b.head, b.text = 0, b.text[:0]
		return piece, b.closed
	}
	n := wholeLines(b.text[b.head:])
	piece = append(piece, b.text[b.head:b.head+n]...)
	b.head += n
	return piece, false
}

// put writes a piece to its end, however long that takes; false when it is given up. A writer that
// fails is given up once the buffer is closing, unless it only asks for patience.
func (b *Buffer) put(piece []byte) bool {
	for wait := firstRetry; len(piece) > 0; wait = min(2*wait, lastRetry) {
		n, err := b.w.Write(piece)
		if n = min(max(n, 0), len(piece)); n == len(piece) {
			return true
		}
		if n > 0 {
			piece, wait = piece[n:], firstRetry
		}
		patience := err == nil || errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
		if !b.pause(wait, patience) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.lost = true
			return false
		}
	}
	return true
}

// pause waits before the next try; false when there is to be none.
func (b *Buffer) pause(wait time.Duration, patience bool) bool {
	closing := b.closing
	if patience {
		closing = nil
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-closing:
		return false
	case <-b.abandon:
		return false
	}
}

// ErrNotWritten means that lines were left when the buffer was closed.
var ErrNotWritten = errors.New("log lines were not written")

// Close writes what is in the buffer, for as long as limit at most, and ends the goroutine. Lines
// that come later are refused. A goroutine that is inside a Write then ends when that returns.
func (b *Buffer) Close(limit time.Duration) error {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		close(b.closing)
	}
	b.mu.Unlock()
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-b.done:
	case <-t.C:
		b.giveUp.Do(func() { close(b.abandon) })
		return ErrNotWritten
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost {
		return ErrNotWritten
	}
	return nil
}
