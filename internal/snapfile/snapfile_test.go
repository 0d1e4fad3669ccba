package snapfile

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func sample() Header {
	return Header{ClusterID: "c1", Index: 42, Fingerprint: strings.Repeat("0f", 16),
		TakenAt: time.Date(2024, 2, 29, 23, 59, 58, 999, time.FixedZone("", 3600)), TakenBy: "r1", Version: "0.1.0",
		Topics: 1, Channels: 2, Producers: 3, Sessions: 4}
}

// write makes a file whose body is written in pieces.
func write(t testing.TB, h Header, pieces ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if n, err := io.WriteString(w, p); n != len(p) || err != nil {
			t.Fatalf("wrote %d of %d, %v", n, len(p), err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// read reads a whole file.
func read(r io.Reader) (Header, string, error) {
	f, err := NewReader(r)
	if err != nil {
		return Header{}, "", err
	}
	body, err := io.ReadAll(f)
	return f.Header, string(body), err
}

func readBytes(file []byte) (Header, string, error) { return read(bytes.NewReader(file)) }

// golden is a file as it must be read for ever.
const golden = "raftlookupd-snapshot 1\n" +
	`{"format":1,"cluster_id":"c1","index":42,"fingerprint":"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",` +
	`"taken_at":"2024-02-29T22:59:58Z","taken_by":"r1","version":"0.1.0","topics":1,"channels":2,"producers":3,"sessions":4}` + "\n" +
	"\x00\x00\x00\x09some body" + "\x00\x00\x00\x00"

const goldenSum = "5b00065250362b3b407bd4069c1e630b50c236c98bdaebc71f264a6b65f6bb0b"

func TestGolden(t *testing.T) {
	sum, err := hex.DecodeString(goldenSum)
	if err != nil {
		t.Fatal(err)
	}
	want := golden + string(sum)
	if got := write(t, sample(), "some", " ", "", "body"); string(got) != want {
		t.Errorf("wrote\n%q\n%q", got, want)
	}
	h, body, err := readBytes([]byte(want))
	if err != nil || body != "some body" {
		t.Fatalf("read %q, %v", body, err)
	}
	is := sample()
	is.Format, is.TakenAt = 1, time.Date(2024, 2, 29, 22, 59, 58, 0, time.UTC)
	if h != is {
		t.Errorf("header %+v, want %+v", h, is)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, maxChunk - 1, maxChunk, maxChunk + 1, 2 * maxChunk, 5*maxChunk + 7} {
		for _, piece := range []int{1000, maxChunk, 3 * maxChunk} {
			want := strings.Repeat("0123456789a", size/11+1)[:size]
			var pieces []string
			for rest := want; rest != ""; {
				n := min(len(rest), piece)
				pieces, rest = append(pieces, rest[:n]), rest[n:]
			}
			file := write(t, sample(), pieces...)
			for name, r := range map[string]io.Reader{
				"whole": bytes.NewReader(file), "half": iotest.HalfReader(bytes.NewReader(file)),
				"data with the error": iotest.DataErrReader(bytes.NewReader(file)),
			} {
				if _, got, err := read(r); err != nil || got != want {
					t.Errorf("size %d in pieces of %d, %s: %d bytes, %v", size, piece, name, len(got), err)
				}
			}
		}
	}
	file := write(t, sample(), "a", "b")
	if _, got, err := read(iotest.OneByteReader(bytes.NewReader(file))); err != nil || got != "ab" {
		t.Errorf("byte by byte: %q, %v", got, err)
	}
}

// refused checks that a file is refused for one of the three reasons, and that no reader can take
// that for its end.
func refused(file []byte) error {
	_, _, err := readBytes(file)
	known := errors.Is(err, ErrDamaged) || errors.Is(err, ErrNotSnapshot) || errors.Is(err, ErrTooNew)
	if !known || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("read with %w", errors.Join(errors.New("not refused"), err))
	}
	return nil
}

// small is a file of which every byte can be tried.
func small(t testing.TB) []byte { return write(t, sample(), "a body of some bytes") }

func TestEveryFlippedBitIsFound(t *testing.T) {
	file := small(t)
	for bit := range 8 * len(file) {
		file[bit/8] ^= 1 << (bit % 8)
		if err := refused(file); err != nil {
			t.Errorf("bit %d of byte %d: %v", bit%8, bit/8, err)
		}
		file[bit/8] ^= 1 << (bit % 8)
	}
	for i, was := range file {
		for _, is := range []byte{0, '\n', '0', '2', 0xff, ^was} {
			if file[i] = is; is != was {
				if err := refused(file); err != nil {
					t.Errorf("byte %d made %#x: %v", i, is, err)
				}
			}
		}
		file[i] = was
	}
}

func TestEveryTruncationIsFound(t *testing.T) {
	file := small(t)
	for n := range file {
		_, _, err := readBytes(file[:n])
		if !errors.Is(err, ErrDamaged) || refused(file[:n]) != nil {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	for _, more := range []string{"\x00", "\n", string(file)} {
		if _, _, err := readBytes(append(bytes.Clone(file), more...)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes more: %v", len(more), err)
		}
	}
}

func TestRemovedAndSwappedChunksAreFound(t *testing.T) {
	a, b := strings.Repeat("a", maxChunk), strings.Repeat("b", maxChunk)
	file := write(t, sample(), a, b, "c")
	chunk := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }
	for name, bad := range map[string][]byte{
		"removed": bytes.Replace(file, chunk(a), nil, 1),
		"swapped": bytes.Replace(file, append(chunk(a), chunk(b)...), append(chunk(b), chunk(a)...), 1),
		"split":   bytes.Replace(file, chunk("c"), append(chunk("c"), 0, 0, 0, 0), 1),
	} {
		if bytes.Equal(bad, file) {
			t.Fatalf("%s: nothing was replaced", name)
		}
		if err := refused(bad); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNoSnapshot(t *testing.T) {
	rest := golden[strings.Index(golden, "\n"):]
	for text, want := range map[string]error{
		"":                                       ErrDamaged,
		"raftlookupd":                            ErrDamaged,
		"raftlookupd-snapshot ":                  ErrDamaged,
		"raftlookupd-snapshot 1":                 ErrDamaged,
		"raftlookupd-snapshot 9":                 ErrDamaged,
		"raftlookupd-snapshot" + rest:            ErrNotSnapshot,
		"\n":                                     ErrNotSnapshot,
		"x":                                      ErrNotSnapshot,
		"\x1f\x8b\x08":                           ErrNotSnapshot,
		`{"message":"NOT_READY"}`:                ErrNotSnapshot,
		strings.Repeat("x", 1<<20):               ErrNotSnapshot,
		"raftlookupd-snapshot 0" + rest:          ErrDamaged,
		"raftlookupd-snapshot -1" + rest:         ErrDamaged,
		"raftlookupd-snapshot 01" + rest:         ErrDamaged,
		"raftlookupd-snapshot 1 " + rest:         ErrDamaged,
		"raftlookupd-snapshot 2" + rest:          ErrTooNew,
		"raftlookupd-snapshot 4294967295" + rest: ErrTooNew,
		"raftlookupd-snapshot 4294967296" + rest: ErrDamaged,
		"raftlookupd-snapshot " + strings.Repeat("1", 99): ErrDamaged,
		"raftlookupd-snapshot 1\n":                        ErrDamaged,
		"raftlookupd-snapshot 1\n{}\n":                    ErrDamaged,
		"raftlookupd-snapshot 1\n\n":                      ErrDamaged,
		"raftlookupd-snapshot 1\n{\"format\":2}\n":        ErrDamaged,
		"raftlookupd-snapshot 1\n{\"format\":1} x\n":      ErrDamaged,
	} {
		if _, err := NewReader(strings.NewReader(text)); !errors.Is(err, want) {
			t.Errorf("%.60q: %v, want %v", text, err, want)
		}
	}
}
