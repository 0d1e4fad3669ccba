package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// refused checks that an operation was refused, for a reason that has these words in it.
func refused(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	var refusal *Refusal
	if !errors.As(err, &refusal) || !errors.Is(err, kind) {
		t.Errorf("error %v, want a refusal (%v)", err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(refusal.Reason, w) {
			t.Errorf("reason %q, want %q in it", refusal.Reason, w)
		}
	}
}

// again closes and opens the i-th replica once it asks for that, as the daemon does.
func (c *trio) again(i int) *Replica {
	c.t.Helper()
	old := c.replicas[i]
	select {
	case <-old.Again():
	case <-time.After(soon):
		c.t.Fatal("the replica does not start anew")
	}
	apart, alter := old.Apart(), c.alter
	c.stop(i)
	c.alter = func(j int, cfg *Config) {
		if alter != nil {
			alter(j, cfg)
		}
		cfg.Apart = apart
		cfg.Gossip.Join = nil
	}
	defer func() { c.alter = alter }()
	return c.start(i)
}

func (c *trio) index(r *Replica) int {
	for i, is := range c.replicas {
		if is == r {
			return i
		}
	}
	c.t.Fatal("not one of them")
	return 0
}

// lost waits until the leader calls the replica of that id dead.
func (c *trio) lost(id string) {
	c.t.Helper()
	eventually.True(c.t, 3*soon, "replica dead", func() error {
		if !c.leader().dead(id) {
			return errors.New("it is not")
		}
		return nil
	})
}

func TestTransfer(t *testing.T) {
	c := newTrio(t, 3, nil)
	var asked, to *Replica
	for _, r := range c.running() {
		switch {
		case r == c.leader():
		case asked == nil:
			asked = r
		default:
			to = r
		}
	}
	for _, name := range []string{to.Name(), to.Name()} { // the second time it leads already
		if leader, err := asked.Transfer(t.Context(), name); err != nil || leader != to.Name() || !to.leads() {
			t.Fatalf("leader %q, error %v", leader, err)
		}
	}
	leader, err := to.Transfer(t.Context(), "")
	if err != nil || leader == to.Name() || leader == "" {
		t.Errorf("leader %q, error %v", leader, err)
	}
	_, err = asked.Transfer(t.Context(), "nobody")
	refused(t, err, ErrNoSuchReplica, "nobody")
	change(t, asked, fsm.CreateTopic("topic"))
	c.agree()
}

func TestTransferToWhoCannotLead(t *testing.T) {
	c := newTrio(t, 1, nil)
	r := c.replicas[0]
	_, err := r.Transfer(t.Context(), "")
	refused(t, err, ErrRefused, "no other replica")
	c.replicas = append(c.replicas, nil)
	c.alter = func(_ int, cfg *Config) { joining(cfg); cfg.Reader = true }
	reader := c.start(1)
	c.hasRole(reader.ID(), "reader")
	_, err = reader.Transfer(t.Context(), reader.Name())
	refused(t, err, ErrRefused, "does not vote")
	if !r.leads() {
		t.Error("it leads no longer")
	}
}

func TestRemove(t *testing.T) {
	c := newTrio(t, 3, nil)
	gone := c.follower()
	leader := c.leader()
	for _, force := range []bool{false, true} {
		_, err := gone.Remove(t.Context(), gone.Name(), "", force)
		refused(t, err, ErrRefused, "alive", "leave")
	}
	_, err := gone.Remove(t.Context(), "nobody", "", false)
	refused(t, err, ErrNoSuchReplica, "nobody")
	c.stop(c.index(gone))
	c.lost(gone.ID())
	id, err := c.follower().Remove(t.Context(), gone.Name(), "", false)
	if err != nil || id != gone.ID() {
		t.Fatalf("removed %q, error %v", id, err)
	}
	if _, in := leader.servers()[gone.ID()]; in || len(leader.servers()) != 2 {
		t.Errorf("servers %v", leader.servers())
	}
	change(t, leader, fsm.CreateTopic("topic"))
	c.agree()
}

// A replica that was started without flags has formed a cluster of its own: while it holds nothing,
// that is no reason not to join another.
func TestJoinFromAClusterOfOne(t *testing.T) {
	c := newTrio(t, 1, nil)
	first := c.replicas[0]
	register(t, session(t, first, 1), "topic", "channel")
	c.replicas = append(c.replicas, nil)
	c.alter = func(_ int, cfg *Config) { cfg.BootstrapExpect, cfg.Gossip.Join = 1, nil }
	second := c.start(1)
	waitReady(t, second)

	refused(t, joinError(second, "127.0.0.1:1"), ErrNoAnswer, "127.0.0.1:1")
	refused(t, joinError(second, second.gossip.address), ErrRefused, "nobody but this replica")
	change(t, second, fsm.CreateTopic("mine"))
	refused(t, joinError(second, first.gossip.address), ErrRefused, "1 topics", "snapshot save")
	change(t, second, fsm.DeleteTopic("mine"))
	if !second.Admits() {
		t.Error("after refusals it takes no nsqds any more")
	}
	old := second.ID()
	if err := joinError(second, first.gossip.address); err != nil {
		t.Fatal(err)
	}
	second = c.again(1)
	if second.ID() == old {
		t.Error("it kept its id")
	}
	c.hasRole(second.ID(), "voter")
	waitReady(t, second)
	c.agree()
	if member, err := second.Join(t.Context(), first.gossip.address); !member || err != nil {
		t.Errorf("join again: member %v, error %v", member, err)
	}
	refused(t, joinError(second, "127.0.0.1:1"), ErrRefused, "let it leave first")

	// It finds the first one again without being told.
	c.stop(1)
	second = c.start(1)
	waitReady(t, second)
	c.agree()
}

func joinError(r *Replica, address string) error {
	_, err := r.Join(context.Background(), address)
	return err
}

// A crash after the decision to start anew and before it is done.
func TestStartAnewAfterACrash(t *testing.T) {
	cfg := testConfig(t.TempDir())
	r := openReady(t, cfg)
	change(t, r, fsm.CreateTopic("topic"))
	if err := r.startAnew([]string{"127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	id := r.ID()
	mustClose(t, r)
	r = open(t, cfg)
	if r.ID() == id || r.hasState() || r.registry.State().Counts().Topics != 0 {
		t.Errorf("it is not blank: id %s, %+v", r.ID(), r.standing())
	}
	if got := r.gossip.addresses(); len(got) != 1 || got[0] != "127.0.0.1:1" {
		t.Errorf("it looks at %v", got)
	}
	pause(t.Context(), 2*formationPoll)
	if r.hasState() {
		t.Error("it formed a cluster of its own")
	}
}

func TestVoterThatIsStartedAsReader(t *testing.T) {
	c := newTrio(t, 3, nil)
	for _, was := range []*Replica{c.follower(), c.leader()} {
		i := c.index(was)
		c.stop(i)
		c.alter = func(_ int, cfg *Config) { cfg.Reader = true }
		c.start(i)
		c.ready()
		c.alter = nil
		if c.leader() == c.replicas[i] { // the second time only one voter is left
			t.Fatal("the reader leads")
		}
		c.hasRole(was.ID(), "reader")
	}
	change(t, c.leader(), fsm.CreateTopic("topic"))
	c.agree()
}

// With one of three dead the loss of a vote would end the cluster: nobody is demoted, and no newcomer
// is promoted who does not live.
func TestVotesAreNotChangedWithoutAMajority(t *testing.T) {
	c := newTrio(t, 3, nil)
	gone := c.follower()
	c.stop(c.index(gone))
	leader, other := c.leader(), c.follower()
	pilot := pilotRaft{leader.raft, leader}
	if err := pilot.DemoteVoter(raft.ServerID(other.ID()), 0, soon).Error(); err == nil {
		t.Error("a voter was demoted")
	}
	if err := leader.raft.AddNonvoter("newcomer", "newcomer", 0, soon).Error(); err != nil {
		t.Fatal(err)
	}
	if err := pilot.AddVoter("newcomer", "newcomer", 0, soon).Error(); err == nil {
		t.Error("one that does not answer was promoted")
	}
	change(t, leader, fsm.CreateTopic("topic"))
}

// Autopilot decides to promote a server, which is removed before it does so.
func TestPromotionOfARemovedServer(t *testing.T) {
	c := newTrio(t, 1, nil)
	r := c.replicas[0]
	gone := raft.ServerID("gone")
	if err := r.raft.AddNonvoter(gone, "gone", 0, soon).Error(); err != nil {
		t.Fatal(err)
	}
	if err := r.raft.RemoveServer(gone, 0, soon).Error(); err != nil {
		t.Fatal(err)
	}
	if err := (pilotRaft{r.raft, r}).AddVoter(gone, "gone", 0, soon).Error(); err == nil {
		t.Error("it was promoted")
	}
	if _, in := r.servers()["gone"]; in {
		t.Errorf("it is back: %v", r.servers())
	}
	change(t, r, fsm.CreateTopic("topic")) // by whom it has, and nobody else
}

// A dead voter is taken out once a newcomer votes in its place, and not before.
func TestDeadVoterIsReplaced(t *testing.T) {
	deadAfter := func(_ int, cfg *Config) { cfg.DeadAfter = 300 * time.Millisecond }
	c := newTrio(t, 3, deadAfter)
	gone := c.follower()
	c.stop(c.index(gone))
	c.lost(gone.ID())
	pause(t.Context(), time.Second)
	if got := c.leader().voters(); len(got) != 3 || !got[gone.ID()] {
		t.Errorf("voters %v: with two of them one more loss would end the cluster", got)
	}
	c.replicas = append(c.replicas, nil)
	c.alter = func(i int, cfg *Config) { deadAfter(i, cfg); joining(cfg) }
	newcomer := c.start(3)
	eventually.True(t, 3*soon, "the newcomer in the place of the dead one", func() error {
		if got := c.leader().voters(); len(got) != 3 || got[gone.ID()] || !got[newcomer.ID()] {
			return fmt.Errorf("voters %v", got)
		}
		return nil
	})
	c.agree()
}

func TestTransferWatch(t *testing.T) {
	var failure error
	w := newTransferWatch(time.Millisecond, func(err error) { failure = err })
	w.limit = 0
	busy := fmt.Errorf("apply: %w", raft.ErrLeadershipTransferInProgress)
	for _, err := range []error{busy, nil, busy, raft.ErrNotLeader, busy} {
		w.observe(err)
	}
	if failure != nil {
		t.Errorf("it ended the replica: %v", failure)
	}
	w.observe(busy)
	if failure == nil || !strings.Contains(failure.Error(), "start it again") {
		t.Errorf("failure %v", failure)
	}
}
