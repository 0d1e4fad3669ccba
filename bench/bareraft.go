package bench

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// bareNodes is how many nodes a bare cluster has.
const bareNodes = 3

// bareCluster is hashicorp/raft with nothing of ours: three nodes in this process, over loopback TCP, each with a log on
// disk like a replica's. What it takes for a commit, raftlookupd cannot do for less.
type bareCluster struct {
	dir    string
	nodes  []*bareNode
	leader *bareNode
}

type bareNode struct {
	*raft.Raft
	applied atomic.Int64 // entries
	bolt    *raftboltdb.BoltStore
	wire    *raft.NetworkTransport
}

func startBare(dir string) (*bareCluster, error) {
	dir, err := os.MkdirTemp(dir, "bare-")
	if err != nil {
		return nil, err
	}
	c := &bareCluster{dir: dir}
	var servers []raft.Server
	for i := range bareNodes {
		id := raft.ServerID(fmt.Sprintf("n%d", i+1))
		n, err := newBareNode(filepath.Join(dir, string(id)+".db"), id)
		if err != nil {
			c.close()
			return nil, err
		}
		c.nodes = append(c.nodes, n)
		servers = append(servers, raft.Server{ID: id, Address: n.wire.LocalAddr()})
	}
	err = c.nodes[0].BootstrapCluster(raft.Configuration{Servers: servers}).Error()
	if err == nil {
		err = c.elect()
	}
	if err != nil {
		c.close()
		return nil, fmt.Errorf("start bare Raft: %w", err)
	}
	return c, nil
}

func newBareNode(path string, id raft.ServerID) (*bareNode, error) {
	const pool, timeout, cached = 3, 5 * time.Second, 1024
	n := &bareNode{}
	var err error
	n.bolt, err = raftboltdb.New(raftboltdb.Options{Path: path,
		BoltOptions: &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}})
	if err != nil {
		return nil, err
	}
	log, err := raft.NewLogCache(cached, n.bolt)
	if err != nil {
		return nil, errors.Join(err, n.bolt.Close())
	}
	if n.wire, err = raft.NewTCPTransport("127.0.0.1:0", nil, pool, timeout, io.Discard); err != nil {
		return nil, errors.Join(err, n.bolt.Close())
	}
	c := raft.DefaultConfig()
	c.LocalID, c.Logger, c.NoLegacyTelemetry = id, hclog.NewNullLogger(), true
	c.MaxAppendEntries = 256
	c.CommitTimeout = 5 * time.Millisecond // followers hear of the last commit soon
	n.Raft, err = raft.NewRaft(c, (*bareMachine)(n), log, n.bolt, raft.NewDiscardSnapshotStore(), n.wire)
	if err != nil {
		return nil, errors.Join(err, n.wire.Close(), n.bolt.Close())
	}
	return n, nil
}

func (c *bareCluster) elect() error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(pollInterval) {
		for _, n := range c.nodes {
			if n.State() == raft.Leader && n.VerifyLeader().Error() == nil {
				c.leader = n
				return nil
			}
		}
	}
	return errors.New("nobody leads")
}

// commit commits one entry.
func (c *bareCluster) commit(entry []byte) error { return c.leader.Apply(entry, patience).Error() }

// flood commits entries, several at once, and returns when all nodes have applied them.
func (c *bareCluster) flood(entry []byte, count int) error {
	const inFlight = 12 // three replicas have four each
	waiting := make(chan raft.ApplyFuture, inFlight)
	done := make(chan error, 1)
	before := c.leader.applied.Load()
	go func() {
		var err error
		for future := range waiting {
			err = errors.Join(err, future.Error())
		}
		done <- err
	}()
	for range count {
		waiting <- c.leader.Apply(entry, patience)
	}
	close(waiting)
	if err := <-done; err != nil {
		return err
	}
	for _, n := range c.nodes {
		for deadline := time.Now().Add(patience); n.applied.Load() < before+int64(count); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				return errors.New("a node of bare Raft does not apply the entries")
			}
		}
	}
	return nil
}

func (c *bareCluster) close() {
	for _, n := range c.nodes {
		_ = n.Shutdown().Error()
		_ = n.wire.Close()
		_ = n.bolt.Close()
	}
	_ = os.RemoveAll(c.dir)
}

// bareMachine counts entries.
type bareMachine bareNode

func (m *bareMachine) Apply(*raft.Log) any {
	m.applied.Add(1)
	return nil
}

func (m *bareMachine) Snapshot() (raft.FSMSnapshot, error) { return nil, raft.ErrNothingNewToSnapshot }
func (m *bareMachine) Restore(r io.ReadCloser) error       { return r.Close() }

// What a change of a storm takes in the log, and how many an entry carries at most.
const (
	bareChange = 40
	bareBatch  = 256
)

// bareStorm brings as many changes as a storm has through bare Raft.
func (b *bench) bareStorm(to *figure) error {
	c, err := startBare(b.dir)
	if err != nil {
		return err
	}
	defer c.close()
	entry := make([]byte, bareBatch*bareChange)
	entries := max(1, b.sizes.nsqds*b.sizes.topics/bareBatch)
	if err := c.flood(entry, max(1, entries/10)); err != nil { // warm-up
		return err
	}
	m, err := startMeter()
	if err != nil {
		return err
	}
	if err := c.flood(entry, entries); err != nil {
		return err
	}
	used, err := m.stop()
	to.values, to.cost = append(to.values, float64(entries*bareBatch)/used.wall.Seconds()), to.cost.plus(used.inside())
	return err
}
