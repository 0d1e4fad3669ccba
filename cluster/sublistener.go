package cluster

import (
	"net"
	"sync"
)

// sublistener is one kind of the cluster port's connections as a net.Listener. Closing it detaches
// that kind; the port lives on.
type sublistener struct {
	addr  net.Addr
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

// listen makes the listener of a kind. Call it before the port serves.
func (p *port) listen(kind byte, addr net.Addr) *sublistener {
	s := &sublistener{addr: addr, conns: make(chan net.Conn), ended: make(chan struct{})}
	p.handle[kind] = func(c net.Conn, _ peer) {
		select {
		case s.conns <- c:
		case <-s.ended:
			_ = c.Close()
		}
	}
	return s
}

// Accept implements net.Listener.
func (s *sublistener) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.ended:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (s *sublistener) Close() error {
	s.once.Do(func() { close(s.ended) })
	return nil
}

// Addr implements net.Listener.
func (s *sublistener) Addr() net.Addr { return s.addr }
