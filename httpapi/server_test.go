package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// short is for what must run out, ample for what must not although the machine is busy.
const (
	short = 50 * time.Millisecond
	ample = 500 * time.Millisecond
)

func (s *running) close(t *testing.T, bound time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- s.Close(ctx) }()
	err := await(t, result, "Close")
	if served := await(t, s.served, "Serve"); served != nil {
		t.Errorf("Serve returned %v", served)
	}
	return err
}

// open reports how many connections the server has.
func (s *running) open() int {
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	return len(s.conns.silent)
}

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
		for { // a byte each millisecond must not extend the time
			if _, err := io.WriteString(c, "X"); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
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
		if got := dateLine.ReplaceAllString(c.receive(), ""); got != test.want {
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

// bigStatus is more than the buffers of a loopback connection hold.
var bigStatus = strings.Repeat("x", 32<<20)

func TestClientThatStopsReading(t *testing.T) {
	replica := newFakeReplica(t)
	replica.statusValue = bigStatus
	s := start(t, Config{Replica: replica, WriteTimeout: ample})
	c := dial(t, s.addr)
	c.send("GET /cluster/status HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, err := io.ReadFull(c, make([]byte, 10)); err != nil { // so the answer is under way
		t.Fatal(err)
	}
	eventually(t, func() error {
		if n := s.open(); n != 0 {
			return fmt.Errorf("%d connections are open", n)
		}
		return nil
	})
}

func TestWriteTimeoutStartsWhenTheChangeIsDone(t *testing.T) {
	replica := newFakeReplica(t)
	replica.onChange = func(context.Context) error {
		<-time.After(ample + short)
		return nil
	}
	s := start(t, Config{Replica: replica, WriteTimeout: ample})
	if got := exchange(t, s.addr, "POST /topic/create?topic=t", ""); got != done {
		t.Errorf("got %q", got)
	}
}

// openAll opens one connection of each kind that sends or reads too little, and waits until the
// server knows them. The last two have a request in work.
func openAll(t *testing.T, s *running, inWork bool) {
	t.Helper()
	dial(t, s.addr)                                     // silent
	dial(t, s.addr).send("GET /ping HTTP/1.1\r\nHost:") // slow
	idle := dial(t, s.addr)
	idle.send("GET /ping HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, err := io.ReadFull(idle, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	n := 3
	if inWork {
		dial(t, s.addr).send("POST /topic/create?topic=t HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nx")
		deaf := dial(t, s.addr)
		deaf.send("GET /cluster/status HTTP/1.1\r\nHost: h\r\n\r\n")
		if _, err := io.ReadFull(deaf, make([]byte, 10)); err != nil {
			t.Fatal(err)
		}
		n += 2
	}
	eventually(t, func() error {
		if got := s.open(); got != n {
			return fmt.Errorf("%d connections are open, want %d", got, n)
		}
		return nil
	})
}

func TestCloseAtOnceWithoutRequests(t *testing.T) {
	s := start(t, Config{Replica: newFakeReplica(t)})
	openAll(t, s, false)
	begin := time.Now()
	if err := s.close(t, patience); err != nil {
		t.Error(err)
	}
	// net/http by itself takes five seconds.
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestCloseCutsWhatIsLeft(t *testing.T) {
	replica := newFakeReplica(t)
	replica.statusValue = bigStatus
	log, logged := newLog(slog.LevelWarn)
	s := start(t, Config{Replica: replica, Logger: log})
	openAll(t, s, true)
	if err := s.close(t, short); err != nil {
		t.Error(err)
	}
	if n := s.open(); n != 0 {
		t.Errorf("%d connections are open", n)
	}
	if !strings.Contains(logged.String(), "cutting") {
		t.Errorf("log: %q", logged)
	}
}

func TestCloseLetsRequestsFinish(t *testing.T) {
	replica := newFakeReplica(t)
	entered, release := make(chan struct{}), make(chan struct{})
	replica.onChange = func(ctx context.Context) error {
		close(entered)
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s := start(t, Config{Replica: replica})
	c := dial(t, s.addr)
	c.send("POST /topic/create?topic=t HTTP/1.1\r\nHost: h\r\n\r\n")
	await(t, entered, "the change")
	closed := make(chan error, 1)
	go func() { closed <- s.Close(context.Background()) }()
	await(t, s.served, "Serve") // the listener is closed
	select {
	case err := <-closed:
		t.Fatalf("Close returned %v before the request was done", err)
	default:
	}
	close(release)
	if got := dateLine.ReplaceAllString(c.receive(), ""); got != done {
		t.Errorf("got %q", got)
	}
	if err := await(t, closed, "Close"); err != nil {
		t.Error(err)
	}
}

func TestCloseCancelsHandlers(t *testing.T) {
	replica := newFakeReplica(t)
	entered := make(chan struct{})
	replica.onChange = func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}
	log, logged := newLog(slog.LevelError)
	s := start(t, Config{Replica: replica, Logger: log})
	dial(t, s.addr).send("POST /topic/create?topic=t HTTP/1.1\r\nHost: h\r\n\r\n")
	await(t, entered, "the change")
	if err := s.close(t, short); err != nil {
		t.Error(err)
	}
	if logged.String() != "" {
		t.Errorf("a canceled request is no error: %s", logged)
	}
}

func TestCloseReportsStuckHandlers(t *testing.T) {
	replica := newFakeReplica(t)
	entered, release := make(chan struct{}), make(chan struct{})
	replica.onChange = func(context.Context) error {
		close(entered)
		<-release
		return nil
	}
	s := start(t, Config{Replica: replica, StopTimeout: short})
	dial(t, s.addr).send("POST /topic/create?topic=t HTTP/1.1\r\nHost: h\r\n\r\n")
	await(t, entered, "the change")
	if err := s.close(t, short); !errors.Is(err, ErrStuck) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(context.Background()); !errors.Is(err, ErrStuck) {
		t.Errorf("second Close: %v", err)
	}
	close(release)
}

func TestCloseBeforeServe(t *testing.T) {
	s := New(Config{Replica: newFakeReplica(t), Times: fakeTimes{}})
	for range 2 {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is not closed: %v", err)
	}
}

type brokenListener struct{ net.Listener }

var errBroken = errors.New("broken")

func (brokenListener) Accept() (net.Conn, error) { return nil, errBroken }
func (brokenListener) Close() error              { return nil }
func (brokenListener) Addr() net.Addr            { return &net.TCPAddr{} }

func TestServeReturnsTheListenersError(t *testing.T) {
	s := New(Config{Replica: newFakeReplica(t), Times: fakeTimes{}})
	if err := s.Serve(brokenListener{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestPanicEndsOneRequestOnly(t *testing.T) {
	replica := newFakeReplica(t)
	replica.onRead = func() { panic("no such luck") }
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
