//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// logReader is what reads a replica's log, at the other end of a pipe.
type logReader struct {
	pipe, to *os.File

	mu   sync.Mutex
	held bool
	goOn *sync.Cond
}

// launchPiped starts a replica with a reader of its log.
func launchPiped(t *testing.T, r *replica) *logReader {
	t.Helper()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.client.CloseIdleConnections()
	r.process = startProcessTo(t, to, nil, r.name, r.bin, r.args...)
	l := &logReader{pipe: from, to: to}
	l.goOn = sync.NewCond(&l.mu)
	var wg sync.WaitGroup
	wg.Go(func() { l.read(&r.process.stderr) })
	t.Cleanup(func() {
		l.hold(false)
		_, _ = to.Close(), from.Close()
		wg.Wait()
	})
	return l
}

func (l *logReader) read(out *output) {
	for buf := make([]byte, 4096); ; {
		l.mu.Lock()
		for l.held {
			l.goOn.Wait()
		}
		l.mu.Unlock()
		n, err := l.pipe.Read(buf)
		_, _ = out.Write(buf[:n])
		if err != nil {
			return
		}
	}
}

// hold stops the reader, or lets it go on.
func (l *logReader) hold(held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = held
	l.goOn.Broadcast()
}

// full returns nil when nothing more fits into the pipe.
func (l *logReader) full() error {
	raw, err := l.to.SyscallConn()
	if err != nil {
		return err
	}
	var room int
	var failed error
	err = raw.Control(func(fd uintptr) {
		room, failed = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 0)
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	if room > 0 {
		return errors.New("there is room in the pipe")
	}
	return nil
}

// chatty asks the replica for what makes long lines in its log, until the log is stuck.
func chatty(t *testing.T, r *replica, stuck func() error) {
	t.Helper()
	c := newHTTPClient()
	c.Timeout = time.Second // a replica whose log is stuck may not answer
	defer c.CloseIdleConnections()
	url := "http://" + r.http + "/ping?" + strings.Repeat("x", 2000)
	eventually(t, patience, func() error {
		for range 50 {
			if _, err := request(c, "GET", url, ""); err != nil {
				break
			}
		}
		return stuck()
	})
}

// pipedCluster is three replicas with readers of their logs.
func pipedCluster(t *testing.T) (*cluster, map[*replica]*logReader) {
	t.Helper()
	c := prepareCluster(t, 3, "-log-level", "debug")
	readers := make(map[*replica]*logReader)
	for _, r := range c.replicas {
		readers[r] = launchPiped(t, r)
	}
	c.settle(t)
	return c, readers
}

// commits makes topics at each replica that runs, one after another, each of which is committed.
func (c *cluster) commits(t *testing.T, name string) {
	t.Helper()
	start := time.Now()
	for i := range 10 {
		for _, r := range c.up() {
			eventually(t, clusterPatience, func() error {
				return r.post(fmt.Sprintf("/topic/create?topic=%s-%d-%s", name, i, r.name))
			})
			if i == 0 {
				t.Logf("%s: a change at %s is committed after %s", name, r.name, time.Since(start))
			}
		}
	}
}

// TestStuckLogReader: the reader of the leader's log stops reading. The cluster goes on, also when a follower is lost,
// the leader answers, and it ends when it is told to. Raft's main loop logs that a follower is gone.
func TestStuckLogReader(t *testing.T) {
	t.Parallel()
	c, readers := pipedCluster(t)
	leader := c.settle(t)
	readers[leader].hold(true)
	chatty(t, leader, readers[leader].full)
	c.commits(t, "stuck")

	lost := c.follower(t)
	lost.kill()
	c.commits(t, "alone")
	for _, path := range []string{"/readyz", "/ping", "/topics", "/cluster/status"} {
		if err := leader.get(path, nil); err != nil {
			t.Errorf("the replica with the stuck log: %v", err)
		}
	}
	readers[lost] = launchPiped(t, lost)
	c.settle(t)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		stuck := c.settle(t)
		readers[stuck].hold(true)
		chatty(t, stuck, readers[stuck].full)
		start := time.Now()
		if code := stuck.stop(t, sig); code != 0 {
			t.Errorf("%v: exit code %d", sig, code)
		}
		t.Logf("%v ends it after %s", sig, time.Since(start))
		c.settle(t)
		c.commits(t, "after-"+strings.ToLower(unix.SignalName(sig)))
		readers[stuck] = launchPiped(t, stuck)
		c.settle(t)
	}
}

// TestLogReaderThatGoesOn: the log says how many lines were lost while nobody read it, and goes on.
func TestLogReaderThatGoesOn(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	r := newReplica(t, "r1")
	reader := launchPiped(t, r)
	eventually(t, patience, r.serves)
	reader.hold(true)
	asked := 0
	chatty(t, r, func() error {
		if asked++; asked < 20 {
			return errors.New("the buffer of the log is not full yet")
		}
		return reader.full()
	})
	reader.hold(false)
	eventually(t, patience, func() error {
		if !strings.Contains(r.stderr.String(), "log lines were dropped") {
			return errors.New("the log does not say that lines were dropped")
		}
		return nil
	})
	if code := r.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	eventually(t, patience, func() error {
		if !strings.Contains(r.stderr.String(), "HTTP: closing") {
			return errors.New("the last lines are missing")
		}
		return nil
	})
}

// TestLogReaderThatDies: the readers of all logs go away. No replica may go with them.
func TestLogReaderThatDies(t *testing.T) {
	t.Parallel()
	c, readers := pipedCluster(t)
	for _, r := range c.replicas {
		if err := readers[r].pipe.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c.commits(t, "unread")
	for _, r := range c.replicas {
		if r.hasExited() {
			t.Fatalf("%s has ended with the reader of its log: %v", r.name, r.cmd.ProcessState)
		}
	}
	c.follower(t).kill()
	c.commits(t, "alone")
	if code := c.settle(t).stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestStuckLogAtTheEnd: what a program that ends has to say holds it up for a moment only.
func TestStuckLogAtTheEnd(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	from, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = from.Close(), to.Close() })
	for err == nil { // until the deadline
		_ = to.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		_, err = to.Write(make([]byte, 4096))
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want int
		args []string
	}{
		{2, []string{"-no-such-flag"}},
		{2, []string{"recover"}},
		{1, []string{"healthcheck", "http://" + freeAddress(t)}},
		{1, []string{"-data-path", file, "-tcp-address", freeAddress(t), "-http-address", freeAddress(t),
			"-cluster-address", freeAddress(t), "-gossip-address", freeAddress(t)}},
	} {
		p := startProcessTo(t, to, nil, "raftlookupd", programs.raftlookupd, c.args...)
		if code := p.exitCode(t); code != c.want {
			t.Errorf("%v: exit code %d, want %d", c.args, code, c.want)
		}
	}
}

// TestSecondSignal: a stop may take its time, here because the data path hangs while it is opened; a second signal does
// not wait for it.
func TestSecondSignal(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		r := newReplica(t, "r1")
		if err := os.Mkdir(r.data, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkfifo(filepath.Join(r.data, "replica.json"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.launch(t)
		eventually(t, patience, func() error {
			if !strings.Contains(r.stderr.String(), "INFO: raftlookupd v") {
				return errors.New("it has not started")
			}
			return nil
		})
		eventually(t, patience, func() error { // two that come at once are one
			if r.hasExited() {
				return nil
			}
			return errors.Join(errors.New("it still runs"), r.cmd.Process.Signal(sig))
		})
		if code, said := r.exitCode(t), lastWords(r.process); code != 1 || len(said) > 0 {
			t.Errorf("%v twice: exit code %d, it ends with %q", sig, code, said)
		}
	}
}

// TestLogOnAFullDisk: the file system that holds the log alone is full. The replica goes on, and so does its log once
// there is room.
func TestLogOnAFullDisk(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	dir := filepath.Dir(smallDisk(t))
	r := newReplica(t, "r1")
	log := filepath.Join(dir, "log")
	launchLogTo(t, r, log)
	eventually(t, patience, r.serves)
	filler := filepath.Join(dir, "filler")
	fill(t, filler)
	before, err := os.Stat(log)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 { // the last page of the file may have room
		if err := r.post(fmt.Sprintf("/topic/create?topic=full-%d-%s", i, strings.Repeat("x", 40))); err != nil {
			t.Fatal(err)
		}
	}
	if after, err := os.Stat(log); err != nil || after.Size() > before.Size()+4096 {
		t.Fatalf("the log grows though its disk is full: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error {
		text, err := os.ReadFile(log)
		if err != nil || strings.Count(string(text), "topic=full-") != 100 {
			return fmt.Errorf("%d of 100 lines are in the log, error %v", strings.Count(string(text), "topic=full-"), err)
		}
		return nil
	})
	if code := r.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
