package cluster

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
)

func TestDialTCP(t *testing.T) {
	var wg sync.WaitGroup
	defer wg.Wait()
	l := listenTCP(t)
	c, err := dialTCP(t.Context(), &wg, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	_ = l.Close()
	if _, err := dialTCP(t.Context(), &wg, l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := dialTCP(ended, &wg, l.Addr().String()); err == nil {
		t.Error("dialled after the end")
	}
}

// The first attempt hangs, as with a SYN that is lost: the second one connects.
func TestDialTCPTriesAgainBeside(t *testing.T) {
	var wg sync.WaitGroup
	defer wg.Wait()
	l := listenTCP(t)
	defer func() { _ = l.Close() }()
	var mu sync.Mutex
	attempts := 0
	c, err := dialBy(t.Context(), &wg, func(ctx context.Context) (net.Conn, error) {
		mu.Lock()
		attempts++
		first := attempts == 1
		mu.Unlock()
		if first {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}
