package snapfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// seal makes a file of a first line, a header's line, and what stands between it and the checksum.
func seal(header, chunks string) []byte {
	text := "raftlookupd-snapshot 1\n" + header + "\n" + chunks
	sum := sha256.Sum256([]byte(text))
	return append([]byte(text), sum[:]...)
}

func chunk(length uint32, text string) string {
	return string(binary.BigEndian.AppendUint32(nil, length)) + text
}

func TestLengthOfAChunk(t *testing.T) {
	for _, c := range []struct {
		name   string
		chunks string
		want   error
	}{
		{"none", chunk(0, ""), nil},
		{"1", chunk(1, "x") + chunk(0, ""), nil},
		{"max", chunk(maxChunk, strings.Repeat("x", maxChunk)) + chunk(0, ""), nil},
		{"max+1", chunk(maxChunk+1, strings.Repeat("x", maxChunk+1)) + chunk(0, ""), ErrDamaged},
		{"-1", chunk(1<<32-1, "x") + chunk(0, ""), ErrDamaged},
		{"the least negative", chunk(1<<31, "x") + chunk(0, ""), ErrDamaged},
		{"more than there is", chunk(200, "x") + chunk(0, ""), ErrDamaged},
		{"less than there is", chunk(1, "xx") + chunk(0, ""), ErrDamaged},
		{"nothing at all", "", ErrDamaged},
	} {
		if _, _, err := readBytes(seal(`{"format":1}`, c.chunks)); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestLengthOfTheHeader(t *testing.T) {
	bare, err := sample().encode()
	if err != nil {
		t.Fatal(err)
	}
	room := maxHeader - (len(bare) - len("raftlookupd-snapshot 1\n") - 1)
	for more, want := range map[int]error{0: nil, room - 1: nil, room: nil, room + 1: ErrHeader, 1 << 20: ErrHeader} {
		h := sample()
		h.TakenBy += strings.Repeat("r", more)
		if _, err := NewWriter(io.Discard, h); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("write %d more: %v, want %v", more, err, want)
		}
	}
	header := `{"format":1}`
	for length, want := range map[int]error{maxHeader - 1: nil, maxHeader: nil, maxHeader + 1: ErrDamaged, 1 << 20: ErrDamaged} {
		file := seal(header+strings.Repeat(" ", length-len(header)), chunk(0, ""))
		if _, _, err := readBytes(file); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("read a header of %d: %v, want %v", length, err, want)
		}
	}
}

// A later version may say more in the header.
func TestHeaderWithMoreFields(t *testing.T) {
	h, _, err := readBytes(seal(`{"format":1,"index":7,"mood":{"good":[true]}}`, chunk(0, "")))
	if err != nil || h.Index != 7 {
		t.Errorf("header %+v, %v", h, err)
	}
}

var errTest = errors.New("test")

// failing takes so many bytes.
type failing int

func (f *failing) Write(p []byte) (int, error) {
	n := min(len(p), int(*f))
	if *f -= failing(n); n < len(p) {
		return n, errTest
	}
	return n, nil
}

func TestWriterThatFails(t *testing.T) {
	body := strings.Repeat("x", 3*maxChunk)
	whole := len(write(t, sample(), body))
	for room := 0; room < whole; room += 997 {
		dst := failing(room)
		w, err := NewWriter(&dst, sample())
		if err == nil {
			_, _ = io.WriteString(w, body)
			err = w.Close()
			if again := w.Close(); !errors.Is(again, err) {
				t.Errorf("second Close: %v", again)
			}
			if _, err := w.Write([]byte("x")); !errors.Is(err, errTest) {
				t.Errorf("Write afterwards: %v", err)
			}
		}
		if !errors.Is(err, errTest) {
			t.Errorf("room for %d: %v", room, err)
		}
	}
}

func TestWriteAfterClose(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, sample())
	if err := errors.Join(err, w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	n := b.Len()
	if _, err := w.Write([]byte("x")); !errors.Is(err, errClosed) || b.Len() != n {
		t.Errorf("error %v, %d bytes more", err, b.Len()-n)
	}
}

// An error of the reader below is no damage of the file.
func TestReaderThatFails(t *testing.T) {
	file := small(t)
	for n := range len(file) + 1 {
		_, _, err := read(io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(errTest)))
		if !errors.Is(err, errTest) || errors.Is(err, ErrDamaged) {
			t.Errorf("fails after %d: %v", n, err)
		}
	}
}

func TestReadOfNothing(t *testing.T) {
	f, err := NewReader(bytes.NewReader(small(t)))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.Read(nil); n != 0 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	if _, err := io.ReadAll(f); err != nil {
		t.Error(err)
	}
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

// FuzzRead reads arbitrary bytes, as they are and as the body and header of a file that is whole.
func FuzzRead(f *testing.F) {
	f.Add(small(f), "", "")
	f.Add([]byte("raftlookupd-snapshot 2\n"), `{"format":1,"index":3}`, chunk(3, "abc")+chunk(0, ""))
	f.Add([]byte(nil), `{"format":1,"taken_at":"2024-02-29T22:59:58Z"}`, chunk(1<<31, "abc"))
	f.Fuzz(func(t *testing.T, data []byte, header, chunks string) {
		for _, file := range [][]byte{data, seal(header, chunks)} {
			_, body, err := readBytes(file)
			if err != nil {
				if err := refused(file); err != nil {
					t.Error(err)
				}
				continue
			}
			if len(body) > len(file) {
				t.Errorf("%d bytes out of %d", len(body), len(file))
			}
			// What is whole is so only as it is.
			for _, i := range []int{0, len(file) / 2, len(file) - 1} {
				file[i] ^= 1
				if err := refused(file); err != nil {
					t.Errorf("byte %d: %v", i, err)
				}
				file[i] ^= 1
			}
			if err := refused(file[:len(file)-1]); err != nil {
				t.Error(err)
			}
		}
	})
}
