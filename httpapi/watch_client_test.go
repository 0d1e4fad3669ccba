package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// watched is an event as a client gets it.
type watched struct {
	id   uint64
	kind string
	data string
}

func (e watched) String() string { return fmt.Sprintf("%d %s %s", e.id, e.kind, e.data) }

// watchClient reads one stream.
type watchClient struct {
	t      testing.TB
	header http.Header
	lines  *bufio.Reader
	close  func()
}

// openWatch begins a stream; lastID is "" for none.
func openWatch(t testing.TB, s *running, query, lastID string) *watchClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/watch"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	c := &watchClient{t: t, header: response.Header, lines: bufio.NewReader(response.Body)}
	c.close = func() {
		cancel()
		_ = response.Body.Close()
	}
	t.Cleanup(c.close)
	if response.StatusCode != http.StatusOK {
		t.Fatalf("GET /watch%s: %s", query, response.Status)
	}
	c.expectLines("retry: 1000", "")
	return c
}

func (c *watchClient) line() (string, error) {
	line, err := c.lines.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

func (c *watchClient) expectLines(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got, err := c.line(); err != nil || got != w {
			c.t.Fatalf("line %q, %v; want %q", got, err, w)
		}
	}
}

const beat = "heartbeat"

// next reads an event, and leaves out heartbeats.
func (c *watchClient) next() (watched, error) {
	for {
		if e, err := c.nextOrBeat(); err != nil || e.kind != beat {
			return e, err
		}
	}
}

// nextOrBeat gives a heartbeat the kind beat.
func (c *watchClient) nextOrBeat() (e watched, err error) {
	for {
		line, err := c.line()
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case name == "id":
			e.id, err = strconv.ParseUint(value, 10, 64)
		case name == "event":
			e.kind = value
		case name == "data":
			e.data = value
		case line == ": heartbeat":
			e.kind = beat
		case line == "" && e.kind != "":
			return e, nil
		case line != "":
			err = fmt.Errorf("a strange line %q", line)
		}
		if err != nil {
			return e, err
		}
	}
}

func (c *watchClient) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		e, err := c.next()
		if err != nil {
			c.t.Fatalf("%v instead of %q", err, w)
		}
		if e.String() != w {
			c.t.Fatalf("got  %s\nwant %s", e, w)
		}
	}
}
