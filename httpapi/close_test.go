package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
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
		startReading(dial(t, s.addr))
		n += 2
	}
	eventually.True(t, patience, "the connections are counted", func() error {
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
	if got := ownLines.ReplaceAllString(c.receive(), ""); got != done {
		t.Errorf("got %q", got)
	}
	if err := await(t, closed, "Close"); err != nil {
		t.Error(err)
	}
}

func TestCloseCancelsHandlers(t *testing.T) {
	replica := newFakeReplica(t)
	entered := make(chan struct{})
	wait := func(ctx context.Context) error {
		entered <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	replica.onChange, replica.onRead = wait, wait
	log, logged := newLog(slog.LevelError)
	s := start(t, Config{Replica: replica, Logger: log})
	dial(t, s.addr).send("POST /topic/create?topic=t HTTP/1.1\r\nHost: h\r\n\r\n")
	await(t, entered, "the change")
	// net/http does not notice that a connection is gone while there is a body to read.
	dial(t, s.addr).send("GET /topics HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n")
	await(t, entered, "the read")
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

// A connection that is accepted while Close is at work must not make it wait.
func TestLateConnectionIsRefused(t *testing.T) {
	c := newConns()
	early, earlyPeer := net.Pipe()
	late, latePeer := net.Pipe()
	c.changed(early, http.StateNew)
	c.changed(early, http.StateActive)
	c.hangUp()
	c.changed(late, http.StateNew)
	if _, err := latePeer.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the late one is open: %v", err)
	}
	c.changed(late, http.StateClosed)
	if n := c.wait(time.Millisecond); n != 1 {
		t.Errorf("%d connections left, want the early one", n)
	}
	_ = earlyPeer.Close()
	if _, err := early.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the early one was closed: %v", err)
	}
}
