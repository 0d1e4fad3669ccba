package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// exitPatience is how long a program may take to end after a signal.
const exitPatience = 10 * time.Second

// output collects what a program writes while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// tail returns the last lines, for a failure's report, without what tests ask all the time.
func (o *output) tail() string {
	const most = 30
	lines := strings.Split(strings.TrimSpace(o.String()), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, " GET /") })
	if len(lines) > most {
		lines = append([]string{"…"}, lines[len(lines)-most:]...)
	}
	return strings.Join(lines, "\n")
}

// process is a program that a test has started. It is killed when the test ends, or dies with the
// test process.
type process struct {
	name           string
	cmd            *exec.Cmd
	stdout, stderr output
	exited         chan struct{} // closed when it has ended and all its output is here
}

func startProcess(t testing.TB, name, bin string, args ...string) *process {
	t.Helper()
	return startProcessEnv(t, nil, name, bin, args...)
}

func startProcessEnv(t testing.TB, env []string, name, bin string, args ...string) *process {
	t.Helper()
	return startProcessTo(t, nil, env, name, bin, args...)
}

// startProcessTo starts a program whose stderr is a file; nil: it is collected.
func startProcessTo(t testing.TB, stderr *os.File, env []string, name, bin string, args ...string) *process {
	t.Helper()
	p := &process{name: name, cmd: exec.Command(bin, args...), exited: make(chan struct{})}
	p.cmd.Dir = t.TempDir() // whatever a program leaves in its directory goes with the test
	p.cmd.Env = append(cleanEnviron(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if stderr != nil {
		p.cmd.Stderr = stderr
	}
	p.cmd.SysProcAttr = dieWithParent()
	p.cmd.WaitDelay = exitPatience
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.exited)
		p.cmd.Wait() // how it ended is read from ProcessState
	}()
	t.Cleanup(func() { p.finish(t) })
	return p
}

// cleanEnviron leaves out what would be taken for raftlookupd's settings.
func cleanEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "RAFTLOOKUPD_") })
}

// finish ends the program and reports what it said, if the test needs to know.
func (p *process) finish(t testing.TB) {
	p.kill()
	stderr := p.stderr.String()
	for _, bad := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE"} {
		if at := strings.Index(stderr, bad); p.cmd.Path == programs.raftlookupd && at >= 0 {
			const most = 8000
			t.Errorf("%s wrote %s", p.name, stderr[at:min(at+most, len(stderr))])
		}
	}
	if t.Failed() {
		t.Logf("%s %s\n%s", p.name, strings.Join(p.cmd.Args[1:], " "), p.stderr.tail())
	}
}

// kill ends the program as kill -9 does, and returns when it is gone.
func (p *process) kill() {
	p.cmd.Process.Kill() // fails only when it has ended already
	<-p.exited
}

// stop sends a signal and returns the exit code.
func (p *process) stop(t testing.TB, sig os.Signal) int {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatalf("send %v to %s: %v", sig, p.name, err)
	}
	return p.exitCode(t)
}

// exitCode waits for the program to end by itself; -1 means that a signal ended it.
func (p *process) exitCode(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(exitPatience):
		t.Fatalf("%s did not exit within %v\n%s", p.name, exitPatience, p.stderr.tail())
		return 0
	}
}

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}
