package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shellPatience is for one command of a walk; lookupctl gives up before.
const shellPatience = 3 * time.Minute

// shell is one bash for a whole walk, in a directory of its own, with the built programs on its path. It and all that it
// starts are one process group, which ends with the test; when the test process dies, bash ends the group itself.
type shell struct {
	dir   string
	stdin io.WriteCloser
	lines chan string // of bash and all that it starts, while commands run
	next  int
}

var errShell = errors.New("the shell does not come back")

func startShell(t *testing.T, path string) *shell {
	t.Helper()
	s := &shell{dir: t.TempDir(), lines: make(chan string, 1000)}
	cmd := exec.Command("bash", "--noprofile", "--norc")
	cmd.Dir = s.dir
	cmd.Env = append(cleanEnviron(), "PATH="+path+":"+os.Getenv("PATH"), "LC_ALL=C.UTF-8", "TZ=UTC")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	go s.read(out)
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // fails only when all have ended
		cmd.Wait()                                      // killed
		for range s.lines {                             // until the last of the group has let go
		}
	})
	if _, err := s.run("trap 'kill -9 0' EXIT"); err != nil {
		t.Fatal(err)
	}
	return s
}

// pathOfPrograms is a directory with raftlookupd, whichever is tested, and all others.
func pathOfPrograms(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Abs(programs.raftlookupd)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(bin) == programs.dir {
		return programs.dir
	}
	dir := t.TempDir()
	if err := os.Symlink(bin, filepath.Join(dir, "raftlookupd")); err != nil {
		t.Fatal(err)
	}
	return dir + ":" + programs.dir
}

// withReleases adds a directory with the earlier releases that the document runs, each with its version in its name.
func withReleases(t *testing.T, path, document string) string {
	t.Helper()
	name := "raftlookupd-" + strings.TrimPrefix(firstRelease, "v")
	if !strings.Contains(document, name) {
		return path
	}
	dir := t.TempDir()
	if err := os.Symlink(release(t, firstRelease), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	return dir + ":" + path
}

// read hands on what is printed until nobody can print any more.
func (s *shell) read(out *os.File) {
	defer out.Close()
	defer close(s.lines)
	for r := bufio.NewReader(out); ; {
		line, err := r.ReadString('\n')
		if line != "" {
			s.lines <- line
		}
		if err != nil {
			return
		}
	}
}

// run returns what a command prints, on stdout and on stderr. What it leaves in the background must not print.
func (s *shell) run(command string) (string, error) {
	s.next++
	marker := fmt.Sprintf("<end of command %d>", s.next)
	if _, err := fmt.Fprintf(s.stdin, "%s\necho; echo '%s'\n", command, marker); err != nil {
		return "", err
	}
	limit := time.NewTimer(shellPatience)
	defer limit.Stop()
	var printed strings.Builder
	for {
		select {
		case line, ok := <-s.lines:
			switch {
			case !ok:
				return printed.String(), fmt.Errorf("%w: it has ended: %s", errShell, printed.String())
			case line == marker+"\n":
				return strings.TrimSuffix(printed.String(), "\n"), nil
			}
			printed.WriteString(line)
		case <-limit.C:
			return "", fmt.Errorf("%w: %q printed %q in %v", errShell, command, printed.String(), shellPatience)
		}
	}
}
