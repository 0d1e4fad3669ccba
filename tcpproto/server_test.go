package tcpproto

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// soon is what "at once" may take on a busy machine; each deadline under test is far longer.
const soon = 3 * time.Second

func closeSoon(t *testing.T, s *Server) {
	t.Helper()
	begin := time.Now()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if took := time.Since(begin); took > soon {
		t.Errorf("Close took %v", took)
	}
	if n := s.Connections(); n != 0 {
		t.Errorf("%d connections after Close", n)
	}
}

func TestCloseWithSilentConnections(t *testing.T) {
	const n = 1000
	var admitted atomic.Int64
	all := make(chan struct{})
	s, addr := start(t, Config{Open: (&fakeReplica{}).open, Admit: func() bool {
		if admitted.Add(1) == n {
			close(all)
		}
		return true
	}})
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = dial(t, addr)
	}
	wait(t, all, "all connections are accepted")
	closeSoon(t, s)
	for _, nc := range conns {
		expectEnd(t, nc)
	}
	closeSoon(t, s)
}

// A shutdown leaves the sessions open in the registry; a client that hangs up does not.
func TestCloseLeavesSessions(t *testing.T) {
	r := &fakeReplica{opened: make(chan *fakeSession, 2)}
	s, addr := start(t, Config{Open: r.open})
	gone := dialIdentified(t, addr)
	goneSession := <-r.opened
	stays := dialIdentified(t, addr)
	staysSession := <-r.opened
	if n := s.Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	_ = gone.Close()
	wait(t, goneSession.closed, "session closes with its client")

	closeSoon(t, s)
	expectEnd(t, stays)
	if got := staysSession.did(); len(got) != 0 {
		t.Errorf("calls %q, want none", got)
	}
}

func TestResetDetachesSession(t *testing.T) {
	r := &fakeReplica{opened: make(chan *fakeSession, 1)}
	_, addr := start(t, Config{Open: r.open})
	nc := dialIdentified(t, addr)
	if err := nc.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = nc.Close()
	ends(t, <-r.opened, "DETACH")
}

func TestEvict(t *testing.T) {
	r := &fakeReplica{opened: make(chan *fakeSession, 1)}
	_, addr := start(t, Config{Open: r.open})
	nc := dialIdentified(t, addr)
	session := <-r.opened
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(session.evict)
	}
	expectEnd(t, nc)
	wait(t, session.closed, "session ends after evict")
	wg.Wait()
	session.evict()
	if got, want := session.did(), []string{"DETACH"}; !slices.Equal(got, want) {
		t.Errorf("calls %q, want %q", got, want)
	}
}

func TestEvictInsideOpen(t *testing.T) {
	r := &fakeReplica{opened: make(chan *fakeSession, 1)}
	_, addr := start(t, Config{Open: func(info fsm.ProducerInfo, evict func()) (Session, error) {
		evict()
		return r.open(info, evict)
	}})
	nc := dial(t, addr)
	send(t, nc, magicV1+identify(identifyBody))
	expectEnd(t, nc)
	ends(t, <-r.opened, "DETACH")
}

func TestServeAfterClose(t *testing.T) {
	s := New(Config{Open: (&fakeReplica{}).open})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the listener is still open")
	}
}

// smallBuffers makes a peer that stops reading felt after few bytes.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if tc, ok := nc.(*net.TCPConn); ok {
		_ = tc.SetWriteBuffer(4096)
		_ = tc.SetReadBuffer(4096)
	}
	return nc, err
}

func TestPeerThatStopsReadingOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &fakeReplica{opened: make(chan *fakeSession, 1)}
	serve(t, Config{Open: r.open, WriteTimeout: 50 * time.Millisecond}, smallBuffers{l})
	nc := dialIdentified(t, l.Addr().String())
	_ = nc.SetReadBuffer(4096)
	session := <-r.opened
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		pings := []byte(strings.Repeat("PING\n", 1000))
		for {
			if _, err := nc.Write(pings); err != nil {
				return
			}
		}
	})
	ends(t, session, "DETACH")
}

// A client that floods after a fatal answer is cut off before the time is up.
func TestLingerIsBoundedInBytes(t *testing.T) {
	_, addr := start(t, Config{Open: (&fakeReplica{}).open, LingerTimeout: time.Hour})
	nc := dial(t, addr)
	send(t, nc, magicV1+"NOP\n")
	expect(t, nc, "E_INVALID invalid command NOP")
	flood := make([]byte, 1<<16)
	for {
		_, err := nc.Write(flood)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatal("not cut off")
		}
		if err != nil {
			return
		}
	}
}

// The session of a lingering connection is closed already.
func TestLingerDoesNotHoldTheSession(t *testing.T) {
	r := &fakeReplica{opened: make(chan *fakeSession, 1)}
	s, addr := start(t, Config{Open: r.open, LingerTimeout: time.Hour})
	nc := dialIdentified(t, addr)
	send(t, nc, "NOP\n")
	expect(t, nc, "E_INVALID invalid command NOP")
	wait(t, (<-r.opened).closed, "session closes")
	closeSoon(t, s)
	expectEnd(t, nc)
}

// Clients in every state come and go while the server closes: Close is bounded, and a session is
// closed at most once (fakeSession panics).
func TestCloseDuringEverything(t *testing.T) {
	for range 20 {
		r := &fakeReplica{opened: make(chan *fakeSession, 1000)}
		s, addr := start(t, Config{Open: r.open})
		var wg sync.WaitGroup
		for _, say := range []string{"", "  V", "  V1", "  V1PING\n", "  V1IDENTIFY\n\x00", "  V1NOP\n",
			magicV1 + identify(identifyBody) + strings.Repeat("REGISTER t c\nPING\n", 200),
			magicV1 + identify(identifyBody) + "REGISTER\n"} {
			wg.Go(func() {
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					return // closed before
				}
				defer func() { _ = nc.Close() }()
				_, _ = io.WriteString(nc, say)
				_, _ = io.Copy(io.Discard, nc)
			})
		}
		wg.Go(func() {
			select {
			case session := <-r.opened:
				session.evict()
			case <-time.After(10 * time.Millisecond):
			}
		})
		var closers sync.WaitGroup
		for range 3 {
			closers.Go(func() { closeSoon(t, s) })
		}
		closers.Wait()
		wg.Wait()
	}
}

func TestLog(t *testing.T) {
	var out lockedBuffer
	r := &fakeReplica{opened: make(chan *fakeSession, 1)}
	s, addr := start(t, Config{Open: r.open, Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	talk(t, addr, magicV1+identify(identifyBody)+"PING\nREGISTER t c\nREGISTER \x1b[31m"+strings.Repeat("x", 1000)+"\n")
	wait(t, (<-r.opened).closed, "session closes")
	closeSoon(t, s)
	got := out.String()
	for _, want := range []string{
		`level=INFO msg="new client" client=127.0.0.1:`,
		`level=INFO msg=IDENTIFY client=127.0.0.1:`,
		`address=10.0.0.1 tcp=4150 http=4151 version=1.3.0`,
		`level=DEBUG msg=PING client=127.0.0.1:`,
		`level=DEBUG msg=REGISTER client=127.0.0.1:`,
		`topic=t channel=c`,
		`level=ERROR msg="answered with a fatal error" client=127.0.0.1:`,
		`error="E_BAD_TOPIC REGISTER topic name '?[31mxxx`,
		`level=INFO msg=exiting client=127.0.0.1:`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("log lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, strings.Repeat("x", 300)) {
		t.Error("a client's long name stands in the log whole")
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
