package ctl

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/raftlookupd/raftlookupd/internal/version"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version of lookupctl",
		Long:    "version shows the version of lookupctl. Those of the replicas are in 'members'.",
		Example: "  lookupctl version",
		Args:    takes(),
		RunE: p.offline(func(context.Context, []string) error {
			return p.show(Version{version.Binary}, func(pg *page) { pg.line("%s", version.String("lookupctl")) })
		}),
	}
}

func (p *program) completionCommand(root *cobra.Command) *cobra.Command {
	shells := map[string]func(io.Writer) error{
		"bash":       func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh":        root.GenZshCompletion,
		"fish":       func(w io.Writer) error { return root.GenFishCompletion(w, true) },
		"powershell": root.GenPowerShellCompletionWithDesc,
	}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a script that completes lookupctl's commands in a shell",
		Long: `completion prints a script for a shell, with which the tabulator key completes commands, flags, and the
names of topics and replicas.`,
		Example: `  lookupctl completion bash > /etc/bash_completion.d/lookupctl
  lookupctl completion zsh > "${fpath[1]}/_lookupctl"
  lookupctl completion fish > ~/.config/fish/completions/lookupctl.fish
  source <(lookupctl completion bash)            for this shell only`,
		Args:                  takes("bash|zsh|fish|powershell"),
		ValidArgs:             []string{"bash", "fish", "powershell", "zsh"},
		DisableFlagsInUseLine: true,
		RunE: p.offline(func(_ context.Context, args []string) error {
			write, known := shells[args[0]]
			if !known {
				return usagef("completion knows bash, zsh, fish and powershell, not %q", args[0])
			}
			var script bytes.Buffer
			if err := write(&script); err != nil {
				return fmt.Errorf("write the script: %w", err)
			}
			return p.print(script.Bytes())
		}),
	}
}
