package ctl

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestWrongUsage(t *testing.T) {
	for _, c := range []struct{ args, want, help string }{
		{"", "a command is missing", ""},
		{"statsu", `unknown command "statsu", do you mean status?`, ""},
		{"statsu --force", `unknown command "statsu", do you mean status?`, ""},
		{"nonsense", `unknown command "nonsense"`, ""},
		{"topic", "topic needs a command: create, delete, tombstone", "topic"},
		{"topic crate t", `unknown command "topic crate", do you mean create?`, "topic"},
		{"channel", "channel needs a command: create, delete", "channel"},
		{"snapshot", "snapshot needs a command: inspect, restore, save", "snapshot"},
		{"topic create", "topic create needs TOPIC", "topic create"},
		{"topic create a b", `topic create takes TOPIC and no more, got "b"`, "topic create"},
		{"topic tombstone a", "topic tombstone needs NODE", "topic tombstone"},
		{"topic delete *", "topic delete takes one topic, and * would mean all of them", "topic delete"},
		{"channel create", "channel create needs TOPIC CHANNEL", "channel create"},
		{"status r1", `status takes no argument, got "r1"`, "status"},
		{"join", "join needs ADDRESS", "join"},
		{"join a --addr b,c", "join is about one replica, but 2 are given: name it with --addr", "join"},
		{"leave --addr b --addr c", "leave is about one replica, but 2 are given: name it with --addr", "leave"},
		{"remove", "remove needs NAME or --id", "remove"},
		{"remove a b", `remove takes [NAME] and no more, got "b"`, "remove"},
		{"snapshot restore -", "snapshot restore reads its file twice, so it cannot be the input", "snapshot restore"},
		{"import", "import needs --from", "import"},
		{"import --from a://b", `"a://b": only http and https are known`, "import"},
		{"watch --interval 1ms", "--interval takes 100ms or more, not 1ms", "watch"},
		{"completion", "completion needs bash|zsh|fish|powershell", "completion"},
		{"completion tcsh", `completion knows bash, zsh, fish and powershell, not "tcsh"`, "completion"},
		{"help nonsense", `unknown command "nonsense"`, "help"},
		{"status --nonsense", "unknown flag: --nonsense", "status"},
		{"-o xml status", `-o takes table or json, not "xml"`, "status"},
		{"--timeout 0 status", "--timeout takes a duration above zero, such as 10s, not 0s", "status"},
		{"--timeout -1s status", "--timeout takes a duration above zero, such as 10s, not -1s", "status"},
		{"--timeout 7 status", `invalid argument "7" for "--timeout" flag: time: missing unit in duration "7"`, "status"},
		{"--addr , status", "an address is missing, such as http://127.0.0.1:4161", "status"},
		{"--addr a:b status", `"a:b" is no address: give one such as lookup1, lookup1:4161 or http://lookup1:4161`, "status"},
	} {
		r := (&run{}).do(t, strings.Fields(c.args)...)
		r.want(t, 2, "", "lookupctl: "+c.want+"; see 'lookupctl"+strings.TrimRight(" "+c.help, " ")+" --help'\n")
	}
	(&run{env: []string{"LOOKUPCTL_ADDR=ftp://a"}}).do(t, "topics").
		want(t, 2, "", "lookupctl: \"ftp://a\": only http and https are known; see 'lookupctl topics --help'\n")
}

func TestAddresses(t *testing.T) {
	for addr, want := range map[string]string{
		"host":                 "http://host:4161",
		"host:1":               "http://host:1",
		"http://host":          "http://host:4161",
		"http://host:1/":       "http://host:1",
		"https://host":         "https://host:4161",
		"http://host/lookup/":  "http://host:4161/lookup",
		"host/lookup":          "http://host:4161/lookup",
		"::1":                  "http://[::1]:4161",
		"[::1]:5":              "http://[::1]:5",
		"http://[fe80::2]":     "http://[fe80::2]:4161",
		":5161":                "http://127.0.0.1:5161",
		" a , b:2,,a:4161":     "http://a:4161 http://b:2",
		"1.2.3.4":              "http://1.2.3.4:4161",
		"":                     "",
		"http://":              "",
		"host:0":               "",
		"host:65536":           "",
		"host:http":            "",
		"a b":                  "",
		"http://u@host":        "",
		"http://host?x=1":      "",
		"http://host#x":        "",
		"http://host:1:2":      "",
		"unix:///var/run/sock": "",
		"host\n":               "http://host:4161",
		"host\x00":             "",
	} {
		bases, err := parseAddrs([]string{addr})
		if got := strings.Join(bases, " "); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", addr, got, err, want)
		}
	}
}

func TestEveryCommandTeaches(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" || len(c.Long) <= len(c.Short) || !strings.Contains(c.Example, "lookupctl") {
			t.Errorf("%s: its help has no long text or no example", c.CommandPath())
		}
		if c.RunE == nil {
			t.Errorf("%s: does nothing", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	root := New()
	visit(root)
	if n := len(root.Commands()); n < 18 {
		t.Errorf("only %d commands", n)
	}
}

// The examples are lines that lookupctl takes.
func TestExamplesAreUnderstood(t *testing.T) {
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			_, line, found := strings.Cut(line, "lookupctl ")
			if !found {
				continue
			}
			line, _, _ = strings.Cut(line, "   ")
			line, _, _ = strings.Cut(line, " |")
			line, _, _ = strings.Cut(line, " >")
			line, _, _ = strings.Cut(line, ")")
			args := strings.Fields(line)
			cmd, rest, err := New().Find(args)
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err != nil || !cmd.HasParent() {
				t.Errorf("%s: example %q: %v", c.CommandPath(), line, err)
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(New())
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"help"}, {"status", "-h"}, {"help", "snapshot", "save"}} {
		r := (&run{}).do(t, args...)
		if r.code != 0 || r.stderr.String() != "" || !strings.Contains(r.stdout.String(), "Examples:") {
			t.Errorf("%q: exit code %d, stderr %q, stdout\n%s", args, r.code, r.stderr.String(), r.stdout.String())
		}
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "--version"} {
		r := (&run{}).do(t, arg)
		if r.code != 0 || !strings.HasPrefix(r.stdout.String(), "lookupctl v") || !strings.HasSuffix(r.stdout.String(), ")\n") {
			t.Errorf("%s: %q", arg, r.stdout.String())
		}
	}
	(&run{}).do(t, "-o", "json", "version").want(t, 0, `{"version":"0.2.0"}`+"\n", "")
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		r := (&run{}).do(t, "completion", shell)
		if r.code != 0 || r.stderr.String() != "" || !strings.Contains(r.stdout.String(), "__complete") {
			t.Errorf("%s: exit code %d, stderr %q", shell, r.code, r.stderr.String())
		}
	}
	a := serve(t, routes{"GET /topics": ok(`{"topics":["b","a"]}`), "GET /cluster/status": ok(statusJSON)})
	for args, want := range map[string]string{
		"lookup":           "a\nb\n:4\n",
		"lookup a":         ":4\n",
		"topic create":     ":4\n",
		"snapshot inspect": ":0\n",
		"channel delete":   "a\nb\n:4\n",
		"channel delete a": ":4\n",
		"watch a":          "a\nb\n:4\n",
		"remove":           "r1\nr2\nr3\n:4\n",
		"status -o":        "table\njson\n:4\n",
	} {
		line := append([]string{"__complete", "--addr", a.URL}, append(strings.Fields(args), "")...)
		if r := (&run{}).do(t, line...); r.stdout.String() != want {
			t.Errorf("%s: %q, want %q", args, r.stdout.String(), want)
		}
	}
	if r := (&run{}).do(t, "__complete", "--addr", dead(t), "lookup", ""); r.stdout.String() != ":4\n" {
		t.Errorf("without a replica: %q", r.stdout.String())
	}
}
