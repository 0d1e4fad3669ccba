package cluster

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// busyMachine is a state machine that applies nothing until it is let go.
type busyMachine struct {
	idleMachine
	release chan struct{}
}

func (m busyMachine) Apply(*raft.Log) any {
	<-m.release
	return nil
}

// isResolved looks whether a future of the library has its outcome. To wait for one that never gets
// it would leave a goroutine behind for ever.
func isResolved(f raft.ApplyFuture) bool {
	return reflect.ValueOf(f).Elem().FieldByName("errCh").Len() > 0
}

// hashicorp/raft issue 498: entries that are committed, but not yet applied when Raft stops, are
// forgotten, and their futures never resolve.
func TestPlainFutureNeverResolves(t *testing.T) {
	m := busyMachine{release: make(chan struct{})}
	node := startBare(t, bareOptions{machine: m})
	node.lead()
	var futures []raft.ApplyFuture
	for range 40 { // each handed over by itself; the library drops them with one chance in two
		before := node.LastIndex()
		futures = append(futures, node.Apply([]byte("entry"), soon))
		eventually.True(t, soon, "committed and handed over", func() error {
			if index, last := node.AppliedIndex(), node.LastIndex(); last == before || index < last {
				return fmt.Errorf("handed over up to %d of %d, %d before", index, last, before)
			}
			return nil
		})
	}
	stopped := node.Shutdown()
	close(m.release)
	if err := stopped.Error(); err != nil {
		t.Fatal(err)
	}
	forgotten := 0
	for _, f := range futures {
		if !isResolved(f) {
			forgotten++
		}
	}
	if forgotten == 0 {
		t.Error("every future was resolved: does the library tell those whose entries it drops?")
	}
}

// unresolved is such a future, until the test ends.
type unresolved struct {
	raft.ApplyFuture
	end <-chan struct{}
}

func (u unresolved) Error() error {
	<-u.end
	return raft.ErrRaftShutdown
}

// Whoever waits for an entry here has an end of his own.
func TestAwaitEndsWithoutTheFuture(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- await(ctx, unresolved{end: end}) }()
	select {
	case err := <-done:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	case <-time.After(soon):
		t.Error("still waiting")
	}
}

// overwrite1 is what a leader of another cluster says to a node that has its member's address.
func overwrite1(from string) *raft.AppendEntriesRequest {
	return &raft.AppendEntriesRequest{RPCHeader: headerOf(from), Term: 100, Entries: entriesOf(100, 1, 1)}
}

// hashicorp/raft issue 643: a cluster has no identity. A leader that speaks to an address which now
// belongs to a server of another cluster deposes that one's leader and replaces committed entries.
func TestPlainRaftObeysAnotherCluster(t *testing.T) {
	node := startBare(t, bareOptions{})
	node.lead()
	node.write()
	committed := node.CommitIndex()
	answer := newStranger(t).append(node, overwrite1("foreign"))
	var first raft.Log
	if err := node.log.GetLog(1, &first); err != nil {
		t.Fatal(err)
	}
	if !answer.Success || first.Term != 100 || node.LastIndex() >= committed {
		t.Errorf("answered %+v, %d entries, the first of term %d; %d were committed: does the library refuse it?",
			answer, node.LastIndex(), first.Term, committed)
	}
}

// The same to a replica: the greeting comes first, and the message is never read. What would have
// been obeyed is shown last, from one of the cluster.
func TestReplicaDoesNotObeyAnotherCluster(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	register(t, session(t, r, 1), "topic", "")
	settle(t, r)
	levelled(t, r)
	term, last, mine := r.raft.CurrentTerm(), r.raft.LastIndex(), r.whoami()
	for name, as := range map[string]struct {
		from   peer
		target string
		want   string
	}{
		"its member was there":    {peer{"leader", "foreign"}, "member", "meant for replica"},
		"its member had that id":  {peer{"leader", "foreign"}, mine.id, "of cluster"},
		"it belongs to none":      {peer{"leader", ""}, mine.id, "of no cluster"},
		"it gives itself this id": {peer{mine.id, "foreign"}, mine.id, "of cluster"},
	} {
		err := appendAs(t, r, as.from, as.target, overwrite1("leader"))
		if err == nil || !strings.Contains(err.Error(), as.want) {
			t.Errorf("%s: error %v, want %q", name, err, as.want)
		}
	}
	if r.raft.CurrentTerm() != term || r.raft.LastIndex() != last || !r.leads() {
		t.Errorf("term %d, was %d; %d entries, were %d; leads: %v", r.raft.CurrentTerm(), term, r.raft.LastIndex(), last, r.leads())
	}
	beat := &raft.AppendEntriesRequest{RPCHeader: headerOf("leader"), Term: 100}
	if err := appendAs(t, r, peer{"leader", mine.cluster}, mine.id, beat); err != nil || r.raft.CurrentTerm() < 100 {
		t.Errorf("from its own cluster: error %v, term %d", err, r.raft.CurrentTerm())
	}
}

// appendAs sends an AppendEntries to the replica's address through a real transport of somebody's.
func appendAs(t *testing.T, r *Replica, from peer, target string, request *raft.AppendEntriesRequest) error {
	t.Helper()
	p := newPort(noListener{}, identity0(from), r.log)
	p.book.reached(target, r.port.listener.Addr().String())
	wire := newTransport(newStream(p, from.id), hclog.NewNullLogger())
	defer func() {
		closeWire(wire)
		p.drop()
		p.wait()
	}()
	var answer raft.AppendEntriesResponse
	return wire.AppendEntries(raft.ServerID(target), raft.ServerAddress(target), request, &answer)
}

// countedSnapshots counts those that are begun.
type countedSnapshots struct {
	raft.SnapshotStore
	begun atomic.Int64
}

func (c *countedSnapshots) Create(v raft.SnapshotVersion, index, term uint64, conf raft.Configuration, at uint64,
	trans raft.Transport) (raft.SnapshotSink, error) {
	c.begun.Add(1)
	return c.SnapshotStore.Create(v, index, term, conf, at, trans)
}

// deposed is a follower that led once: its log goes on from the first entry with a tail that was
// never committed, further than the snapshot reaches that the leader has taken since.
func deposed(t *testing.T, config func(*raft.Config)) (leader, follower *bare, installed *countedSnapshots) {
	leader = startBare(t, bareOptions{id: "leader", config: config})
	leader.lead()
	var first raft.Log
	if err := leader.log.GetLog(1, &first); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		leader.write()
	}
	if err := leader.Raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	log := raft.NewInmemStore()
	if err := log.StoreLogs(append([]*raft.Log{&first}, entriesOf(1, 2, 100)...)); err != nil {
		t.Fatal(err)
	}
	installed = &countedSnapshots{SnapshotStore: raft.NewInmemSnapshotStore()}
	follower = startBare(t, bareOptions{id: "follower", log: log, snapshots: installed, config: config})
	// The leader begins with it at the end of its own log, as after an election.
	if err := leader.AddNonvoter(follower.id, follower.address, 0, soon).Error(); err != nil {
		t.Fatal(err)
	}
	return leader, follower, installed
}

// hashicorp/raft issue 697: what such a follower needs is an entry that its leader has no more. It
// gets the snapshot, which does not remove its tail, then the same again, without end.
func TestPlainFollowerLoopsOnSnapshots(t *testing.T) {
	leader, follower, installed := deposed(t, func(c *raft.Config) { c.TrailingLogs = 1 })
	eventually.True(t, soon, "snapshots again and again", func() error {
		if n := installed.begun.Load(); n < 5 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	if err := follower.has(leader); err == nil {
		t.Error("the follower has caught up: does a snapshot remove its tail now?")
	}
}

// With the trailing logs that replicas keep it gets entries, and needs no snapshot.
func TestTrailingLogsSpareTheFollowerSnapshots(t *testing.T) {
	r := &Replica{cfg: testConfig(t.TempDir()), data: &dataPath{}}
	keep := r.raftConfig(hclog.NewNullLogger()).TrailingLogs
	leader, follower, installed := deposed(t, func(c *raft.Config) { c.TrailingLogs = keep })
	eventually.True(t, soon, "the follower catches up", func() error { return follower.has(leader) })
	if n := installed.begun.Load(); n > 0 {
		t.Errorf("%d snapshots were sent", n)
	}
}
