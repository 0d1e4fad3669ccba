package cluster

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// crashed is a data path as a crash in the middle of its first start left it: with an identity,
// no more, and what prepare does to the log.
func crashed(t testing.TB, prepare func(dir string)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	d, err := openDataPath(dir, "r1", false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if err := d.update(func(me *identity) { me.Incarnation = 1 }); err != nil {
		t.Fatal(err)
	}
	prepare(dir)
	return dir
}

// After each step of the first start: the next start must go on or begin anew, on its own.
func TestCrashInTheFirstStart(t *testing.T) {
	log := func(prepare func(*raftboltdb.BoltStore)) func(string) {
		return func(dir string) { withLog(t, dir, prepare) }
	}
	for name, prepare := range map[string]func(dir string){
		"no log yet": func(string) {},
		"snapshot folder": func(dir string) {
			if err := os.Mkdir(filepath.Join(dir, snapshotDir), 0o755); err != nil {
				t.Fatal(err)
			}
		},
		"empty file": func(dir string) {
			if err := os.WriteFile(filepath.Join(dir, logFile), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"file without buckets": func(dir string) {
			db, err := bbolt.Open(filepath.Join(dir, logFile), 0o600, &bbolt.Options{NoFreelistSync: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		},
		"empty log": log(func(*raftboltdb.BoltStore) {}),
		"term without entry": log(func(s *raftboltdb.BoltStore) {
			if err := s.SetUint64([]byte("CurrentTerm"), 1); err != nil {
				t.Fatal(err)
			}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			dir := crashed(t, prepare)
			r := openReady(t, testConfig(dir))
			register(t, session(t, r, 1), "topic", "")
			if !lists(read(t, r), "topic", 1) {
				t.Error("the registration is missing")
			}
			if got := identityOf(t, dir); !got.Bootstrapped || got.Cluster == "" || got.Incarnation <= 1 {
				t.Errorf("identity %+v", got)
			}
		})
	}
}

// With the first entry in the log but not noted in the identity, the log is kept.
func TestCrashAfterTheBootstrap(t *testing.T) {
	dir := closedBase(t)
	whole := identityOf(t, dir)
	half := whole
	half.Bootstrapped = false
	writeIdentity(t, dir, half)
	r := openReady(t, testConfig(dir))
	if !lists(read(t, r), "topic-1", 1) {
		t.Error("the registry was forgotten")
	}
	if got := identityOf(t, dir); !got.Bootstrapped || got.Cluster != whole.Cluster {
		t.Errorf("identity %+v, want bootstrapped and of cluster %s", got, whole.Cluster)
	}
}

// A log without entries that has voted, or knows a later term, is no half bootstrap: to forget a
// vote would let two leaders be elected in one term.
func TestVotesAreNotDiscarded(t *testing.T) {
	for name, prepare := range map[string]func(*stores) error{
		"vote": func(s *stores) error {
			vote := newVoteStore(s.bolt)
			if err := vote.SetUint64(voteTermKey, 1); err != nil {
				return err
			}
			return vote.Set(voteCandidateKey, []byte("somebody"))
		},
		"term":  func(s *stores) error { return s.bolt.SetUint64([]byte("CurrentTerm"), 2) },
		"entry": func(s *stores) error { return s.bolt.StoreLog(&raft.Log{Index: 1, Term: 1, Type: raft.LogNoop}) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := crashed(t, func(dir string) {
				withLog(t, dir, func(bolt *raftboltdb.BoltStore) {
					if err := bolt.SetUint64([]byte("CurrentTerm"), 1); err != nil {
						t.Fatal(err)
					}
					if err := prepare(&stores{bolt: bolt}); err != nil {
						t.Fatal(err)
					}
				})
			})
			before := tree(t, dir)[filepath.Join(dir, logFile)]
			_, refused := survivors(t, dir)
			if refused {
				t.Error("refused")
			}
			withLog(t, dir, func(bolt *raftboltdb.BoltStore) {
				if _, err := bolt.GetUint64([]byte("CurrentTerm")); err != nil {
					t.Errorf("the term is gone (%v); the log had %d bytes", err, len(before))
				}
			})
		})
	}
}

func TestLeftoversOfSnapshotsAreRemoved(t *testing.T) {
	dir := closedBase(t)
	left := filepath.Join(dir, snapshotDir, "2-9-1234.tmp")
	if err := os.MkdirAll(left, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "state.bin"), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Run("not by a start that is refused", func(t *testing.T) {
		dir := copyTree(t, dir)
		rewrite(t, dir, func(raw []byte) []byte { return raw[:100] })
		refuses(t, testConfig(dir))
	})
	r := openReady(t, testConfig(dir))
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", left, err)
	}
	if !lists(read(t, r), "topic-1", 1) {
		t.Error("the registry is gone")
	}
}

func identityOf(t testing.TB, dir string) identity {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, identityFile))
	if err != nil {
		t.Fatal(err)
	}
	var id identity
	if err := json.Unmarshal(raw, &id); err != nil {
		t.Fatal(err)
	}
	return id
}

func writeIdentity(t testing.TB, dir string, id identity) {
	t.Helper()
	raw, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, identityFile), raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Only a bootstrap that was cut short is begun anew. A vote, a term of others, an entry and a snapshot stay.
func TestWhatIsDiscardedAsHalfABootstrap(t *testing.T) {
	for name, c := range map[string]struct {
		term      uint64
		vote      bool
		entry     bool
		snapshot  bool
		discarded bool
	}{
		"nothing":                 {},
		"a bootstrap's term":      {term: 1, discarded: true},
		"a vote in it":            {term: 1, vote: true},
		"another's term":          {term: 2},
		"an entry":                {term: 1, entry: true},
		"a snapshot and no entry": {term: 1, snapshot: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := crashPath(t)
			if c.snapshot {
				leaveSnapshot(t, dir)
			}
			withLog(t, dir, func(s *raftboltdb.BoltStore) {
				err := s.Set([]byte("mark"), []byte("kept"))
				if c.term > 0 {
					err = errors.Join(err, s.SetUint64([]byte(termKey), c.term))
				}
				if c.vote {
					err = errors.Join(err, s.Set(voteKey, []byte("12345678r2")))
				}
				if c.entry {
					err = errors.Join(err, s.StoreLog(&raft.Log{Index: 1, Term: 1, Type: raft.LogNoop}))
				}
				if err != nil {
					t.Fatal(err)
				}
			})
			s, closeStores := storesOf(t, dir)
			defer closeStores()
			if _, err := s.bolt.Get([]byte("mark")); (err != nil) != c.discarded {
				t.Errorf("discarded: %v, want %v", err != nil, c.discarded)
			}
		})
	}
}

// leaveSnapshot leaves a snapshot of term 1 in a data path.
func leaveSnapshot(t testing.TB, dir string) {
	t.Helper()
	final, _, _ := crashBranches(t)
	n := startCrashNode(t, dir, trailingLogs, nil, false)
	defer n.close()
	sink, err := n.stores.snapshots.Create(1, 1, 1, crashServers, 1, n.wire)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := final.states[1].WriteTo(sink); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}
