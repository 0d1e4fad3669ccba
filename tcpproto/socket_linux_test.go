package tcpproto

import (
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStateOf(t *testing.T) {
	const established, closeWait = 1, 8
	for name, c := range map[string]struct {
		info unix.TCPInfo
		want peerState
	}{
		"all acknowledged":     {unix.TCPInfo{State: established}, peerHasAll},
		"and the peer closed":  {unix.TCPInfo{State: closeWait}, peerHasAll},
		"sent":                 {unix.TCPInfo{State: closeWait, Unacked: 1}, peerWaits},
		"not sent":             {unix.TCPInfo{State: closeWait, Notsent_bytes: 1}, peerWaits},
		"reset":                {unix.TCPInfo{State: tcpClose}, peerReset},
		"reset, not all taken": {unix.TCPInfo{State: tcpClose, Unacked: 1, Notsent_bytes: 1}, peerReset},
	} {
		if got := stateOf(&c.info); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// evictingConn is evicted at the moment when the kernel has said that the client has all.
type evictingConn struct {
	*net.TCPConn
	evict func()
}

func (c evictingConn) SyscallConn() (syscall.RawConn, error) {
	raw, err := c.TCPConn.SyscallConn()
	return evictingRaw{raw, c.evict}, err
}

type evictingRaw struct {
	syscall.RawConn
	evict func()
}

func (r evictingRaw) Control(f func(uintptr)) error {
	err := r.RawConn.Control(f)
	r.evict()
	return err
}

// An eviction that comes while the end of the connection is judged is the end, too.
func TestEvictedWhileItsEndIsJudged(t *testing.T) {
	r := &fakeReplica{opened: make(chan *fakeSession, 1)}
	s, addr := start(t, Config{Open: r.open})
	nc := dialIdentified(t, addr)
	<-r.opened
	c := newConn(s, nc)
	c.nc = evictingConn{nc, func() { c.evicted.Store(true) }}
	if why := c.endOf(io.EOF); why != causeEvicted {
		t.Errorf("cause %q, want %q", why, causeEvicted)
	}
}

// Over real sockets: a client that has read its answers and hangs up has ended the session; one that hangs
// up before has given up, and will come again.
func TestAnswerThatTheClientDidNotRead(t *testing.T) {
	for name, tc := range map[string]struct {
		hangUp func(t *testing.T, nc *net.TCPConn)
		want   string
	}{
		"reads and closes": {func(t *testing.T, nc *net.TCPConn) {
			send(t, nc, "PING\n")
			expect(t, nc, "OK")
			_ = nc.Close()
		}, "CLOSE"},
		"reads, then reads the end": {func(t *testing.T, nc *net.TCPConn) {
			send(t, nc, "REGISTER t\nPING\n")
			_ = nc.CloseWrite()
			if b, err := io.ReadAll(nc); err != nil || len(b) != 12 {
				t.Errorf("read %q, %v", b, err)
			}
			_ = nc.Close()
		}, "CLOSE"},
		"closes after IDENTIFY":    {func(_ *testing.T, nc *net.TCPConn) { _ = nc.Close() }, "CLOSE"},
		"closes in the middle":     {func(t *testing.T, nc *net.TCPConn) { send(t, nc, "PI"); _ = nc.Close() }, "CLOSE"},
		"does not read its answer": {func(t *testing.T, nc *net.TCPConn) { send(t, nc, "PING\n"); _ = nc.Close() }, "DETACH"},
		"does not read its last answer": {func(t *testing.T, nc *net.TCPConn) {
			send(t, nc, "PING\n")
			expect(t, nc, "OK")
			send(t, nc, "REGISTER t\n")
			_ = nc.Close()
		}, "DETACH"},
		"reads one of two answers": {func(t *testing.T, nc *net.TCPConn) {
			send(t, nc, "PING\nPING\n")
			expect(t, nc, "OK")
			if _, err := io.ReadFull(nc, make([]byte, 3)); err != nil { // the second has come, too
				t.Error(err)
			}
			_ = nc.Close()
		}, "DETACH"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &fakeReplica{opened: make(chan *fakeSession, 1)}
			_, addr := start(t, Config{Open: r.open})
			for range 30 {
				nc := dialIdentified(t, addr)
				s := <-r.opened
				tc.hangUp(t, nc)
				ends(t, s, tc.want)
			}
		})
	}
}

// The command and the end of the connection are both there when the replica reads, as after a pause or
// when a cut heals: nsqd closed long before it was answered.
func TestCommandAndEndTogether(t *testing.T) {
	for range 30 {
		r, release := &fakeReplica{opened: make(chan *fakeSession, 1)}, make(chan struct{})
		r.change = func(string) (bool, error) { <-release; return false, nil }
		_, addr := start(t, Config{Open: r.open})
		nc := dialIdentified(t, addr)
		s := <-r.opened
		send(t, nc, "REGISTER t\n")
		_ = nc.Close()
		close(release)
		ends(t, s, "DETACH")
	}
}

// The wait for a client that acknowledges nothing has an end.
func TestClientThatAcknowledgesNothing(t *testing.T) {
	r := &fakeReplica{opened: make(chan *fakeSession, 1)}
	_, addr := start(t, Config{Open: r.open})
	small := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2048)
		})
	}}
	nc, err := small.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	const pings = 10000 // 60,000 bytes of answers: more than the client takes, less than the kernel keeps
	send(t, nc, magicV1+identify(identifyBody)+strings.Repeat("PING\n", pings))
	if err := nc.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	s := <-r.opened
	ends(t, s, "DETACH")
	if n := len(s.did()); n != pings+1 {
		t.Errorf("%d calls, want %d", n, pings+1)
	}
}
