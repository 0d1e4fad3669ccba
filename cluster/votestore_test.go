package cluster

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// reopened closes the store, as a crash would at that point, and opens it again.
func reopened(t testing.TB, path string, use func(bolt *raftboltdb.BoltStore)) {
	t.Helper()
	bolt, err := raftboltdb.NewBoltStore(path)
	if err != nil {
		t.Fatal(err)
	}
	use(bolt)
	if err := bolt.Close(); err != nil {
		t.Fatal(err)
	}
}

// vote writes as the library's persistVote does.
func vote(t testing.TB, s raft.StableStore, term uint64, candidate string) {
	t.Helper()
	if err := s.SetUint64(voteTermKey, term); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(voteCandidateKey, []byte(candidate)); err != nil {
		t.Fatal(err)
	}
}

func checkVote(t testing.TB, s raft.StableStore, term uint64, candidate string) {
	t.Helper()
	gotTerm, err := s.GetUint64(voteTermKey)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(voteCandidateKey)
	if err != nil {
		t.Fatal(err)
	}
	if gotTerm != term || string(got) != candidate {
		t.Errorf("vote of term %d for %q, want term %d for %q", gotTerm, got, term, candidate)
	}
}

// A crash between the two writes of a vote (hashicorp/raft issue 661).
func TestVoteIsOneValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	reopened(t, path, func(bolt *raftboltdb.BoltStore) {
		s := newVoteStore(bolt)
		vote(t, s, 3, "a")
		if err := s.SetUint64(voteTermKey, 4); err != nil {
			t.Fatal(err)
		}
		checkVote(t, s, 3, "a")
	})
	reopened(t, path, func(bolt *raftboltdb.BoltStore) {
		s := newVoteStore(bolt)
		checkVote(t, s, 3, "a")
		vote(t, s, 4, "b")
	})
	reopened(t, path, func(bolt *raftboltdb.BoltStore) { checkVote(t, newVoteStore(bolt), 4, "b") })
}

// What the vote store is for: without it the crash joins the new term with the old candidate. When
// this fails, the library's keys or habits have changed.
func TestPlainStoreMixesVotes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	reopened(t, path, func(bolt *raftboltdb.BoltStore) {
		vote(t, bolt, 3, "a")
		if err := bolt.SetUint64(voteTermKey, 4); err != nil {
			t.Fatal(err)
		}
	})
	reopened(t, path, func(bolt *raftboltdb.BoltStore) { checkVote(t, bolt, 4, "a") })
}

// The library takes an error of that text for "never voted" (raft.go, requestVote).
func TestVoteStoreBeforeTheFirstVote(t *testing.T) {
	reopened(t, filepath.Join(t.TempDir(), "db"), func(bolt *raftboltdb.BoltStore) {
		s := newVoteStore(bolt)
		_, err := s.GetUint64(voteTermKey)
		_, err2 := s.Get(voteCandidateKey)
		for _, err := range []error{err, err2} {
			if err == nil || err.Error() != "not found" {
				t.Errorf("error %v, want not found", err)
			}
		}
		if err := s.Set(voteCandidateKey, []byte("a")); err == nil {
			t.Error("took a candidate without a term")
		}
	})
}

func TestVoteStorePassesOtherKeysOn(t *testing.T) {
	reopened(t, filepath.Join(t.TempDir(), "db"), func(bolt *raftboltdb.BoltStore) {
		s := newVoteStore(bolt)
		if err := errors.Join(s.SetUint64([]byte("CurrentTerm"), 7), s.Set([]byte("key"), []byte("value"))); err != nil {
			t.Fatal(err)
		}
		term, err := bolt.GetUint64([]byte("CurrentTerm"))
		if term != 7 || err != nil {
			t.Errorf("term %d, error %v", term, err)
		}
		if value, err := s.Get([]byte("key")); string(value) != "value" || err != nil {
			t.Errorf("value %q, error %v", value, err)
		}
		if term, err := s.GetUint64([]byte("CurrentTerm")); term != 7 || err != nil {
			t.Errorf("term %d, error %v", term, err)
		}
	})
}

func TestVoteStoreTellsADamagedVote(t *testing.T) {
	reopened(t, filepath.Join(t.TempDir(), "db"), func(bolt *raftboltdb.BoltStore) {
		if err := bolt.Set(voteKey, []byte("short")); err != nil {
			t.Fatal(err)
		}
		if _, err := newVoteStore(bolt).GetUint64(voteTermKey); err == nil || err.Error() == "not found" {
			t.Errorf("error %v", err)
		}
	})
}

// Raft itself votes through it: a replica has elected itself.
func TestRaftVotesInOneValue(t *testing.T) {
	dir := closedBase(t)
	id := identityOf(t, dir).ID
	withLog(t, dir, func(bolt *raftboltdb.BoltStore) {
		term, err := bolt.GetUint64([]byte("CurrentTerm"))
		if err != nil {
			t.Fatal(err)
		}
		checkVote(t, newVoteStore(bolt), term, id)
		for _, key := range [][]byte{voteTermKey, voteCandidateKey} {
			if _, err := bolt.Get(key); !errors.Is(err, raftboltdb.ErrKeyNotFound) {
				t.Errorf("%s was written by itself: %v", key, err)
			}
		}
	})
}
