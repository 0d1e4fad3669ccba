package config

import (
	"fmt"
	"io"
	"strings"
)

const helpHead = "raftlookupd is a clustered drop-in replacement for nsqlookupd.\n"

const helpRules = `
Flags take one dash or two. Each can also be set in the environment (-tcp-address is
RAFTLOOKUPD_TCP_ADDRESS) and in the file of -config (tcp_address = "0.0.0.0:4160"). A flag wins over
the environment, which wins over the file. Durations look like 700ms, 45s or 5m.
`

// Use is a command line and what it does.
type Use struct{ Line, Does string }

// Words are the command lines that begin with no flag.
func Words() []Use {
	return []Use{
		{"raftlookupd healthcheck [URL]", "exit 0 when the replica there is ready"},
		{"raftlookupd recover -data-path DIR", "when the majority of a cluster is lost for good"},
	}
}

// Examples are command lines that start a replica.
func Examples() []Use {
	return []Use{
		{"raftlookupd -data-path=/var/lib/raftlookupd",
			"one replica on nsqlookupd's ports, its registry kept on disk"},
		{"raftlookupd -data-path=/var/lib/raftlookupd -join=lookup1,lookup2,lookup3 -bootstrap-expect=3",
			"one of three replicas that form a cluster; the same line on each of them"},
		{"raftlookupd -config=/etc/raftlookupd.toml -log-level=debug",
			"settings from a file, one of them overridden"},
		{"raftlookupd -tcp-address=127.0.0.1:0 -http-address=127.0.0.1:0 -data-path=$(mktemp -d)",
			"a throw-away replica on free ports, which it logs"},
	}
}

func printHelp(out io.Writer, options []option) error {
	var b strings.Builder
	b.WriteString(helpHead + "\nUsage: raftlookupd [flags]\n")
	for _, w := range Words() {
		fmt.Fprintf(&b, "       %-34s %s\n", w.Line, w.Does)
	}
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
		b.WriteString("\n        " + o.usage)
		if d := shownDefault(o, &preset); d != "" {
			b.WriteString(" (default " + d + ")")
		}
		b.WriteString("\n")
	}
	b.WriteString(helpRules + "\nExamples:\n")
	for _, e := range Examples() {
		b.WriteString("  " + e.Line + "\n        " + e.Does + "\n")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// shownDefault is "" for a default that says nothing: no text, an empty list, a switch that is off.
func shownDefault(o option, preset *Config) string {
	if o.computed != "" {
		return o.computed
	}
	switch shown := o.field.show(preset); {
	case shown == `""` || shown == "[]" || shown == "false":
		return ""
	case strings.Contains(shown, " "):
		return shown
	default:
		return strings.Trim(shown, `"`)
	}
}
