package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// exitPatience is how long a program may take to end after SIGTERM.
const exitPatience = 30 * time.Second

var errExited = errors.New("the program has exited")

// process is a program that the bench has started.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string        // file with what it writes
	exited chan struct{} // closed when it has ended
}

// startProcess starts a program in a directory, where its log goes too. It is killed when the context ends, and so
// whatever waits for its answers ends as well.
func startProcess(ctx context.Context, dir, name, bin string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.CommandContext(ctx, bin, args...), log: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", name, err)
	}
	defer log.Close()
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = dir, log, log, dieWithParent()
	p.cmd.Env = cleanEnviron()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // how it ended is read from ProcessState
	}()
	return p, nil
}

// cleanEnviron leaves out what would be taken for raftlookupd's settings.
func cleanEnviron() []string {
	var kept []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "RAFTLOOKUPD_") {
			kept = append(kept, entry)
		}
	}
	return kept
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the program as kill -9 does, and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it has ended already
	<-p.exited
}

// stop ends the program by SIGTERM, which it must survive until it has ended by itself.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.exited:
	case <-time.After(exitPatience):
		p.kill()
		return fmt.Errorf("stop %s: still there after %v: %s", p.name, exitPatience, p.tail())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("stop %s: exit code %d: %s", p.name, code, p.tail())
	}
	return nil
}

// alive returns nil while the program runs.
func (p *process) alive() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s: %w: %s", p.name, errExited, p.tail())
	default:
		return nil
	}
}

// tail is the end of what the program wrote.
func (p *process) tail() string {
	const most = 2000
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-most):]))
}
