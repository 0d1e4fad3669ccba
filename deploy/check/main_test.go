package check

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const (
	root       = "../.."
	systemd    = root + "/deploy/systemd"
	kubernetes = root + "/deploy/kubernetes"
)

// raftlookupd is where the program is built, described what it says of itself. TestMain sets them.
var (
	raftlookupd string
	described   Program
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "raftlookupd-deploy-")
	if err == nil {
		defer os.RemoveAll(dir)
		raftlookupd = filepath.Join(dir, "raftlookupd")
		err = build()
	}
	if err == nil {
		described, err = Describe(raftlookupd, root)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func build() error {
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", raftlookupd, "./cmd/raftlookupd")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build raftlookupd: %w\n%s", err, out)
	}
	return nil
}
