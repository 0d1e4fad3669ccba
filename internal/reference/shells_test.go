package reference

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/raftlookupd/raftlookupd/internal/ctl"
)

// tool is the path of a program that a test can do without.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

func TestShellsUnderstandTheirCompletions(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			var script, stderr bytes.Buffer
			if code := ctl.Run(context.Background(), []string{"completion", shell}, nil, strings.NewReader(""), &script, &stderr); code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr.String())
			}
			if !strings.Contains(script.String(), "lookupctl") {
				t.Fatalf("no script: %.200s", script.String())
			}
			cmd := exec.Command(tool(t, shell), "-n", "/dev/stdin")
			cmd.Stdin = &script
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func TestManualPagesAreWellFormed(t *testing.T) {
	for path, page := range write(t) {
		if !strings.HasPrefix(path, "docs/man/") {
			continue
		}
		file := filepath.Join(t.TempDir(), filepath.Base(path))
		if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run("man "+path, func(t *testing.T) {
			tool(t, "groff")
			cmd := exec.Command(tool(t, "man"), "--warnings", "-l", file)
			cmd.Env = append(os.Environ(), "MANWIDTH=100", "MANPAGER=cat", "LC_ALL=C.UTF-8")
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); err != nil || stderr.Len() > 0 {
				t.Errorf("%v: %s", err, stderr.String())
			}
			if !strings.Contains(stdout.String(), "SEE ALSO") {
				t.Errorf("it shows\n%.300s", stdout.String())
			}
		})
		t.Run("mandoc "+path, func(t *testing.T) {
			if out, err := exec.Command(tool(t, "mandoc"), "-Tlint", "-Werror", file).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}
