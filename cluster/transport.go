package cluster

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	// transportTimeout is how long a Raft call may take. A transfer of leadership to a replica that
	// hangs keeps the leader from committing for as long, so it is short.
	transportTimeout = time.Second
	// raftConns is how many idle connections to one replica Raft's transport keeps.
	raftConns = 4
)

// transport is Raft's network, with two of the library's ways switched off.
//
// hashicorp/raft issue 695: heartbeats that bypass the main loop change the term beside it. The
// library lets a transport ignore the handler (transport.go), and then they go through the loop.
//
// hashicorp/raft issue 612: with several AppendEntries on their way, one that fails can leave a
// follower without replication until the leader restarts. MaxRPCsInFlight 1 sends one at a time.
//
// hashicorp/raft issues 503 and 666: a leader sends no heartbeats while its disk hangs (logwatch.go).
//
// Two more ways are closed in hold.go and incoming.go.
type transport struct {
	*raft.NetworkTransport
	stream   raft.StreamLayer
	contacts contacts
	holder   holder
	incoming incoming
	disk     *diskWatch                       // nil for none
	fault    func(to string, beat bool) error // see hooks; may be nil
}

// SetHeartbeatHandler implements raft.Transport.
func (*transport) SetHeartbeatHandler(func(raft.RPC)) {}

func newTransport(s raft.StreamLayer, logger hclog.Logger) *transport {
	network := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:          s,
		MaxPool:         raftConns,
		MaxRPCsInFlight: 1,
		Timeout:         transportTimeout,
		Logger:          logger,
	})
	t := &transport{NetworkTransport: network, stream: s, holder: newHolder(),
		incoming: incoming{stall: snapshotStall, ready: make(chan raft.RPC)}}
	go t.consume() // until the transport closes
	return t
}

// RequestVote implements raft.Transport.
func (t *transport) RequestVote(id raft.ServerID, to raft.ServerAddress, req *raft.RequestVoteRequest,
	resp *raft.RequestVoteResponse) error {
	sent := time.Now()
	err := t.call(id, func() error { return t.NetworkTransport.RequestVote(id, to, req, resp) })
	if err == nil && resp.Granted && resp.Term == req.Term {
		t.contacts.answered(string(id), req.Term, sent)
	}
	return err
}

// RequestPreVote implements raft.WithPreVote.
func (t *transport) RequestPreVote(id raft.ServerID, to raft.ServerAddress, req *raft.RequestPreVoteRequest,
	resp *raft.RequestPreVoteResponse) error {
	return t.call(id, func() error { return t.NetworkTransport.RequestPreVote(id, to, req, resp) })
}

// appendOnce sends an AppendEntries once, and notes its answer.
func (t *transport) appendOnce(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse) error {
	if err := t.disk.stalled(); err != nil {
		return err
	}
	if t.fault != nil {
		if err := t.fault(string(id), isHeartbeat(req)); err != nil {
			return err
		}
	}
	sent := time.Now()
	err := t.call(id, func() error { return t.NetworkTransport.AppendEntries(id, to, req, resp) })
	if err == nil && resp.Term == req.Term {
		t.contacts.answered(string(id), req.Term, sent)
	}
	if err == nil && resp.Success {
		t.holder.signs.acked(string(id), ackedBy(req))
	}
	return err
}

// ackedBy returns up to where the log of a follower that takes this request agrees with the leader's and
// is committed.
func ackedBy(req *raft.AppendEntriesRequest) uint64 {
	matched := req.PrevLogEntry
	if n := len(req.Entries); n > 0 {
		matched = req.Entries[n-1].Index
	}
	return min(matched, req.LeaderCommitIndex)
}

// call makes a call. When it fails, the idle connections to that replica are closed, because they are
// as old as the one that failed: after a cut each of them would hang until TCP sends again. The
// library may still hand out a closed one, and then the call is made again at once.
func (t *transport) call(id raft.ServerID, f func() error) error {
	var err error
	for range raftConns + 1 {
		if err = f(); err == nil {
			t.holder.signs.heard(string(id))
			return nil
		}
		if s, ok := t.stream.(*stream); ok {
			s.dropIdle(string(id))
		}
		if !closedHere(err) || t.IsShutdown() {
			break
		}
	}
	return err
}

// closedHere reports whether a call failed because its connection had been closed here before. The
// library's encoder may pass the error on as a text.
func closedHere(err error) bool {
	return errors.Is(err, net.ErrClosed) || strings.Contains(err.Error(), net.ErrClosed.Error())
}

// stream is Raft's part of the cluster port. A server's Raft address is its id: where it listens
// is looked up when it is dialled, so that any address may change.
type stream struct {
	*sublistener
	port *port

	mu    sync.Mutex
	conns map[*raftConn]struct{} // dialled and not closed
}

func newStream(p *port, id string) *stream {
	return &stream{sublistener: p.listen(kindRaft, idAddress(id)), port: p, conns: make(map[*raftConn]struct{})}
}

// Dial implements raft.StreamLayer.
func (s *stream) Dial(id raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	raw, err := s.port.reach(ctx, kindRaft, string(id))
	if err != nil {
		return nil, err
	}
	c := &raftConn{Conn: raw, stream: s, id: string(id)}
	c.busy.Store(true) // its first call comes now
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	return c, nil
}

// dropIdle closes the connections to that replica on which no answer is awaited.
func (s *stream) dropIdle(id string) {
	s.mu.Lock()
	var idle []*raftConn
	for c := range s.conns {
		if c.id == id && !c.busy.Load() {
			idle = append(idle, c)
		}
	}
	s.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}

// raftConn is a connection that Raft's transport keeps for further calls.
type raftConn struct {
	net.Conn
	stream *stream
	id     string
	busy   atomic.Bool // a request has been written, and no answer read
}

// Write implements net.Conn.
func (c *raftConn) Write(b []byte) (int, error) {
	c.busy.Store(true)
	return c.Conn.Write(b)
}

// Read implements net.Conn.
func (c *raftConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.busy.Store(false)
	}
	return n, err
}

// Close implements net.Conn.
func (c *raftConn) Close() error {
	c.stream.mu.Lock()
	delete(c.stream.conns, c)
	c.stream.mu.Unlock()
	return c.Conn.Close()
}

// idAddress is a replica's id as a net.Addr.
type idAddress string

// Network implements net.Addr.
func (idAddress) Network() string { return "raft" }

// String implements net.Addr.
func (a idAddress) String() string { return string(a) }
