package snapfile

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
)

var errClosed = errors.New("the snapshot's writer is closed")

// Writer writes a file. It is whole when Close has returned nil, and not before.
type Writer struct {
	dst    io.Writer
	sum    hash.Hash
	chunk  []byte // the next chunk: room for its length, and what there is of it
	err    error  // the first one; all that follows returns it
	closed bool
}

// lengthBytes is how long the length of a chunk is.
const lengthBytes = 4

// NewWriter begins a file.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	head, err := h.encode()
	if err != nil {
		return nil, err
	}
	f := &Writer{dst: w, sum: sha256.New(), chunk: make([]byte, lengthBytes, lengthBytes+maxChunk)}
	f.put(head)
	return f, f.err
}

// Write adds to the body.
func (f *Writer) Write(p []byte) (int, error) {
	if f.closed && f.err == nil {
		return 0, errClosed
	}
	written := 0
	for len(p) > 0 && f.err == nil {
		n := min(len(p), cap(f.chunk)-len(f.chunk))
		f.chunk = append(f.chunk, p[:n]...)
		p, written = p[n:], written+n
		if len(f.chunk) == cap(f.chunk) {
			f.flush()
		}
	}
	if f.err != nil {
		return 0, f.err
	}
	return written, nil
}

// Close ends the file. It does not close the writer below. A second call does nothing but return
// the same.
func (f *Writer) Close() error {
	if f.closed {
		return f.err
	}
	f.closed = true
	if len(f.chunk) > lengthBytes {
		f.flush()
	}
	f.flush() // the chunk of no bytes
	f.put(f.sum.Sum(nil))
	return f.err
}

func (f *Writer) flush() {
	binary.BigEndian.PutUint32(f.chunk, uint32(len(f.chunk)-lengthBytes))
	f.put(f.chunk)
	f.chunk = f.chunk[:lengthBytes]
}

func (f *Writer) put(b []byte) {
	if f.err != nil {
		return
	}
	f.sum.Write(b)
	_, f.err = f.dst.Write(b)
}
