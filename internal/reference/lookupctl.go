package reference

import (
	"errors"
	"fmt"
	"go/ast"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/raftlookupd/raftlookupd/internal/ctl"
)

// environment says what lookupctl takes from the environment.
func environment() map[string]string {
	return map[string]string{
		"LOOKUPCTL_ADDR": "addresses of replicas, with commas, for when --addr is not given",
		"NO_COLOR":       "anything: no color in what is printed to a terminal",
		"TERM":           "dumb: likewise",
	}
}

func lookupctlPage(src *sources) (string, error) {
	root := rootCommand()
	p := newPage("lookupctl")
	p.paragraph(root.Long)
	p.block(outdent(root.Example))
	p.line("## Flags of every command\n")
	p.table(append([][]string{{"flag", "default", "meaning"}}, flagRows(root.PersistentFlags())...))
	if err := writeSurroundings(p, src.ctl); err != nil {
		return "", err
	}
	for _, g := range grouped(root) {
		p.line("## %s\n", strings.TrimSuffix(g.title, ":"))
		for _, c := range g.commands {
			writeCommand(p, c)
		}
	}
	p.line("## What -o json prints\n")
	p.paragraph("Fields are added, but neither renamed nor removed. Lists are never null. `status` prints the replica's own answer, " +
		"which [http.md](http.md#get-clusterstatus) describes; `watch` prints one object per line.")
	if err := writeDocuments(p, src); err != nil {
		return "", err
	}
	return strings.TrimRight(p.String(), "\n") + "\n", nil
}

// rootCommand is lookupctl as it is when it runs.
func rootCommand() *cobra.Command {
	root := ctl.New()
	root.InitDefaultHelpCmd()
	return root
}

// commandGroup is a heading of the help. Commands that only hold others are left out.
type commandGroup struct {
	title    string
	commands []*cobra.Command
}

func grouped(root *cobra.Command) []commandGroup {
	var groups []commandGroup
	for _, g := range root.Groups() {
		group := commandGroup{title: g.Title}
		for _, c := range root.Commands() {
			switch {
			case c.GroupID != g.ID:
			case c.HasAvailableSubCommands():
				group.commands = append(group.commands, c.Commands()...)
			default:
				group.commands = append(group.commands, c)
			}
		}
		groups = append(groups, group)
	}
	return groups
}

func writeCommand(p *page, c *cobra.Command) {
	p.line("### %s\n", c.CommandPath())
	p.paragraph(c.Short + ".")
	p.block(usageLine(c))
	p.paragraph(c.Long)
	if rows := flagRows(c.LocalNonPersistentFlags()); len(rows) > 0 {
		p.table(append([][]string{{"flag", "default", "meaning"}}, rows...))
	}
	p.line("Examples:\n")
	p.block(outdent(c.Example))
}

// usageLine is how a command is called, with its flags spelled out as it has them.
func usageLine(c *cobra.Command) string {
	line := c.Parent().CommandPath() + " " + c.Use
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(line, "--"+f.Name) && f.Name != "help" {
			line += " [" + flagWith(f) + "]"
		}
	})
	return line
}

func flagWith(f *pflag.Flag) string {
	arg, _ := pflag.UnquoteUsage(f)
	return strings.TrimSpace("--" + f.Name + " " + strings.ToUpper(arg))
}

// flagRows have a flag, its default and its meaning.
func flagRows(flags *pflag.FlagSet) [][]string {
	var rows [][]string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Name == "version" || f.Hidden {
			return
		}
		name := flagWith(f)
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		preset := strings.Trim(f.DefValue, "[]")
		if preset == "" || preset == "false" {
			preset = "–"
		}
		_, usage := pflag.UnquoteUsage(f)
		rows = append(rows, []string{code(name), preset, usage})
	})
	return rows
}

func outdent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimPrefix(line, "  "))
	}
	return b.String()
}

// writeSurroundings tells of the environment and of exit codes.
func writeSurroundings(p *page, src *source) error {
	names, err := environmentOf(src)
	if err != nil {
		return err
	}
	rows := [][]string{{"environment", "meaning"}}
	for _, name := range names {
		rows = append(rows, []string{code(name), environment()[name]})
	}
	p.line("## Environment\n")
	p.table(rows)
	codes, err := controlCodes(src)
	if err != nil {
		return err
	}
	p.line("## Exit codes\n")
	p.table(append([][]string{{"exit code", "meaning"}}, codes...))
	return nil
}

// environmentOf are the variables that the code asks for, in order; all of them are described.
func environmentOf(src *source) ([]string, error) {
	described := environment()
	var names []string
	var problems []error
	src.calls("getenv", func(args []ast.Expr) {
		name, ok := text(args[0])
		if !ok {
			problems = append(problems, errors.New("lookupctl asks for a variable whose name is no literal"))
			return
		}
		if described[name] == "" {
			problems = append(problems, fmt.Errorf("say in environment() what %s means", name))
		}
		delete(described, name)
		names = append(names, name)
	})
	for name := range described {
		problems = append(problems, fmt.Errorf("lookupctl does not ask for %s: take it out of environment()", name))
	}
	return names, errors.Join(problems...)
}

func controlCodes(src *source) ([][]string, error) {
	codes, err := src.constants("exitDone", "exitFailed", "exitUsage")
	if err != nil {
		return nil, err
	}
	return [][]string{
		{codes[0], "done"},
		{codes[1], "it failed: the last line on stderr says why and what to do"},
		{codes[2], "wrong usage; nothing was asked for"},
	}, nil
}

// printed finds the commands that print a document, in the document's comment.
var printed = regexp.MustCompile("` prints?\\.|line of `")

// writeDocuments describes what commands print and what that is made of.
func writeDocuments(p *page, src *sources) error {
	all := append(src.ctl.documents(), src.snapfile.documents()...)
	byName := map[string]document{}
	for _, d := range all {
		byName[d.name] = d
	}
	wanted := map[string]bool{}
	var want func(name string)
	want = func(name string) {
		if d, known := byName[name]; known && !wanted[name] {
			wanted[name] = true
			want(d.same)
			for _, f := range d.fields {
				want(f.kind)
			}
		}
	}
	for _, d := range all {
		if d.name != "Status" && printed.MatchString(d.doc) { // of Status another page tells
			want(d.name)
		}
	}
	if len(wanted) < 15 {
		return fmt.Errorf("only %d documents are found in %s", len(wanted), src.ctl.dir)
	}
	for _, d := range all {
		if wanted[d.name] {
			writeDocument(p, d, wanted)
		}
	}
	return nil
}

func writeDocument(p *page, d document, linked map[string]bool) {
	p.line("### %s\n", d.name)
	p.paragraph(d.doc)
	if d.same != "" {
		p.paragraph("It is as " + link(d.same, linked) + ".")
		return
	}
	rows := [][]string{{"field", "type", "meaning"}}
	for _, f := range d.fields {
		if f.name == "" {
			rows = append(rows, []string{"", "", "all of " + link(f.kind, linked)})
			continue
		}
		rows = append(rows, []string{code(f.name), strings.Replace(f.String(), f.kind, link(f.kind, linked), 1), f.comment})
	}
	p.table(rows)
}

func link(name string, linked map[string]bool) string {
	if !linked[name] {
		return name
	}
	return "[" + name + "](#" + strings.ToLower(name) + ")"
}
