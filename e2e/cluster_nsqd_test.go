package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestClusterNsqds has real nsqds that know the replicas in each way that there is.
func TestClusterNsqds(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	proxy := startProxy(t, c.tcp()...)
	nsqds := []*nsqd{
		startNsqdFor(t, c.tcp()...),
		startNsqdFor(t, c.tcp()[1]),
		startNsqdFor(t, proxy),
		startNsqdFor(t, proxy, proxy, proxy),
	}
	var all []string
	for _, n := range nsqds {
		if err := n.post("/topic/create?topic=seen", ""); err != nil {
			t.Fatal(err)
		}
		if err := n.post("/channel/create?topic=seen&channel=c", ""); err != nil {
			t.Fatal(err)
		}
		all = append(all, n.tcp)
	}
	listed := func(want []string) func() error {
		return func() error {
			return c.everywhere(func(l *lookupd) error {
				return errors.Join(l.hasProducers("seen", want...), l.hasNodes(want...))
			})
		}
	}
	eventually(t, patience, listed(all))
	c.agree(t)
	if err := listed(all)(); err != nil {
		t.Error(err)
	}
	for i, n := range nsqds {
		if code := n.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code of nsqd %d", code)
		}
		eventually(t, goneWithin, listed(all[i+1:]))
	}
	c.agree(t)
}

// goneWithin is how soon after its exit nobody lists an nsqd any more.
const goneWithin = time.Second

// startProxy returns an address behind which are the others, each connection's being the next one's.
func startProxy(t *testing.T, addresses ...string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var turn atomic.Int64
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			address := addresses[int(turn.Add(1))%len(addresses)]
			wg.Go(func() { join(ctx, conn, address) })
		}
	})
	t.Cleanup(func() {
		cancel()
		listener.Close()
		wg.Wait()
	})
	return listener.Addr().String()
}

// join copies both ways until one side ends, or the context.
func join(ctx context.Context, from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	defer context.AfterFunc(ctx, func() { from.Close() })()
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(to, from) // either way it has ended
		to.Close()
	})
	io.Copy(from, to)
	from.Close()
	wg.Wait()
}
