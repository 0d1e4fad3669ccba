package cluster

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"
)

// crashing is a stable store of a process that dies when it has written so many parts of votes.
// Terms of its own are not counted: they are written before the vote, and alone.
type crashing struct {
	raft.StableStore
	left int
}

var errCrashed = errors.New("the process has died")

func (c *crashing) write(key []byte, write func() error) error {
	if string(key) != "CurrentTerm" {
		if c.left--; c.left < 0 {
			return errCrashed
		}
	}
	return write()
}

func (c *crashing) Set(key, value []byte) error {
	return c.write(key, func() error { return c.StableStore.Set(key, value) })
}

func (c *crashing) SetUint64(key []byte, n uint64) error {
	return c.write(key, func() error { return c.StableStore.SetUint64(key, n) })
}

// staleVote is what becomes of a vote that is cut short: a node whose log has entries of term 3 has
// voted for a in that term, and dies while it votes for b in term 4, with so many parts of the vote
// written. Then it starts again, and a, whose log has none of its entries, asks for the vote of
// term 4. It must never get it.
func staleVote(t *testing.T, parts int, wrap func(raft.StableStore) raft.StableStore) (granted bool) {
	log, disk := raft.NewInmemStore(), raft.NewInmemStore()
	if err := errors.Join(log.StoreLogs(entriesOf(3, 1, 5)), disk.SetUint64([]byte("CurrentTerm"), 3)); err != nil {
		t.Fatal(err)
	}
	s := newStranger(t)
	ask := func(stable raft.StableStore, requests ...raft.RequestVoteRequest) (granted bool) {
		node := startBare(t, bareOptions{log: log, stable: wrap(stable)})
		defer node.stop()
		for _, r := range requests {
			var answer raft.RequestVoteResponse
			if err := s.RequestVote(node.id, node.address, &r, &answer); err != nil {
				t.Fatal(err)
			}
			granted = answer.Granted
		}
		return granted
	}
	request := func(from string, term, lastIndex, lastTerm uint64) raft.RequestVoteRequest {
		return raft.RequestVoteRequest{RPCHeader: headerOf(from), Term: term, LastLogIndex: lastIndex, LastLogTerm: lastTerm}
	}
	if !ask(disk, request("a", 3, 5, 3)) {
		t.Fatal("no vote for a in term 3")
	}
	ask(&crashing{disk, parts}, request("b", 4, 5, 3))
	return ask(disk, request("a", 4, 1, 1))
}

// hashicorp/raft issue 661: the crash leaves the new term with the old candidate, who then gets a
// vote though it lacks what this node has acknowledged: what is committed may be lost.
func TestPlainVoteGoesToAStaleCandidate(t *testing.T) {
	if !staleVote(t, 1, func(s raft.StableStore) raft.StableStore { return s }) {
		t.Error("no vote for a stale candidate: does the library write a vote at once?")
	}
}

// With the vote store no crash does that, wherever it comes.
func TestNoVoteForAStaleCandidate(t *testing.T) {
	for parts := range 3 {
		if staleVote(t, parts, func(s raft.StableStore) raft.StableStore { return newVoteStore(s) }) {
			t.Errorf("after a crash with %d parts of the vote written a stale candidate got a vote", parts)
		}
	}
}
