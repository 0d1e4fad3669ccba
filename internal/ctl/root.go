package ctl

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/raftlookupd/raftlookupd/internal/version"
)

const (
	defaultAddr    = "http://127.0.0.1:4161"
	defaultTimeout = 10 * time.Second
)

// The groups of commands in the help.
const (
	groupLook    = "look"
	groupChange  = "change"
	groupCluster = "cluster"
	groupBackup  = "backup"
	groupOther   = "other"
)

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "lookupctl",
		Short: "Look after a cluster of raftlookupd",
		Long: `lookupctl shows and changes a cluster of raftlookupd, over HTTP.

It asks the replica at --addr, or else those in LOOKUPCTL_ADDR; of several, the first that answers.
Exit code 0 means done, 1 that it failed (one line on stderr says why and what to do), 2 wrong usage.`,
		Example: `  lookupctl status                                   the replica on this machine and its cluster
  lookupctl --addr lookup1,lookup2,lookup3 members   whichever of three answers first
  lookupctl -o json nodes | jq '.producers[].node'   for scripts`,
		Version:                    version.Binary,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		Args:                       cobra.ArbitraryArgs,
		RunE:                       group,
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetVersionTemplate(version.String("lookupctl") + "\n")
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.DisableDefaultCmd = true
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	p.addFlags(root)
	p.addCommands(root)
	return root
}

func (p *program) addFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringArrayVar(&p.flags.addrs, "addr", []string{defaultAddr},
		"`address` of a replica's HTTP API, host or URL; repeatable and comma-separated; default port 4161")
	f.StringVarP(&p.flags.output, "output", "o", "table", "`form` of what is printed: table or json")
	f.DurationVar(&p.flags.timeout, "timeout", defaultTimeout,
		"how long to wait for an answer; join and leave wait 2m for their end unless this is given")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json"}, cobra.ShellCompDirectiveNoFileComp))
	_ = root.RegisterFlagCompletionFunc("addr", cobra.NoFileCompletions)
}

func (p *program) addCommands(root *cobra.Command) {
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{groupLook, "Look:", []*cobra.Command{p.statusCommand(), p.membersCommand(), p.verifyCommand(),
			p.topicsCommand(), p.channelsCommand(), p.lookupCommand(), p.nodesCommand(), p.watchCommand()}},
		{groupChange, "Change the registry:", []*cobra.Command{p.topicCommand(), p.channelCommand(), p.importCommand()}},
		{groupCluster, "Change the cluster:", []*cobra.Command{p.joinCommand(), p.leaveCommand(), p.removeCommand(), p.transferCommand()}},
		{groupBackup, "Save and restore:", []*cobra.Command{p.snapshotCommand()}},
		{groupOther, "Other:", []*cobra.Command{p.versionCommand(), p.completionCommand(root)}},
	} {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID(groupOther)
	root.SetHelpCommand(helpCommand(root))
}

// group is the RunE of a command that only has commands below it.
func group(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return unknownCommand(cmd, args[0])
	}
	if !cmd.HasParent() {
		return usagef("a command is missing")
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return usagef("%s needs a command: %s", called(cmd), strings.Join(names, ", "))
}

// called is how a command is called, without the program.
func called(cmd *cobra.Command) string {
	return strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()), " ")
}

func unknownCommand(cmd *cobra.Command, arg string) error {
	text := fmt.Sprintf("unknown command %q", strings.TrimSpace(called(cmd)+" "+arg))
	if similar := cmd.SuggestionsFor(arg); len(similar) > 0 {
		text += ", do you mean " + strings.Join(similar, " or ") + "?"
	}
	return usageError{text}
}

// flagError prefers to say that there is no such command: its flags are then unknown as well.
func flagError(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return unknownCommand(cmd, cmd.Flags().Arg(0))
	}
	return usageError{err.Error()}
}

func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Show what a command does",
		Long:    "help shows what a command does, with an example, as the command's own --help does.",
		Example: "  lookupctl help snapshot save",
		GroupID: groupOther,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil {
				return usageError{err.Error()}
			}
			if len(rest) > 0 {
				return unknownCommand(cmd, rest[0])
			}
			return cmd.Help()
		},
	}
}

// verb is what a command does. It is given the arguments of the command line.
type verb func(ctx context.Context, args []string) error

// online makes a command's RunE of a verb that asks replicas.
func (p *program) online(v verb) func(*cobra.Command, []string) error {
	return p.offline(func(ctx context.Context, args []string) error {
		addrs, err := parseAddrs(p.flags.addrs)
		if err != nil {
			return err
		}
		p.client = newClient(addrs, p.flags.timeout, p.limit)
		return v(ctx, args)
	})
}

// offline is online for a verb that asks nobody.
func (p *program) offline(v verb) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := p.checkFlags(cmd); err != nil {
			return err
		}
		p.began = true
		return v(cmd.Context(), args)
	}
}

func (p *program) checkFlags(cmd *cobra.Command) error {
	if p.flags.output != "table" && p.flags.output != "json" {
		return usagef("-o takes table or json, not %q", p.flags.output)
	}
	if p.flags.timeout <= 0 {
		return usagef("--timeout takes a duration above zero, such as 10s, not %s", p.flags.timeout)
	}
	p.flags.timeoutGiven = cmd.Flags().Changed("timeout")
	if env := p.getenv("LOOKUPCTL_ADDR"); env != "" && !cmd.Flags().Changed("addr") {
		p.flags.addrs = []string{env}
	}
	return nil
}

// takes makes a check of the arguments from their names; one in brackets may be left out, and one
// with dots may be repeated.
func takes(names ...string) cobra.PositionalArgs {
	least, most := 0, len(names)
	for _, name := range names {
		if !strings.HasPrefix(name, "[") {
			least++
		}
		if strings.Contains(name, "…") {
			most = int(^uint(0) >> 1)
		}
	}
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) >= least && len(args) <= most:
			return nil
		case len(names) == 0:
			return usagef("%s takes no argument, got %q", called(cmd), args[0])
		case len(args) < least:
			return usagef("%s needs %s", called(cmd), strings.Join(names[len(args):], " "))
		}
		return usagef("%s takes %s and no more, got %q", called(cmd), strings.Join(names, " "), args[most])
	}
}

// theOne refuses several addresses where it matters which replica serves.
func (p *program) theOne(verb string) error {
	if n := len(p.client.addrs); n > 1 {
		return usagef("%s is about one replica, but %d are given: name it with --addr", verb, n)
	}
	return nil
}
