package tcpproto

import (
	"errors"
	"io"
	"runtime"
	"testing"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// loopConn says the same for ever and takes every answer.
type loopConn struct {
	scriptConn
	say string
}

func (c *loopConn) Read(p []byte) (int, error)  { return copy(p, c.say), nil }
func (c *loopConn) Write(p []byte) (int, error) { return len(p), nil }

type nullSession struct{}

func (nullSession) Register(string, string) (bool, error)   { return false, nil }
func (nullSession) Unregister(string, string) (bool, error) { return false, nil }
func (nullSession) Ping()                                   {}
func (nullSession) Close()                                  {}
func (nullSession) Detach()                                 {}

func nullOpen(fsm.ProducerInfo, func()) (Session, error) { return nullSession{}, nil }

func TestAllocations(t *testing.T) {
	for say, want := range map[string]float64{
		"PING\n":                0,
		"REGISTER topic\n":      1,
		"REGISTER topic chan\n": 2,
	} {
		c := newConn(New(Config{}), &loopConn{say: say})
		c.session = nullSession{}
		got := testing.AllocsPerRun(1000, func() {
			if err := c.step(); err != nil {
				t.Fatal(err)
			}
		})
		if got > want {
			t.Errorf("%q: %v allocations, want %v", say, got, want)
		}
	}
}

// An announced body costs nothing before it comes.
func TestAnnouncedBodyIsNotAllocated(t *testing.T) {
	const runs = 200
	data := []byte(magicV1 + sized(65536, "{"))
	s := New(Config{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		newConn(s, newScript(data, len(data))).run()
	}
	runtime.ReadMemStats(&after)
	if per := (after.TotalAlloc - before.TotalAlloc) / runs; per > 8192 {
		t.Errorf("%d bytes allocated for a connection that announced 65536 bytes and sent one", per)
	}
}

// After a long line the connection goes back to the small buffer.
func TestBufferShrinks(t *testing.T) {
	long := "PING " + string(make([]byte, 4000)) + "\n"
	nc := newScript([]byte(long), len(long))
	c := newConn(New(Config{}), nc)
	if err := c.step(); err != nil || len(c.in.buf) != MaxLine {
		t.Errorf("buffer of %d bytes after a long line (%v), want %d", len(c.in.buf), err, MaxLine)
	}
	if err := c.step(); !errors.Is(err, io.EOF) || len(c.in.buf) != smallBuffer {
		t.Errorf("buffer of %d bytes for the next read (%v), want %d", len(c.in.buf), err, smallBuffer)
	}
}

func BenchmarkPing(b *testing.B)     { benchmarkCommand(b, "PING\n") }
func BenchmarkRegister(b *testing.B) { benchmarkCommand(b, "REGISTER some_topic some_channel\n") }

// benchmarkCommand measures round trips over loopback.
func benchmarkCommand(b *testing.B, command string) {
	_, addr := start(b, Config{Open: nullOpen})
	nc := dialIdentified(b, addr)
	line, answer := []byte(command), make([]byte, 6)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := nc.Write(line); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(nc, answer); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdleConnection reports the heap and stack that an identified, idle connection holds,
// its client's end in this process included.
func BenchmarkIdleConnection(b *testing.B) {
	const n = 1000
	for b.Loop() {
		_, addr := start(b, Config{Open: nullOpen})
		before := inUse()
		for range n {
			dialIdentified(b, addr)
		}
		b.ReportMetric(float64(inUse()-before)/n, "B/conn")
	}
}

func inUse() int64 {
	runtime.GC()
	runtime.GC() // the second one has shrunk stacks and swept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
