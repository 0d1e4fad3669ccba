package snapfile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
)

// Reader reads the body of a file. Header and body are to be believed when Read has said io.EOF.
// Errors are ErrDamaged, ErrNotSnapshot, ErrTooNew, or those of the reader below.
type Reader struct {
	Header Header

	src  *bufio.Reader
	sum  hash.Hash // of all that has been read
	left int       // bytes of the chunk that are still to be read
	err  error     // the first one, io.EOF at the end; all that follows returns it
}

// NewReader reads the first lines of a file.
func NewReader(r io.Reader) (*Reader, error) {
	f := &Reader{src: bufio.NewReaderSize(r, maxChunk), sum: sha256.New()}
	if err := f.first(); err != nil {
		return nil, err
	}
	line, err := f.line(maxHeader)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	f.Header, err = decodeHeader(line)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// first reads the line that says what the file is.
func (f *Reader) first() error {
	line, err := f.line(maxFirst)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return err
	}
	digits, ok := strings.CutPrefix(string(line), magic)
	number, parseErr := strconv.ParseUint(digits, 10, 32)
	switch {
	case err != nil && strings.HasPrefix(magic, string(line)):
		return err
	case !ok:
		return ErrNotSnapshot
	case parseErr != nil || number == 0 || strconv.FormatUint(number, 10) != digits:
		return fmt.Errorf("%w: its first line is %q", ErrDamaged, line)
	case err == nil && number > format:
		return fmt.Errorf("%w: it is of format %d, this program reads up to %d", ErrTooNew, number, format)
	}
	return err
}

// line reads up to the end of a line, which has at most limit bytes. What there is of it comes also
// with an error.
func (f *Reader) line(limit int) ([]byte, error) {
	var line []byte
	for len(line) <= limit {
		b, err := f.src.ReadByte()
		if err != nil {
			return line, cut(err)
		}
		f.sum.Write([]byte{b})
		if b == '\n' {
			return line, nil
		}
		line = append(line, b)
	}
	return line, fmt.Errorf("%w: a line of more than %d bytes", ErrDamaged, limit)
}

// Read reads from the body.
func (f *Reader) Read(p []byte) (int, error) {
	if f.err == nil && len(p) > 0 && f.left == 0 {
		f.left, f.err = f.next()
	}
	if f.err != nil || len(p) == 0 {
		return 0, f.err
	}
	n, err := f.src.Read(p[:min(len(p), f.left)])
	f.sum.Write(p[:n])
	f.left -= n
	if err != nil {
		f.err = cut(err)
	}
	return n, f.err
}

// next begins the next chunk: its length, or io.EOF when the file has come to its right end.
func (f *Reader) next() (int, error) {
	var length [lengthBytes]byte
	if err := f.whole(length[:]); err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > maxChunk {
		return 0, fmt.Errorf("%w: a chunk of %d bytes", ErrDamaged, n)
	}
	if n == 0 {
		return 0, f.end()
	}
	return int(n), nil
}

func (f *Reader) end() error {
	want := f.sum.Sum(nil)
	var sum [sha256.Size]byte
	if err := f.whole(sum[:]); err != nil {
		return err
	}
	if !bytes.Equal(sum[:], want) {
		return fmt.Errorf("%w: its checksum does not match", ErrDamaged)
	}
	switch _, err := f.src.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: something follows its end", ErrDamaged)
	case errors.Is(err, io.EOF):
		return io.EOF
	default:
		return cut(err)
	}
}

func (f *Reader) whole(b []byte) error {
	if _, err := io.ReadFull(f.src, b); err != nil {
		return cut(err)
	}
	f.sum.Write(b)
	return nil
}

// cut says of an end of the file where none should be that the file is damaged. The text of the end
// itself is left out: who looks for io.EOF must not find it.
func cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut short", ErrDamaged)
	}
	return fmt.Errorf("read snapshot: %w", err)
}
