package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"github.com/raftlookupd/raftlookupd/internal/daemon"
)

const recoverHelp = `raftlookupd recover makes a new cluster of one replica that survived, when the majority is lost for good.

Usage: raftlookupd recover -data-path DIR [-yes]

It works on the data path of a replica that is not running. Without -yes it says what is there and what
would be done, and changes nothing. See docs/operations.md, "When the majority is lost".
`

// recoverCluster does what the word recover says.
func recoverCluster(args []string, out, logTo io.Writer) error {
	flags := flag.NewFlagSet("recover", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	path := flags.String("data-path", "", "")
	yes := flags.Bool("yes", false, "")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err := io.WriteString(out, recoverHelp)
		return err
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("%q is not understood", flags.Arg(0))
	case err == nil && *path == "":
		err = errors.New("-data-path is missing: which replica's data is it")
	}
	if err != nil {
		return usage{fmt.Errorf("recover: %w (usage: see raftlookupd recover -help)", err)}
	}
	log := slog.New(slog.NewTextHandler(logTo, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return daemon.Recover(out, *path, *yes, log)
}
