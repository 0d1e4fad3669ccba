package cluster

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// Batches go to the leader over one connection, in order; the answers come back in that order:
//
//	request: length (4 bytes, big-endian) | entry
//	answer:  code byte | number (8 bytes, big-endian)
//
// The number is what a refusal names: the change that the registry expects, or the incarnation
// that it knows.
const (
	answerOK          byte = 0
	answerUnknown     byte = 1 // it may be in the log or not
	answerGap         byte = 2
	answerIncarnation byte = 3
	answerNotOpen     byte = 4
	answerRefused     byte = 5 // it will never be in the log: it makes no sense to the leader
	answerLength           = 9
)

var (
	errForward = errors.New("batch was not committed by the leader")
	errRefused = errors.New("batch is refused by the leader: is it of an older version?")
)

func encodeAnswer(err error) [answerLength]byte {
	var a [answerLength]byte
	var gap *fsm.GapError
	var fenced *fsm.IncarnationError
	switch {
	case err == nil:
	case errors.As(err, &gap):
		a[0] = answerGap
		binary.BigEndian.PutUint64(a[1:], gap.Expected)
	case errors.As(err, &fenced):
		a[0] = answerIncarnation
		binary.BigEndian.PutUint64(a[1:], fenced.Known)
	case errors.Is(err, fsm.ErrNotOpen):
		a[0] = answerNotOpen
	case errors.Is(err, errRefused):
		a[0] = answerRefused
	default:
		a[0] = answerUnknown
	}
	return a
}

func decodeAnswer(a [answerLength]byte) error {
	n := binary.BigEndian.Uint64(a[1:])
	switch a[0] {
	case answerOK:
		return nil
	case answerGap:
		return &fsm.GapError{Expected: n}
	case answerIncarnation:
		return &fsm.IncarnationError{Known: n}
	case answerNotOpen:
		return fsm.ErrNotOpen
	case answerRefused:
		return errRefused
	default:
		return errForward
	}
}

// forwarder sends batches to one leader.
type forwarder struct {
	leader string
	conn   net.Conn
	mu     sync.Mutex // held while writing, so that waiting follows the order of sending
	queue  chan chan error
	ended  chan struct{}
}

// dialLeader opens the connection on which batches go to the leader of that id.
func (p *port) dialLeader(ctx context.Context, id string) (*forwarder, error) {
	c, err := p.reach(ctx, kindJournal, id)
	if err != nil {
		return nil, err
	}
	f := &forwarder{leader: id, conn: c, queue: make(chan chan error, 2*maxInFlight), ended: make(chan struct{})}
	p.wg.Go(f.read)
	return f, nil
}

// propose sends an entry; the returned function waits for the answer.
func (f *forwarder) propose(entry []byte) func(context.Context) error {
	answer := make(chan error, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case f.queue <- answer:
	case <-f.ended:
		return failed(errForward)
	}
	frame := append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(entry)), uint32(len(entry))), entry...)
	_ = f.conn.SetWriteDeadline(time.Now().Add(batchWait))
	if _, err := f.conn.Write(frame); err != nil {
		_ = f.conn.Close()
		return failed(fmt.Errorf("send batch: %w", err))
	}
	return func(ctx context.Context) error {
		select {
		case err := <-answer:
			return err
		case <-f.ended:
			return errForward
		case <-ctx.Done():
			_ = f.conn.Close() // a leader that does not answer: begin anew
			return ctx.Err()
		}
	}
}

func failed(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

// read hands each answer to whoever waits for it.
func (f *forwarder) read() {
	defer close(f.ended)
	defer func() { _ = f.conn.Close() }()
	r := bufio.NewReader(f.conn)
	for {
		var a [answerLength]byte
		if _, err := io.ReadFull(r, a[:]); err != nil {
			return
		}
		select {
		case waiting := <-f.queue:
			waiting <- decodeAnswer(a)
		default:
			return // an answer to nothing
		}
	}
}

func (f *forwarder) alive() bool {
	select {
	case <-f.ended:
		return false
	default:
		return true
	}
}

func (f *forwarder) close() { _ = f.conn.Close() }

// serveJournal proposes the batches of another replica, in order, and answers them in order. An
// entry that is not wholly understood here never reaches the log: there it would end every replica.
func serveJournal(c net.Conn, from peer, propose func([]byte) func(context.Context) error) {
	waits := make(chan func(context.Context) error, 2*maxInFlight)
	var wg sync.WaitGroup
	wg.Go(func() { answerBatches(c, waits) })
	defer wg.Wait()
	defer func() { _ = c.Close() }()
	defer close(waits)
	r := bufio.NewReader(c)
	for {
		entry, err := readBatch(r)
		if err != nil {
			return
		}
		if h, err := fsm.CheckBatch(entry); err != nil || h.Replica != from.id {
			waits <- failed(errRefused)
			continue
		}
		waits <- propose(entry)
	}
}

// readBatch reads one request. Its memory is bounded before it is made.
func readBatch(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(length[:])
	if n > fsm.MaxEntryBytes {
		return nil, fmt.Errorf("read batch: %d bytes", n)
	}
	entry := make([]byte, n)
	_, err := io.ReadFull(r, entry)
	return entry, err
}

func answerBatches(c net.Conn, waits <-chan func(context.Context) error) {
	for wait := range waits {
		ctx, cancel := context.WithTimeout(context.Background(), batchWait)
		a := encodeAnswer(wait(ctx))
		cancel()
		_ = c.SetWriteDeadline(time.Now().Add(batchWait))
		if _, err := c.Write(a[:]); err != nil {
			_ = c.Close() // the reader ends, and closes waits
		}
	}
}

// router hands batches to whoever leads: this replica's own Raft, or the leader's.
type router struct {
	r *Replica

	mu sync.Mutex
	to *forwarder // nil while this replica leads or nobody is known to

	dialling atomic.Pointer[dialling] // nil while no leader is dialled
}

// dialling is a dial to a leader that may not be one any more, nor answer.
type dialling struct {
	leader string
	cancel context.CancelFunc
}

// propose implements proposer. It may block for as long as a dial takes.
func (o *router) propose(entry []byte) func(context.Context) error {
	if o.r.leads() {
		return o.r.propose(entry)
	}
	f, err := o.forwarder()
	if err != nil {
		return failed(err)
	}
	return f.propose(entry)
}

// moved is told that there may be another leader, or none: batches that wait for the old one, which may
// only be paused, are sent to the new one. When none is known, the connection may be one that hangs
// in TCP's retransmission, so that it is closed, too.
func (o *router) moved() {
	if d := o.dialling.Load(); d != nil && d.leader != o.r.leader() {
		d.cancel()
	}
	if !o.mu.TryLock() { // it is being dialled
		return
	}
	defer o.mu.Unlock()
	if leader := o.r.leader(); o.to != nil && o.to.leader != leader {
		o.to.close()
		o.to = nil
	}
}

func (o *router) forwarder() (*forwarder, error) {
	leader := o.r.leader()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to != nil && (o.to.leader != leader || !o.to.alive()) {
		o.to.close()
		o.to = nil
	}
	if o.to != nil {
		return o.to, nil
	}
	if leader == "" || leader == o.r.data.ID {
		return nil, raft.ErrNotLeader
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	o.dialling.Store(&dialling{leader, cancel})
	defer o.dialling.Store(nil)
	if o.r.leader() != leader { // moved may have come before
		return nil, raft.ErrNotLeader
	}
	f, err := o.r.port.dialLeader(ctx, leader)
	if err != nil {
		return nil, err
	}
	o.to = f
	return f, nil
}
