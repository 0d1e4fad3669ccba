package cluster

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

func TestBestConnected(t *testing.T) {
	const last = 10000
	up := func(reached ...string) reachAnswer { return reachAnswer{reached, last} }
	three, five := []string{"a", "b", "c"}, []string{"a", "b", "c", "d", "e"}
	for name, c := range map[string]struct {
		voters, reached []string
		answers         map[string]reachAnswer
		want            string
	}{
		"b reaches c":                       {three, []string{"b"}, map[string]reachAnswer{"b": up("a", "c")}, "b"},
		"c is down":                         {three, []string{"b"}, map[string]reachAnswer{"b": up("a")}, ""},
		"b is too old to answer":            {three, []string{"b"}, nil, ""},
		"b reaches c, but not the leader":   {three, []string{"b"}, map[string]reachAnswer{"b": up("c")}, ""},
		"b is far behind":                   {three, []string{"b"}, map[string]reachAnswer{"b": {[]string{"a", "c"}, last - healthyLag - 1}}, ""},
		"b is a little behind":              {three, []string{"b"}, map[string]reachAnswer{"b": {[]string{"a", "c"}, last - healthyLag}}, "b"},
		"the leader does not reach b":       {three, []string{"c"}, map[string]reachAnswer{"b": up("a", "c"), "c": up("a")}, ""},
		"what votes not counts not":         {three, []string{"b"}, map[string]reachAnswer{"b": up("a", "x", "y")}, ""},
		"said twice counts once":            {three, []string{"b"}, map[string]reachAnswer{"b": up("a", "a", "b")}, ""},
		"the most":                          {five, []string{"b", "c"}, map[string]reachAnswer{"b": up("a", "c", "d"), "c": up("a", "b", "d", "e")}, "c"},
		"equal ones: by id":                 {five, []string{"b", "c"}, map[string]reachAnswer{"c": up("a", "b", "d"), "b": up("a", "c", "d")}, "b"},
		"equal ones: the longer log first":  {five, []string{"b", "c"}, map[string]reachAnswer{"c": up("a", "b", "d"), "b": {[]string{"a", "c", "d"}, last - 1}}, "c"},
		"e is down, all reach all others":   {five, []string{"b", "c", "d"}, map[string]reachAnswer{"b": up("a", "c", "d"), "c": up("a", "b", "d"), "d": up("a", "b", "c")}, ""},
		"another reaches as many, not more": {five, []string{"b", "c", "d"}, map[string]reachAnswer{"b": up("a", "c", "e")}, ""},
	} {
		got, ok := bestConnected("a", c.reached, c.voters, c.answers, last)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q %v, want %q", name, got, ok, c.want)
		}
	}
}

func TestMovePace(t *testing.T) {
	start := time.Now()
	p := movePace{settled: 3 * time.Second}
	for i, c := range []struct {
		at     time.Duration // seconds
		term   uint64
		choice string
		want   bool
	}{
		{0, 1, "b", false},
		{1, 1, "b", false}, // it leads too short
		{3, 1, "b", true},
		{4, 1, "b", false}, // it failed; too soon again
		{5, 1, "b", false},
		{13, 1, "b", true}, // after 10 s
		{23, 1, "b", false},
		{24, 1, "b", false}, // not after 10 s again
		{33, 1, "b", true},
		{34, 0, "", false},
		{80, 5, "b", false}, // another term: it counts anew
		{82, 5, "b", false},
		{83, 5, "c", false}, // not twice the same
		{84, 5, "", false},
		{85, 5, "b", false},
		{86, 5, "b", true},
		{86 + 1300, 6, "b", false},
		{86 + 1310, 6, "b", true}, // long after: as if for the first time
		{86 + 1319, 6, "b", false},
		{86 + 1320, 6, "b", true},
	} {
		if got := p.step(start.Add(c.at*time.Second), c.term, c.choice); got != c.want {
			t.Errorf("%d: at %d s: %v", i, c.at, got)
		}
	}
}

// cutLink cuts the link between two replicas, both ways.
func (c *trio) cutLink(a, b *Replica) {
	c.net.mu.Lock()
	c.net.cuts[[2]string{a.data.ID, b.data.ID}] = true
	c.net.cuts[[2]string{b.data.ID, a.data.ID}] = true
	c.net.mu.Unlock()
	a.port.drop()
	b.port.drop()
}

// Only the link between the leader and one follower is cut: the third replica comes to lead, and
// everybody's changes go through.
func TestLeadershipMovesToWhoReachesAll(t *testing.T) {
	c := newTrio(t, 3, nil)
	c.agree()
	leader, f := c.leader(), c.follower()
	c.cutLink(leader, f)
	eventually.True(t, soon, "the third leads", func() error {
		for _, r := range c.running() {
			if r != leader && r != f && r.leads() && f.leader() == r.data.ID {
				return nil
			}
		}
		return errors.New("it does not")
	})
	eventually.True(t, soon, "the follower's change", func() error { return f.Change(t.Context(), fsm.CreateTopic("mine")) })
	c.agree()
}

// What the choice is made from: whom the leader and the others reach, by calls and not by what was heard before.
func TestWhoIsBetterConnected(t *testing.T) {
	c := newTrio(t, 3, nil)
	c.agree()
	leader, f := c.leader(), c.follower()
	third := slices.DeleteFunc(c.running(), func(r *Replica) bool { return r == leader || r == f })[0]
	term, ctx, voters := leader.raft.CurrentTerm(), t.Context(), []string{leader.data.ID, f.data.ID, third.data.ID}
	says := func(want ...string) {
		t.Helper()
		slices.Sort(want)
		eventually.True(t, soon, "whom the third reaches", func() error {
			a := leader.askReach(ctx, []string{third.data.ID}, append(voters, "unknown"))[third.data.ID]
			slices.Sort(a.Reached)
			if !slices.Equal(a.Reached, want) || a.LastIndex != third.raft.LastIndex() || a.LastIndex == 0 {
				return fmt.Errorf("it says %+v", a)
			}
			return nil
		})
	}
	const noContactCounts = -time.Hour // so that all are asked
	choose := func(want string) {
		t.Helper()
		eventually.True(t, soon, "the choice", func() error {
			if got := leader.betterConnected(ctx, term, noContactCounts); got != want {
				return fmt.Errorf("%q, want %q", got, want)
			}
			return nil
		})
	}
	says(leader.data.ID, f.data.ID)
	choose("")
	c.cutLink(leader, f)
	says(leader.data.ID, f.data.ID)
	choose(third.data.ID)
	c.net.mu.Lock()
	c.net.cuts[[2]string{third.data.ID, leader.data.ID}] = true // one way: it answers the leader
	c.net.mu.Unlock()
	third.caller.http.CloseIdleConnections()
	says(f.data.ID)
	choose("")
}

// A voter that is dead is reached by nobody: leadership stays where it is.
func TestDeadVoterMovesNothing(t *testing.T) {
	c := newTrio(t, 3, nil)
	c.agree()
	leader := c.leader()
	for i, r := range c.replicas {
		if r != leader {
			c.stop(i)
			break
		}
	}
	term := leader.raft.CurrentTerm()
	stays(t, leader, term)
}

// So does one that answers calls, but no heartbeats, as while it takes a snapshot.
func TestBusyVoterMovesNothing(t *testing.T) {
	var busy atomic.Pointer[string]
	c := newTrio(t, 3, func(_ int, cfg *Config) {
		cfg.fault = func(to string, _ bool) error {
			if id := busy.Load(); id != nil && *id == to {
				return errCut
			}
			return nil
		}
	})
	c.agree()
	leader := c.leader()
	busy.Store(&c.follower().data.ID)
	stays(t, leader, leader.raft.CurrentTerm())
}

// stays holds that a replica goes on leading for long after a voter has been silent.
func stays(t *testing.T, leader *Replica, term uint64) {
	t.Helper()
	silent := silentTimeouts * leader.cfg.RaftTimeout
	eventually.True(t, soon, "a voter is silent for long", func() error {
		voters := leader.otherVoters()
		for _, last := range leader.transport.contacts.in(term, voters) {
			if time.Since(last) > 3*silent {
				return nil
			}
		}
		return errors.New("not yet")
	})
	if !leader.leads() || leader.raft.CurrentTerm() != term {
		t.Errorf("leads: %v, term %d, was %d", leader.leads(), leader.raft.CurrentTerm(), term)
	}
	if best := leader.betterConnected(t.Context(), term, silent); best != "" {
		t.Errorf("%s would be better connected", best)
	}
}
