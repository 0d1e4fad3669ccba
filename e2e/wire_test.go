package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// wires is the network between replicas: in front of each one's cluster port is a proxy, which is what that replica
// advertises. What one dials and another accepts is a wire, and can be cut by itself.
type wires struct {
	ctx context.Context // ends with the test
	wg  sync.WaitGroup

	mu   sync.Mutex
	ways map[way]*wire
}

// way says who dials and who is dialled.
type way struct{ from, to string } // an id, and an address

type wire struct {
	mu      sync.Mutex
	refuses bool
	passes  chan struct{} // closed while bytes come through
	ctx     context.Context
	hangUp  context.CancelFunc // ends the connections
}

func newWires(t *testing.T) *wires {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &wires{ctx: ctx, ways: map[way]*wire{}}
	t.Cleanup(func() {
		cancel()
		w.wg.Wait()
	})
	return w
}

// proxy returns an address behind which is the other.
func (w *wires) proxy(t *testing.T, address string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	context.AfterFunc(w.ctx, func() { listener.Close() })
	w.wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.carry(conn, address) })
		}
	})
	return listener.Addr().String()
}

// carry serves one connection.
func (w *wires) carry(conn net.Conn, address string) {
	defer context.AfterFunc(w.ctx, func() { conn.Close() })()
	greeting, from, err := readGreeting(conn)
	if err != nil {
		conn.Close()
		return
	}
	wire := w.wire(from, address)
	ctx, ok := wire.accepts()
	if !ok {
		conn.Close()
		return
	}
	c := &wiredConn{Conn: conn, head: bytes.NewReader(greeting), wire: wire, ctx: ctx}
	if err := c.pass(); err != nil {
		conn.Close()
		return
	}
	join(ctx, c, address)
}

func (w *wires) wire(from, to string) *wire {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := way{from, to}
	if w.ways[k] == nil {
		passes := make(chan struct{})
		close(passes)
		ctx, cancel := context.WithCancel(w.ctx)
		w.ways[k] = &wire{passes: passes, ctx: ctx, hangUp: cancel}
	}
	return w.ways[k]
}

// used is how many wires have carried something.
func (w *wires) used() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.ways)
}

// readGreeting reads how a replica begins each connection to another: two bytes and three texts of a byte's length, of
// which the last is its own id. It is all that tells the replicas of one machine apart.
func readGreeting(conn net.Conn) (raw []byte, from string, err error) {
	if err := conn.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, "", err
	}
	var all bytes.Buffer
	r := io.TeeReader(conn, &all)
	if _, err := io.CopyN(io.Discard, r, 2); err != nil {
		return nil, "", err
	}
	for range 3 {
		var text bytes.Buffer
		if _, err := io.CopyN(&text, r, 1); err != nil {
			return nil, "", err
		}
		length := int64(text.Next(1)[0])
		if _, err := io.CopyN(&text, r, length); err != nil {
			return nil, "", err
		}
		from = text.String()
	}
	return all.Bytes(), from, conn.SetReadDeadline(time.Time{})
}

// accepts returns what ends a new connection.
func (w *wire) accepts() (context.Context, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ctx, !w.refuses
}

// cut ends the connections and refuses others, as a process that has ended does.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuses = true
	w.hangUp()
}

// silence holds everything back, as a cable that is pulled does.
func (w *wire) silence() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.passes:
		w.passes = make(chan struct{})
	default: // it is silent
	}
}

// heal ends a cut or a silence; what was held back comes through.
func (w *wire) heal(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuses {
		w.refuses = false
		w.ctx, w.hangUp = context.WithCancel(ctx)
	}
	select {
	case <-w.passes:
	default:
		close(w.passes)
	}
}

func (w *wire) passing() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passes
}

// wiredConn is the dialer's side of a connection, from its greeting on. Nothing passes it during a silence, not even
// the end.
type wiredConn struct {
	net.Conn
	head *bytes.Reader
	wire *wire
	ctx  context.Context
}

func (c *wiredConn) pass() error {
	select {
	case <-c.wire.passing():
		return nil
	case <-c.ctx.Done():
		return fmt.Errorf("the wire is cut: %w", c.ctx.Err())
	}
}

func (c *wiredConn) Read(p []byte) (int, error) {
	if c.head.Len() > 0 {
		return c.head.Read(p)
	}
	n, err := c.Conn.Read(p)
	if cut := c.pass(); cut != nil {
		return 0, cut
	}
	return n, err
}

func (c *wiredConn) Write(p []byte) (int, error) {
	if err := c.pass(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *wiredConn) Close() error {
	if err := c.pass(); err != nil {
		c.Conn.Close()
		return err
	}
	return c.Conn.Close()
}
