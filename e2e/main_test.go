package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// standIn, as the value of E2E_BIN, lets the real nsqlookupd stand in for raftlookupd: it
// proves the tests themselves, for then no comparison may find a difference.
const standIn = "nsqlookupd"

// programs says where the built programs are. TestMain sets it before any test runs.
var programs struct {
	dir         string
	raftlookupd string
	lookupctl   string
	standIn     bool
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "raftlookupd-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a directory for programs:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// build puts NSQ's programs, which go.mod names as tools, and raftlookupd into dir.
func build(dir string) error {
	programs.dir = dir
	programs.lookupctl = program("lookupctl")
	if err := errors.Join(goBuild(".", dir, "tool"), goBuild("..", programs.lookupctl, "./cmd/lookupctl")); err != nil {
		return err
	}
	switch bin := os.Getenv("E2E_BIN"); bin {
	case "":
		programs.raftlookupd = program("raftlookupd")
		return goBuild("..", programs.raftlookupd, "./cmd/raftlookupd")
	case standIn:
		programs.raftlookupd, programs.standIn = program(standIn), true
	default:
		programs.raftlookupd = bin
	}
	return nil
}

func goBuild(dir, output, pkg string) error {
	cmd := exec.Command("go", "build", "-o", output, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", pkg, dir, err, out)
	}
	return nil
}

func program(name string) string { return filepath.Join(programs.dir, name) }

// oursOnly skips a test of what nsqlookupd does not have.
func oursOnly(t testing.TB) {
	t.Helper()
	if programs.standIn {
		t.Skip("nsqlookupd stands in for raftlookupd")
	}
}
