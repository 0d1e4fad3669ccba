package faults

import (
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/e2e/fleet"
	"github.com/raftlookupd/raftlookupd/e2e/netlab"
)

// TestMajorityCommits makes a majority of two replicas that have not talked since one of them started: r1 was isolated,
// r3 killed and started meanwhile, and r2 stops when the network is healed. The two commit, with gossip and without.
func TestMajorityCommits(t *testing.T) {
	t.Parallel()
	for name, gossip := range map[string]func(netlab.Links) netlab.Links{
		"gossip": nil,
		"noUDP":  func(all netlab.Links) netlab.Links { return all.Only("udp", fleet.GossipPort) },
		"none":   func(all netlab.Links) netlab.Links { return all.Only("", fleet.GossipPort) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, 3)
			r1, r2, r3 := s.Replicas[0], s.Replicas[1], s.Replicas[2]
			s.nsqds(1, s.Replicas...)
			if gossip != nil {
				s.cut(gossip(netlab.Among(fleet.Nodes(s.Replicas...)...)))
			}
			heal := s.cut(s.Isolate(r1))
			s.hold(time.Second)
			r3.Process.Kill()
			s.hold(12 * time.Second)
			s.must(r3.Start())
			s.hold(2 * time.Second)
			heal()
			s.pause(r2)
			s.within("two of three commit", 1500*time.Millisecond, backPatience, func() error { return s.commits(r1, r3) })
			s.resume(r2)
			s.within("all three commit", 1500*time.Millisecond, backPatience, func() error { return s.commits(s.Replicas...) })
			s.noneMissing()
		})
	}
}
