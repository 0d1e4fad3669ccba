package reference

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/raftlookupd/raftlookupd/internal/config"
)

const flagsHead = `
Flags take one dash or two. Each can also be set in the environment and in the TOML file that ` + "`-config`" + ` names. A
flag wins over the environment, which wins over the file, which wins over the default. An environment variable that
is empty counts as none, and so does an empty text in the file where the default is worked out from something else. An
unknown flag, variable or key is refused.

Durations look like 700ms, 45s or 5m; in the file a whole number counts milliseconds, as nsqlookupd reads it. A
switch is on when its flag is given; in the environment and in the file it is true or false. ` + "`-join`" + ` may be
repeated, or takes several addresses with commas; in the file it is a list, or one text with commas.
[raftlookupd.example.toml](../raftlookupd.example.toml) is a file with every key and its default.
`

func flagsPage(src *sources) (string, error) {
	p := newPage("raftlookupd: flags, words and exit codes")
	p.paragraph(flagsHead)
	writeOptions(p)
	if err := writeRefused(p); err != nil {
		return "", err
	}
	p.line("## Words\n")
	if err := writeWords(p, src.raftlookup); err != nil {
		return "", err
	}
	codes, err := exitCodes(src.raftlookup)
	if err != nil {
		return "", err
	}
	p.line("## Exit codes\n")
	p.table(append([][]string{{"exit code", "meaning"}}, codes...))
	p.line("## Examples\n")
	for _, e := range config.Examples() {
		p.line("%s:\n", strings.ToUpper(e.Does[:1])+e.Does[1:])
		p.block(e.Line)
	}
	return strings.TrimRight(p.String(), "\n") + "\n", nil
}

func writeOptions(p *page) {
	group := ""
	var rows [][]string
	flush := func() {
		if group != "" {
			p.line("## %s\n", group)
			p.table(append([][]string{{"flag", "default", "environment", "file", "meaning"}}, rows...))
		}
		rows = nil
	}
	for _, o := range config.Options() {
		if o.Group != group {
			flush()
			group = o.Group
		}
		rows = append(rows, []string{code(strings.TrimSpace("-" + o.Name + " " + o.Arg)), cmp.Or(o.Default, "–"),
			cmp.Or(code(o.Env), "–"), cmp.Or(code(o.Key), "–"), o.Usage})
	}
	flush()
}

// refusals are values, and pairs of them, of which each breaks another rule.
func refusals() [][]string {
	return [][]string{
		{"-log-level=loud"}, {"-log-format=xml"}, {"-name=two words"}, {"-data-path="},
		{"-tcp-address=4160"}, {"-http-address=:4160"}, {"-cluster-address=:7000", "-gossip-address=:7000"},
		{"-cluster-advertise-address=:4162"}, {"-join=lookup1:port:4163"}, {"-broadcast-address="},
		{"-inactive-producer-timeout=0s"}, {"-tombstone-lifetime=-1s"}, {"-register-window=-1"},
		{"-bootstrap-expect=-1"}, {"-bootstrap-expect=three"}, {"-commit-timeout=1s"}, {"-raft-timeout=10ms"},
		{"-dead-after=300ms"}, {"-isolation-timeout=200ms"}, {"-isolation-timeout=60s"}, {"-replica-grace=30"},
	}
}

func writeRefused(p *page) error {
	p.line("## What is refused\n")
	p.paragraph("A value that is malformed, or contradicts another, ends the program at its start with exit code 2 and one line that " +
		"names all that is wrong. For example:")
	rows := [][]string{{"given", "answer"}}
	for _, args := range refusals() {
		// These two are the machine's, and come first so that the example's own wins.
		all := append([]string{"-name=lookup1", "-broadcast-address=lookup1"}, args...)
		_, err := config.Parse(all, nil, io.Discard)
		if err == nil {
			return fmt.Errorf("%v is not refused any more: see refusals()", args)
		}
		rows = append(rows, []string{code(strings.Join(args, " ")), strings.ReplaceAll(err.Error(), "\n", "; ")})
	}
	p.table(rows)
	return nil
}

func writeWords(p *page, main *source) error {
	url, err := main.constant("healthURL")
	if err != nil {
		return err
	}
	help, err := main.constant("recoverHelp")
	if err != nil {
		return err
	}
	for _, w := range config.Words() {
		p.line("`%s`: %s.\n", w.Line, w.Does)
	}
	p.line("`healthcheck` asks %s unless it is given another URL, for two seconds at most. It is for images that hold no other program.\n", url)
	p.line("`raftlookupd recover -help`:\n")
	p.block(help)
	return nil
}

// exitCodes are rows of a code and what it means.
func exitCodes(main *source) ([][]string, error) {
	codes, err := main.constants("exitFailed", "exitUsage")
	if err != nil {
		return nil, err
	}
	return [][]string{
		{"0", "stopped by SIGINT or SIGTERM; `healthcheck`: the replica is ready; `recover`: done, or told what would be"},
		{codes[0], "failed at run time: the last line says why and what to do; `healthcheck`: not ready, or no answer"},
		{codes[1], "wrong flag, environment variable or configuration file: one line on stderr"},
	}, nil
}
