package httpapi

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// conns knows every connection of a Server from accept to the end of its goroutine. net/http's
// Shutdown grants a connection that has sent nothing five seconds, and nothing in net/http waits
// for the goroutines of connections that it has cut.
type conns struct {
	mu       sync.Mutex
	silent   map[net.Conn]bool // every open connection; true until its first request has been read
	refusing bool
	gone     chan struct{} // made by wait; closed when the last connection has ended
}

func newConns() *conns { return &conns{silent: make(map[net.Conn]bool)} }

// changed is the http.Server's ConnState. A connection comes as StateNew, in the goroutine that
// accepts, and goes as StateClosed, in its own goroutine as the last thing that it does.
func (c *conns) changed(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if c.add(conn) {
			_ = conn.Close()
		}
	case http.StateActive:
		c.mu.Lock()
		c.silent[conn] = false
		c.mu.Unlock()
	case http.StateClosed, http.StateHijacked:
		c.remove(conn)
	}
}

func (c *conns) add(conn net.Conn) (refuse bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.silent[conn] = true
	return c.refusing
}

func (c *conns) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.silent, conn)
	if c.gone != nil && len(c.silent) == 0 {
		close(c.gone)
	}
}

// hangUp closes the connections, present and future, from which no request has been read: none of
// them is owed an answer.
func (c *conns) hangUp() {
	c.mu.Lock()
	c.refusing = true
	var silent []net.Conn
	for conn, is := range c.silent {
		if is {
			silent = append(silent, conn)
		}
	}
	c.mu.Unlock()
	for _, conn := range silent {
		_ = conn.Close()
	}
}

// wait blocks until every connection has ended, or for at most d, and returns how many have not.
// Call it once, when nothing accepts any more.
func (c *conns) wait(d time.Duration) int {
	c.mu.Lock()
	gone := make(chan struct{})
	if len(c.silent) == 0 {
		c.mu.Unlock()
		return 0
	}
	c.gone = gone
	c.mu.Unlock()

	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-gone:
		return 0
	case <-timer.C:
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.silent)
	}
}
