package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNewDataPathIsMadeWithItsParents(t *testing.T) {
	cfg := testConfig(filepath.Join(t.TempDir(), "a", "b"))
	r := openReady(t, cfg)
	if len(r.ID()) != 32 || r.Name() != "r1" {
		t.Errorf("id %q, name %q", r.ID(), r.Name())
	}
	if other := open(t, testConfig(t.TempDir())); other.ID() == r.ID() {
		t.Error("two data paths have one id")
	}
}

func TestNameIsRemembered(t *testing.T) {
	cfg := testConfig(t.TempDir())
	first := openReady(t, cfg)
	mustClose(t, first)

	cfg.Name = "other" // a new hostname, say
	second := openReady(t, cfg)
	if second.Name() != "r1" || second.ID() != first.ID() {
		t.Errorf("name %q, id %q; want r1 and %q", second.Name(), second.ID(), first.ID())
	}
	mustClose(t, second)

	cfg.Name, cfg.NameGiven = "r1", true
	mustClose(t, openReady(t, cfg))
	cfg.Name = "other"
	refuses(t, cfg, `"r1"`, `"other"`, "-name r1", "-data-path")
}

func TestDataPathInUseIsRefused(t *testing.T) {
	cfg := testConfig(t.TempDir())
	r := openReady(t, cfg)
	settle(t, r)
	// flock belongs to an open file, so that a second one in this process is refused as well.
	refuses(t, cfg, "in use", "stop that one", "-data-path")
	register(t, session(t, r, 1), "topic", "")
	if !lists(read(t, r), "topic", 1) {
		t.Error("the first replica suffered from the second")
	}
	mustClose(t, r)
	mustClose(t, open(t, cfg))
}

// The folder that refuses to be written to is a file, which holds for root as well.
func TestDataPathThatIsNoFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"is a file": file, "its parent is a file": filepath.Join(file, "data")} {
		t.Run(name, func(t *testing.T) {
			before := tree(t, dir)
			_, err := openListening(testConfig(path))
			checkDataError(t, err, path, "cannot be made", "choose another -data-path")
			if changed := difference(before, tree(t, dir)); changed != "" {
				t.Errorf("Open changed %s", changed)
			}
		})
	}
}

// A folder in the place of a file cannot be written to, not even by root.
func TestDataPathThatIsNotWritable(t *testing.T) {
	for _, name := range []string{lockFile, identityFile + ".tmp"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
			refuses(t, testConfig(dir), "choose another -data-path")
		})
	}
}

// As a user who is not root: the folder's mode says no.
func TestDataPathWithoutRightToWrite(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root may write anywhere: TestDataPathThatIsNotWritable stands in")
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	refuses(t, testConfig(dir), "not writable", "-data-path")
}

func TestLockIsNotInherited(t *testing.T) {
	d, err := openDataPath(t.TempDir(), "r1", false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	flags, err := unix.FcntlInt(d.lock.Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("a child process would keep the data path locked: flags %#x, error %v", flags, err)
	}
}

func TestIdentity(t *testing.T) {
	base := closedBase(t)
	whole, err := os.ReadFile(filepath.Join(base, identityFile))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content string
		advice  string
	}{
		"empty":     {"", "move the data path away"},
		"cut short": {string(whole[:len(whole)/2]), "move the data path away"},
		"garbage":   {"\x00\xff{{{\n\n", "move the data path away"},
		"no object": {"[]", "move the data path away"},
		"no id":     {strings.Replace(string(whole), `"id"`, `"ID2"`, 1), "move the data path away"},
		"no name":   {strings.Replace(string(whole), `"name"`, `"name2"`, 1), "move the data path away"},
		"newer":     {strings.Replace(string(whole), `"format": 1`, `"format": 2`, 1), "upgrade"},
		"far newer": {`{"format": 9, "id": {"all": "else"}, "name": ["differs"]}`, "upgrade"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyTree(t, base)
			if err := os.WriteFile(filepath.Join(dir, identityFile), []byte(c.content), 0o644); err != nil {
				t.Fatal(err)
			}
			refuses(t, testConfig(dir), c.advice)
		})
	}
}

func TestMissingIdentityBesideALog(t *testing.T) {
	for _, kept := range []string{logFile, snapshotDir} {
		t.Run(kept, func(t *testing.T) {
			dir := copyTree(t, closedBase(t))
			for _, name := range []string{identityFile, logFile, snapshotDir} {
				if name != kept {
					if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
						t.Fatal(err)
					}
				}
			}
			refuses(t, testConfig(dir), kept, identityFile, "move the data path away")
		})
	}
}

// A crash while the identity is written leaves the old one and a part of the new one.
func TestHalfWrittenIdentityIsIgnored(t *testing.T) {
	dir := closedBase(t)
	if err := os.WriteFile(filepath.Join(dir, identityFile+".tmp"), []byte(`{"format"`), 0o644); err != nil {
		t.Fatal(err)
	}
	r := openReady(t, testConfig(dir))
	if !lists(read(t, r), "topic-0", 0) {
		t.Error("the registry is gone")
	}
}

// closedBase is a data path with two lives and some registrations behind it. Its log is whole: no
// snapshot was taken.
func closedBase(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	for range 2 {
		r := openReady(t, testConfig(dir))
		for n := range 3 {
			register(t, session(t, r, n), "topic-"+string(rune('0'+n)), "channel")
			settle(t, r) // an entry each
		}
		mustClose(t, r)
	}
	return dir
}
