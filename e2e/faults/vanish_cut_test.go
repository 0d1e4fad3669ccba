package faults

import (
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/e2e/fleet"
	"github.com/raftlookupd/raftlookupd/e2e/netlab"
)

// afterwards is how long an nsqd may take to be back where it was: it notices a lost connection at one PING, and
// connects at the next one.
const afterwards = 32 * time.Second

// TestCutReplica isolates the replica of four nsqds, but not from them, until after it has sent them away. They know no
// other one.
func TestCutReplica(t *testing.T) {
	eachRole(t, func(s *scene, r *fleet.Replica) {
		s.nsqds(4, r)
		heal := s.cut(s.Isolate(r))
		s.hold(32 * time.Second) // the isolation timeout is 30 s
		_, err := fleet.Until(s.ctx, backPatience, func() error { return s.isolated(r) })
		s.must(err)
		s.hold(time.Second)
		heal()
		s.hold(35 * time.Second)
		s.noneMissing()
	})
}

// eachRole runs a test with the leader of three replicas, and with a follower.
func eachRole(t *testing.T, test func(s *scene, r *fleet.Replica)) {
	t.Parallel()
	for role, leader := range map[string]int{"leader": 0, "follower": 1} {
		t.Run(role, func(t *testing.T) {
			s := newScene(t, 3)
			s.must(s.Lead(s.ctx, s.Replicas[leader]))
			test(s, s.Replicas[0])
		})
	}
}

// TestCutReplicaAndNsqds does the same with the nsqds on the other side of the cut.
func TestCutReplicaAndNsqds(t *testing.T) {
	s := newScene(t, 3)
	r1 := s.Replicas[0]
	nsqds := s.nsqds(4, r1)
	links := s.Isolate(r1)
	for _, n := range nsqds {
		links = append(links, netlab.Between(r1.Node, n.Node)...)
	}
	heal := s.cut(links)
	s.hold(20 * time.Second)
	heal()
	s.hold(afterwards)
	s.noneMissing()
}

// TestCutNsqds cuts nothing but the nsqds from their replica, which is well.
func TestCutNsqds(t *testing.T) {
	s := newScene(t, 3)
	r1 := s.Replicas[0]
	var links netlab.Links
	for _, n := range s.nsqds(4, r1) {
		links = append(links, netlab.Between(r1.Node, n.Node)...)
	}
	heal := s.cut(links)
	s.hold(20 * time.Second)
	heal()
	s.hold(afterwards)
	s.noneMissing()
}

// TestCutOneWay lets the replica of the nsqds hear the others without being heard, and the other way round.
func TestCutOneWay(t *testing.T) {
	t.Parallel()
	for name, oneWay := range map[string]func(a, b *netlab.Node) netlab.Links{
		"unheard": netlab.OneWay,
		"deaf":    func(a, b *netlab.Node) netlab.Links { return netlab.OneWay(b, a) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 3)
			r1 := s.Replicas[0]
			s.nsqds(4, r1)
			var links netlab.Links
			for _, other := range fleet.Nodes(s.Others(r1)...) {
				links = append(links, oneWay(r1.Node, other)...)
			}
			heal := s.cut(links)
			s.hold(20 * time.Second)
			heal()
			s.hold(afterwards)
			s.noneMissing()
		})
	}
}
