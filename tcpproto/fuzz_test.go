package tcpproto

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// scriptConn is a client that says what is in it, some bytes at a time, and hangs up.
type scriptConn struct {
	in    *bytes.Reader
	chunk int
	out   bytes.Buffer
}

func newScript(data []byte, chunk int) *scriptConn {
	return &scriptConn{in: bytes.NewReader(data), chunk: chunk}
}

func (c *scriptConn) Read(p []byte) (int, error)       { return c.in.Read(p[:min(len(p), c.chunk)]) }
func (c *scriptConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *scriptConn) Close() error                     { return nil }
func (c *scriptConn) LocalAddr() net.Addr              { return pipeAddr{} }
func (c *scriptConn) RemoteAddr() net.Addr             { return pipeAddr{} }
func (c *scriptConn) SetDeadline(time.Time) error      { return nil }
func (c *scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptConn) SetWriteDeadline(time.Time) error { return nil }

// model is a second, dumb implementation of the protocol: it has the whole conversation before it.
type model struct {
	rest       string
	answers    []string
	calls      []string
	identified bool
}

var modelName = regexp.MustCompile(`^[.a-zA-Z0-9_-]+(#ephemeral)?$`)

func converse(data []byte) *model {
	m := &model{rest: string(data)}
	if len(data) < 4 {
		return m
	}
	if !strings.HasPrefix(m.rest, "  V1") {
		m.answers = []string{"E_BAD_PROTOCOL"}
		return m
	}
	m.rest = m.rest[4:]
	for m.command() {
	}
	if m.identified {
		m.calls = append(m.calls, "CLOSE")
	}
	return m
}

func (m *model) fail(format string, args ...any) bool {
	m.answers = append(m.answers, fmt.Sprintf(format, args...))
	return false
}

func (m *model) command() bool {
	line, rest, found := strings.Cut(m.rest, "\n")
	if len(line) >= 4096 {
		return m.fail("E_INVALID line is longer than 4096 bytes")
	}
	if !found {
		return false
	}
	m.rest = rest
	params := strings.Split(strings.TrimSpace(line), " ")
	switch params[0] {
	case "PING":
		if m.identified {
			m.calls = append(m.calls, "PING")
		}
	case "IDENTIFY":
		return m.identify()
	case "REGISTER", "UNREGISTER":
		if !m.change(append(params, "", "")[:3], len(params)) {
			return false
		}
	default:
		return m.fail("E_INVALID invalid command %s", params[0])
	}
	m.answers = append(m.answers, "OK")
	return true
}

func (m *model) change(params []string, given int) bool {
	valid := func(s string) bool { return len(s) <= 64 && modelName.MatchString(s) }
	switch command, topic, channel := params[0], params[1], params[2]; {
	case !m.identified:
		return m.fail("E_INVALID client must IDENTIFY")
	case given < 2:
		return m.fail("E_INVALID %s insufficient number of params", command)
	case !valid(topic):
		return m.fail("E_BAD_TOPIC %s topic name '%s' is not valid", command, topic)
	case channel != "" && !valid(channel):
		return m.fail("E_BAD_CHANNEL %s channel name '%s' is not valid", command, channel)
	default:
		m.calls = append(m.calls, command+" "+topic+"|"+channel)
		return true
	}
}

func (m *model) identify() bool {
	if m.identified {
		return m.fail("E_INVALID cannot IDENTIFY again")
	}
	if len(m.rest) < 4 {
		return m.fail("%s", noSize)
	}
	size := int(int32(binary.BigEndian.Uint32([]byte(m.rest))))
	m.rest = m.rest[4:]
	if size < 0 || size > 65536 {
		return m.fail("%s", badSize(int64(size)))
	}
	if len(m.rest) < size {
		return m.fail("%s", noBody)
	}
	// What nsqlookupd v1.3.0 decodes.
	var peer struct {
		Remote    string `json:"remote_address"`
		Hostname  string `json:"hostname"`
		Broadcast string `json:"broadcast_address"`
		TCP       int    `json:"tcp_port"`
		HTTP      int    `json:"http_port"`
		Version   string `json:"version"`
	}
	if json.Unmarshal([]byte(m.rest[:size]), &peer) != nil {
		return m.fail("%s", noJSON)
	}
	if peer.Broadcast == "" || peer.TCP == 0 || peer.HTTP == 0 || peer.Version == "" {
		return m.fail("%s", noFields)
	}
	m.rest = m.rest[size:]
	m.identified = true
	m.answers = append(m.answers, testGreetingJSON)
	return true
}

func FuzzConversation(f *testing.F) {
	for _, tc := range beforeIdentify() {
		f.Add([]byte(magicV1+tc.say), uint8(1))
	}
	for _, tc := range append(goodChanges(), badChanges()...) {
		f.Add([]byte(magicV1+identify(identifyBody)+tc.say), uint8(255))
	}
	for _, tc := range badIdentifies() {
		f.Add([]byte(magicV1+tc[0]), uint8(100))
	}
	f.Add([]byte("  V1"+strings.Repeat("x", 4096)), uint8(7))
	f.Fuzz(func(t *testing.T, data []byte, chunk uint8) {
		r := &fakeReplica{}
		s := New(Config{Open: r.open, Greeting: testGreeting, lateAnswer: time.Hour})
		nc := newScript(data, 1+int(chunk))
		c := newConn(s, nc)
		s.track(c)
		c.run()

		want := converse(data)
		got, err := frames(nc.out.Bytes())
		if err != nil || !slices.Equal(got, want.answers) {
			t.Errorf("answers %q (%v), want %q", got, err, want.answers)
		}
		if opened := r.count() == 1; opened != want.identified {
			t.Errorf("session opened: %v, want %v", opened, want.identified)
		}
		if want.identified {
			if did := r.only(t).did(); !slices.Equal(did, want.calls) {
				t.Errorf("calls %q, want %q", did, want.calls)
			}
		}
		if len(c.in.buf) > MaxLine || s.Connections() != 0 {
			t.Errorf("buffer of %d bytes, %d connections left", len(c.in.buf), s.Connections())
		}
	})
}

func TestInputThatBringsNothing(t *testing.T) {
	in := input{src: emptyReader{}}
	if _, err := in.line(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want io.ErrNoProgress", err)
	}
}

type emptyReader struct{}

func (emptyReader) Read([]byte) (int, error) { return 0, nil }
