package tcpproto

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

func TestMeaning(t *testing.T) {
	for name, tc := range map[string]struct {
		facts
		want cause
	}{
		"the client hangs up":              {facts{eof: true}, causeNone},
		"evicted":                          {facts{evicted: true}, causeEvicted},
		"evicted as it hung up":            {facts{evicted: true, eof: true}, causeEvicted},
		"refused":                          {facts{unavailable: true}, causeUnavailable},
		"reset, timeout or write error":    {facts{}, causeBroken},
		"late":                             {facts{eof: true, last: answerLate}, causeLate},
		"pending":                          {facts{eof: true, last: answerPending}, causePending},
		"paused":                           {facts{eof: true, paused: true}, causePaused},
		"the last answer unread":           {facts{eof: true, unread: true}, causeUnread},
		"a broken protocol":                {facts{invalid: true}, causeNone},
		"a broken protocol after a pause":  {facts{invalid: true, paused: true, last: answerLate}, causeNone},
		"a broken protocol, but evicted":   {facts{invalid: true, evicted: true}, causeEvicted},
		"everything that speaks for doubt": {facts{eof: true, last: answerPending, paused: true, unread: true}, causePending},
	} {
		if got := meaning(tc.facts); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// A client's own fault ends its session at once, as with nsqlookupd, whatever the replica did before.
func TestDefaultsOfEndings(t *testing.T) {
	s := New(Config{Open: (&fakeReplica{}).open})
	if s.cfg.lateAnswer != lateAnswer || s.cfg.Paused(time.Time{}) {
		t.Errorf("late after %s, paused: %v", s.cfg.lateAnswer, s.cfg.Paused(time.Time{}))
	}
}

func TestBrokenProtocolCloses(t *testing.T) {
	for _, say := range []string{"NOP\n", "IDENTIFY\n", "REGISTER\n", "REGISTER $\n", "REGISTER t $\n", strings.Repeat("x", 5000)} {
		r := &fakeReplica{opened: make(chan *fakeSession, 1)}
		_, addr := start(t, Config{Open: r.open, Paused: func(time.Time) bool { return true }})
		nc := dialIdentified(t, addr)
		send(t, nc, say)
		ends(t, <-r.opened, "CLOSE")
	}
}

// E_PENDING, or an answer after half a second, leaves doubt until a later command is answered well.
func TestLastAnswer(t *testing.T) {
	type step struct {
		took    time.Duration
		pending bool
		err     error
	}
	good, late, pending := step{}, step{took: lateAnswer}, step{pending: true}
	for name, tc := range map[string]struct {
		steps []step
		want  string
	}{
		"good":                  {[]step{good}, "CLOSE"},
		"just in time":          {[]step{{took: lateAnswer - 1}}, "CLOSE"},
		"late":                  {[]step{late}, "DETACH"},
		"late, then good":       {[]step{late, good}, "CLOSE"},
		"late twice":            {[]step{late, late}, "DETACH"},
		"good, then late":       {[]step{good, late}, "DETACH"},
		"pending":               {[]step{pending}, "DETACH"},
		"pending, then good":    {[]step{pending, good}, "CLOSE"},
		"pending, then late":    {[]step{pending, late}, "DETACH"},
		"late and pending":      {[]step{{took: time.Second, pending: true}}, "DETACH"},
		"good, then pending":    {[]step{good, pending}, "DETACH"},
		"pending, good, refuse": {[]step{pending, good, {err: errFake}}, "DETACH"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, n := newPipeListener(), 0
				r := &fakeReplica{opened: make(chan *fakeSession, 1), change: func(string) (bool, error) {
					s := tc.steps[n]
					n++
					time.Sleep(s.took)
					return s.pending, s.err
				}}
				serve(t, Config{Open: r.open, lateAnswer: lateAnswer}, l)
				nc := l.dial(t)
				send(t, nc, magicV1+identify(identifyBody))
				expect(t, nc, testGreetingJSON)
				for range tc.steps {
					send(t, nc, "REGISTER t\n")
					if _, err := io.ReadFull(nc, make([]byte, 4+len("OK"))); err != nil {
						t.Fatal(err)
					}
					drain(nc)
				}
				_ = nc.Close()
				ends(t, <-r.opened, tc.want)
			})
		})
	}
}

// drain reads what is left of an answer.
func drain(nc net.Conn) {
	_ = nc.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, _ = io.Copy(io.Discard, nc)
	_ = nc.SetReadDeadline(time.Time{})
}

// pauses is a Config.Paused that knows when the last pause ended.
type pauses struct {
	mu    sync.Mutex
	ended time.Time
}

func (p *pauses) now() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = time.Now()
}

func (p *pauses) since(t time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.ended.IsZero() && !p.ended.Before(t)
}

// A pause counts until the client has proven, with a command, that an answer from behind it has come in time.
func TestPaused(t *testing.T) {
	for name, tc := range map[string]struct {
		steps string // P: a pause of the process ends; p: a PING and its answer
		want  string
	}{
		"never":                        {"pp", "CLOSE"},
		"after the last answer":        {"ppP", "DETACH"},
		"before the last command":      {"pPp", "DETACH"},
		"before the last but one":      {"Ppp", "CLOSE"},
		"after IDENTIFY alone":         {"P", "DETACH"},
		"before the only PING":         {"Pp", "DETACH"},
		"again and again":              {"PpPpp", "CLOSE"},
		"again, after the last answer": {"PppP", "DETACH"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, p := newPipeListener(), &pauses{}
				r := &fakeReplica{opened: make(chan *fakeSession, 1)}
				serve(t, Config{Open: r.open, Paused: p.since}, l)
				nc := l.dial(t)
				send(t, nc, magicV1+identify(identifyBody))
				expect(t, nc, testGreetingJSON)
				for _, s := range tc.steps {
					time.Sleep(time.Second)
					if s == 'P' {
						p.now()
						continue
					}
					send(t, nc, "PING\n")
					expect(t, nc, "OK")
				}
				time.Sleep(time.Second)
				_ = nc.Close()
				ends(t, <-r.opened, tc.want)
			})
		})
	}
}

// While the process stands still an nsqd may connect, send IDENTIFY and give up.
func TestPausedBeforeAccept(t *testing.T) {
	for before, want := range map[time.Duration]string{
		time.Millisecond: "DETACH", dialTime: "DETACH", dialTime + time.Millisecond: "CLOSE",
	} {
		synctest.Test(t, func(t *testing.T) {
			l, p := newPipeListener(), &pauses{}
			r := &fakeReplica{opened: make(chan *fakeSession, 1)}
			serve(t, Config{Open: r.open, Paused: p.since}, l)
			p.now()
			time.Sleep(before)
			nc := l.dial(t)
			send(t, nc, magicV1+identify(identifyBody))
			expect(t, nc, testGreetingJSON)
			_ = nc.Close()
			ends(t, <-r.opened, want)
		})
	}
}

// brokenConn ends with an error of its own.
type brokenConn struct {
	net.Conn
	err error
}

func (c brokenConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		err = c.err
	}
	return n, err
}

// Only a connection that the client has closed is closed by its will.
func TestBrokenConnections(t *testing.T) {
	for _, err := range []error{
		&net.OpError{Op: "read", Err: syscall.ECONNRESET}, &net.OpError{Op: "read", Err: syscall.ETIMEDOUT},
		&net.OpError{Op: "read", Err: syscall.EHOSTUNREACH}, io.ErrUnexpectedEOF, net.ErrClosed,
	} {
		l := newPipeListener()
		r := &fakeReplica{opened: make(chan *fakeSession, 1)}
		serve(t, Config{Open: r.open}, l)
		client, server := net.Pipe()
		l.conns <- brokenConn{server, err}
		send(t, client, magicV1+identify(identifyBody))
		expect(t, client, testGreetingJSON)
		_ = client.Close()
		ends(t, <-r.opened, "DETACH")
	}
}

// An eviction that comes while the session opens, or at any time later, is the end.
func TestEvictedWhileItHangsUp(t *testing.T) {
	for range 50 {
		var evict func()
		r := &fakeReplica{opened: make(chan *fakeSession, 1)}
		_, addr := start(t, Config{Open: func(info fsm.ProducerInfo, e func()) (Session, error) {
			evict = e
			return r.open(info, e)
		}})
		nc := dialIdentified(t, addr)
		s := <-r.opened
		evict()
		_ = nc.Close()
		ends(t, s, "DETACH")
	}
}
