// Command raftlookupd is a drop-in replacement for nsqlookupd, NSQ's discovery service, that keeps
// its registry in a replicated log. Its flags are in -help and in docs/.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/raftlookupd/raftlookupd/internal/config"
	"github.com/raftlookupd/raftlookupd/internal/daemon"
	"github.com/raftlookupd/raftlookupd/internal/logging"
)

// Exit codes.
const (
	exitFailed = 1 // at run time
	exitUsage  = 2
)

func main() {
	if len(os.Args) > 1 {
		word(os.Args[1], os.Args[2:])
	}
	cfg, err := config.Parse(os.Args[1:], os.Environ(), os.Stdout)
	if errors.Is(err, flag.ErrHelp) || errors.Is(err, config.ErrVersion) {
		return
	}
	if err != nil {
		exit(exitUsage, err)
	}
	log, err := logging.New(os.Stderr, cfg.LogLevel, cfg.LogFormat, cfg.LogPrefix)
	if err != nil {
		exit(exitUsage, err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := daemon.New(cfg, log).Run(ctx); err != nil {
		exit(exitFailed, err)
	}
}

// word does what the first argument says when it is no flag, and ends the program then.
func word(is string, args []string) {
	var err error
	switch is {
	case "healthcheck":
		err = healthcheck(args)
	case "recover":
		err = recoverCluster(args, os.Stdout)
	default:
		return
	}
	switch {
	case errors.Is(err, errUsage):
		exit(exitUsage, err)
	case err != nil:
		exit(exitFailed, err)
	}
	os.Exit(0)
}

// exit says on one line what is wrong, and what to do if that is known.
func exit(code int, err error) {
	fmt.Fprintln(os.Stderr, "raftlookupd: "+strings.ReplaceAll(err.Error(), "\n", "; "))
	os.Exit(code)
}
