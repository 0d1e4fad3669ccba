package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

// The cluster port carries three kinds of connections. The first byte says which; then both sides
// say who they are before anything else is read:
//
//	dialer:   kind byte | version byte | cluster id | id that it wants to reach | its own id
//	accepter: a text: empty to go on, or why not
//
// A text is its length in one byte and so many bytes. An id that is not the accepter's, or a
// cluster that is not, ends the connection: addresses are handed on between machines, and a Raft
// server obeys whoever speaks to it with a higher term.
const (
	kindRaft    byte = 'R'
	kindJournal byte = 'J'
	kindCall    byte = 'C'

	portVersion byte = 1
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
}

// port is the cluster port: it accepts, learns who calls, and hands connections on by their kind.
type port struct {
	listener net.Listener
	self     self
	log      *slog.Logger
	handle   map[byte]func(net.Conn, peer) // each owns its connection
	cut      func(id string) bool          // for tests: the network to that replica is cut; may be nil
	book     *book                         // where the others are

	wg    sync.WaitGroup
	mu    sync.Mutex
	open  map[net.Conn]struct{} // accepted and dialled, until closed
	ended bool
}

func newPort(l net.Listener, s self, log *slog.Logger) *port {
	return &port{listener: l, self: s, log: log, book: newBook(), open: make(map[net.Conn]struct{}),
		handle: make(map[byte]func(net.Conn, peer))}
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
		p.log.Warn("cluster port: refused a connection", "from", raw.RemoteAddr().String(), "error", err)
		_ = c.Close()
		return
	}
	p.book.heard(from.id)
	p.handle[kind](c, from)
}

// greeted reads and answers the dialer's greeting.
func (p *port) greeted(c net.Conn) (kind byte, from peer, err error) {
	if err := c.SetDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return 0, peer{}, err
	}
	kind, target, from, err := readGreeting(c)
	if err != nil {
		return 0, from, err
	}
	refusal := p.check(kind, target, from)
	reason := ""
	if refusal != nil {
		reason = refusal.Error()
	}
	if _, err := c.Write(appendText(nil, reason)); err != nil {
		return 0, from, errors.Join(refusal, err)
	}
	return kind, from, errors.Join(refusal, c.SetDeadline(time.Time{}))
}

func (p *port) check(kind byte, target string, from peer) error {
	me := p.self.whoami()
	switch {
	case p.cut != nil && p.cut(from.id):
		return errCut
	case p.handle[kind] == nil:
		return fmt.Errorf("connection of unknown kind %q", kind)
	case target != me.id:
		return fmt.Errorf("meant for replica %.8s…, this is %.8s…", target, me.id)
	case me.cluster != "" && from.cluster != "" && me.cluster != from.cluster:
		return fmt.Errorf("replica %.8s… is of cluster %.8s…, this one of %.8s…", from.id, from.cluster, me.cluster)
	case from.cluster == "" && kind != kindCall:
		// Also when this one is of none either: Raft keeps a connection for as long as it lives, and over
		// one that was opened while its cluster was still being formed this one would never hear its id.
		return fmt.Errorf("replica %.8s… is of no cluster", from.id)
	case me.cluster == "" && from.cluster != "" && kind == kindRaft:
		return p.self.invited(from.cluster)
	}
	return nil
}

// reach dials the replica of that id at the addresses that the book knows; the first that answers as
// that replica is it.
func (p *port) reach(ctx context.Context, kind byte, id string) (net.Conn, error) {
	addresses := p.book.addresses(id)
	if len(addresses) == 0 {
		return nil, fmt.Errorf("no address is known of replica %.8s…", id)
	}
	var errs []error
	for _, address := range addresses {
		c, err := p.dial(ctx, kind, id, address)
		if err == nil {
			p.book.reached(id, address)
			p.book.heard(id)
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// dial reaches the replica of that id at an address, and no other.
func (p *port) dial(ctx context.Context, kind byte, id, address string) (net.Conn, error) {
	if p.cut != nil && p.cut(id) {
		return nil, errCut
	}
	ctx, cancel := context.WithTimeout(ctx, greetingTimeout)
	defer cancel()
	raw, err := dialTCP(ctx, &p.wg, address)
	if err != nil {
		return nil, fmt.Errorf("dial replica %.8s…: %w", id, err)
	}
	c, ok := p.track(raw)
	if !ok {
		return nil, net.ErrClosed
	}
	if err := p.greet(ctx, c, kind, id); err != nil {
		return nil, fmt.Errorf("greet replica %.8s… at %s: %w", id, address, errors.Join(err, c.Close()))
	}
	return c, nil
}

func (p *port) greet(ctx context.Context, c net.Conn, kind byte, id string) error {
	deadline, _ := ctx.Deadline()
	if err := c.SetDeadline(deadline); err != nil {
		return err
	}
	me := p.self.whoami()
	b := []byte{kind, portVersion}
	b = appendText(appendText(appendText(b, me.cluster), id), me.id)
	if _, err := c.Write(b); err != nil {
		return err
	}
	reason, err := readText(c)
	if err != nil {
		return err
	}
	if reason != "" {
		return fmt.Errorf("refused: %s", reason)
	}
	return c.SetDeadline(time.Time{})
}

func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), 255)]
	return append(append(b, byte(len(s))), s...)
}

func readText(r io.Reader) (string, error) {
	var buf [255]byte
	if _, err := io.ReadFull(r, buf[:1]); err != nil {
		return "", err
	}
	n := buf[0]
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// readGreeting reads no further than the greeting.
func readGreeting(r io.Reader) (kind byte, target string, from peer, err error) {
	var start [2]byte
	if _, err := io.ReadFull(r, start[:]); err != nil {
		return 0, "", from, fmt.Errorf("read greeting: %w", err)
	}
	if start[1] != portVersion {
		return 0, "", from, fmt.Errorf("greeting of version %d: upgrade the older of the two replicas", start[1])
	}
	for _, field := range []*string{&from.cluster, &target, &from.id} {
		if *field, err = readText(r); err != nil {
			return 0, "", from, fmt.Errorf("read greeting: %w", err)
		}
	}
	return start[0], target, from, nil
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
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.port.mu.Lock()
	delete(c.port.open, c)
	c.port.mu.Unlock()
	return c.Conn.Close()
}

// hangUp closes every connection and accepts none any more. It does not wait.
func (p *port) hangUp() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.drop()
}

// drop closes every connection.
func (p *port) drop() {
	p.mu.Lock()
	conns := make([]net.Conn, 0, len(p.open))
	for c := range p.open {
		conns = append(conns, c)
	}
	p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// wait returns when every connection's goroutine has ended.
func (p *port) wait() { p.wg.Wait() }
