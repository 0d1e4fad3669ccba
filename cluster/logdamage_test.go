package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// rewrite changes the log file of a data path.
func rewrite(t testing.TB, dir string, change func(raw []byte) []byte) {
	t.Helper()
	path := filepath.Join(dir, logFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, change(raw))
}

// overwrite is os.WriteFile without emptying the file first, for which ext4 goes to the disk.
func overwrite(t testing.TB, path string, content []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(content, 0)
	if err := errors.Join(err, f.Truncate(int64(len(content))), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// withLog opens the log of a closed data path, beside the replica's own code but with its options:
// others would leave a file of another form.
func withLog(t testing.TB, dir string, use func(*raftboltdb.BoltStore)) {
	t.Helper()
	store, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, logFile),
		BoltOptions: &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}})
	if err != nil {
		t.Fatal(err)
	}
	use(store)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// entries reads the whole log of a closed data path.
func entries(t testing.TB, dir string) []raft.Log {
	t.Helper()
	var all []raft.Log
	withLog(t, dir, func(store *raftboltdb.BoltStore) {
		first, _ := store.FirstIndex()
		last, _ := store.LastIndex()
		for i := max(first, 1); i <= last; i++ {
			var entry raft.Log
			if err := store.GetLog(i, &entry); err != nil {
				t.Fatalf("entry %d: %v", i, err)
			}
			all = append(all, entry)
		}
	})
	return all
}

func TestMissingLog(t *testing.T) {
	dir := closedBase(t)
	if err := os.Remove(filepath.Join(dir, logFile)); err != nil {
		t.Fatal(err)
	}
	refuses(t, testConfig(dir), logFile, "move the data path away")
}

func TestEmptyLogThatHadEntries(t *testing.T) {
	dir := closedBase(t)
	if err := os.Remove(filepath.Join(dir, logFile)); err != nil {
		t.Fatal(err)
	}
	withLog(t, dir, func(*raftboltdb.BoltStore) {})
	refuses(t, testConfig(dir), "lost all entries", "move the data path away")
}

func TestLogThatLostEntries(t *testing.T) {
	base := closedBase(t)
	last := entries(t, base)
	for name, lost := range map[string][2]uint64{
		"the first":          {1, 1},
		"one in the middle":  {5, 5},
		"some in the middle": {4, 7},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyTree(t, base)
			for i := lost[0]; i <= lost[1]; i++ {
				if i >= uint64(len(last)) {
					t.Fatalf("the log has only %d entries", len(last))
				}
			}
			withLog(t, dir, func(store *raftboltdb.BoltStore) {
				if err := store.DeleteRange(lost[0], lost[1]); err != nil {
					t.Fatal(err)
				}
			})
			refuses(t, testConfig(dir), "move the data path away")
		})
	}
}

func TestTruncatedLog(t *testing.T) {
	base := closedBase(t)
	info, err := os.Stat(filepath.Join(base, logFile))
	if err != nil {
		t.Fatal(err)
	}
	size, page := int(info.Size()), os.Getpagesize()
	for _, length := range []int{0, 1, 15, 16, 79, 80, page - 1, page, page + 80, 2 * page, 3 * page, 4 * page, size / 2} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			dir := copyTree(t, base)
			rewrite(t, dir, func(raw []byte) []byte { return raw[:length] })
			refuses(t, testConfig(dir), logFile, "move the data path away")
		})
	}
}

// The file may be longer than what is in use of it, but one byte less is too short, even when all
// of its last page is free.
func TestLogShorterThanItSays(t *testing.T) {
	dir := closedBase(t)
	db, err := bbolt.Open(filepath.Join(dir, logFile), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	err = db.View(func(tx *bbolt.Tx) error { size = tx.Size(); return nil })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for _, missing := range []int64{1, int64(os.Getpagesize())} {
		dir := copyTree(t, dir)
		rewrite(t, dir, func(raw []byte) []byte { return raw[:size-missing] })
		refuses(t, testConfig(dir), "move the data path away")
	}
	rewrite(t, dir, func(raw []byte) []byte { return raw[:size] })
	if _, refused := survivors(t, dir); refused {
		t.Error("a file that is as long as it says was refused")
	}
}

// Two entries under one key. bbolt would notice it when it opens the file for writing, in a goroutine
// of its own, where nobody can catch the panic.
func TestKeysOutOfOrder(t *testing.T) {
	dir := closedBase(t)
	var value []byte
	db, err := bbolt.Open(filepath.Join(dir, logFile), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	key := func(i uint64) []byte { return binary.BigEndian.AppendUint64(nil, i) }
	err = db.View(func(tx *bbolt.Tx) error {
		value = bytes.Clone(tx.Bucket([]byte("logs")).Get(key(5)))
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	rewrite(t, dir, func(raw []byte) []byte {
		return bytes.ReplaceAll(raw, append(key(5), value...), append(key(4), value...))
	})
	refuses(t, testConfig(dir), "out of order", "move the data path away")
}

func TestGarbageInPlaceOfTheLog(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		raw := make([]byte, n)
		for i := range raw {
			raw[i] = byte(random.Uint32())
		}
		return raw
	}
	base := closedBase(t)
	for name, change := range map[string]func(raw []byte) []byte{
		"short":     func([]byte) []byte { return noise(100) },
		"long":      func(raw []byte) []byte { return noise(len(raw)) },
		"zeros":     func(raw []byte) []byte { return make([]byte, len(raw)) },
		"text":      func([]byte) []byte { return []byte("this is not a log\n") },
		"all pages": func(raw []byte) []byte { return append(raw[:2*os.Getpagesize()], noise(len(raw))...) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyTree(t, base)
			rewrite(t, dir, change)
			refuses(t, testConfig(dir), logFile, "move the data path away")
		})
	}
}

// Each page in turn is lost: zeros, or noise. What is in use must be missed, and what is not may
// be. The first two pages are meta pages, of which bbolt believes the newer one that is whole: so
// the last transaction may be lost with one of them, and nobody can tell that from a power failure.
func TestLostPages(t *testing.T) {
	base := closedBase(t)
	want := entries(t, base)
	page := os.Getpagesize()
	info, err := os.Stat(filepath.Join(base, logFile))
	if err != nil {
		t.Fatal(err)
	}
	missed := 0
	for at := 0; at < int(info.Size()); at += page {
		for _, filler := range []byte{0, 0xff, 0x5a} {
			dir := copyTree(t, base)
			rewrite(t, dir, func(raw []byte) []byte {
				copy(raw[at:at+page], bytes.Repeat([]byte{filler}, page))
				return raw
			})
			got, refused := survivors(t, dir)
			switch {
			case refused:
				missed++
			case at < 2*page && len(got) >= len(want)-1 && equalEntries(got, want[:len(got)]):
			case at >= 2*page && equalEntries(got, want):
			default:
				t.Errorf("page at %d filled with %#x: went on with %d of %d entries", at, filler, len(got), len(want))
			}
		}
	}
	if missed < 2*3 { // the root of the buckets, the entries
		t.Errorf("%d losses were noticed", missed)
	}
}

// survivors opens the stores of a data path and returns the log's entries, or that they were
// refused as they should be.
func survivors(t testing.TB, dir string) (all []raft.Log, refused bool) {
	t.Helper()
	before := tree(t, dir)
	d, err := openDataPath(dir, "r1", false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	s, err := openStores(d, hclog.NewNullLogger())
	if err != nil {
		checkDataError(t, err, dir, "move the data path away")
		if path := difference(before, tree(t, dir)); path != "" {
			t.Errorf("%s was changed; it said: %v", path, err)
		}
		return nil, true
	}
	if err := s.bolt.Close(); err != nil {
		t.Error(err)
	}
	return entries(t, dir), false
}

func equalEntries(a, b []raft.Log) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Index != b[i].Index || a[i].Term != b[i].Term || a[i].Type != b[i].Type || !bytes.Equal(a[i].Data, b[i].Data) {
			return false
		}
	}
	return true
}

// Every byte of the first entries, which open a replica and sessions and register, is damaged by one
// bit, one after the other.
func TestFlippedBytesInChanges(t *testing.T) {
	dir := closedBase(t)
	var whole []byte
	rewrite(t, dir, func(raw []byte) []byte { whole = raw; return raw })
	flips := 0
	for _, entry := range entries(t, dir) {
		if entry.Type != raft.LogCommand || flips > 300 {
			continue
		}
		found := 0
		for at := 0; ; { // bbolt's older pages hold copies, which are not in use
			i := bytes.Index(whole[at:], entry.Data)
			if i < 0 {
				break
			}
			found, at = found+1, at+i+len(entry.Data)
		}
		if found == 0 {
			t.Fatalf("entry %d is not in the file in one piece", entry.Index)
		}
		for i := range entry.Data {
			flips++
			flipped := bytes.Clone(entry.Data)
			flipped[i] ^= 1 << (i % 8)
			rewrite(t, dir, func([]byte) []byte { return bytes.ReplaceAll(whole, entry.Data, flipped) })
			if _, refused := survivors(t, dir); !refused {
				t.Fatalf("entry %d: byte %d was turned over unnoticed", entry.Index, i)
			}
		}
	}
	t.Logf("%d bytes turned over", flips)
}

// What stands around the changes has no checksum, but must not contradict itself.
func TestContradictionsInTheLog(t *testing.T) {
	base := closedBase(t)
	middle := entries(t, base)[4]
	if middle.Type != raft.LogCommand || middle.Term == 0 {
		t.Fatalf("entry %d is of type %s, term %d", middle.Index, middle.Type, middle.Term)
	}
	for name, alter := range map[string]func(*raft.Log){
		"a term that falls":            func(e *raft.Log) { e.Term = 0 },
		"a term that rises":            func(e *raft.Log) { e.Term = 1 << 40 },
		"a change turned to a no-op":   func(e *raft.Log) { e.Type = raft.LogNoop },
		"a change turned to a barrier": func(e *raft.Log) { e.Type = raft.LogBarrier },
		"a change turned to a peer":    func(e *raft.Log) { e.Type = raft.LogAddPeerDeprecated },
		"a kind nobody knows":          func(e *raft.Log) { e.Type = 99 },
		"no change":                    func(e *raft.Log) { e.Data = nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyTree(t, base)
			entry := middle
			alter(&entry)
			store(t, dir, entry)
			refuses(t, testConfig(dir), "entry", "move the data path away")
		})
	}
}

// store writes an entry in the place of the one with its index, or behind the last.
func store(t testing.TB, dir string, entry raft.Log) {
	t.Helper()
	withLog(t, dir, func(store *raftboltdb.BoltStore) {
		if err := store.StoreLog(&entry); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEntryInThePlaceOfAnother(t *testing.T) {
	dir := closedBase(t)
	db, err := bbolt.Open(filepath.Join(dir, logFile), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		logs, key := tx.Bucket([]byte("logs")), func(i uint64) []byte { return binary.BigEndian.AppendUint64(nil, i) }
		return logs.Put(key(4), bytes.Clone(logs.Get(key(5))))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	refuses(t, testConfig(dir), "entry 4", "move the data path away")
}

func TestEntryOfANewerVersion(t *testing.T) {
	for name, newer := range map[string][]byte{
		"version": reseal(t, func(b []byte) { b[0] = 2 }),
		"origin":  reseal(t, func(b []byte) { b[1] = 3 }),
	} {
		t.Run(name, func(t *testing.T) {
			dir := closedBase(t)
			all := entries(t, dir)
			last := all[len(all)-1]
			store(t, dir, raft.Log{Index: last.Index + 1, Term: last.Term, Data: newer})
			refuses(t, testConfig(dir), "newer version", "upgrade")
		})
	}
}

// reseal makes an entry whose bytes were altered before its checksum was made, which ends it.
func reseal(t testing.TB, alter func([]byte)) []byte {
	t.Helper()
	whole := fsm.EncodeDecisions()
	body := whole[:len(whole)-4]
	alter(body)
	return binary.BigEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}
