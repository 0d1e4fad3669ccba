package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

func TestLeave(t *testing.T) {
	for _, role := range []string{"follower", "leader"} {
		t.Run(role, func(t *testing.T) { testLeave(t, role) })
	}
}

func testLeave(t *testing.T, role string) {
	c := newTrio(t, 3, nil)
	leaves := c.leader()
	if role == "follower" {
		leaves = c.follower()
	}
	register(t, session(t, leaves, 1), "topic", "channel")
	c.agree()
	i, old := c.index(leaves), leaves.ID()
	if err := leaves.Leave(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if _, err := leaves.OpenSession(nsqd(2), func() {}); !errors.Is(err, ErrIsolated) {
		t.Errorf("a new nsqd after it left: %v", err)
	}
	left := c.again(i)
	if left.ID() == old || left.whoami().cluster != "" || left.Name() != leaves.Name() {
		t.Errorf("after leaving: id %s (was %s), cluster %q, name %s", left.ID(), old, left.whoami().cluster, left.Name())
	}
	stays := c.leader()
	if _, in := stays.servers()[old]; in || len(stays.servers()) != 2 {
		t.Errorf("servers %v", stays.servers())
	}
	if !lists(read(t, stays), "topic", 1) {
		t.Error("the nsqd of the replica that left is listed no longer")
	}
	// The others look for it, because its address is in their -join: it is not taken in all the same.
	if _, err := stays.gossip.list.Join([]string{left.gossip.address}); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, soon, "the others see it", func() error {
		if m, known := stays.members.get(left.ID()); !known || !m.Apart {
			return fmt.Errorf("%+v", m)
		}
		return nil
	})
	pause(t.Context(), 3*admissionPeriod)
	if role := stays.role(left.ID()); role != "none" || left.hasState() {
		t.Errorf("after leaving it is %s", role)
	}
	if s := left.Status(); s.Ready || !strings.Contains(s.WaitingFor, "lookupctl join") {
		t.Errorf("status: ready %v, waits for %q", s.Ready, s.WaitingFor)
	}
	if member, err := left.Join(t.Context(), stays.gossip.address); member || err != nil {
		t.Fatalf("join: member %v, error %v", member, err)
	}
	c.hasRole(left.ID(), "voter")
	waitReady(t, left)
	c.agree()
}

func TestLeaveThatIsRefused(t *testing.T) {
	c := newTrio(t, 3, nil)
	gone := c.follower()
	c.stop(c.index(gone))
	c.lost(gone.ID())
	leader, other := c.leader(), c.follower()
	for _, r := range []*Replica{other, leader} {
		refused(t, r.Leave(t.Context(), false), ErrRefused, "2 replicas would vote", "1 answer")
		if !r.Admits() {
			t.Error("it takes no nsqds any more")
		}
	}
	if err := other.Leave(t.Context(), true); err != nil { // which takes the dead one out first
		t.Fatal(err)
	}
	if n := len(leader.servers()); n != 1 {
		t.Errorf("%d servers are left", n)
	}
	refused(t, leader.Leave(t.Context(), true), ErrRefused, "only one that votes")
	change(t, leader, fsm.CreateTopic("topic"))
}

// Whoever asks a replica to leave may hang up at any moment.
func TestLeaveOfAClientThatHangsUp(t *testing.T) {
	c := newTrio(t, 3, nil)
	leaves := c.follower()
	ctx, hangUp := context.WithCancel(t.Context())
	hangUp()
	if err := leaves.Leave(ctx, false); err != nil {
		t.Fatal(err)
	}
	c.again(c.index(leaves))
}

// A replica that was taken out without knowing it, as when it dies in the middle of leaving, says so,
// and leaving again makes it blank.
func TestLeaveOfOneThatIsOut(t *testing.T) {
	c := newTrio(t, 3, nil)
	leader, out := c.leader(), c.follower()
	leader.leaving.Store(out.ID(), out.data.known().Incarnation) // so that it is not taken in again at once
	if err := leader.raft.RemoveServer(raft.ServerID(out.ID()), 0, soon).Error(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, soon, "it knows", func() error {
		if ok, reason := out.Ready(); ok || !strings.Contains(reason, "not part of") {
			return fmt.Errorf("ready %v: %s", ok, reason)
		}
		return nil
	})
	if s := out.Status(); !strings.Contains(s.WaitingFor, "lookupctl leave") {
		t.Errorf("it waits for %q", s.WaitingFor)
	}
	i, id := c.index(out), out.ID()
	if err := out.Leave(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if blank := c.again(i); blank.ID() == id || !blank.Apart() {
		t.Error("it is not blank")
	}

	// Dying and starting again without that, it is taken in again.
	back := c.leader()
	other := c.follower()
	back.leaving.Store(other.ID(), other.data.known().Incarnation)
	if err := back.raft.RemoveServer(raft.ServerID(other.ID()), 0, soon).Error(); err != nil {
		t.Fatal(err)
	}
	j := c.index(other)
	c.stop(j)
	c.hasRole(c.start(j).ID(), "voter")
}

// What is remembered of the others must not undo that a replica starts anew.
func TestPeersAreForgottenByLeaving(t *testing.T) {
	c := newTrio(t, 3, nil)
	r := c.follower()
	if err := r.startAnew(nil); err != nil {
		t.Fatal(err)
	}
	r.rememberPeers()
	if me := r.data.known(); !r.Apart() || len(me.Peers) > 0 {
		t.Errorf("apart %v, peers %v", r.Apart(), me.Peers)
	}
	if err := r.Change(t.Context(), fsm.CreateTopic("topic")); !errors.Is(err, ErrNoLeader) {
		t.Errorf("a change that it may not live to apply: %v", err)
	}
}
