// Command bench runs nsqlookupd and raftlookupd in turn on this machine and prints one table of both.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/raftlookupd/raftlookupd/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := bench.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
