package cluster

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// voteStore closes hashicorp/raft issue 661: the library writes the term of a vote and its
// candidate one after the other (raft.go, persistVote), so that a crash in between joins the new
// term with the old candidate. Here the term waits in memory for the candidate, and both are
// written as one value. It also saves a commit per vote.
type voteStore struct {
	raft.StableStore
	term    uint64 // of the vote whose candidate comes next
	waiting bool
}

// The library's keys (raft.go), and ours for both in one.
var (
	voteTermKey      = []byte("LastVoteTerm")
	voteCandidateKey = []byte("LastVoteCand")
	voteKey          = []byte("LastVote")
)

// The library asks for its keys from one goroutine only.
func newVoteStore(s raft.StableStore) *voteStore { return &voteStore{StableStore: s} }

// SetUint64 holds the term of a vote back.
func (v *voteStore) SetUint64(key []byte, n uint64) error {
	if string(key) != string(voteTermKey) {
		return v.StableStore.SetUint64(key, n)
	}
	v.term, v.waiting = n, true
	return nil
}

// Set writes a vote's candidate together with its term.
func (v *voteStore) Set(key, value []byte) error {
	if string(key) != string(voteCandidateKey) {
		return v.StableStore.Set(key, value)
	}
	if !v.waiting {
		return errors.New("store vote: the candidate came without a term")
	}
	if err := v.StableStore.Set(voteKey, append(binary.BigEndian.AppendUint64(nil, v.term), value...)); err != nil {
		return err
	}
	v.waiting = false
	return nil
}

// GetUint64 reads what SetUint64 wrote.
func (v *voteStore) GetUint64(key []byte) (uint64, error) {
	if string(key) != string(voteTermKey) {
		return v.StableStore.GetUint64(key)
	}
	term, _, err := v.vote()
	return term, err
}

// Get reads what Set wrote.
func (v *voteStore) Get(key []byte) ([]byte, error) {
	if string(key) != string(voteCandidateKey) {
		return v.StableStore.Get(key)
	}
	_, candidate, err := v.vote()
	return candidate, err
}

func (v *voteStore) vote() (uint64, []byte, error) {
	raw, err := v.StableStore.Get(voteKey)
	if err != nil {
		return 0, nil, err // the library looks for the text of raftboltdb.ErrKeyNotFound
	}
	if len(raw) < 8 {
		return 0, nil, fmt.Errorf("read vote: %d bytes", len(raw))
	}
	return binary.BigEndian.Uint64(raw), raw[8:], nil
}
