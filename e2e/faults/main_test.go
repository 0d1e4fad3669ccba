package faults

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/raftlookupd/raftlookupd/e2e/fleet"
	"github.com/raftlookupd/raftlookupd/e2e/netlab"
)

// atOnce is how many tests run at the same time unless -parallel says so: they wait most of the time.
const atOnce = 10

// suite is what all tests share. TestMain sets it before any test runs.
var suite struct {
	dir      string
	programs fleet.Programs
	noLab    error // why no lab can be made here
	standIn  bool  // nsqlookupd stands in for raftlookupd
	table    table
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	runMany()
	dir, err := netlab.TempDir()
	if err != nil {
		fmt.Fprintln(os.Stderr, "make a directory:", err)
		return 1
	}
	suite.dir, suite.noLab = dir, netlab.Check()
	defer os.RemoveAll(dir)
	stop := cleanUpOnSignal(dir)
	defer stop()
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := suite.table.publish(os.Getenv("E2E_TABLE")); err != nil {
		fmt.Fprintln(os.Stderr, "write the table:", err)
		code = 1
	}
	stop()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// runMany raises -parallel, whose default is the number of processors, unless it is given.
func runMany() {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		flag.Set("test.parallel", strconv.Itoa(atOnce))
	}
}

// cleanUpOnSignal removes namespaces and files when the tests are interrupted, and ends the process.
func cleanUpOnSignal(dir string) (stop func()) {
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		defer close(done)
		if _, interrupted := <-signals; !interrupted {
			return
		}
		err := errors.Join(netlab.RemoveOwn(), os.RemoveAll(dir))
		fmt.Fprintln(os.Stderr, "interrupted", err)
		os.Exit(1)
	}()
	var stopped bool
	return func() {
		if stopped {
			return
		}
		stopped = true
		signal.Stop(signals)
		close(signals)
		<-done
	}
}

func build(dir string) error {
	suite.programs = fleet.Programs{Raftlookupd: filepath.Join(dir, "raftlookupd"), Nsqd: filepath.Join(dir, "nsqd")}
	if err := goBuild(".", suite.programs.Nsqd, "github.com/nsqio/nsq/apps/nsqd"); err != nil {
		return err
	}
	bin := os.Getenv("E2E_BIN")
	if bin == "" {
		return goBuild("../..", suite.programs.Raftlookupd, "./cmd/raftlookupd")
	}
	suite.standIn = bin == "nsqlookupd"
	var err error
	suite.programs.Raftlookupd, err = filepath.Abs(bin) // programs run in directories of their own
	return err
}

func goBuild(dir, output, pkg string) error {
	cmd := exec.Command("go", "build", "-o", output, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", pkg, dir, err, out)
	}
	return nil
}
