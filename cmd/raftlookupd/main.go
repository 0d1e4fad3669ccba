// Command raftlookupd is a drop-in replacement for nsqlookupd, NSQ's discovery service, that keeps
// its registry in a replicated log. Its flags are in -help and in docs/.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/config"
	"github.com/raftlookupd/raftlookupd/internal/daemon"
	"github.com/raftlookupd/raftlookupd/internal/logging"
)

// Exit codes.
const (
	exitFailed = 1 // at run time
	exitUsage  = 2
)

// logBytes is how much of the log waits for whatever reads it.
const logBytes = 1 << 20

// lastLines is how long the end of the process waits for the last lines to be written.
const lastLines = 1 * time.Second

func main() {
	// Without this the kernel ends the process when the reader of its log is gone.
	signal.Ignore(syscall.SIGPIPE)
	stderr := logging.NewBuffer(os.Stderr, logBytes)
	code := run(os.Args[1:], stderr)
	_ = stderr.Close(lastLines) // there is nowhere to tell that it failed
	os.Exit(code)
}

// run does what the arguments say and returns the exit code.
func run(args []string, stderr *logging.Buffer) int {
	if len(args) > 0 {
		if err, known := word(args[0], args[1:], stderr); known {
			return code(stderr, err)
		}
	}
	cfg, err := config.Parse(args, os.Environ(), os.Stdout)
	if errors.Is(err, flag.ErrHelp) || errors.Is(err, config.ErrVersion) {
		return 0
	}
	if err != nil {
		return code(stderr, usage{err})
	}
	log, err := logging.New(stderr, cfg.LogLevel, cfg.LogFormat, cfg.LogPrefix)
	if err != nil {
		return code(stderr, usage{err})
	}
	ctx, stop := untilSignal()
	defer stop()
	return code(stderr, daemon.New(cfg, log).Run(ctx))
}

// word does what the first argument says when it is no flag.
func word(is string, args []string, stderr io.Writer) (err error, known bool) {
	switch is {
	case "healthcheck":
		return healthcheck(args), true
	case "recover":
		return recoverCluster(args, os.Stdout, stderr), true
	default:
		return nil, false
	}
}

// usage is an error of how the program was called.
type usage struct{ error }

// code returns the exit code for an error, and says on one line what is wrong, and what to do if that
// is known.
func code(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(stderr, "raftlookupd: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	if errors.As(err, new(usage)) {
		return exitUsage
	}
	return exitFailed
}
