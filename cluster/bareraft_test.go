package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// bare is hashicorp/raft with nothing of ours around it but what a test puts there: what the
// library does by itself, beside what it does here. Its log and votes are kept in memory and
// outlive it.
type bare struct {
	*raft.Raft
	t       testing.TB
	id      raft.ServerID
	address raft.ServerAddress
	wire    raft.Transport
	log     *faultLog
}

// bareOptions are the parts that a test chooses; a zero value is the library's own way.
type bareOptions struct {
	id        raft.ServerID // "node" if empty
	wire      wiring        // libraryWire if nil
	log       raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	machine   raft.FSM
	config    func(*raft.Config)
}

// wiring makes a transport over a stream.
type wiring func(raft.StreamLayer) raft.Transport

func libraryTransport(s raft.StreamLayer, timeout time.Duration) *raft.NetworkTransport {
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: s, MaxPool: 4, Timeout: timeout, Logger: hclog.NewNullLogger(),
	})
}

// libraryWire is the library's transport as it comes.
func libraryWire(s raft.StreamLayer) raft.Transport { return libraryTransport(s, transportTimeout) }

// ourWire is the transport that replicas use.
func ourWire(s raft.StreamLayer) raft.Transport { return newTransport(s, hclog.NewNullLogger()) }

// tcpStream is a stream whose addresses are host and port, and which asks nobody who he is.
type tcpStream struct {
	net.Listener
	spoken *atomic.Int64 // how many accepted connections have said something
}

func (tcpStream) Dial(a raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return net.DialTimeout("tcp", string(a), timeout)
}

func (s tcpStream) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	return &heardConn{Conn: c, spoken: s.spoken}, err
}

type heardConn struct {
	net.Conn
	spoken *atomic.Int64
	once   sync.Once
}

func (c *heardConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.once.Do(func() { c.spoken.Add(1) })
	}
	return n, err
}

func listenTCP(t testing.TB) tcpStream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return tcpStream{l, new(atomic.Int64)}
}

// startBare starts a node that belongs to no cluster yet: it elects nobody and obeys everybody.
func startBare(t testing.TB, o bareOptions) *bare {
	t.Helper()
	return startBareOn(t, listenTCP(t), o)
}

func startBareOn(t testing.TB, s tcpStream, o bareOptions) *bare {
	t.Helper()
	o = o.complete()
	b := &bare{t: t, id: o.id, address: raft.ServerAddress(s.Addr().String()), log: &faultLog{LogStore: o.log}}
	b.wire = o.wire(s)
	c := raft.DefaultConfig()
	c.LocalID = o.id
	c.HeartbeatTimeout = 100 * time.Millisecond
	c.ElectionTimeout, c.LeaderLeaseTimeout = c.HeartbeatTimeout, c.HeartbeatTimeout
	c.CommitTimeout = 5 * time.Millisecond
	c.NoLegacyTelemetry, c.Logger = true, hclog.NewNullLogger()
	if o.config != nil {
		o.config(c)
	}
	var err error
	if b.Raft, err = raft.NewRaft(c, o.machine, b.log, o.stable, o.snapshots, b.wire); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stop)
	return b
}

func (o bareOptions) complete() bareOptions {
	if o.id == "" {
		o.id = "node"
	}
	if o.wire == nil {
		o.wire = libraryWire
	}
	if o.log == nil {
		o.log = raft.NewInmemStore()
	}
	if o.stable == nil {
		o.stable = raft.NewInmemStore()
	}
	if o.snapshots == nil {
		o.snapshots = raft.NewInmemSnapshotStore()
	}
	if o.machine == nil {
		o.machine = idleMachine{}
	}
	return o
}

// stop ends the node and its connections. It may be called twice.
func (b *bare) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	if err := awaitFuture(ctx, b.Shutdown()); err != nil {
		b.t.Errorf("stop %s: %v", b.id, err)
	}
	closeWire(b.wire)
}

func closeWire(wire raft.Transport) {
	if w, ok := wire.(raft.WithClose); ok {
		_ = w.Close()
	}
	if w, ok := wire.(interface{ CloseStreams() }); ok {
		w.CloseStreams()
	}
}

// lead makes the node the only voter of a cluster, beside non-voters, and waits until it leads.
func (b *bare) lead(nonvoters ...*bare) {
	b.t.Helper()
	servers := []raft.Server{{ID: b.id, Address: b.address}}
	for _, n := range nonvoters {
		servers = append(servers, raft.Server{ID: n.id, Address: n.address, Suffrage: raft.Nonvoter})
	}
	if err := b.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		b.t.Fatal(err)
	}
	b.awaitLead()
}

func (b *bare) awaitLead() {
	b.t.Helper()
	eventually.True(b.t, soon, "the node leads", func() error {
		if b.State() != raft.Leader {
			return fmt.Errorf("is %s", b.State())
		}
		return b.VerifyLeader().Error()
	})
}

// write commits an entry.
func (b *bare) write() {
	b.t.Helper()
	if err := b.Apply([]byte("entry"), soon).Error(); err != nil {
		b.t.Fatal(err)
	}
}

// has reports whether the node's log is as long as another's.
func (b *bare) has(o *bare) error {
	if got, want := b.LastIndex(), o.LastIndex(); got != want {
		return fmt.Errorf("the log of %s ends at %d, that of %s at %d", b.id, got, o.id, want)
	}
	return nil
}

// stranger is somebody who speaks Raft to a node without being one.
type stranger struct {
	raft.Transport
	t testing.TB
}

func newStranger(t testing.TB) stranger {
	t.Helper()
	s := stranger{libraryTransport(listenTCP(t), soon), t}
	t.Cleanup(func() { closeWire(s.Transport) })
	return s
}

// headerOf is what a message of that sender begins with.
func headerOf(id string) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id), Addr: []byte(id)}
}

func (s stranger) append(to *bare, r *raft.AppendEntriesRequest) raft.AppendEntriesResponse {
	var answer raft.AppendEntriesResponse
	if err := s.AppendEntries(to.id, to.address, r, &answer); err != nil {
		s.t.Errorf("AppendEntries of term %d: %v", r.Term, err) // also called beside the test
	}
	return answer
}

// entriesOf are commands from an index to another, of one term.
func entriesOf(term, first, last uint64) []*raft.Log {
	var all []*raft.Log
	for i := first; i <= last; i++ {
		all = append(all, &raft.Log{Index: i, Term: term, Data: fmt.Appendf(nil, "%d of term %d", i, term)})
	}
	return all
}

// idleMachine is a state machine of no state.
type idleMachine struct{}

func (idleMachine) Apply(*raft.Log) any                 { return nil }
func (idleMachine) Snapshot() (raft.FSMSnapshot, error) { return idleMachine{}, nil }
func (idleMachine) Restore(r io.ReadCloser) error       { return r.Close() }
func (idleMachine) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (idleMachine) Release()                            {}

// faultLog is a log whose writes a test can spoil.
type faultLog struct {
	raft.LogStore
	spoiled atomic.Int64 // writes that began since spoil

	mu    sync.Mutex
	fault func(write func() error) error
}

// spoil makes every write go through the fault, nil: through nothing.
func (f *faultLog) spoil(fault func(write func() error) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spoiled.Store(0)
	f.fault = fault
}

func (f *faultLog) write(write func() error) error {
	f.mu.Lock()
	fault := f.fault
	if fault != nil {
		f.spoiled.Add(1)
	}
	f.mu.Unlock()
	if fault == nil {
		return write()
	}
	return fault(write)
}

func (f *faultLog) StoreLog(l *raft.Log) error { return f.StoreLogs([]*raft.Log{l}) }

func (f *faultLog) StoreLogs(logs []*raft.Log) error {
	return f.write(func() error { return f.LogStore.StoreLogs(logs) })
}

func (f *faultLog) DeleteRange(first, last uint64) error {
	return f.write(func() error { return f.LogStore.DeleteRange(first, last) })
}

// hit waits until so many writes were spoiled.
func (f *faultLog) hit(t testing.TB, n int64) {
	t.Helper()
	eventually.True(t, soon, "spoiled writes", func() error {
		if got := f.spoiled.Load(); got < n {
			return fmt.Errorf("%d of %d", got, n)
		}
		return nil
	})
}

var errSpoiled = errors.New("spoiled by the test")

// happens reports whether ok becomes true in that time. It is for what must not happen, or may not.
func happens(within time.Duration, ok func() bool) bool {
	for start := time.Now(); !ok(); {
		if time.Since(start) >= within {
			return false
		}
		pause(context.Background(), time.Millisecond)
	}
	return true
}
