package reference

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/raftlookupd/raftlookupd/internal/config"
)

// What is written by hand mentions no flag, variable or command that there is not.
func TestDocumentsMentionWhatThereIs(t *testing.T) {
	known := knownNames()
	read := 0
	for _, top := range []string{"README.md", "CONTRIBUTING.md", "Dockerfile", "docker-compose.yml", "docs", "deploy", "e2e"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			kinds := []string{".md", ".toml", ".yml", ".yaml", ".service", ".default", ".sh", ""}
			if err != nil || d.IsDir() || !slices.Contains(kinds, filepath.Ext(path)) {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			read++
			for i, line := range strings.Split(string(raw), "\n") {
				for _, bad := range known.strangers(line) {
					t.Errorf("%s:%d: %s", path, i+1, bad)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	if read < 8 {
		t.Errorf("only %d documents were read", read)
	}
}

// names are what documents may mention.
type names struct{ flags, variables []string }

func knownNames() names {
	// The words of raftlookupd, Go, NSQ's programs and docker compose take these.
	n := names{flags: []string{"yes", "help", "h", "race", "parallel", "lookupd-tcp-address", "lookupd-http-address"}, variables: []string{"RAFTLOOKUPD_TAG", "RAFTLOOKUPD_"}}
	for _, o := range config.Options() {
		n.flags = append(n.flags, o.Name)
		n.variables = append(n.variables, o.Env)
	}
	root := rootCommand()
	add := func(f *pflag.Flag) { n.flags = append(n.flags, f.Name) }
	root.PersistentFlags().VisitAll(add)
	for _, g := range grouped(root) {
		for _, c := range g.commands {
			c.LocalNonPersistentFlags().VisitAll(add)
		}
	}
	return n
}

var (
	variable    = regexp.MustCompile(`RAFTLOOKUPD_[A-Z_]*`)
	flagInCode  = regexp.MustCompile("`--?([a-z][a-z-]+)[^`]*`")
	startOf     = regexp.MustCompile("(?:^ *|\\$ |`|bin/|[;&|] )raftlookupd ((?:recover|-)[^`|>#&(]*)")
	flagOf      = regexp.MustCompile(`(?:^| )--?([a-z][a-z-]*)`)
	controlCall = regexp.MustCompile("(?:^ {4}|\\$ |`|[;&|] )(?:bin/)?lookupctl ([^`|>#&;)]*)")
)

// strangers finds what a line mentions and nobody knows.
func (n names) strangers(line string) []string {
	var bad []string
	for _, name := range variable.FindAllString(line, -1) {
		if !slices.Contains(n.variables, name) {
			bad = append(bad, "no variable "+name)
		}
	}
	for _, found := range flagInCode.FindAllStringSubmatch(line, -1) {
		if !slices.Contains(n.flags, found[1]) {
			bad = append(bad, "no flag -"+found[1])
		}
	}
	for _, call := range startOf.FindAllStringSubmatch(line, -1) {
		for _, found := range flagOf.FindAllStringSubmatch(call[1], -1) {
			if !slices.Contains(n.flags, found[1]) {
				bad = append(bad, "raftlookupd has no flag -"+found[1])
			}
		}
	}
	for _, call := range controlCall.FindAllStringSubmatch(line, -1) {
		if err := understood(call[1]); err != nil {
			bad = append(bad, fmt.Sprintf("lookupctl %s: %v", call[1], err))
		}
	}
	return bad
}

// understood says what is wrong with a command line of lookupctl. Two spaces end it: a remark follows.
func understood(line string) error {
	line, _, _ = strings.Cut(line, "  ")
	args := strings.Fields(line)
	if len(args) == 0 || args[0] == "COMMAND" || strings.Contains(line, "…") {
		return nil
	}
	cmd, rest, err := rootCommand().Find(args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil && !errors.Is(err, pflag.ErrHelp) {
		return err
	}
	if cmd.HasSubCommands() && cmd.Flags().NArg() > 0 {
		return fmt.Errorf("unknown command %q", cmd.Flags().Arg(0))
	}
	return nil
}

func TestStrangersAreFound(t *testing.T) {
	known := knownNames()
	for line, want := range map[string]int{
		"`-join` and `--addr`, `-race`":                                      0,
		"kubectl scale statefulset/raftlookupd --replicas 3, raftlookupd -x": 0,
		"    install bin/raftlookupd bin/lookupctl /usr/local/bin/":          0,
		"`-joins`": 1,
		"    raftlookupd -data-path /var/lib/raftlookupd -join a,b -reeder":   1,
		"$ raftlookupd recover -data-path x -yes":                             0,
		"    bin/raftlookupd --jion=a && nsqd -lookupd-tcp-address=b":         1,
		"raftlookupd is called with nsqd -lookupd-tcp-address":                0,
		"RAFTLOOKUPD_… and RAFTLOOKUPD_JOIN=a":                                0,
		"#RAFTLOOKUPD_JOINS=a":                                                1,
		"    $ lookupctl snapshot save x        # or: curl":                   0,
		"    $ lookupctl snapshot safe x":                                     1,
		"try `lookupctl members`, then `lookupctl --addr a remove --id x`":    0,
		"try `lookupctl memers`, then `lookupctl --addr a remove --idd x`":    2,
		"$ lookupctl -o json members | jq .x":                                 0,
		"lookupctl shows what there is, in a sentence":                        0,
		"`lookupctl topic create t`, then `lookupctl channel destroy t c` or": 1,
	} {
		if got := known.strangers(line); len(got) != want {
			t.Errorf("%s: %q, want %d", line, got, want)
		}
	}
}
