package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// twoSnapshots is a data path whose log begins after the newer one of two snapshots, and the folders of both.
func twoSnapshots(t testing.TB) (dir string, folders []string) {
	t.Helper()
	final, _, _ := crashBranches(t)
	dir = crashPath(t)
	n := startCrashNode(t, dir, trailingLogs, nil, false)
	defer n.close()
	n.append(final, 2, 1, 9, 0)
	n.install(final, 4, 20)
	n.install(final, 4, 40)
	n.append(final, 4, 41, 44, 44)
	for _, end := range []string{"4-20-*", "4-40-*"} {
		found, err := filepath.Glob(filepath.Join(dir, snapshotDir, end))
		if err != nil || len(found) != 1 {
			t.Fatalf("snapshots %v, error %v", found, err)
		}
		folders = append(folders, found[0])
	}
	return dir, folders
}

// What a crash leaves of a snapshot that is renamed into place, and of an old one that is removed.
func TestStartWithPartsOfSnapshots(t *testing.T) {
	base, folders := twoSnapshots(t)
	final, _, _ := crashBranches(t)
	older, newer := filepath.Base(folders[0]), filepath.Base(folders[1])
	at := func(dir string, path ...string) string {
		return filepath.Join(append([]string{dir, snapshotDir}, path...)...)
	}
	third := strings.Replace(older, "4-20-", "4-15-", 1) // all of it but what was removed
	for name, leave := range map[string]func(dir string) error{
		"an unfinished one":           func(dir string) error { return os.CopyFS(at(dir, "4-44-1.tmp"), os.DirFS(at(dir, newer))) },
		"an empty one":                func(dir string) error { return os.Mkdir(at(dir, "4-44-1.tmp"), 0o755) },
		"one without its state":       func(dir string) error { return copyMeta(at(dir, newer), at(dir, "4-44-1.tmp")) },
		"a third, nothing removed":    func(dir string) error { return os.CopyFS(at(dir, third), os.DirFS(at(dir, older))) },
		"a third, its meta removed":   func(dir string) error { return os.Mkdir(at(dir, third), 0o755) },
		"the older is not there":      func(dir string) error { return os.RemoveAll(at(dir, older)) },
		"the test of the permissions": func(dir string) error { return os.WriteFile(at(dir, "permTest"), nil, 0o644) },
		"the older without its state": func(dir string) error { return os.Remove(at(dir, older, "state.bin")) },
		"the older with half a state": func(dir string) error { return os.Truncate(at(dir, older, "state.bin"), 9) },
		"an identity not renamed": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, identityFile+".tmp"), []byte("{"), 0o644)
		},
		"folders of a person":       func(dir string) error { return os.Mkdir(at(dir, "lost+found"), 0o755) },
		"a third without its state": func(dir string) error { return copyMeta(at(dir, older), at(dir, third)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyTree(t, base)
			if err := leave(dir); err != nil {
				t.Fatal(err)
			}
			i := image{dir: dir, acked: entryMark{44, 4}}
			i.keeps(t, i.found(t))
			if s, err := Recover(copyTree(t, dir), false, discard); err != nil || s.Registry.Fingerprint != final.states[44].Fingerprint().String() {
				t.Errorf("recovered %+v, error %v", s, err)
			}
			n := startCrashNode(t, dir, trailingLogs, nil, false)
			defer n.close()
			if err := n.lead(final, 9, 1); err != nil {
				t.Error(err)
			}
			if err := n.data.removeLeftovers(); err != nil {
				t.Error(err)
			}
			folders, _ := n.data.snapshotFolders()
			for _, f := range folders {
				if _, err := os.Stat(at(dir, f, snapshotMeta)); err != nil && f != "lost+found" {
					t.Errorf("%s is left: %v", f, err)
				}
			}
		})
	}
}

func copyMeta(from, to string) error {
	raw, err := os.ReadFile(filepath.Join(from, "meta.json"))
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, "meta.json"), raw, 0o644)
}

// The log begins after the newest snapshot: when that goes bad after it was checked, Raft must not start
// from the older one, as the library does.
func TestRaftTakesNoOlderSnapshot(t *testing.T) {
	for name, ours := range map[string]bool{"the library": false, "this store": true} {
		t.Run(name, func(t *testing.T) {
			dir, folders := twoSnapshots(t)
			s, closeStores := storesOf(t, dir)
			defer closeStores()
			if err := s.log.DeleteRange(1, 100); err != nil { // so that the library does not panic
				t.Fatal(err)
			}
			if err := os.Truncate(filepath.Join(folders[1], "state.bin"), 9); err != nil {
				t.Fatal(err)
			}
			var log raft.LogStore = s.log
			var snapshots raft.SnapshotStore = s.snapshots
			if !ours {
				log, snapshots = s.log.(*anchoredLog).LogStore, s.snapshots.SnapshotStore
			}
			c := raft.DefaultConfig()
			c.LocalID, c.Logger, c.NoLegacyTelemetry = "node", hclog.NewNullLogger(), true
			_, wire := raft.NewInmemTransport("node")
			r, err := raft.NewRaft(c, idleMachine{}, log, s.stable, snapshots, wire)
			if err == nil {
				if ours || r.LastIndex() != 20 {
					t.Errorf("it has started from %d", r.LastIndex())
				}
				if err := r.Shutdown().Error(); err != nil {
					t.Error(err)
				}
			} else if !ours {
				t.Error(err)
			}
		})
	}
}

// The newest that has vanished is missed too.
func TestListMissesTheNewestSnapshot(t *testing.T) {
	dir, folders := twoSnapshots(t)
	s, closeStores := storesOf(t, dir)
	defer closeStores()
	if list, err := s.snapshots.List(); err != nil || len(list) != 1 || list[0].Index != 40 {
		t.Errorf("it lists %v, error %v", list, err)
	}
	for i := range folders {
		if err := os.RemoveAll(folders[len(folders)-1-i]); err != nil {
			t.Fatal(err)
		}
		if list, err := s.snapshots.List(); err == nil {
			t.Errorf("it lists %v", list)
		}
	}
}

// A snapshot that was under way for long must not take the registry back: what follows it in the log is
// deleted.
func TestNoOlderSnapshotIsInstalled(t *testing.T) {
	final, _, _ := crashBranches(t)
	dir, _ := twoSnapshots(t)
	n := startCrashNode(t, dir, trailingLogs, nil, false)
	defer n.close()
	if err := n.lead(final, 9, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := n.stores.snapshots.Create(1, 39, 4, crashServers, 1, n.wire); err == nil {
		t.Error("an older snapshot was begun")
	}
	if got := n.stores.snapshots.newest(); got != (entryMark{40, 4}) {
		t.Errorf("the newest is %+v", got)
	}
}

// meta.json has no checksum: what it says of the snapshot's end decides what of the log is obsolete.
func TestSnapshotWhoseMetaIsAltered(t *testing.T) {
	for name, change := range map[string][2]string{
		"index":      {`"Index":40`, `"Index":90`},
		"older":      {`"Index":40`, `"Index":10`},
		"term":       {`"Term":4`, `"Term":5`},
		"older term": {`"Term":4`, `"Term":1`},
	} {
		t.Run(name, func(t *testing.T) {
			dir, folders := twoSnapshots(t)
			path := filepath.Join(folders[1], "meta.json")
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			altered := strings.Replace(string(raw), change[0], change[1], 1)
			if altered == string(raw) {
				t.Fatalf("%s is not in %s", change[0], raw)
			}
			overwrite(t, path, []byte(altered))
			refuses(t, testConfig(dir), "does not fit its name", "move the data path away")
		})
	}
}

// The newest snapshot is one that is whole and on disk.
func TestNewestSnapshotIsWhole(t *testing.T) {
	dir := t.TempDir()
	store := newSnapshotStore(raft.NewInmemSnapshotStore(), dir, entryMark{})
	create := func(index, term uint64, withFolder bool) raft.SnapshotSink {
		t.Helper()
		sink, err := store.Create(1, index, term, raft.Configuration{}, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if withFolder {
			if err := os.MkdirAll(filepath.Join(dir, sink.ID()), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		return sink
	}
	newest := func(when string, want entryMark) {
		t.Helper()
		if got := store.newest(); got != want {
			t.Errorf("%s the newest is %+v, want %+v", when, got, want)
		}
	}
	failing := create(7, 3, false)
	newest("while it is written", entryMark{})
	for range 2 {
		if err := failing.Close(); err == nil {
			t.Error("closed, though its folder is not there")
		}
	}
	newest("after one that failed", entryMark{})
	sink := create(7, 3, true)
	for range 2 {
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	}
	newest("after one that is whole", entryMark{7, 3})
	cancelled := create(9, 3, true)
	_ = cancelled.Cancel()
	_ = cancelled.Close()
	newest("after one that was cancelled", entryMark{7, 3})
}

func TestHiddenSnapshot(t *testing.T) {
	for name, c := range map[string]struct {
		folders, known []string
		want           string
	}{
		"none":               {},
		"all known":          {[]string{"2-9-5", "2-7-4"}, []string{"2-9-5", "2-7-4"}, ""},
		"the only one":       {[]string{"2-9-5"}, nil, "2-9-5"},
		"the newest":         {[]string{"2-9-5", "2-10-6"}, []string{"2-9-5"}, "2-10-6"},
		"of a newer term":    {[]string{"2-9-5", "10-8-6"}, []string{"2-9-5"}, "10-8-6"},
		"made later":         {[]string{"2-9-5", "2-9-11"}, []string{"2-9-5"}, "2-9-11"},
		"newest of three":    {[]string{"2-9-5", "2-7-4", "2-11-6"}, []string{"2-9-5", "2-7-4"}, "2-11-6"},
		"left of a removal":  {[]string{"2-9-5", "2-7-4"}, []string{"2-9-5"}, ""},
		"unfinished":         {[]string{"2-9-5", "2-10-6.tmp"}, []string{"2-9-5"}, ""},
		"somebody's folders": {[]string{"lost+found", "old", "a-b-c", "3-4", "3-4-5-6"}, nil, ""},
	} {
		if got := hiddenSnapshot(c.folders, c.known); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Data that cannot be got at may be sound: nobody is told to move it away.
func TestAdviceAboutDamage(t *testing.T) {
	d := &dataPath{dir: "/data"}
	for err, advice := range map[error]string{
		&fs.PathError{Op: "open", Path: "raft.db", Err: syscall.EACCES}: checkDisk,
		&fs.PathError{Op: "read", Path: "raft.db", Err: syscall.EIO}:    checkDisk,
		bbolterrors.ErrTimeout: checkDisk,
		&fs.PathError{Op: "stat", Path: "raft.db", Err: syscall.ENOENT}: moveAway,
		errors.New("entry 5: unexpected EOF"):                           moveAway,
	} {
		checkDataError(t, d.damaged(logFile, fmt.Errorf("read: %w", err)), "/data", logFile, advice)
	}
}
