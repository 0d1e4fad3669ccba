package netlab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// exitPatience bounds how long the output of a program that has ended is waited for.
const exitPatience = 5 * time.Second

// Process is a program that runs in a node.
type Process struct {
	Name    string
	LogPath string // what it writes to stdout and stderr, appended at each start

	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
}

// Start starts a program. Its log is <dir of the node>/<name>.log. It ends with the lab, or with the calling process.
func (n *Node) Start(name, program string, args ...string) (*Process, error) {
	p := &Process{Name: name, LogPath: filepath.Join(n.Dir, name+".log"),
		cmd: n.command(program, args...), exited: make(chan struct{})}
	log, err := os.OpenFile(p.LogPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the program has its own
	p.cmd.Dir = n.Dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = dieWithParent()
	p.cmd.WaitDelay = exitPatience
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.exited)
		p.cmd.Wait() // how it ended is read from ProcessState
	}()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.processes = append(slices.DeleteFunc(n.processes, (*Process).HasExited), p)
	return p, nil
}

// Signal sends a signal.
func (p *Process) Signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("send %v to %s: %w", sig, p.Name, err)
	}
	return nil
}

// Pause stops the process as a whole until Resume: its connections stay, and nothing is read from them.
func (p *Process) Pause() error { return p.Signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

// Kill ends the process as kill -9 does, and returns when it is gone.
func (p *Process) Kill() {
	p.cmd.Process.Kill() // fails only when it has ended already
	<-p.exited
}

// Stop asks the process to end (SIGTERM), and returns its exit code.
func (p *Process) Stop(ctx context.Context) (int, error) {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return 0, err
	}
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%s does not end: %w", p.Name, ctx.Err())
	}
}

// HasExited tells whether the process has ended.
func (p *Process) HasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Tail returns the last lines of the log.
func (p *Process) Tail(lines int) string {
	text, err := os.ReadFile(p.LogPath)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
