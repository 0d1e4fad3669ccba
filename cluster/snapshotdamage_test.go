package cluster

import (
	"bytes"
	"encoding/json"
	"hash/crc64"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// compact takes a snapshot and removes from the log all that is in it.
func compact(t testing.TB, r *Replica) {
	t.Helper()
	keep := raft.ReloadableConfig{
		TrailingLogs: 1, SnapshotInterval: snapshotInterval, SnapshotThreshold: snapshotThreshold,
		HeartbeatTimeout: r.cfg.RaftTimeout, ElectionTimeout: r.cfg.RaftTimeout,
	}
	if err := r.raft.ReloadConfig(keep); err != nil {
		t.Fatal(err)
	}
	if err := r.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
}

// compactedBase is a data path with a snapshot and a log that begins after it.
func compactedBase(t testing.TB) string {
	t.Helper()
	dir := closedBase(t)
	r := openReady(t, testConfig(dir))
	for n := range 3 {
		register(t, session(t, r, n), "topic", "channel")
	}
	settle(t, r)
	compact(t, r)
	mustClose(t, r)
	if first := entries(t, dir)[0].Index; first < 5 {
		t.Fatalf("the log begins at %d", first)
	}
	return dir
}

// onlySnapshot is the folder of the one snapshot there is.
func onlySnapshot(t testing.TB, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, snapshotDir, "*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("snapshots %v, error %v", found, err)
	}
	return found[0]
}

// alter changes a file of the one snapshot.
func alter(t testing.TB, dir, file string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(onlySnapshot(t, dir), file)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, change(raw))
}

func TestDamagedSnapshot(t *testing.T) {
	base := compactedBase(t)
	half := func(raw []byte) []byte { return raw[:len(raw)/2] }
	nothing := func([]byte) []byte { return nil }
	for name, damage := range map[string]func(dir string){
		"state cut short": func(dir string) { alter(t, dir, "state.bin", half) },
		"state empty":     func(dir string) { alter(t, dir, "state.bin", nothing) },
		"state too long":  func(dir string) { alter(t, dir, "state.bin", func(raw []byte) []byte { return append(raw, 0) }) },
		"state missing":   func(dir string) { _ = os.Remove(filepath.Join(onlySnapshot(t, dir), "state.bin")) },
		"meta cut short":  func(dir string) { alter(t, dir, "meta.json", half) },
		"meta empty":      func(dir string) { alter(t, dir, "meta.json", nothing) },
		"meta garbage":    func(dir string) { alter(t, dir, "meta.json", func([]byte) []byte { return []byte("\x00{}[") }) },
		"meta of a version nobody knows": func(dir string) {
			alter(t, dir, "meta.json", func(raw []byte) []byte {
				return bytes.Replace(raw, []byte(`"Version":1`), []byte(`"Version":7`), 1)
			})
		},
		"meta missing":     func(dir string) { _ = os.Remove(filepath.Join(onlySnapshot(t, dir), "meta.json")) },
		"snapshot missing": func(dir string) { _ = os.RemoveAll(onlySnapshot(t, dir)) },
		"folder missing":   func(dir string) { _ = os.RemoveAll(filepath.Join(dir, snapshotDir)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyTree(t, base)
			damage(dir)
			refuses(t, testConfig(dir), "move the data path away")
		})
	}
}

// The newest one counts: Raft would take an older one instead, and say nothing.
func TestDamagedNewestOfTwoSnapshots(t *testing.T) {
	dir := compactedBase(t)
	r := openReady(t, testConfig(dir))
	register(t, session(t, r, 9), "topic", "")
	settle(t, r)
	if err := r.raft.Snapshot().Error(); err != nil { // without compaction: nothing is lost
		t.Fatal(err)
	}
	mustClose(t, r)
	found, err := filepath.Glob(filepath.Join(dir, snapshotDir, "*", "state.bin"))
	if err != nil || len(found) != 2 {
		t.Fatalf("snapshots %v, error %v", found, err)
	}
	for _, damage := range []struct {
		file    string
		content []byte
	}{{"state.bin", []byte("RLKS")}, {"meta.json", []byte("{")}} {
		t.Run(damage.file, func(t *testing.T) {
			dir := copyTree(t, dir)
			overwrite(t, filepath.Join(newestSnapshot(t, dir), damage.file), damage.content)
			refuses(t, testConfig(dir), "snapshot", "move the data path away")
		})
	}
}

// newestSnapshot is the folder of the snapshot with the greatest index.
func newestSnapshot(t testing.TB, dir string) string {
	t.Helper()
	store, err := raft.NewFileSnapshotStoreWithLogger(dir, retainSnapshots, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	list, err := store.List()
	if err != nil || len(list) == 0 {
		t.Fatalf("snapshots %v, error %v", list, err)
	}
	return filepath.Join(dir, snapshotDir, list[0].ID)
}

func TestFlippedBytesInASnapshot(t *testing.T) {
	base := compactedBase(t)
	dir := copyTree(t, base)
	var whole []byte
	alter(t, dir, "state.bin", func(raw []byte) []byte { whole = raw; return raw })
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1 << (i % 8)
		alter(t, dir, "state.bin", func([]byte) []byte { return flipped })
		if _, refused := survivors(t, dir); !refused {
			t.Fatalf("byte %d was turned over unnoticed", i)
		}
	}
}

// A file in the place of the folder is neither a snapshot nor a way to lose what is in the log.
func TestFileInPlaceOfTheSnapshots(t *testing.T) {
	dir := closedBase(t)
	if err := os.RemoveAll(filepath.Join(dir, snapshotDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, snapshotDir), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	refuses(t, testConfig(dir), "check the disk")
}

func TestSnapshotOfANewerVersion(t *testing.T) {
	dir := compactedBase(t)
	replaceState(t, dir, func(state []byte) []byte {
		state[4] = 200 // the version, after RLKS
		return state
	})
	refuses(t, testConfig(dir), "newer version", "upgrade")
}

// The checksum is right, but the content is not what its fingerprint says.
func TestSnapshotThatContradictsItself(t *testing.T) {
	dir := compactedBase(t)
	replaceState(t, dir, func(state []byte) []byte { return bytes.Replace(state, []byte("1.3.0"), []byte("1.3.1"), 1) })
	refuses(t, testConfig(dir), "move the data path away")
}

// replaceState changes a snapshot's state and makes its checksum fit.
func replaceState(t testing.TB, dir string, change func([]byte) []byte) {
	t.Helper()
	var state []byte
	alter(t, dir, "state.bin", func(raw []byte) []byte { state = change(raw); return state })
	alter(t, dir, "meta.json", func(raw []byte) []byte {
		var meta map[string]any
		if err := json.Unmarshal(raw, &meta); err != nil {
			t.Fatal(err)
		}
		sum := crc64.New(crc64.MakeTable(crc64.ECMA))
		_, _ = sum.Write(state)
		meta["CRC"] = sum.Sum(nil)
		raw, err := json.Marshal(meta)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	})
}
