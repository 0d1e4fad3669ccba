//go:build linux

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// iceDisk is an ext4 file system of its own that can be frozen: then every write to it hangs. The shell that mounts it
// lives in a mount namespace of its own, and thaws and unmounts it when its input ends, so also when the test process
// is killed.
type iceDisk struct {
	dir   string // as seen from here
	tell  io.WriteCloser
	hears *bufio.Scanner
}

const iceScript = `
mount -o loop "$0" "$1" && echo mounted || exit 1
while read -r verb; do fsfreeze "$verb" "$1" && echo "done $verb"; done
fsfreeze -u "$1" 2>/dev/null
exec umount -l "$1"`

// newIceDisk makes a disk, or skips the test where that is not possible.
func newIceDisk(t *testing.T) *iceDisk {
	t.Helper()
	cannot := func(format string, args ...any) {
		t.Helper()
		if os.Getenv(strict) == "1" {
			t.Fatalf("no disk can be frozen, and %s=1: "+format, append([]any{strict}, args...)...)
		}
		t.Skipf("no disk can be frozen: "+format, args...)
	}
	if os.Getuid() != 0 {
		cannot("only root may mount one")
	}
	image, at := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
		cannot("mkfs.ext4 (Debian package e2fsprogs): %v %s", err, out)
	}
	d := &iceDisk{}
	pid := d.mount(t, image, at)
	if !d.hears.Scan() || d.hears.Text() != "mounted" {
		cannot("mount and unshare (Debian packages mount and util-linux): %s", d.hears.Text())
	}
	d.dir = fmt.Sprintf("/proc/%d/root%s", pid, at)
	if _, err := os.Stat(d.dir); err != nil {
		cannot("%v", err)
	}
	return d
}

// mount starts the shell, without a signal for the death of its parent, and returns its process id.
func (d *iceDisk) mount(t *testing.T, image, at string) (pid int) {
	t.Helper()
	cmd := exec.Command("unshare", "--mount", "sh", "-c", iceScript, image, at)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.tell, d.hears = in, bufio.NewScanner(out)
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// freeze makes every write hang, thaw lets them go on.
func (d *iceDisk) freeze(t *testing.T) { t.Helper(); d.order(t, "-f") }
func (d *iceDisk) thaw(t *testing.T)   { t.Helper(); d.order(t, "-u") }

func (d *iceDisk) order(t *testing.T, verb string) {
	t.Helper()
	_, err := fmt.Fprintln(d.tell, verb)
	if err != nil || !d.hears.Scan() || d.hears.Text() != "done "+verb {
		t.Fatalf("fsfreeze %s: error %v, it says %q", verb, err, d.hears.Text())
	}
}

// launchLogTo starts a replica that logs into a file.
func launchLogTo(t *testing.T, r *replica, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r.client.CloseIdleConnections()
	r.process = startProcessTo(t, f, nil, r.name, r.bin, r.args...)
}

// isOut returns nil when the replica takes no connections any more. Its process may stay, because a thread that waits
// for a frozen disk cannot be ended.
func (r *replica) isOut() error {
	for what, address := range map[string]string{"nsqd": r.lookupd.tcp, "HTTP": r.lookupd.http} {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			_ = c.Close()
			return fmt.Errorf("%s takes connections for %s", r.name, what)
		}
	}
	return nil
}

// TestDiskHangsWithTheLogOnIt freezes the file system that holds the leader's data path and its log. The others elect a
// leader and go on, and the leader gets out of the way: it may neither lead nor serve.
func TestDiskHangsWithTheLogOnIt(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	disk := newIceDisk(t)
	c := prepareCluster(t, 3)
	sick := c.replicas[0]
	for i, arg := range sick.args {
		if arg == sick.data {
			sick.args[i] = filepath.Join(disk.dir, "data")
		}
	}
	log := filepath.Join(disk.dir, "log")
	launchLogTo(t, sick, log)
	for _, r := range c.replicas[1:] {
		r.launch(t)
	}
	for leader := c.settle(t); leader != sick; leader = c.settle(t) {
		if err := leader.post("/cluster/transfer?to=" + sick.name); err != nil {
			t.Log(err)
		}
	}
	c.commits(t, "before")

	disk.freeze(t)
	thawed := false
	defer func() {
		if !thawed {
			disk.thaw(t)
		}
	}()
	start := time.Now()
	sick.away = true
	eventually(t, clusterPatience, func() error {
		if err := c.up()[0].post("/topic/create?topic=frozen"); err != nil { // which the disk has to bear
			return err
		}
		_, err := c.led()
		return err
	})
	t.Logf("another leads and commits %s after the disk was frozen", time.Since(start))
	c.commits(t, "frozen")
	eventually(t, clusterPatience, sick.isOut)
	t.Logf("it takes no connections %s after the disk was frozen", time.Since(start))
	c.commits(t, "without")

	disk.thaw(t)
	thawed = true
	if code := sick.exitCode(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	sick.away = false
	launchLogTo(t, sick, log)
	c.settle(t)
	c.commits(t, "after")
	if said, err := os.ReadFile(log); err != nil || !strings.Contains(string(said), "the disk hangs") {
		t.Logf("error %v; its log does not say why it ended: that line waits for the same disk", err)
	}
}
