package cluster

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// The cluster port carries several kinds of connections. The first byte says which.
const (
	kindRaft    byte = 'R'
	kindJournal byte = 'J'
	kindCall    byte = 'C'
	// kindProbe asks only which life of an id listens there. It is answered before anything is judged,
	// so that two replicas that judge each other do not wait for each other.
	kindProbe byte = 'P'

	// greetingTimeout bounds the greeting on both sides.
	greetingTimeout = 2 * time.Second
)

var errCut = errors.New("the network is cut")

// peer is who is at the other end.
type peer struct {
	id      string
	cluster string // "" while it belongs to none
}

// self is what a replica says of itself on the cluster port.
type self interface {
	// whoami returns this replica's id and its cluster, "" for none.
	whoami() peer
	// invited is asked when a replica of a cluster speaks to one of none: nil makes it a part.
	invited(cluster string) error
	// hello returns what this replica says of itself.
	hello() hello
	// condemned is told that another replica of the cluster refuses this one's data path.
	condemned(reason string)
}

// port is the cluster port: it accepts, learns who calls, and hands connections on by their kind.
type port struct {
	listener net.Listener
	self     self
	log      *slog.Logger
	handle   map[byte]func(net.Conn, peer) // each owns its connection
	cut      func(id string) bool          // for tests: the network to that replica is cut; may be nil
	older    func() bool                   // for tests: it speaks as release 0.1.0 does; may be nil
	past     func() bool                   // release 0.1.0 cannot be part of the cluster any more, for the level in force
	book     *book                         // what is known of the others
	keep     func()                        // has the book written
	met      func(id string)               // is told of each connection that has come about; it does not block

	begun chan struct{} // closed when Raft and gossip run: until then nothing but greetings is served
	over  chan struct{} // closed by hangUp

	wg      sync.WaitGroup
	mu      sync.Mutex
	open    map[*trackedConn]struct{} // accepted and dialled, until closed
	ended   bool
	judging map[string]chan struct{} // by id; closed when it has been judged
	refused repeats                  // by host, id and reason
	told    map[string]life          // by id: the life that was refused last
}

func newPort(l net.Listener, s self, log *slog.Logger) *port {
	return &port{listener: l, self: s, log: log, book: newBook(), past: func() bool { return false }, keep: func() {}, met: func(string) {}, open: make(map[*trackedConn]struct{}),
		begun: make(chan struct{}), over: make(chan struct{}),
		judging: make(map[string]chan struct{}), told: make(map[string]life),
		handle: map[byte]func(net.Conn, peer){kindProbe: func(c net.Conn, _ peer) { _ = c.Close() }}}
}

// serve accepts until close.
func (p *port) serve() {
	p.wg.Go(func() {
		for {
			c, err := p.listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				p.log.Warn("cluster port: accept failed", "error", err)
				time.Sleep(50 * time.Millisecond)
				continue
			}
			p.wg.Go(func() { p.accept(c) })
		}
	})
}

func (p *port) accept(raw net.Conn) {
	c, ok := p.track(raw)
	if !ok {
		return
	}
	kind, from, err := p.greeted(c)
	if err != nil {
		p.logRefused(raw.RemoteAddr(), from.id, err)
		_ = c.Close()
		return
	}
	p.signOfLife(from.id)
	p.handle[kind](c, from)
}

// logRefused logs a connection that was refused. A replica that is refused tries again several times a
// second. A life that was refused has its own line, which meet writes.
func (p *port) logRefused(from net.Addr, id string, err error) {
	var history *errHistory
	if errors.As(err, &history) {
		return
	}
	host, _, _ := net.SplitHostPort(from.String())
	left, ok := p.refused.pass(time.Now(), host+" "+id+" "+err.Error())
	if !ok {
		return
	}
	args := []any{"from", from.String(), "error", err}
	if left > 0 {
		args = append(args, "left_out", left)
	}
	p.log.Warn("cluster port: refused a connection", args...)
}

// signOfLife notes that a connection with that replica has come about.
func (p *port) signOfLife(id string) {
	p.book.heard(id)
	p.met(id)
}

// track makes the connection one that close closes.
func (p *port) track(raw net.Conn) (net.Conn, bool) {
	keepAlive(raw)
	c := &trackedConn{Conn: raw, port: p}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		_ = raw.Close()
		return nil, false
	}
	p.open[c] = struct{}{}
	return c, true
}

// keepAlive makes a dead peer noticed in seconds: a follower that reads a snapshot has no deadline
// of its own.
func keepAlive(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second,
			Interval: 2 * time.Second, Count: 3})
	}
}

type trackedConn struct {
	net.Conn
	port *port
	id   string // of the other side, once it is known; under the port's lock
	life life
}

// belongs notes which life of which replica is at the other end.
func (p *port) belongs(c net.Conn, id string, of life) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t, ok := c.(*trackedConn); ok {
		t.id, t.life = id, of
	}
}

// dropFormer closes the connections to other lives of that id: nothing that they say counts any more.
func (p *port) dropFormer(id string, now life) {
	p.dropThose(func(c *trackedConn) bool { return c.id == id && c.life != now && c.life.Start > 0 })
}

// dropID closes the connections with the replica of that id.
func (p *port) dropID(id string) {
	p.dropThose(func(c *trackedConn) bool { return c.id == id })
}

// dropThose closes the connections that pass.
func (p *port) dropThose(pass func(*trackedConn) bool) {
	p.mu.Lock()
	var dropped []*trackedConn
	for c := range p.open {
		if pass(c) {
			dropped = append(dropped, c)
		}
	}
	p.mu.Unlock()
	for _, c := range dropped {
		_ = c.Close()
	}
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.port.mu.Lock()
	delete(c.port.open, c)
	c.port.mu.Unlock()
	return c.Conn.Close()
}

// isOver reports whether the port has hung up.
func (p *port) isOver() bool {
	select {
	case <-p.over:
		return true
	default:
		return false
	}
}

// hangUp closes every connection and accepts none any more. It does not wait.
func (p *port) hangUp() {
	_ = p.listener.Close()
	p.mu.Lock()
	if !p.ended {
		p.ended = true
		close(p.over)
	}
	p.mu.Unlock()
	p.drop()
}

// drop closes every connection.
func (p *port) drop() { p.dropThose(func(*trackedConn) bool { return true }) }

// wait returns when every connection's goroutine has ended.
func (p *port) wait() { p.wg.Wait() }
