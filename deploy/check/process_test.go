package check

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const patience = 15 * time.Second // for what should take a second, on a machine that is busy

// eventually fails the test unless check returns nil in time.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %v", patience, err)
		}
	}
}

// addresses are where one process listens.
type addresses struct{ tcp, http, cluster, gossip string }

func (a addresses) args() []string {
	return []string{"-tcp-address=" + a.tcp, "-http-address=" + a.http, "-cluster-address=" + a.cluster, "-gossip-address=" + a.gossip}
}

// pick returns addresses that are free, or were a moment ago.
func pick(t *testing.T) addresses {
	t.Helper()
	var a addresses
	for _, to := range []*string{&a.tcp, &a.http, &a.cluster, &a.gossip} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		*to = l.Addr().String()
	}
	return a
}

// process is a program that a test has started. It ends with the test.
type process struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer // to be read after it has exited
	exited chan struct{}
}

func start(t *testing.T, env []string, bin string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(bin, args...), exited: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append(slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, envPrefix) }), env...)
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = dieWithParent()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		p.cmd.Wait() // how it ended is read from ProcessState
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill() // fails only when it has ended already
		<-p.exited
		if t.Failed() {
			t.Logf("%s\n%s", strings.Join(p.cmd.Args, " "), p.stderr.String())
		}
	})
	return p
}

// stop sends SIGTERM, and expects a clean end.
func (p *process) stop(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ends(t, 0)
}

func (p *process) ends(t *testing.T, code int) {
	t.Helper()
	select {
	case <-p.exited:
		if got := p.cmd.ProcessState.ExitCode(); got != code {
			t.Errorf("exit code %d, want %d", got, code)
		}
	case <-time.After(patience):
		t.Fatalf("%s has not ended", p.cmd.Path)
	}
}

// answers waits until a path is answered with 200.
func (p *process) answers(t *testing.T, address, path string) {
	t.Helper()
	eventually(t, func() error {
		select {
		case <-p.exited:
			t.Fatalf("%s has ended", p.cmd.Path)
		default:
		}
		resp, err := http.Get("http://" + address + path)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", path, resp.Status)
		}
		return nil
	})
}
