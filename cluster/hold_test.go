package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// The library counts no failure while a follower is cut off, so it does not back off: when the cut has
// healed, the follower has what the leader committed, and its own change goes through. How soon is
// measured by the end-to-end tests.
func TestFollowerIsReplicatedToAtOnceAfterACut(t *testing.T) {
	c := newTrio(t, 3, nil)
	c.agree()
	leader := c.leader()
	f := c.follower()
	c.part(f, true)
	change(t, leader, fsm.CreateTopic("meanwhile"))
	pause(t.Context(), 6*time.Second) // the library would be sleeping for 2.56 s now
	c.heal()
	change(t, f, fsm.CreateTopic("mine")) // waits until it is applied here
	eventually.True(t, soon, "the follower has both", func() error {
		if s := listings(f.registry.State()); !strings.Contains(s, "meanwhile") || !strings.Contains(s, "mine") {
			return errors.New(s)
		}
		return nil
	})
	if s := c.log.all(); strings.Contains(s, "failed to appendEntries") || strings.Contains(s, "failed to install snapshot") {
		t.Error("the library has counted a failure")
	}
	if n := strings.Count(c.log.all(), "replication to it waits"); n < 1 || n > 3 { // once in a term
		t.Errorf("%d lines say that the follower cannot be reached", n)
	}
	if n := strings.Count(c.log.all(), "failed to heartbeat"); n > 4 {
		t.Errorf("%d lines about heartbeats", n)
	}
}

// A leader that is closed, or loses its term, while it holds calls does not wait for them.
func TestHeldCallEnds(t *testing.T) {
	t.Run("closed", func(t *testing.T) {
		c := newTrio(t, 3, nil)
		leader := c.leader()
		c.part(c.follower(), true)
		change(t, leader, fsm.CreateTopic("topic"))
		mustClose(t, leader)
	})
	t.Run("removed", func(t *testing.T) {
		c := newTrio(t, 3, nil)
		leader, f := c.leader(), c.follower()
		c.part(f, true)
		change(t, leader, fsm.CreateTopic("topic"))
		if err := leader.raft.RemoveServer(raft.ServerID(f.data.ID), 0, soon).Error(); err != nil {
			t.Fatal(err)
		}
		eventually.True(t, soon, "no call is held", func() error {
			if leader.transport.holder.stands(raft.ServerID(f.data.ID), leader.raft.CurrentTerm()) {
				return errors.New("it still is")
			}
			return nil
		})
	})
}

// scripted answers each AppendEntries as the script says, the last answer for ever.
func scripted(t *testing.T, answers ...func(raft.RPC)) (*transport, raft.ServerAddress) {
	t.Helper()
	server := libraryTransport(listenTCP(t), transportTimeout)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case rpc := <-server.Consumer():
				answers[min(n, len(answers)-1)](rpc)
			case <-ctx.Done():
				return
			}
		}
	})
	client := newTransport(listenTCP(t), hclog.NewNullLogger())
	t.Cleanup(func() {
		stop()
		wg.Wait()
		closeWire(client)
		closeWire(server)
	})
	return client, server.LocalAddr()
}

func success(ok, noBackoff bool) func(raft.RPC) {
	return func(rpc raft.RPC) {
		term := rpc.Command.(*raft.AppendEntriesRequest).Term
		rpc.Respond(&raft.AppendEntriesResponse{Term: term, Success: ok, NoRetryBackoff: noBackoff}, nil)
	}
}

// A follower that cannot write its log is asked again, and the library does not hear of it.
func TestRejectedEntriesAreSentAgain(t *testing.T) {
	node := startBare(t, bareOptions{})
	node.lead()
	refuse, crash := success(false, false), func(rpc raft.RPC) { rpc.Respond(nil, errors.New("shut down")) }
	client, to := scripted(t, refuse, crash, refuse, success(true, false))
	client.holder.log = slog.New(slog.DiscardHandler)
	client.holdFor(node.Raft)
	request := &raft.AppendEntriesRequest{RPCHeader: headerOf("node"), Term: node.CurrentTerm(), PrevLogEntry: 7, PrevLogTerm: 1}
	var answer raft.AppendEntriesResponse
	if err := client.AppendEntries(node.id, to, request, &answer); err != nil || !answer.Success {
		t.Errorf("error %v, answer %+v", err, answer)
	}
	// One of a term that has passed is not.
	client, to = scripted(t, crash)
	client.holder.log = slog.New(slog.DiscardHandler)
	client.holdFor(node.Raft)
	request.Term++
	if err := client.AppendEntries(node.id, to, request, &answer); err == nil {
		t.Error("a request of another term was held")
	}
}

// A snapshot that was not taken is opened and sent again, as a whole, as long as it is kept.
func TestSnapshotIsSentAgain(t *testing.T) {
	node := startBare(t, bareOptions{})
	node.lead()
	var got []string
	var came []time.Time
	installs := 0
	serve := func(rpc raft.RPC) {
		req, is := rpc.Command.(*raft.InstallSnapshotRequest)
		if !is {
			success(true, false)(rpc)
			return
		}
		came = append(came, time.Now())
		body, _ := io.ReadAll(rpc.Reader)
		got = append(got, string(body))
		installs++
		var err error
		if installs == 1 {
			err = errors.New("shut down")
		}
		rpc.Respond(&raft.InstallSnapshotResponse{Term: req.Term, Success: installs > 2}, err)
	}
	client, to := scripted(t, serve)
	client.holder.log = slog.New(slog.DiscardHandler)
	client.holdFor(node.Raft)
	var open, opened atomic.Int64
	client.holder.open = func(index, term uint64) (io.ReadCloser, error) {
		if index != 7 || term != 3 {
			t.Errorf("snapshot %d of term %d", index, term)
		}
		open.Add(1)
		opened.Add(1)
		return &countedCloser{strings.NewReader("whole"), &open}, nil
	}
	request := &raft.InstallSnapshotRequest{RPCHeader: headerOf("node"), Term: node.CurrentTerm(), LastLogIndex: 7, LastLogTerm: 3, Size: 5}
	var answer raft.InstallSnapshotResponse
	err := client.InstallSnapshot(node.id, to, request, &answer, strings.NewReader("whole"))
	if err != nil || !answer.Success || fmt.Sprint(got) != "[whole whole whole]" || opened.Load() != 2 || open.Load() != 0 {
		t.Errorf("error %v, answer %+v, sent %v, opened %d, left open %d", err, answer, got, opened.Load(), open.Load())
	}
	if first, second := came[1].Sub(came[0]), came[2].Sub(came[1]); first < snapshotAgain || second < 2*snapshotAgain {
		t.Errorf("sent again after %s and after %s", first, second)
	}
	gone := errors.New("gone")
	client.holder.open = func(uint64, uint64) (io.ReadCloser, error) { return nil, gone }
	installs = 1
	if err := client.InstallSnapshot(node.id, to, request, &answer, strings.NewReader("whole")); !errors.Is(err, gone) || !errors.Is(err, errRejected) {
		t.Errorf("kept no longer: %v", err)
	}
}

type countedCloser struct {
	io.Reader
	open *atomic.Int64
}

func (c *countedCloser) Close() error {
	c.open.Add(-1)
	return nil
}

func TestWhatIsAHeartbeat(t *testing.T) {
	entry := []*raft.Log{{Index: 1}}
	for _, c := range []struct {
		req  raft.AppendEntriesRequest
		want bool
	}{
		{raft.AppendEntriesRequest{Term: 3}, true},
		{raft.AppendEntriesRequest{Term: 3, LeaderCommitIndex: 1}, false},
		{raft.AppendEntriesRequest{Term: 3, PrevLogEntry: 1, PrevLogTerm: 1}, false},
		{raft.AppendEntriesRequest{Term: 3, Entries: entry}, false},
	} {
		if got := isHeartbeat(&c.req); got != c.want {
			t.Errorf("%+v: %v", c.req, got)
		}
	}
}

func TestHoldFor(t *testing.T) {
	for _, c := range []struct {
		err      error
		min, max time.Duration
	}{
		{errCut, holdMin, holdMax},
		{errRejected, holdMin, holdMax},
		{fmt.Errorf("greet: %w", answer{Reason: "of another cluster"}.err()), holdRefused, holdRefused},
		{fmt.Errorf("greet: %w", answer{Reason: "an older copy", History: true}.err()), holdRefused, holdRefused},
	} {
		if got := holdFor(c.err); got < c.min || got > c.max {
			t.Errorf("%v: %s", c.err, got)
		}
	}
}

func TestWhatIsRejected(t *testing.T) {
	req := &raft.AppendEntriesRequest{Term: 3}
	for _, c := range []struct {
		resp raft.AppendEntriesResponse
		want bool
	}{
		{raft.AppendEntriesResponse{Term: 3, Success: true}, false},
		{raft.AppendEntriesResponse{Term: 3}, true},
		{raft.AppendEntriesResponse{Term: 3, NoRetryBackoff: true}, false}, // it lacks what comes before
		{raft.AppendEntriesResponse{Term: 4}, false},                       // another leads
	} {
		if got := rejected(req, &c.resp); got != c.want {
			t.Errorf("%+v: %v", c.resp, got)
		}
	}
}

// When a call fails, the idle connections to that replica are closed, and no other.
func TestIdleConnectionsAreDroppedWithAFailedCall(t *testing.T) {
	s := &stream{conns: make(map[*raftConn]struct{})}
	add := func(id string, busy bool) *raftConn {
		near, far := net.Pipe()
		t.Cleanup(func() { _ = far.Close() })
		c := &raftConn{Conn: near, stream: s, id: id}
		c.busy.Store(busy)
		s.conns[c] = struct{}{}
		return c
	}
	idle, busy, other := add("a", false), add("a", true), add("b", false)
	tr := &transport{stream: s, holder: newHolder(), NetworkTransport: libraryTransport(listenTCP(t), transportTimeout)}
	defer closeWire(tr)
	calls := 0
	err := tr.call("a", func() error {
		if calls++; calls < 3 {
			return fmt.Errorf("write: %w", net.ErrClosed) // of one that was closed in the pool
		}
		return errCut
	})
	if !errors.Is(err, errCut) || calls != 3 {
		t.Errorf("error %v after %d calls", err, calls)
	}
	for c, open := range map[*raftConn]bool{idle: false, busy: true, other: true} {
		if _, is := s.conns[c]; is != open {
			t.Errorf("to %s, busy %v: open %v", c.id, c.busy.Load(), is)
		}
		_ = c.Close()
	}
}

// What is left of the pool after that does not make the next calls fail.
func TestCallsAfterConnectionsWereDropped(t *testing.T) {
	c := newTrio(t, 2, nil)
	leader, f := c.leader(), c.follower()
	_ = leader.transport.call(raft.ServerID(f.data.ID), func() error { return errCut })
	for range 2 * raftConns {
		var answer raft.AppendEntriesResponse
		beat := &raft.AppendEntriesRequest{RPCHeader: headerOf(leader.data.ID), Term: leader.raft.CurrentTerm()}
		if err := leader.transport.AppendEntries(raft.ServerID(f.data.ID), raft.ServerAddress(f.data.ID), beat, &answer); err != nil {
			t.Fatal(err)
		}
	}
}
