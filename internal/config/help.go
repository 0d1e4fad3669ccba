package config

import (
	"io"
	"strings"
)

const helpHead = `raftlookupd is a clustered drop-in replacement for nsqlookupd.

Usage: raftlookupd [flags]
`

const helpTail = `
Flags take one dash or two. Each can also be set in the environment (-tcp-address is
RAFTLOOKUPD_TCP_ADDRESS) and in the file of -config (tcp_address = "0.0.0.0:4160"). A flag wins over
the environment, which wins over the file. Durations look like 700ms, 45s or 5m.

Examples:
  raftlookupd -data-path=/var/lib/raftlookupd
        one replica on nsqlookupd's ports, its registry kept on disk
  raftlookupd -data-path=/var/lib/raftlookupd -join=lookup1,lookup2,lookup3 -bootstrap-expect=3
        one of three replicas that form a cluster; the same line on each of them
  raftlookupd -config=/etc/raftlookupd.toml -log-level=debug
        settings from a file, one of them overridden
  raftlookupd -tcp-address=127.0.0.1:0 -http-address=127.0.0.1:0 -data-path=$(mktemp -d)
        a throw-away replica on free ports, which it logs
`

func printHelp(out io.Writer, options []option) error {
	var b strings.Builder
	b.WriteString(helpHead)
	preset, group := Default(""), ""
	for _, o := range options {
		if o.group != group {
			group = o.group
			b.WriteString("\n" + group + ":\n")
		}
		b.WriteString("  -" + o.name)
		if o.arg != "" {
			b.WriteString(" " + o.arg)
		}
		b.WriteString("\n        " + o.usage + shownDefault(o, &preset) + "\n")
	}
	b.WriteString(helpTail)
	_, err := io.WriteString(out, b.String())
	return err
}

func shownDefault(o option, preset *Config) string {
	if o.computed != "" {
		return " (default " + o.computed + ")"
	}
	switch shown := o.field.show(preset); {
	case shown == `""` || shown == "[]" || shown == "false":
		return ""
	case strings.Contains(shown, " "):
		return " (default " + shown + ")"
	default:
		return " (default " + strings.Trim(shown, `"`) + ")"
	}
}
