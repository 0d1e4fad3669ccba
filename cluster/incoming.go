package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// hashicorp/raft reads a snapshot from the connection inside its main loop, without a deadline (raft.go,
// installSnapshot). Meanwhile the follower answers no heartbeat and votes for nobody, and when the leader
// is paused in the middle, that lasts as long as the pause.
//
// The transport closes this: it receives the snapshot into a file of the data path first, and hands it to
// the library from there. When nothing comes for snapshotStall, it closes the connections with that
// leader, and the library never hears of the snapshot.
//
// A leader that has not got an answer in time sends the snapshot again, and then what comes after it. So
// one that is still being received when another begins is thrown away: the library, which reads one at a
// time, would install it last, and take the registry back.
const (
	snapshotStall = 3 * time.Second
	// incomingPattern names the files. What a crash has left of them is removed at the start.
	incomingPattern = "incoming-*.tmp"
)

// incoming receives snapshots.
type incoming struct {
	dir   string        // where to, "" for the system's temporary folder
	stall time.Duration // without a byte
	ready chan raft.RPC // to the library: requests that can be served without reading from the network

	mu     sync.Mutex
	count  uint64 // of the snapshots that began
	newest uint64 // which of them counts
	term   uint64 // of its leader
}

// begin returns the number of a snapshot of a leader of that term, which counts unless one of a newer term
// is being received.
func (i *incoming) begin(term uint64) uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.count++
	if term >= i.term {
		i.newest, i.term = i.count, term
	}
	return i.count
}

// counts reports whether the snapshot of that number is the newest.
func (i *incoming) counts(number uint64) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.newest == number
}

var errOvertaken = errors.New("a newer one has begun")

// Consumer implements raft.Transport.
func (t *transport) Consumer() <-chan raft.RPC { return t.incoming.ready }

// consume hands on what comes in, until the transport closes.
func (t *transport) consume() {
	for {
		select {
		case rpc := <-t.NetworkTransport.Consumer():
			if request, is := rpc.Command.(*raft.InstallSnapshotRequest); is {
				go t.receive(rpc, request) // ends with its connection
			} else if !t.hand(rpc) {
				return
			}
		case <-t.holder.ended:
			return
		}
	}
}

// hand gives a request to the library; false when the transport closes.
func (t *transport) hand(rpc raft.RPC) bool {
	select {
	case t.incoming.ready <- rpc:
		return true
	case <-t.holder.ended:
		return false
	}
}

// receive reads a snapshot whole, has it installed, and answers.
func (t *transport) receive(rpc raft.RPC, request *raft.InstallSnapshotRequest) {
	number := t.incoming.begin(request.Term)
	file, err := t.spool(rpc.Reader, request)
	if err == nil && !t.incoming.counts(number) {
		_, _ = file.Close(), os.Remove(file.Name())
		err = errOvertaken
	}
	if err != nil {
		rpc.Respond(&raft.InstallSnapshotResponse{}, fmt.Errorf("receive snapshot: %w", err))
		return
	}
	defer func() { _, _ = file.Close(), os.Remove(file.Name()) }()
	installed := make(chan raft.RPCResponse, 1)
	if !t.hand(raft.RPC{Command: request, Reader: file, RespChan: installed}) {
		return
	}
	select {
	case answer := <-installed:
		rpc.RespChan <- answer
	case <-t.holder.ended:
	}
}

// spool returns a file with what the reader has, to be read from its beginning.
func (t *transport) spool(from io.Reader, request *raft.InstallSnapshotRequest) (*os.File, error) {
	file, err := os.CreateTemp(t.incoming.dir, incomingPattern)
	if err != nil {
		return nil, err
	}
	stalled := time.AfterFunc(t.incoming.stall, func() { t.hangUp(string(request.ID)) })
	n, err := io.Copy(file, resetReader{from, stalled, t.incoming.stall})
	stalled.Stop()
	if err == nil && n != request.Size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		_, _ = file.Close(), os.Remove(file.Name())
		return nil, err
	}
	return file, nil
}

// hangUp closes the connections with a replica.
func (t *transport) hangUp(id string) {
	if s, ok := t.stream.(*stream); ok {
		s.port.dropID(id)
	}
}

// resetReader starts a timer anew with each piece that it reads.
type resetReader struct {
	io.Reader
	timer *time.Timer
	after time.Duration
}

// Read implements io.Reader.
func (r resetReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.timer.Reset(r.after)
	return n, err
}
