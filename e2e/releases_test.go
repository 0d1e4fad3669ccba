package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// firstRelease is the release that tells nothing of versions in its greeting and its gossip.
const firstRelease = "v0.1.0"

// releasesFile lists tags with their commits.
const releasesFile = "../releases"

var (
	errRelease   = errors.New("no older program to test with")
	errNoHistory = errors.New("the repository's history is not here: clone with git, whole (in a shallow clone: git fetch --unshallow)")
)

// releaseBuilds keeps two tests of this process from building the same release at once.
var releaseBuilds sync.Mutex

// release returns the raftlookupd of an earlier release, built from the repository's own history. It is built
// once per machine, and kept in the user's cache.
func release(t testing.TB, tag string) string {
	t.Helper()
	oursOnly(t)
	releaseBuilds.Lock()
	defer releaseBuilds.Unlock()
	bin, err := builtRelease(releasesFile, "..", releaseCache(), tag)
	if err != nil {
		t.Fatalf("%v: raftlookupd %s: %v", errRelease, tag, err)
	}
	return bin
}

// releaseCache is the user's cache, or else the directory of this run's programs.
func releaseCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return programs.dir
	}
	return filepath.Join(dir, "raftlookupd-e2e")
}

// builtRelease returns the path of a release's raftlookupd below cache, and builds it if it is not there. root is
// the repository whose history is asked.
func builtRelease(list, root, cache, tag string) (string, error) {
	commit, err := releaseCommit(list, tag)
	if err != nil {
		return "", err
	}
	place := filepath.Join(cache, fmt.Sprintf("%s-%s-%s-%s", commit, runtime.Version(), runtime.GOOS, runtime.GOARCH))
	bin := filepath.Join(place, "raftlookupd")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	return bin, buildRelease(root, commit, work, place)
}

// buildRelease extracts a commit below work, builds it there, and moves the program to place in one step, because
// another test process may do the same.
func buildRelease(root, commit, work, place string) error {
	source, built := filepath.Join(work, "source"), filepath.Join(work, "built")
	if err := os.Mkdir(source, 0o755); err != nil {
		return err
	}
	if err := extract(root, commit, source); err != nil {
		return err
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(built, "raftlookupd"), "./cmd/raftlookupd")
	cmd.Dir, cmd.Env = source, append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build of commit %.12s: %w\n%s", commit, err, out)
	}
	err := os.Rename(built, place)
	if _, there := os.Stat(place); err != nil && there != nil {
		return err
	}
	return nil
}

// extract writes the files of a commit into a directory.
func extract(root, commit, into string) error {
	archive := filepath.Join(into, "source.tar")
	git := exec.Command("git", "-C", root, "archive", "--format=tar", "-o", archive, commit)
	// The checkout may belong to another user than the one who tests.
	git.Env = append(os.Environ(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
	if out, err := git.CombinedOutput(); err != nil {
		return fmt.Errorf("%w (git archive %.12s: %w: %s)", errNoHistory, commit, err, strings.TrimSpace(string(out)))
	}
	if out, err := exec.Command("tar", "-C", into, "-xf", archive).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack commit %.12s: %w: %s", commit, err, out)
	}
	return os.Remove(archive)
}

// releaseCommit reads the commit of a tag from the list.
func releaseCommit(list, tag string) (string, error) {
	f, err := os.Open(list)
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 2 && fields[0] == tag {
			return fields[1], nil
		}
	}
	return "", errors.Join(lines.Err(), fmt.Errorf("%s does not name it", filepath.Base(list)))
}

// TestRelease builds the first release from the history into an empty cache, takes it from there the second time, and
// says what to do where there is no history.
func TestRelease(t *testing.T) {
	t.Parallel()
	oursOnly(t)
	cache := t.TempDir()
	first, err := builtRelease(releasesFile, "..", cache, firstRelease)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(first, "-version").Output()
	if err != nil || !strings.HasPrefix(string(out), "raftlookupd "+firstRelease+" ") {
		t.Errorf("it says %q, %v", out, err)
	}
	again, err := builtRelease(releasesFile, t.TempDir(), cache, firstRelease) // no repository, and none is needed
	if err != nil || again != first {
		t.Errorf("the second time: %q, %v; want %q", again, err, first)
	}
	left, err := os.ReadDir(cache)
	if err != nil || len(left) != 1 {
		t.Errorf("%d files in the cache, %v; want the program's directory alone", len(left), err)
	}
	_, err = builtRelease(releasesFile, t.TempDir(), t.TempDir(), firstRelease)
	if !errors.Is(err, errNoHistory) || strings.Contains(err.Error(), "\n") {
		t.Errorf("without a repository: %v; want one line with %q", err, errNoHistory)
	}
	if _, err := releaseCommit(releasesFile, "v9.9.9"); err == nil {
		t.Error("an unknown release has a commit")
	}
}
