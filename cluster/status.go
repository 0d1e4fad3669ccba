package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// Addresses are where a replica can be reached, each host:port, "" when it does not listen.
type Addresses struct {
	TCP     string `json:"tcp"`
	HTTP    string `json:"http"`
	Cluster string `json:"cluster"`
	Gossip  string `json:"gossip"`
}

// Status is the answer of /cluster/status.
type Status struct {
	Name          string         `json:"name"`
	ID            string         `json:"id"`
	Version       string         `json:"version"`
	ClusterID     string         `json:"cluster_id"`
	Role          string         `json:"role"`   // leader, voter, reader or none
	Reader        bool           `json:"reader"` // it was started not to vote
	Leader        string         `json:"leader"`
	Term          uint64         `json:"term"`
	Ready         bool           `json:"ready"`
	Reason        string         `json:"reason"`      // why it is not ready
	WaitingFor    string         `json:"waiting_for"` // why it is not part of a cluster
	CommitIndex   uint64         `json:"commit_index"`
	AppliedIndex  uint64         `json:"applied_index"`
	LastContactMS int64          `json:"last_contact_ms"` // since it was last known to have caught up; 0 on the leader, -1 when never
	Incarnation   uint64         `json:"incarnation"`
	Divergences   int64          `json:"divergences"` // checkpoints that the registry did not match, since the start
	Addresses     Addresses      `json:"addresses"`
	Registry      RegistryStatus `json:"registry"`
	Members       []Member       `json:"members"`
}

// RegistryStatus says what the registry holds.
type RegistryStatus struct {
	Index       uint64 `json:"index"`
	Fingerprint string `json:"fingerprint"`
	Topics      int    `json:"topics"`
	Channels    int    `json:"channels"`
	Producers   int    `json:"producers"`
	Sessions    int    `json:"sessions"` // without orphans
	Orphans     int    `json:"orphans"`
	Tombstones  int    `json:"tombstones"`
	Pending     int    `json:"pending"`   // changes of this replica that are not applied
	LogLevel    uint64 `json:"log_level"` // the level of log kinds in force
}

// Member is a replica as the one that is asked sees it.
type Member struct {
	Name         string    `json:"name"`
	ID           string    `json:"id"`
	Role         string    `json:"role"`
	Alive        bool      `json:"alive"`
	Health       string    `json:"health"`
	AppliedIndex uint64    `json:"applied_index"`
	Lag          uint64    `json:"lag"` // entries behind the newest that is known; 0 also when it does not answer
	Version      string    `json:"version"`
	LogLevel     uint64    `json:"log_level"` // of log kinds that it is known to know
	GoneMS       int64     `json:"gone_ms"`   // since when gossip calls it dead, 0 when it lives
	Leaving      bool      `json:"leaving"`   // or it has left, and waits to be told to join
	Addresses    Addresses `json:"addresses"`
}

// Status describes this replica and its cluster. When nothing was pending, all that this replica was
// asked for before is in what it tells of the registry and in the index that it has applied.
func (r *Replica) Status() Status {
	pending := r.journal.length() // first: what follows may only be newer
	ready, reason := r.Ready()
	state := r.registry.State()
	s := Status{
		Name: r.data.Name, ID: r.data.ID, Version: r.cfg.Version,
		ClusterID: r.whoami().cluster, Role: r.role(r.data.ID), Reader: r.cfg.Reader, Term: r.raft.CurrentTerm(),
		Ready: ready, Reason: reason,
		CommitIndex: r.raft.CommitIndex(), AppliedIndex: r.appliedIndex(),
		LastContactMS: r.lastContact(), Incarnation: r.journal.begun(), Divergences: r.divergences.Load(),
		Addresses: r.Addresses(), Registry: registryStatus(state),
		Members: r.memberStatus(),
	}
	s.Registry.Pending = pending
	switch {
	case !r.hasState():
		s.WaitingFor = *r.waitsFor.Load()
	case r.outside():
		s.WaitingFor = "it is not part of its cluster any more: let it leave (lookupctl leave), then join"
	case r.leader() == "" && r.seesForeign():
		s.WaitingFor = fmt.Sprintf("a leader of its cluster, %.8s…; the replicas that it sees are of another: if its own is gone, "+
			"move its data path away and start it again", s.ClusterID)
	}
	if leader := r.leader(); leader != "" {
		s.Leader = r.nameOf(leader)
	}
	return s
}

// Addresses are where this replica can be reached.
func (r *Replica) Addresses() Addresses { return r.meta().addresses(r.gossip.address) }

// Position says how far this replica is: up to where it has applied the log, of which cluster, who
// leads ("" when none is known to), and how long ago it was last known to have applied what the leader
// had committed, below 0 when never. It does not block.
func (r *Replica) Position() (applied uint64, cluster, leader string, lastContact time.Duration) {
	if id := r.leader(); id != "" {
		leader = r.nameOf(id)
	}
	return r.machine.index.Load(), r.whoami().cluster, leader, r.age()
}

// Watch begins to wait for the next change of a thing of the registry; see fsm.Registry.
func (r *Replica) Watch(thing fsm.Thing) *fsm.Waiter { return r.registry.Watch(thing) }

// GossipPort is the port that gossip listens on.
func (r *Replica) GossipPort() int { return r.gossip.port }

// memberStatus lists those that gossip tells of and Raft's servers, by name.
func (r *Replica) memberStatus() []Member {
	var all []Member
	servers := r.servers()
	listed := make(map[string]bool)
	for _, m := range r.members.all() {
		if _, in := servers[m.ID]; !in && !m.alive {
			continue // it has been replaced, or has gone without having been let in
		}
		listed[m.ID] = true
		s := Member{Name: m.Name, ID: m.ID, Role: r.role(m.ID), Alive: m.alive, Version: m.Version,
			LogLevel: m.Level, Addresses: m.addresses(m.gossip), Health: "healthy", Leaving: m.Apart}
		switch {
		case !m.alive:
			s.Health, s.GoneMS = "gone", max(1, time.Since(m.gone).Milliseconds())
		case !r.lives(m):
			s.Alive, s.Health = false, "of another cluster"
		}
		all = append(all, s)
	}
	for id := range servers {
		if !listed[id] {
			all = append(all, r.unseenMember(id))
		}
	}
	r.askMembers(all)
	slices.SortFunc(all, func(a, b Member) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return all
}

// unseenMember returns what the book knows of a server that gossip has not heard of. It is alive when
// there was a sign of life over the cluster port.
func (r *Replica) unseenMember(id string) Member {
	known := r.book.get(id)
	m := Member{Name: r.nameOf(id), ID: id, Role: r.role(id), Health: "not seen", Alive: known.heardLately(time.Now()),
		Version: known.Version, LogLevel: known.Level, Addresses: known.lastKnown()}
	if m.Alive {
		m.Health = "not in gossip"
	}
	return m
}

// askMembers fills in how far each living member is; all are asked at once.
func (r *Replica) askMembers(all []Member) {
	var wg sync.WaitGroup
	for i := range all {
		m := &all[i]
		switch {
		case m.ID == r.data.ID:
			m.AppliedIndex = r.appliedIndex()
			if ready, reason := r.Ready(); !ready {
				m.Health = reason
			}
		case m.Alive:
			wg.Go(func() {
				s, err := r.caller.standing(context.Background(), m.ID)
				if err != nil {
					m.Health = "does not answer"
					return
				}
				m.AppliedIndex = s.AppliedIndex
			})
		}
	}
	wg.Wait()
	newest := r.raft.CommitIndex()
	for _, m := range all {
		newest = max(newest, m.AppliedIndex)
	}
	for i := range all {
		if m := &all[i]; m.AppliedIndex > 0 {
			m.Lag = newest - m.AppliedIndex
		}
	}
}

func registryStatus(s *fsm.State) RegistryStatus {
	c := s.Counts()
	return RegistryStatus{
		Index: s.Index(), Fingerprint: s.Fingerprint().String(),
		Topics: c.Topics, Channels: c.Channels, Producers: c.Producers,
		Sessions: c.Sessions, Orphans: c.Orphans, Tombstones: c.Tombstones, LogLevel: s.Level(),
	}
}

// role is what the replica of that id is to Raft: leader, voter, reader or none.
func (r *Replica) role(id string) string {
	server, in := r.servers()[id]
	switch {
	case !in:
		return "none"
	case id == r.leader():
		return "leader"
	case server.Suffrage == raft.Voter:
		return "voter"
	}
	return "reader"
}

func (r *Replica) lastContact() int64 {
	if age := r.age(); age >= 0 {
		return age.Milliseconds()
	}
	return -1
}

// Ready reports whether this replica should get traffic, or why not.
func (r *Replica) Ready() (ok bool, reason string) {
	return readiness{
		started: r.journal.applied.Load() > 0, outside: r.outside(), isolated: r.isolated.Load(),
		diverges: r.diverges.Load(), stopped: r.raft.State() == raft.Shutdown,
		age: r.age(), isolation: r.cfg.IsolationTimeout,
	}.isReady()
}

// outside reports whether this replica, as far as it knows, has been taken out of its cluster.
func (r *Replica) outside() bool {
	servers := r.servers()
	_, in := servers[r.data.ID]
	return !in && len(servers) > 0
}

// Fingerprint is the registry's when all entries up to index were applied, at the newest one for
// index 0. It waits up to a second for an index that is not applied yet; then ErrNotReached.
// fsm.ErrIndexTooOld when it is no longer known.
func (r *Replica) Fingerprint(ctx context.Context, index uint64) (at uint64, fp fsm.Fingerprint, err error) {
	if index == 0 {
		s := r.registry.State()
		return s.Index(), s.Fingerprint(), nil
	}
	if err := r.reach(ctx, index); err != nil {
		return 0, fsm.Fingerprint{}, err
	}
	fp, err = r.registry.FingerprintAt(index)
	return index, fp, err
}

const (
	reachWait = time.Second
	reachPoll = 5 * time.Millisecond
)

// reach waits until the registry has applied everything up to index.
func (r *Replica) reach(ctx context.Context, index uint64) error {
	ctx, cancel := context.WithTimeout(ctx, reachWait)
	defer cancel()
	for !r.reached(index) {
		if !pause(ctx, reachPoll) {
			return ErrNotReached
		}
	}
	return nil
}

// appliedIndex is up to where the registry has applied the log. Raft calls an entry applied once it
// is on its way to the state machine.
func (r *Replica) appliedIndex() uint64 {
	if handed := r.raft.AppliedIndex(); r.reached(handed) {
		return max(handed, r.machine.index.Load())
	}
	return r.machine.index.Load()
}

// reached reports whether the registry has applied everything up to index. Raft calls an entry
// applied once it is on its way to the state machine, and keeps its own entries from it: so of what
// lies between the two, the kinds that do reach the state machine are missing.
func (r *Replica) reached(index uint64) bool {
	if r.raft.AppliedIndex() < index {
		return false
	}
	for i := index; i > r.machine.index.Load(); i-- {
		var entry raft.Log
		if err := r.stores.log.GetLog(i, &entry); err != nil {
			return false
		}
		if entry.Type == raft.LogCommand || entry.Type == raft.LogConfiguration {
			return false
		}
	}
	return true
}
