package cluster

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// halfSnapshot is a snapshot whose sender stands still after some bytes, until it is released.
type halfSnapshot struct {
	start   *bytes.Reader
	waits   chan struct{} // closed when the sender stands still
	release chan struct{}
}

func newHalfSnapshot() *halfSnapshot {
	return &halfSnapshot{bytes.NewReader(make([]byte, 64<<10)), make(chan struct{}), make(chan struct{})}
}

func (h *halfSnapshot) Read(b []byte) (int, error) {
	if h.start.Len() > 0 {
		return h.start.Read(b)
	}
	close(h.waits)
	<-h.release
	return 0, io.ErrUnexpectedEOF
}

func installRequest(size int64) *raft.InstallSnapshotRequest {
	return &raft.InstallSnapshotRequest{RPCHeader: headerOf("leader"), SnapshotVersion: 1, Term: 3, LastLogIndex: 7, Size: size}
}

// nextRequest returns what the library is handed next.
func nextRequest(t *testing.T, wire *transport) raft.RPC {
	t.Helper()
	select {
	case rpc := <-wire.Consumer():
		return rpc
	case <-time.After(soon):
		t.Fatal("no request")
		return raft.RPC{}
	}
}

// A snapshot reaches the library when it is here whole, and other requests do not wait for it.
func TestSnapshotIsReceivedBesideOtherRequests(t *testing.T) {
	to := listenTCP(t)
	wire := newTransport(to, hclog.NewNullLogger())
	wire.incoming.dir = t.TempDir()
	sender := libraryTransport(listenTCP(t), transportTimeout)
	t.Cleanup(func() { _, _ = sender.Close(), wire.Close() })
	address := raft.ServerAddress(to.Addr().String())
	half, failed := newHalfSnapshot(), make(chan error, 1)
	go func() {
		failed <- sender.InstallSnapshot("to", address, installRequest(1<<20), new(raft.InstallSnapshotResponse), half)
	}()
	<-half.waits
	beat := make(chan error, 1)
	go func() {
		beat <- sender.AppendEntries("to", address, &raft.AppendEntriesRequest{RPCHeader: headerOf("leader"), Term: 3}, new(raft.AppendEntriesResponse))
	}()
	if rpc := nextRequest(t, wire); rpc.Reader != nil {
		t.Fatalf("got a %T", rpc.Command)
	} else {
		rpc.Respond(&raft.AppendEntriesResponse{Term: 3, Success: true}, nil)
	}
	if err := <-beat; err != nil {
		t.Error(err)
	}
	close(half.release)
	if err := <-failed; err == nil {
		t.Error("half a snapshot was taken")
	}
	var answer raft.InstallSnapshotResponse
	go func() {
		whole := []byte("the whole of it")
		failed <- sender.InstallSnapshot("to", address, installRequest(int64(len(whole))), &answer, bytes.NewReader(whole))
	}()
	rpc := nextRequest(t, wire)
	if got, err := io.ReadAll(rpc.Reader); err != nil || string(got) != "the whole of it" {
		t.Errorf("snapshot %q, error %v", got, err)
	}
	rpc.Respond(&raft.InstallSnapshotResponse{Term: 3, Success: true}, nil)
	if err := <-failed; err != nil || !answer.Success {
		t.Errorf("answer %+v, error %v", answer, err)
	}
	eventually.True(t, soon, "no file is left", func() error {
		if left, _ := filepath.Glob(filepath.Join(wire.incoming.dir, incomingPattern)); len(left) > 0 {
			return errors.New(left[0])
		}
		return nil
	})
}

// A leader that stands still in the middle of a snapshot keeps a follower from nothing, and its
// connection ends.
func TestSnapshotThatStandsStill(t *testing.T) {
	c := newTrio(t, 3, nil)
	leader, to := c.leader(), c.follower()
	half, failed := newHalfSnapshot(), make(chan error, 1)
	request := installRequest(1 << 20)
	request.ID, request.Term = []byte(leader.ID()), leader.raft.CurrentTerm()
	go func() {
		failed <- leader.transport.installOnce(raft.ServerID(to.ID()), raft.ServerAddress(to.ID()), request,
			new(raft.InstallSnapshotResponse), half)
	}()
	<-half.waits
	// The main loop of the follower would be in installSnapshot now, and answer nothing.
	s := session(t, to, 1)
	register(t, s, "meanwhile", "")
	eventually.True(t, soon, "the follower goes on", func() error {
		if !lists(read(t, to), "meanwhile", 1) {
			return errors.New("the change is not applied")
		}
		return nil
	})
	eventually.True(t, soon, "what has come is thrown away", func() error {
		if left, _ := filepath.Glob(filepath.Join(to.data.dir, incomingPattern)); len(left) > 0 {
			return errors.New(left[0])
		}
		return nil
	})
	close(half.release)
	if err := <-failed; err == nil {
		t.Error("half a snapshot was taken")
	}
}

func TestIncomingSnapshotOfACrashIsRemoved(t *testing.T) {
	cfg := testConfig(t.TempDir())
	mustClose(t, openReady(t, cfg))
	left := filepath.Join(cfg.DataPath, "incoming-1.tmp")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := openReady(t, cfg)
	if dir := r.transport.incoming.dir; dir != cfg.DataPath {
		t.Errorf("snapshots come in at %q", dir)
	}
	mustClose(t, r)
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// slowReader gives a byte each time that almost is a stall.
type slowReader struct{ left int }

func (r *slowReader) Read(b []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	pause(context.Background(), snapshotStall-1)
	r.left--
	return copy(b, "x"), nil
}

// A snapshot may come slowly, but must not stand still. The connection of one that is here stays.
func TestSlowSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPort(noListener{}, identity0{"me", "cluster"}, slog.New(slog.DiscardHandler))
		near, far := net.Pipe()
		defer func() { _ = far.Close() }()
		wire, ok := p.track(near)
		if !ok {
			t.Fatal("no connection")
		}
		p.belongs(wire, "leader", life{})
		tr := &transport{stream: &stream{port: p}, incoming: incoming{dir: t.TempDir(), stall: snapshotStall}}
		file, err := tr.spool(&slowReader{5}, &raft.InstallSnapshotRequest{RPCHeader: headerOf("leader"), Size: 5})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(file); err != nil || string(got) != "xxxxx" {
			t.Errorf("received %q, error %v", got, err)
		}
		_, _ = file.Close(), os.Remove(file.Name())
		time.Sleep(10 * snapshotStall)
		if len(p.open) != 1 {
			t.Error("the connection was closed")
		}
		if _, err := tr.spool(wire, &raft.InstallSnapshotRequest{RPCHeader: headerOf("leader"), Size: 5}); err == nil {
			t.Error("a snapshot that stands still was received")
		}
		if left, _ := filepath.Glob(filepath.Join(tr.incoming.dir, "*")); len(left) > 0 || len(p.open) > 0 {
			t.Errorf("left are %v and %d connections", left, len(p.open))
		}
	})
}
