package tcpproto

import (
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// All of these run on synctest's clock with the default deadlines.

// endsAfter fails unless the connection ends, without another byte, that long after since.
func endsAfter(t *testing.T, nc net.Conn, since time.Time, want time.Duration) {
	t.Helper()
	b, err := io.ReadAll(nc)
	if len(b) > 0 || err != nil {
		t.Fatalf("got %q, %v; want the end of the connection", b, err)
	}
	if got := time.Since(since); got != want {
		t.Errorf("ended after %v, want %v", got, want)
	}
}

func TestSilentConnectionsGoAway(t *testing.T) {
	for _, tc := range []struct {
		name, say string
		answers   []string
		after     time.Duration
	}{
		{"nothing", "", nil, 5 * time.Second},
		{"half a magic", "  V", nil, 5 * time.Second},
		{"only magic", "  V1", nil, 15 * time.Second},
		{"half a line", "  V1PI", nil, 15 * time.Second},
		{"pings do not help", "  V1PING\nPING\n", []string{"OK", "OK"}, 15 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newPipeListener()
				s := serve(t, Config{Open: (&fakeReplica{}).open}, l)
				begin := time.Now()
				nc := l.dial(t)
				go func() { _, _ = io.WriteString(nc, tc.say) }()
				for _, a := range tc.answers {
					expect(t, nc, a)
				}
				endsAfter(t, nc, begin, tc.after)
				synctest.Wait()
				if n := s.Connections(); n != 0 {
					t.Errorf("%d connections left", n)
				}
			})
		})
	}
}

func TestBodyThatDoesNotCome(t *testing.T) {
	for say, answer := range map[string]string{
		"IDENTIFY\n\x00\x00":      noSize,
		sized(100, `{"version":`): noBody,
	} {
		synctest.Test(t, func(t *testing.T) {
			l := newPipeListener()
			serve(t, Config{Open: (&fakeReplica{}).open}, l)
			begin := time.Now()
			nc := l.dial(t)
			send(t, nc, magicV1+say)
			expect(t, nc, answer)
			endsAfter(t, nc, begin, 15*time.Second)
		})
	}
}

func TestIdentifiedMayBeSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		serve(t, Config{Open: (&fakeReplica{}).open}, l)
		nc := l.dial(t)
		send(t, nc, magicV1+identify(identifyBody))
		expect(t, nc, testGreetingJSON)
		time.Sleep(1000 * time.Hour)
		send(t, nc, "REGI")
		time.Sleep(1000 * time.Hour)
		send(t, nc, "STER t\n")
		expect(t, nc, "OK")
	})
}

func TestThousandsOfSilentConnections(t *testing.T) {
	const n = 3000
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		s := serve(t, Config{Open: (&fakeReplica{}).open}, l)
		for range n {
			l.dial(t)
		}
		synctest.Wait()
		if got := s.Connections(); got != n {
			t.Fatalf("%d connections, want %d", got, n)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := s.Connections(); got != 0 {
			t.Fatalf("%d connections after the deadline, want 0", got)
		}
		for range n {
			l.dial(t)
		}
		begin := time.Now()
		closeSoon(t, s)
		if took := time.Since(begin); took != 0 {
			t.Errorf("Close took %v with silent connections open", took)
		}
	})
}

func TestPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		r := &fakeReplica{opened: make(chan *fakeSession, 1)}
		serve(t, Config{Open: r.open}, l)
		nc := l.dial(t)
		send(t, nc, magicV1+identify(identifyBody))
		begin := time.Now()
		session := <-r.opened
		ends(t, session, "DETACH")
		if got := time.Since(begin); got != 5*time.Second {
			t.Errorf("cut off after %v, want 5s", got)
		}
	})
}

func TestLingerIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		serve(t, Config{Open: (&fakeReplica{}).open}, l)
		client, server := net.Pipe()
		l.conns <- halfCloser{server}
		send(t, client, magicV1+"NOP\n")
		expect(t, client, "E_INVALID invalid command NOP")
		endsAfter(t, client, time.Now(), 500*time.Millisecond)
	})
}

// halfCloser makes a pipe look like a TCP connection to linger.
type halfCloser struct{ net.Conn }

func (halfCloser) CloseWrite() error { return nil }

func TestAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var admit atomic.Bool
		l := newPipeListener()
		serve(t, Config{Open: (&fakeReplica{}).open, Admit: admit.Load}, l)
		endsAfter(t, l.dial(t), time.Now(), 0)
		admit.Store(true)
		nc := l.dial(t)
		send(t, nc, magicV1+"PING\n")
		expect(t, nc, "OK")
	})
}

func TestAcceptErrorsThatPass(t *testing.T) {
	op := func(err error) error { return &net.OpError{Op: "accept", Err: err} }
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		for _, err := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM} {
			l.errs <- op(err)
		}
		begin := time.Now()
		serve(t, Config{Open: (&fakeReplica{}).open}, l)
		nc := l.dial(t)
		if got, want := time.Since(begin), (5+10+20+40+80)*time.Millisecond; got != want {
			t.Errorf("backed off for %v, want %v", got, want)
		}
		send(t, nc, magicV1+"PING\n")
		expect(t, nc, "OK")
		// A success resets the delay.
		begin = time.Now()
		l.errs <- op(syscall.EMFILE)
		l.dial(t)
		if got, want := time.Since(begin), 5*time.Millisecond; got > want {
			t.Errorf("backed off for %v, want %v", got, want)
		}
	})
}

func TestCloseEndsTheBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		for range 20 {
			l.errs <- syscall.EMFILE
		}
		s := serve(t, Config{Open: (&fakeReplica{}).open}, l)
		time.Sleep(2 * time.Second) // now the delay is a second
		synctest.Wait()
		begin := time.Now()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(begin); got != 0 {
			t.Errorf("Close took %v", got)
		}
	})
}

func TestAcceptErrorThatStays(t *testing.T) {
	l := newPipeListener()
	l.errs <- &net.OpError{Op: "accept", Err: syscall.EINVAL}
	s := New(Config{Open: (&fakeReplica{}).open})
	if err := s.Serve(l); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Serve returned %v, want EINVAL", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestCloseDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		release := make(chan struct{})
		r := &fakeReplica{change: func(string) (bool, error) { <-release; return false, nil }}
		s := serve(t, Config{Open: r.open}, l)
		nc := l.dial(t)
		send(t, nc, magicV1+identify(identifyBody))
		expect(t, nc, testGreetingJSON)
		send(t, nc, "REGISTER t\n")
		begin := time.Now()
		if err := s.Close(); !errors.Is(err, ErrCloseTimeout) {
			t.Errorf("Close returned %v, want ErrCloseTimeout", err)
		}
		if got := time.Since(begin); got != 5*time.Second {
			t.Errorf("Close took %v, want 5s", got)
		}
		close(release)
		if err := s.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if got, want := r.only(t).did(), []string{"REGISTER t|"}; !slices.Equal(got, want) {
			t.Errorf("calls %q, want %q", got, want)
		}
	})
}

// A connection accepted while the server closes is closed, not leaked.
func TestAcceptDuringClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipeListener()
		var s *Server
		s = serve(t, Config{Open: (&fakeReplica{}).open, Admit: func() bool {
			go func() { _ = s.Close() }()
			<-s.stop
			return true
		}}, l)
		endsAfter(t, l.dial(t), time.Now(), 0)
	})
}
