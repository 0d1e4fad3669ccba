package cluster

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// transportTimeout is how long a Raft call may take. A transfer of leadership to a replica that
// hangs keeps the leader from committing for as long, so it is short.
const transportTimeout = time.Second

// transport is Raft's network, with two of the library's ways switched off.
//
// hashicorp/raft issue 695: heartbeats that bypass the main loop change the term beside it. The
// library lets a transport ignore the handler (transport.go), and then they go through the loop.
//
// hashicorp/raft issue 612: with several AppendEntries on their way, one that fails can leave a
// follower without replication until the leader restarts. MaxRPCsInFlight 1 sends one at a time.
//
// hashicorp/raft issues 503 and 666: a leader sends no heartbeats while its disk hangs (logwatch.go).
type transport struct {
	*raft.NetworkTransport
	disk *diskWatch // nil for none
}

// AppendEntries implements raft.Transport.
func (t transport) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest,
	resp *raft.AppendEntriesResponse) error {
	if err := t.disk.stalled(); err != nil {
		return err
	}
	return t.NetworkTransport.AppendEntries(id, to, req, resp)
}

// SetHeartbeatHandler implements raft.Transport.
func (transport) SetHeartbeatHandler(func(raft.RPC)) {}

func newTransport(s raft.StreamLayer, logger hclog.Logger) transport {
	return transport{NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:          s,
		MaxPool:         4,
		MaxRPCsInFlight: 1,
		Timeout:         transportTimeout,
		Logger:          logger,
	})}
}

// stream is Raft's part of the cluster port. A server's Raft address is its id: where it listens
// is looked up when it is dialled, so that any address may change.
type stream struct {
	*sublistener
	port   *port
	lookup func(id string) (address string, ok bool)
}

func newStream(p *port, id string, lookup func(string) (string, bool)) *stream {
	return &stream{sublistener: p.listen(kindRaft, idAddress(id)), port: p, lookup: lookup}
}

// Dial implements raft.StreamLayer.
func (s *stream) Dial(id raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	address, ok := s.lookup(string(id))
	if !ok {
		return nil, fmt.Errorf("no address is known of replica %.8s…", id)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return s.port.dial(ctx, kindRaft, string(id), address)
}

// idAddress is a replica's id as a net.Addr.
type idAddress string

// Network implements net.Addr.
func (idAddress) Network() string { return "raft" }

// String implements net.Addr.
func (a idAddress) String() string { return string(a) }
