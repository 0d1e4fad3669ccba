// Command lookupctl looks after a cluster of raftlookupd. `lookupctl help` teaches its use.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/raftlookupd/raftlookupd/internal/ctl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(ctl.Run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
