package cluster

import (
	"context"
	"net"
	"sync"
	"time"
)

// dialAgain is after what time another attempt to connect begins beside those under way. A SYN that
// is lost just before a cut heals is sent again by TCP only after a second.
const dialAgain = 300 * time.Millisecond

// dialTCP connects to the address. The goroutines of its attempts belong to wg.
func dialTCP(ctx context.Context, wg *sync.WaitGroup, address string) (net.Conn, error) {
	return dialBy(ctx, wg, func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	})
}

// dialBy begins an attempt each dialAgain, until one succeeds, all of those under way have failed, or
// the context ends.
func dialBy(ctx context.Context, wg *sync.WaitGroup, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	type outcome struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes, done := make(chan outcome), make(chan struct{})
	defer close(done)
	attempt := func() {
		c, err := dial(ctx)
		select {
		case outcomes <- outcome{c, err}:
		case <-done:
			if err == nil {
				_ = c.Close()
			}
		}
	}
	again := time.NewTicker(dialAgain)
	defer again.Stop()
	wg.Go(attempt)
	for underWay := 1; ; {
		select {
		case o := <-outcomes:
			if underWay--; o.err == nil || underWay == 0 {
				return o.conn, o.err
			}
		case <-again.C:
			if ctx.Err() == nil {
				underWay++
				wg.Go(attempt)
			}
		}
	}
}
