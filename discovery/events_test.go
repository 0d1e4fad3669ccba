package discovery

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll returns the events as texts, and what ended them.
func readAll(r io.Reader) (all []string, err error) {
	events := newEventReader(r)
	for {
		e, err := events.next()
		if err != nil {
			return all, err
		}
		all = append(all, e.kind+" "+string(e.data))
	}
}

func TestEvents(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"none", "", nil},
		{"retry", "retry: 1000\n\n", nil},
		{"event", "id: 1\nevent: topic\ndata: {}\n\n", []string{"topic {}"}},
		{"heartbeats", ": heartbeat\n\n:\n\nevent: ready\ndata: 1\n\n", []string{" ", " ", "ready 1"}},
		{"two", "event: a\ndata: 1\n\nevent: b\n\n", []string{"a 1", "b "}},
		{"carriage returns", "event: a\r\ndata: 1\r\n\r\n", []string{"a 1"}},
		{"without blanks", "event:a\ndata:1\n\n", []string{"a 1"}},
		{"unknown", "event: a\nwhat\nx: y\n\n", []string{"a "}},
		{"cut off", "event: a\ndata: 1\n", nil},
		{"cut off in a line", "event: a\ndata: 1", nil},
		{"long", "event: a\ndata: " + long + "\n\n", []string{"a " + long}},
	} {
		for way, r := range map[string]io.Reader{"whole": strings.NewReader(test.text), "in bytes": iotest.OneByteReader(strings.NewReader(test.text))} {
			got, err := readAll(r)
			if !errors.Is(err, io.EOF) || !slices.Equal(got, test.want) {
				t.Errorf("%s %s: %.100q, %v", test.name, way, got, err)
			}
		}
	}
}

// endless is a line without an end; it counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	e.read += len(b)
	return len(b), nil
}

func TestEventsThatAreTooLong(t *testing.T) {
	e := &endless{}
	if _, err := readAll(e); !errors.Is(err, errTooLong) {
		t.Error(err)
	}
	if e.read > maxAnswer+(1<<20) {
		t.Errorf("%d bytes were read", e.read)
	}
	for more, want := range map[int]error{0: io.EOF, 1: errTooLong} {
		line := "data: " + strings.Repeat("x", maxAnswer-len("data: \n")+more) + "\n"
		if _, err := readAll(strings.NewReader(line)); !errors.Is(err, want) {
			t.Errorf("%d bytes: %v, want %v", len(line), err, want)
		}
	}
}

func TestAddresses(t *testing.T) {
	producer := func(host string, port int) string {
		return fmt.Sprintf(`{"broadcast_address":%q,"tcp_port":%d}`, host, port)
	}
	text := `{"producers":[` + strings.Join([]string{producer("h", 1), producer("", 4150), producer("::1", 65535),
		producer("h", 0), producer("h", -1), producer("h", 65536)}, ",") + `]}`
	got, err := addressesIn([]byte(text))
	if want := []string{"h:1", "[::1]:65535"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "[]", `{"producers":7}`, `{"producers":[{"tcp_port":"x"}]}`, `{"producers":[]}x`} {
		if got, err := addressesIn([]byte(bad)); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add("id: 1\nevent: topic\ndata: {\"producers\":[{\"broadcast_address\":\"h\",\"tcp_port\":4150}]}\n\n: heartbeat\n\n")
	f.Add("event\r\ndata:\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		events := newEventReader(strings.NewReader(text))
		for {
			e, err := events.next()
			if err != nil {
				return
			}
			if strings.ContainsRune(e.kind+string(e.data), '\n') {
				t.Fatalf("a line break in %q", e.data)
			}
			_, _ = addressesIn(e.data)
		}
	})
}
