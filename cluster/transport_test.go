package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// A contact is noted with the time when the message was sent, and only when the answer proves that the other
// was in the term of the message.
func TestWhichAnswersAreContacts(t *testing.T) {
	const term = 7
	type call func(w *transport, to raft.ServerAddress) error
	appendTo := func(w *transport, to raft.ServerAddress) error {
		return w.appendOnce("a", to, &raft.AppendEntriesRequest{RPCHeader: headerOf("me"), Term: term}, new(raft.AppendEntriesResponse))
	}
	vote := func(w *transport, to raft.ServerAddress) error {
		return w.RequestVote("a", to, &raft.RequestVoteRequest{RPCHeader: headerOf("me"), Term: term}, new(raft.RequestVoteResponse))
	}
	preVote := func(w *transport, to raft.ServerAddress) error {
		return w.RequestPreVote("a", to, &raft.RequestPreVoteRequest{RPCHeader: headerOf("me"), Term: term}, new(raft.RequestPreVoteResponse))
	}
	install := func(w *transport, to raft.ServerAddress) error {
		return w.installOnce("a", to, &raft.InstallSnapshotRequest{RPCHeader: headerOf("me"), Term: term, Size: 1},
			new(raft.InstallSnapshotResponse), bytes.NewReader([]byte("x")))
	}
	for name, c := range map[string]struct {
		call   call
		answer any
		want   bool
	}{
		"entries":                      {appendTo, &raft.AppendEntriesResponse{Term: term, Success: true}, true},
		"entries it does not take":     {appendTo, &raft.AppendEntriesResponse{Term: term}, true},
		"entries, of a newer term":     {appendTo, &raft.AppendEntriesResponse{Term: term + 1}, false},
		"vote":                         {vote, &raft.RequestVoteResponse{Term: term, Granted: true}, true},
		"vote for another":             {vote, &raft.RequestVoteResponse{Term: term}, false},
		"vote of a newer term":         {vote, &raft.RequestVoteResponse{Term: term + 1}, false},
		"no vote yet":                  {preVote, &raft.RequestPreVoteResponse{Term: term, Granted: true}, false},
		"snapshot":                     {install, &raft.InstallSnapshotResponse{Term: term, Success: true}, true},
		"snapshot, answered by a term": {install, &raft.InstallSnapshotResponse{Term: term + 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var came time.Time
			w, to := scripted(t, func(rpc raft.RPC) {
				if rpc.Reader != nil {
					_, _ = rpc.Reader.Read(make([]byte, 1))
				}
				came = time.Now()
				rpc.Respond(c.answer, nil)
			})
			before := time.Now()
			if err := c.call(w, to); err != nil {
				t.Fatal(err)
			}
			for of := range uint64(term + 2) {
				at := w.contacts.in(of, []string{"a"})[0]
				if want := c.want && of == term; at.IsZero() == want || want && (at.Before(before) || at.After(came)) {
					t.Errorf("term %d: the contact was %s after the call, which came after %s", of, at.Sub(before), came.Sub(before))
				}
			}
		})
	}
}

// What a follower has acknowledged is what it has taken, as far as that is committed.
func TestWhatIsAcknowledged(t *testing.T) {
	entries := []*raft.Log{{Index: 8}, {Index: 9}}
	for name, c := range map[string]struct {
		req     raft.AppendEntriesRequest
		success bool
		want    uint64
	}{
		"entries":                   {raft.AppendEntriesRequest{PrevLogEntry: 7, Entries: entries, LeaderCommitIndex: 20}, true, 9},
		"what comes before":         {raft.AppendEntriesRequest{PrevLogEntry: 7, LeaderCommitIndex: 20}, true, 7},
		"not committed":             {raft.AppendEntriesRequest{PrevLogEntry: 7, Entries: entries, LeaderCommitIndex: 8}, true, 8},
		"a heartbeat":               {raft.AppendEntriesRequest{}, true, 0},
		"entries that it refuses":   {raft.AppendEntriesRequest{PrevLogEntry: 7, Entries: entries, LeaderCommitIndex: 20}, false, 0},
		"what it has not come upon": {raft.AppendEntriesRequest{PrevLogEntry: 7, LeaderCommitIndex: 20}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w, to := scripted(t, success(c.success, true))
			c.req.RPCHeader, c.req.Term = headerOf("me"), 3
			if err := w.appendOnce("a", to, &c.req, new(raft.AppendEntriesResponse)); err != nil {
				t.Fatal(err)
			}
			if got := w.holder.signs.get("a").Acked; got != c.want {
				t.Errorf("acknowledged up to %d, want %d", got, c.want)
			}
		})
	}
}

// A call that is answered is a sign of life, and one that fails is none.
func TestAnsweredCallIsASignOfLife(t *testing.T) {
	w, to := scripted(t, success(true, true))
	beat := &raft.AppendEntriesRequest{RPCHeader: headerOf("me"), Term: 3}
	alive := w.holder.signs.alive("a")
	_ = w.call("a", func() error { return errCut })
	select {
	case <-alive:
		t.Error("a call that failed")
	default:
	}
	if err := w.AppendEntries("a", to, beat, new(raft.AppendEntriesResponse)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-alive:
	default:
		t.Error("no sign of life after an answer")
	}
}

// A connection is idle from its answer to the next request, and from the beginning it is not.
func TestConnectionIsBusyUntilItsAnswer(t *testing.T) {
	c := newTrio(t, 2, nil)
	leader, f := c.leader(), c.follower()
	s := leader.transport.stream.(*stream)
	dialled, err := s.Dial(raft.ServerAddress(f.data.ID), soon)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dialled.Close() }()
	s.dropIdle(f.data.ID)
	s.mu.Lock()
	_, open := s.conns[dialled.(*raftConn)]
	s.mu.Unlock()
	if !open {
		t.Error("it was closed before its first request")
	}
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	conn := &raftConn{Conn: near, stream: s}
	defer func() { _ = conn.Close() }()
	go func() {
		b := make([]byte, 1)
		for range 2 {
			_, _ = far.Read(b)
		}
		_, _ = far.Write(b)
	}()
	for i, step := range []struct {
		do   func([]byte) (int, error)
		busy bool
	}{{conn.Write, true}, {conn.Write, true}, {conn.Read, false}} {
		if _, err := step.do(make([]byte, 1)); err != nil || conn.busy.Load() != step.busy {
			t.Errorf("step %d: busy %v, error %v", i, conn.busy.Load(), err)
		}
	}
}

// A sign of life ends the wait for the next attempt, also one that came while an attempt was under way.
func TestSignOfLifeEndsTheWait(t *testing.T) {
	node := startBare(t, bareOptions{})
	node.lead()
	for name, during := range map[string]bool{"during the attempt": true, "while it waits": false} {
		eventually.True(t, soon, name, func() error { // the wait may be over before a busy machine notices
			w, to := scripted(t, success(true, true))
			w.holder.log = slog.New(slog.DiscardHandler)
			w.holdFor(node.Raft)
			stop := make(chan struct{})
			defer close(stop)
			var attempts []time.Time
			w.fault = func(string, bool) error {
				attempts = append(attempts, time.Now())
				if len(attempts) > 1 {
					return nil
				}
				if during {
					w.holder.signs.heard("node")
				} else {
					go signs(w.holder.signs, stop)
				}
				return answer{Reason: "not now"}.err() // it would wait for holdRefused
			}
			req := &raft.AppendEntriesRequest{RPCHeader: headerOf("node"), Term: node.CurrentTerm(), PrevLogEntry: 7, PrevLogTerm: 1}
			if err := w.AppendEntries(node.id, to, req, new(raft.AppendEntriesResponse)); err != nil {
				return err
			}
			waited := attempts[1].Sub(attempts[0])
			if waited < holdSpacing {
				t.Errorf("%s: the next attempt came after %s already", name, waited)
			}
			if waited >= holdRefused {
				return fmt.Errorf("the next attempt came after %s", waited)
			}
			return nil
		})
	}
}

// A follower that cannot write its log answers heartbeats: they do not have the entries sent again at once.
func TestSignOfLifeIsNoReasonAfterARejection(t *testing.T) {
	node := startBare(t, bareOptions{})
	node.lead()
	w, to := scripted(t, success(false, false), success(true, true))
	w.holder.log = slog.New(slog.DiscardHandler)
	w.holdFor(node.Raft)
	var attempts []time.Time
	w.fault = func(string, bool) error {
		attempts = append(attempts, time.Now())
		return nil
	}
	req := &raft.AppendEntriesRequest{RPCHeader: headerOf("node"), Term: node.CurrentTerm(), PrevLogEntry: 7, PrevLogTerm: 1}
	if err := w.AppendEntries(node.id, to, req, new(raft.AppendEntriesResponse)); err != nil {
		t.Fatal(err)
	}
	if waited := attempts[1].Sub(attempts[0]); waited < holdMin {
		t.Errorf("sent again after %s", waited)
	}
}

// signs gives signs of life until it is stopped.
func signs(b *book, stop <-chan struct{}) {
	t := time.NewTicker(time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			b.heard("node")
		case <-stop:
			return
		}
	}
}

// A leader that gives up in its own term holds no calls any more.
func TestCallIsNotHeldForAFormerLeader(t *testing.T) {
	c := newTrio(t, 3, nil)
	leader, f := c.leader(), c.follower()
	term := leader.raft.CurrentTerm()
	if !leader.transport.holder.stands(raft.ServerID(f.data.ID), term) {
		t.Fatal("the leader's calls do not stand")
	}
	c.part(leader, true)
	eventually.True(t, soon, "it gives up", func() error {
		if leader.leads() {
			return errors.New("it leads")
		}
		return nil
	})
	if leader.transport.holder.stands(raft.ServerID(f.data.ID), term) {
		t.Error("its calls stand")
	}
}

// The snapshot that is sent again is the one that was sent.
func TestOpenSnapshot(t *testing.T) {
	store := raft.NewInmemSnapshotStore()
	sink, err := store.Create(1, 7, 3, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		index, term uint64
		want        bool
	}{{7, 3, true}, {7, 4, false}, {8, 3, false}} {
		data, err := openSnapshot(store, c.index, c.term)
		closeSnapshot(data)
		if (err == nil) != c.want {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A replica's transport opens the replica's own snapshots.
func TestTransportOpensTheReplicasSnapshots(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	if err := r.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	end := r.stores.snapshots.newest()
	data, err := r.transport.holder.open(end.index, end.term)
	if err != nil || end.index == 0 {
		t.Fatalf("snapshot %+v: %v", end, err)
	}
	closeSnapshot(data)
}

// A log that is full of the same failure tells it now and again.
func TestHeldCallIsToldNowAndAgain(t *testing.T) {
	var lines bytes.Buffer
	h := newHolder()
	h.log = slog.New(slog.NewTextHandler(&lines, nil))
	w := holding{h: &h, id: "a", start: time.Now()}
	for range 5 {
		w.failed(errCut)
	}
	if n := bytes.Count(lines.Bytes(), []byte("replication to it waits")); n != 1 || !bytes.Contains(lines.Bytes(), []byte("attempts=2")) {
		t.Errorf("%d lines: %s", n, lines.String())
	}
	w.told = w.told.Add(-holdTell)
	w.failed(errCut)
	w.over()
	if all := bytes.Split(bytes.TrimSpace(lines.Bytes()), []byte("\n")); len(all) != 3 || !slices.ContainsFunc(all, func(l []byte) bool {
		return bytes.Contains(l, []byte("can be reached again"))
	}) {
		t.Errorf("%d lines: %s", len(all), lines.String())
	}
}
