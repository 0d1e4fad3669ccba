package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// strict, set to 1 in the environment, makes it a failure that a program is missing which a test needs.
const strict = "E2E_STRICT"

var (
	errNotAttached  = errors.New("strace has not attached yet")
	errNotPermitted = errors.New("ptrace is not permitted here")
)

// needsStrace skips a test where strace is missing or may not trace. Only the former can be helped, so only that
// fails a strict run.
func needsStrace(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		if os.Getenv(strict) == "1" {
			t.Fatalf("strace is not installed (Debian package strace), and %s=1", strict)
		}
		t.Skip("strace is not installed (Debian package strace): no disk can be made to fail")
	}
	sleeper := startProcess(t, "sleep", "sleep", "60")
	_, err := strace(t, sleeper, "-e", "trace=none")
	sleeper.kill()
	if errors.Is(err, errNotPermitted) {
		t.Skipf("no disk can be made to fail: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// strace attaches to a process that runs, all its threads included, and returns once it has.
func strace(t *testing.T, p *process, args ...string) (*process, error) {
	t.Helper()
	args = append([]string{"-f", "-p", fmt.Sprint(p.cmd.Process.Pid), "-o", filepath.Join(t.TempDir(), "trace")}, args...)
	s := startProcess(t, "strace", "strace", args...)
	err := poll(patience, func() error {
		said := s.stderr.String()
		switch {
		case strings.Contains(said, " attached"):
			return nil
		case s.hasExited():
			return nil
		}
		return errNotAttached
	})
	said := s.stderr.String()
	switch {
	case err != nil:
		return nil, err
	case strings.Contains(said, " attached"):
		return s, nil
	case strings.Contains(said, "Operation not permitted"):
		return nil, fmt.Errorf("%w: %s", errNotPermitted, strings.TrimSpace(said))
	}
	return nil, fmt.Errorf("strace ended: %s", said)
}

// diskFault is what a broken disk does to the system calls on a replica's files.
type diskFault struct {
	name   string
	inject string // for strace
	says   string // in the line with which the replica ends
}

var diskFaults = []diskFault{
	{"full", "pwrite64,write,ftruncate,fallocate:error=ENOSPC", "no space left on device"},
	{"fsync fails", "fdatasync,fsync:error=EIO", "input/output error"},
	{"hangs", "fdatasync,fsync:delay_enter=60s", "the disk hangs"},
}

// diskFiles are what strace tells a disk by: it matches whole names. So no socket is touched, and no snapshot, whose
// name nobody knows before.
func diskFiles(r *replica) []string {
	var args []string
	for _, file := range []string{"", "raft.db", "replica.json", "replica.json.tmp"} {
		args = append(args, "-P", filepath.Join(r.data, file))
	}
	return args
}

// args are strace's.
func (f diskFault) args(r *replica) []string { return append(diskFiles(r), "-e", "inject="+f.inject) }

// strike breaks the disk of a replica that runs, and returns what mends it.
func (f diskFault) strike(t *testing.T, r *replica) (mend func()) {
	t.Helper()
	s, err := strace(t, r.process, f.args(r)...)
	if err != nil {
		t.Fatal(err)
	}
	return s.kill
}

// startOnBroken starts a replica whose disk is broken already. strace is the grandchild (-D), so that the replica is
// this process's own child and has its own exit code.
func (f diskFault) startOnBroken(t *testing.T, r *replica) *process {
	t.Helper()
	args := append([]string{"-D", "-f", "-o", filepath.Join(t.TempDir(), "trace")}, f.args(r)...)
	return startProcess(t, r.name, "strace", append(append(args, r.bin), r.args...)...)
}

// lastWords are the lines that a raftlookupd writes when it ends; what it logs has a prefix.
func lastWords(p *process) []string {
	lines := strings.Split(p.stderr.String(), "\n")
	return slices.DeleteFunc(lines, func(line string) bool { return !strings.HasPrefix(line, "raftlookupd: ") })
}

// endsItself waits until the replica ends, and checks what it says: one line, which names the data path and has all
// these words. Once it has said it the disk is mended: strace would keep a process whose write hangs from being gone.
func (r *replica) endsItself(t *testing.T, p *process, mend func(), says ...string) {
	t.Helper()
	eventually(t, clusterPatience, func() error {
		if !p.hasExited() && len(lastWords(p)) == 0 {
			return fmt.Errorf("%s still runs", p.name)
		}
		return nil
	})
	mend()
	code, said := p.exitCode(t), lastWords(p)
	if code != 1 || len(said) != 1 {
		t.Fatalf("%s: exit code %d, want 1; it ends with %q, want one line\n%s", p.name, code, said, p.stderr.tail())
	}
	t.Log(said[0])
	for _, part := range append(says, r.data) {
		if !strings.Contains(said[0], part) {
			t.Errorf("%s ends with %q, which lacks %q", p.name, said[0], part)
		}
	}
	if strings.Contains(said[0], "move the data path away") {
		t.Errorf("%s ends with %q, but what is there is sound", p.name, said[0])
	}
}

// smallDisk returns a data path on a file system of 4 MB, or skips the test. The file system is in the mount namespace
// of a process that ends with the test, however it ends, and is reached through /proc: so no mount is left behind.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root may mount a small file system")
	}
	dir := t.TempDir()
	const script = `mount -t tmpfs -o size=4m tmpfs "$0" && echo mounted && exec sleep 3600`
	p := startProcess(t, "unshare", "unshare", "--mount", "sh", "-c", script, dir)
	if err := poll(patience, func() error {
		if p.hasExited() || p.stdout.String() != "" {
			return nil
		}
		return errors.New("not mounted yet")
	}); err != nil {
		t.Fatal(err)
	}
	inside := fmt.Sprintf("/proc/%d/root%s", p.cmd.Process.Pid, dir)
	if _, err := os.Stat(inside); err != nil || p.hasExited() {
		t.Skipf("mounting is not permitted here: %v %s", err, p.stderr.String())
	}
	return filepath.Join(inside, "data")
}

// fill writes a file until nothing more fits beside it.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}
