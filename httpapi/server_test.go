package httpapi

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// short is for what must run out, ample for what must not although the machine is busy.
const (
	short = 50 * time.Millisecond
	ample = 500 * time.Millisecond
)

func TestSilentConnectionIsClosed(t *testing.T) {
	s := start(t, Config{Replica: newFakeReplica(t), ReadHeaderTimeout: short})
	if got := dial(t, s.addr).receive(); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestSlowHeaderIsClosed(t *testing.T) {
	s := start(t, Config{Replica: newFakeReplica(t), ReadHeaderTimeout: short})
	c := dial(t, s.addr)
	c.send("GET /ping HTTP/1.1\r\nX: ")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for range tick.C { // a byte each millisecond must not extend the time
			if _, err := io.WriteString(c, "X"); err != nil {
				return
			}
		}
	}()
	if got := c.receive(); got != "" {
		t.Errorf("got %q", got)
	}
	_ = c.Close()
	await(t, stopped, "the writer")
}

func TestIdleConnectionIsClosed(t *testing.T) {
	s := start(t, Config{Replica: newFakeReplica(t), IdleTimeout: short})
	c := dial(t, s.addr)
	c.send("GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")
	if got := c.receive(); !strings.HasSuffix(got, "\r\n\r\nOK") {
		t.Errorf("got %q", got)
	}
}

func TestHugeQueryIsRefused(t *testing.T) {
	s := start(t, Config{Replica: newFakeReplica(t)})
	get := func(n int) string { return exchange(t, s.addr, "GET /lookup?topic="+strings.Repeat("a", n), "") }
	if got := get(60 << 10); got != notFound("TOPIC_NOT_FOUND") {
		t.Errorf("below the limit: got %q", got)
	}
	if got := get(80 << 10); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("above the limit: got %q", got)
	}
	if got := exchange(t, s.addr, "GET /lookup?topic=t"+strings.Repeat("&a", 12000), ""); got != badRequest("INVALID_REQUEST") {
		t.Errorf("more pairs than url.ParseQuery takes: got %q", got)
	}
}

func TestBodyWithoutEnd(t *testing.T) {
	s := start(t, Config{Replica: newFakeReplica(t), BodyTimeout: short})
	for _, test := range []struct{ line, want string }{
		{"GET /lookup?topic=t", badRequest("INVALID_REQUEST")},
		{"GET /cluster/fingerprint", badRequest("INVALID_REQUEST")},
		{"POST /topic/create?topic=t", badRequest("INVALID_REQUEST")},
		{"GET /ping", plainAnswer("OK")}, // does not read it, but net/http does
		{"GET /none", notFound("NOT_FOUND")},
	} {
		c := dial(t, s.addr)
		c.send(test.line + " HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nx")
		if got := ownLines.ReplaceAllString(c.receive(), ""); got != test.want {
			t.Errorf("%s: got %q, want %q", test.line, got, test.want)
		}
	}
}

func TestHugeBody(t *testing.T) {
	replica := newFakeReplica(t)
	s := start(t, Config{Replica: replica, MaxBodyBytes: 4})
	const request = "POST /topic/create?topic=t"
	got := exchange(t, s.addr, request, "5\r\n12345\r\n0\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 400 ") || bodyOf(t, got) != `{"message":"INVALID_REQUEST"}` {
		t.Errorf("above the limit: got %q", got)
	}
	if got := replica.takeProposed(); len(got) != 0 {
		t.Errorf("proposed %v", got)
	}
	if got := exchange(t, s.addr, request, "4\r\n1234\r\n0\r\n\r\n"); got != done {
		t.Errorf("at the limit: got %q", got)
	}
}

// A body's deadline must not outlive the body: net/http, reading ahead, would take it for the
// client's leaving.
func TestBodyDeadlineEndsWithTheBody(t *testing.T) {
	replica := newFakeReplica(t)
	replica.onChange = func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(ample + short):
			return nil
		}
	}
	s := start(t, Config{Replica: replica, BodyTimeout: ample})
	if got := exchange(t, s.addr, "POST /topic/create?topic=t", "1\r\nx\r\n0\r\n\r\n"); got != done {
		t.Errorf("got %q", got)
	}
}

// bigStatus is more than the buffers of a loopback connection hold when the client's are small.
var bigStatus = strings.Repeat("x", 8<<20)

// keepLittle makes the client's receive buffer small, so that the server's fills up sooner.
func (c client) keepLittle() {
	c.t.Helper()
	tcp, ok := c.Conn.(*net.TCPConn)
	if !ok {
		c.t.Fatalf("%T is no TCP connection", c.Conn)
	}
	if err := tcp.SetReadBuffer(4 << 10); err != nil {
		c.t.Fatal(err)
	}
}

// startReading sends a request for the status and reads the first bytes of the answer, no more.
func startReading(c client) {
	c.t.Helper()
	c.keepLittle()
	c.send("GET /cluster/status HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
		c.t.Fatal(err)
	}
}

func TestClientThatStopsReading(t *testing.T) {
	replica := newFakeReplica(t)
	replica.statusValue = bigStatus
	s := start(t, Config{Replica: replica, WriteTimeout: ample})
	startReading(dial(t, s.addr))
	eventually.True(t, patience, "the connections are counted", func() error {
		if n := s.open(); n != 0 {
			return fmt.Errorf("%d connections are open", n)
		}
		return nil
	})
}

// The connection above is found out by the deadline of a rendered answer, this one by net/http's.
// The requests fit into the buffers on the way, their answers do not.
func TestClientThatNeverReads(t *testing.T) {
	replica := newFakeReplica(t)
	for i := range 2000 {
		replica.apply(t, fsm.CreateTopic(fmt.Sprintf("topic-of-no-short-name-%d", i)))
	}
	s := start(t, Config{Replica: replica, WriteTimeout: ample})
	c := dial(t, s.addr)
	c.keepLittle()
	c.send(strings.Repeat("GET /topics HTTP/1.1\r\nHost: h\r\n\r\n", 1000))
	eventually.True(t, patience, "the server hangs up", func() error {
		if n := s.open(); n != 0 {
			return fmt.Errorf("%d connections are open", n)
		}
		return nil
	})
}

func TestWriteTimeoutStartsWhenTheChangeIsDone(t *testing.T) {
	replica := newFakeReplica(t)
	replica.onChange = func(context.Context) error {
		busyFor(ample + short)
		return nil
	}
	s := start(t, Config{Replica: replica, WriteTimeout: ample})
	if got := exchange(t, s.addr, "POST /topic/create?topic=t", ""); got != done {
		t.Errorf("got %q", got)
	}
}

func TestPanicEndsOneRequestOnly(t *testing.T) {
	replica := newFakeReplica(t)
	replica.onRead = func(context.Context) error { panic("no such luck") }
	log, logged := newLog(slog.LevelInfo)
	s := start(t, Config{Replica: replica, Logger: log})
	want := jsonAnswer("500 Internal Server Error", `{"message":"INTERNAL_ERROR"}`)
	if got := exchange(t, s.addr, "GET /lookup?topic=t", ""); got != want {
		t.Errorf("got %q", got)
	}
	for _, part := range []string{"level=ERROR", "no such luck", "TestPanicEndsOneRequestOnly", "500 GET /lookup?topic=t"} {
		if !strings.Contains(logged.String(), part) {
			t.Errorf("no %q in the log: %s", part, logged)
		}
	}
	if got := exchange(t, s.addr, "GET /ping", ""); got != plainAnswer("OK") {
		t.Errorf("afterwards: %q", got)
	}
}

// slowStatus takes its time to encode.
type slowStatus struct{}

func (slowStatus) MarshalJSON() ([]byte, error) {
	busyFor(ample + short)
	return []byte(`{}`), nil
}

func TestWriteTimeoutStartsWhenTheAnswerIsRendered(t *testing.T) {
	replica := newFakeReplica(t)
	replica.statusValue = slowStatus{}
	s := start(t, Config{Replica: replica, WriteTimeout: ample})
	if got := exchange(t, s.addr, "GET /cluster/status", ""); got != okJSON(`{}`) {
		t.Errorf("got %q", got)
	}
}

func TestHopelessChangesAreNotProposed(t *testing.T) {
	replica := newFakeReplica(t)
	s := start(t, Config{Replica: replica})
	node := strings.Repeat("n", maxNodeLength)
	for _, test := range []struct {
		path string
		want []fsm.Change
	}{
		{"/topic/delete?topic=!", nil},
		{"/topic/delete?topic=", nil},
		{"/topic/delete?topic=" + name65, nil},
		{"/topic/delete?topic=" + name64, []fsm.Change{fsm.DeleteTopic(name64)}},
		{"/topic/delete?topic=*", []fsm.Change{fsm.DeleteTopic(fsm.AllTopics)}},
		{"/topic/tombstone?topic=!&node=n:1", nil},
		{"/topic/tombstone?topic=*&node=n:1", []fsm.Change{fsm.Tombstone(fsm.AllTopics, "n:1")}},
		{"/topic/tombstone?topic=t&node=n%3a1&node=x", []fsm.Change{fsm.Tombstone("t", "n:1")}},
		{"/topic/tombstone?topic=t&node=" + node, []fsm.Change{fsm.Tombstone("t", node)}},
		{"/topic/tombstone?topic=t&node=n" + node, nil},
		{"/topic/create?topic=t", []fsm.Change{fsm.CreateTopic("t")}},
		{"/channel/create?topic=t&channel=c", []fsm.Change{fsm.CreateChannel("t", "c")}},
		{"/channel/delete?channel=c&topic=t", []fsm.Change{fsm.DeleteChannel("t", "c")}},
	} {
		if got := exchange(t, s.addr, "POST "+test.path, ""); got != done {
			t.Errorf("%s: got %q", test.path, got)
		}
		if got := replica.takeProposed(); fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: proposed %v, want %v", test.path, got, test.want)
		}
	}
}
