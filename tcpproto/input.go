package tcpproto

import (
	"bytes"
	"io"
	"strconv"
)

const (
	// MaxLine is the longest line in bytes, its newline included.
	MaxLine = 4096
	// MaxBody is the longest body of IDENTIFY in bytes.
	MaxBody = 65536

	// The longest command that means anything is 141 bytes (UNREGISTER with two names of 64), an
	// nsqd's IDENTIFY with its body about 170: more than this is needed only by odd clients.
	smallBuffer = 512
	// How many reads in a row may bring neither a byte nor an error (io.Reader allows it).
	maxEmptyReads = 100
)

// input reads lines and bodies from a connection. It begins without a buffer, takes a small one
// with the first read and a larger one, MaxLine at most, only while a line needs it.
type input struct {
	src io.Reader
	buf []byte
	// Invariant: buf[start:end] are the bytes read and not yet consumed.
	start, end int
}

// line returns the next line with its newline. It is valid until the next call. Bytes without a
// newline before an error are dropped, as nsqlookupd drops them.
func (in *input) line() ([]byte, error) {
	for {
		pending := in.buf[in.start:in.end]
		if i := bytes.IndexByte(pending, '\n'); i >= 0 {
			in.start += i + 1
			return pending[:i+1], nil
		}
		if len(pending) >= MaxLine {
			return nil, fatal(codeInvalid, "line is longer than "+strconv.Itoa(MaxLine)+" bytes", nil)
		}
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads once more, after the pending bytes.
func (in *input) fill() error {
	in.makeRoom()
	for range maxEmptyReads {
		n, err := in.src.Read(in.buf[in.end:])
		in.end += n
		if n > 0 { // an error, if any, comes again with the next read
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom leaves at least one free byte at the end of buf, if fewer than MaxLine are pending.
func (in *input) makeRoom() {
	pending := in.buf[in.start:in.end]
	switch {
	case len(pending) == 0 && len(in.buf) != smallBuffer:
		in.buf = make([]byte, smallBuffer)
	case in.start > 0:
		copy(in.buf, pending)
	case len(pending) == len(in.buf):
		grown := make([]byte, min(2*len(in.buf), MaxLine))
		copy(grown, pending)
		in.buf = grown
	}
	in.start, in.end = 0, len(pending)
}

// Read takes the pending bytes first, then the connection's.
func (in *input) Read(p []byte) (int, error) {
	if in.start == in.end {
		return in.src.Read(p)
	}
	n := copy(p, in.buf[in.start:in.end])
	in.start += n
	return n, nil
}

// body reads n bytes. What it allocates follows what has come, not what was announced.
func (in *input) body(n int) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(in, int64(n)))
	if err == nil && len(b) < n {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}
