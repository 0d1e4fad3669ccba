package httpapi

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// BenchmarkWaiting has many clients wait for a change of a topic, each on a connection of its own, and
// says what each costs in this process, and how long after the change the last of them has its answer.
func BenchmarkWaiting(b *testing.B) {
	const clients = 5000
	for range b.N {
		b.StopTimer()
		f := newFakeReplica(b)
		f.apply(b, fsm.CreateTopic("t"))
		s := startServer(b, Config{Replica: f})
		before := memory()
		conns := make([]net.Conn, clients)
		for i := range conns {
			c, err := net.Dial("tcp", s.addr)
			if err != nil {
				b.Fatal(err)
			}
			conns[i] = c
			if _, err := io.WriteString(c, "GET /lookup?topic=t&index=2&wait=10m HTTP/1.1\r\nHost: h\r\nUser-Agent: bench\r\n\r\n"); err != nil {
				b.Fatal(err)
			}
		}
		for f.registry.Waiters() < clients {
			runtime.Gosched()
		}
		b.ReportMetric(float64(memory()-before)/clients, "B/waiting")
		b.StartTimer()
		start := time.Now()
		f.apply(b, fsm.CreateChannel("t", "c"))
		answer := make([]byte, 1<<10)
		var first time.Duration
		for i, c := range conns {
			if _, err := c.Read(answer); err != nil {
				b.Fatal(err)
			}
			if i == 0 {
				first = time.Since(start)
			}
		}
		b.ReportMetric(float64(first.Microseconds())/1000, "first-ms")
		b.ReportMetric(float64(time.Since(start).Microseconds())/1000, "last-ms")
		b.StopTimer()
		for _, c := range conns {
			_ = c.Close()
		}
		s.shut()
	}
}

// memory is what the heap and the stacks take now.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
