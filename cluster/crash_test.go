package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// image is a data path as a crash would leave it at one moment, and what the replica had told others.
type image struct {
	dir, what string
	acked     entryMark // the newest entry that it has told a leader that it has
	voted     uint64    // the newest term that it has voted in
}

// camera copies a data path after each write that a part of Raft makes in it.
type camera struct {
	t   testing.TB
	dir string

	mu     sync.Mutex
	images []image
	now    image
}

func (c *camera) shoot(what string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	to := c.now
	to.what = fmt.Sprintf("%d: after %s", len(c.images), fmt.Sprintf(what, args...))
	to.dir = filepath.Join(c.t.TempDir(), "data")
	if err := os.CopyFS(to.dir, os.DirFS(c.dir)); err != nil {
		c.t.Error(err)
	}
	c.images = append(c.images, to)
}

// tell notes what the replica has told others.
func (c *camera) tell(note func(now *image)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	note(&c.now)
}

type shotLog struct {
	raft.LogStore
	*camera
}

func (l shotLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

func (l shotLog) StoreLogs(logs []*raft.Log) error {
	defer l.shoot("storing %d to %d", logs[0].Index, logs[len(logs)-1].Index)
	return l.LogStore.StoreLogs(logs)
}

func (l shotLog) DeleteRange(first, last uint64) error {
	defer l.shoot("deleting %d to %d", first, last)
	return l.LogStore.DeleteRange(first, last)
}

type shotStable struct {
	raft.StableStore
	*camera
}

func (s shotStable) Set(key, value []byte) error {
	defer s.shoot("setting %s", key)
	return s.StableStore.Set(key, value)
}

func (s shotStable) SetUint64(key []byte, n uint64) error {
	defer s.shoot("setting %s to %d", key, n)
	return s.StableStore.SetUint64(key, n)
}

type shotSnapshots struct {
	raft.SnapshotStore
	*camera
}

func (s shotSnapshots) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, t raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(v, index, term, c, at, t)
	s.shoot("creating snapshot %d", index)
	return shotSink{sink, s.camera, index}, err
}

type shotSink struct {
	raft.SnapshotSink
	*camera
	index uint64
}

func (s shotSink) Write(b []byte) (int, error) {
	n, err := s.SnapshotSink.Write(b)
	s.shoot("writing to snapshot %d", s.index)
	return n, err
}

func (s shotSink) Close() error {
	defer s.shoot("closing snapshot %d", s.index)
	return s.SnapshotSink.Close()
}

// branch is a log and the registries that it makes.
type branch struct {
	entries []*raft.Log // by index
	states  []*fsm.State
}

// crashServers is the configuration of the replica under test: it elects nobody.
var crashServers = raft.Configuration{Servers: []raft.Server{{ID: "leader", Address: "leader"}, {ID: "node", Address: "node"}, {ID: "third", Address: "third"}}}

// branchOf makes a log whose entries have the terms that termOf gives.
func branchOf(t testing.TB, length uint64, termOf func(index uint64) uint64) *branch {
	h, registry := &branch{entries: []*raft.Log{nil}, states: []*fsm.State{nil}}, fsm.New()
	for i := uint64(1); i <= length; i++ {
		entry := &raft.Log{Index: i, Term: termOf(i)}
		switch i {
		case 1:
			entry.Type, entry.Data = raft.LogConfiguration, raft.EncodeConfiguration(crashServers)
		case 2:
			entry.Data = journalEntry(1, 1, fsm.OpenReplica("r9"))
		default:
			entry.Data = journalEntry(1, i-1, fsm.CreateTopic(fmt.Sprintf("topic-%d-of-%d", i, entry.Term)))
		}
		if entry.Type == raft.LogCommand {
			if _, err := registry.Apply(i, entry.Data); err != nil {
				t.Fatal(err)
			}
		}
		h.entries, h.states = append(h.entries, entry), append(h.states, registry.State())
	}
	return h
}

// has reports whether the history has that entry.
func (h *branch) has(m entryMark) bool {
	return m.index > 0 && m.index < uint64(len(h.entries)) && h.entries[m.index].Term == m.term
}

// The log that is committed in the end, and the entries of two leaders that were deposed.
func finalTerm(i uint64) uint64 {
	switch {
	case i <= 12:
		return 2
	case i <= 60:
		return 4
	case i <= 63:
		return 5
	}
	return 6
}

func crashBranches(t testing.TB) (final, thirteen, sixtyFour *branch) {
	deposed := func(from, term uint64) func(uint64) uint64 {
		return func(i uint64) uint64 {
			if i >= from {
				return term
			}
			return finalTerm(i)
		}
	}
	return branchOf(t, 80, finalTerm), branchOf(t, 16, deposed(13, 3)), branchOf(t, 72, deposed(64, 5))
}

// crashNode is a replica's Raft over its stores, led by a test.
type crashNode struct {
	*bare
	stores   *stores
	data     *dataPath
	camera   *camera // may be nil
	registry *fsm.Registry
	s        stranger
}

// crashPath is the data path of a replica that was just taken into a cluster.
func crashPath(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	d, err := openDataPath(dir, "r1", false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if err := d.update(func(me *identity) { me.Cluster = "cluster" }); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startCrashNode is startCrashNodeOn, with or without what keeps the log free of holes. The camera may be nil.
func startCrashNode(t testing.TB, dir string, trailing uint64, c *camera, released bool) *crashNode {
	t.Helper()
	return startCrashNodeOn(t, dir, crashOptions{trailing: trailing, camera: c, released: released})
}

type crashOptions struct {
	trailing uint64
	camera   *camera
	released bool                              // as release 0.1.0 was
	wrap     func(raft.LogStore) raft.LogStore // the log, may be nil
}

// startCrashNodeOn starts Raft on a data path.
func startCrashNodeOn(t testing.TB, dir string, with crashOptions) *crashNode {
	t.Helper()
	c := with.camera
	d, err := openDataPath(dir, "r1", false)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStores(d, hclog.NewNullLogger())
	if err != nil {
		d.close()
		t.Fatal(err)
	}
	if _, err := s.closeGap(); err != nil {
		t.Fatal(err)
	}
	n := &crashNode{stores: s, data: d, camera: c, registry: fsm.New(), s: newStranger(t)}
	o := bareOptions{log: s.log, stable: s.stable, snapshots: s.snapshots, config: func(c *raft.Config) {
		c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout, c.TrailingLogs = time.Hour, time.Hour, time.Hour, with.trailing
	}}
	if with.released {
		o.log, o.snapshots = s.log.(*anchoredLog).LogStore, s.snapshots.SnapshotStore
	}
	if c != nil {
		o.log, o.stable, o.snapshots = shotLog{o.log, c}, &voteStore{StableStore: shotStable{s.bolt, c}}, shotSnapshots{o.snapshots, c}
	}
	if with.wrap != nil {
		o.log = with.wrap(o.log)
	}
	restored := func() {
		if err := s.follow(); err != nil {
			t.Error(err)
		}
	}
	if !with.released {
		s.written = o.log
	}
	o.machine = &machine{registry: n.registry, applied: func(*fsm.Outcome) {}, restored: restored, failed: func(err error) { t.Error(err) },
		begun: func() {
			if err := d.update(func(me *identity) { me.Bootstrapped = true }); err != nil {
				t.Error(err)
			}
		}}
	n.bare = startBare(t, o)
	return n
}

func (n *crashNode) close() {
	n.stop()
	if err := n.stores.bolt.Close(); err != nil {
		n.t.Error(err)
	}
	n.data.close()
}

// append sends entries of a history, and reports whether they were taken.
func (n *crashNode) append(h *branch, term, first, last, commit uint64) raft.AppendEntriesResponse {
	r := &raft.AppendEntriesRequest{RPCHeader: headerOf("leader"), Term: term, PrevLogEntry: first - 1, LeaderCommitIndex: commit}
	if first > 1 {
		r.PrevLogTerm = h.entries[first-1].Term
	}
	if last >= first {
		r.Entries = h.entries[first : last+1]
	}
	n.overrule(h)
	answer := n.s.append(n.bare, r)
	if answer.Success && commit > 1 {
		eventually.True(n.t, soon, "applied", func() error {
			if at := n.registry.State().Index(); at < commit {
				return fmt.Errorf("%d of %d", at, commit)
			}
			return nil
		})
	}
	if answer.Success && n.camera != nil {
		n.camera.tell(func(now *image) { now.acked = entryMark{last, h.entries[last].Term} })
	}
	return answer
}

// overrule forgets the acknowledgement of entries that another leader was deposed with: they may be deleted.
func (n *crashNode) overrule(h *branch) {
	if n.camera == nil {
		return
	}
	n.camera.tell(func(now *image) {
		switch last := now.acked; {
		case last.index == 0 || h.has(last):
		case last.term == 3:
			now.acked = entryMark{12, 2}
		default:
			now.acked = entryMark{63, 5}
		}
	})
}

// install sends the snapshot of a history at an index.
func (n *crashNode) install(h *branch, term, at uint64) {
	n.t.Helper()
	var state bytes.Buffer
	if _, err := h.states[at].WriteTo(&state); err != nil {
		n.t.Fatal(err)
	}
	r := &raft.InstallSnapshotRequest{RPCHeader: headerOf("leader"), SnapshotVersion: 1, Term: term, LastLogIndex: at,
		LastLogTerm: h.entries[at].Term, Configuration: raft.EncodeConfiguration(crashServers), ConfigurationIndex: 1, Size: int64(state.Len())}
	n.overrule(h)
	var answer raft.InstallSnapshotResponse
	if err := n.s.InstallSnapshot(n.id, n.address, r, &answer, io.Reader(&state)); err != nil || !answer.Success {
		n.t.Fatalf("snapshot %d: %+v, error %v", at, answer, err)
	}
	if n.camera != nil {
		n.camera.tell(func(now *image) { now.acked = entryMark{at, h.entries[at].Term} })
	}
}

// lead brings the replica to the end of a history as hashicorp/raft's replication does (replication.go,
// replicateTo): with a log that begins at an index, and a snapshot before it.
func (n *crashNode) lead(h *branch, term, begins uint64) error {
	last := uint64(len(h.entries) - 1)
	next := last + 1
	for range 3 * last {
		if next < begins {
			n.install(h, term, begins-1)
			next = begins
			continue
		}
		answer := n.append(h, term, next, last, last)
		if answer.Success {
			return nil
		}
		next = max(min(next-1, answer.LastLog+1), 1)
	}
	return errors.New("it is stuck")
}
