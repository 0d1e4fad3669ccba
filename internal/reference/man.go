package reference

import (
	"strings"

	"github.com/raftlookupd/raftlookupd/internal/config"
)

func raftlookupdMan(src *sources) (string, error) {
	m := newManual("raftlookupd", "8", "clustered drop-in replacement for nsqlookupd")
	m.section("SYNOPSIS")
	m.macro(".nf\n\\fBraftlookupd\\fR [flags]")
	for _, w := range config.Words() {
		m.macro("%s", roff(w.Line))
	}
	m.macro(".fi")
	m.section("DESCRIPTION")
	m.paragraphs(`raftlookupd speaks nsqlookupd's TCP and HTTP protocols, but keeps its registry in a Raft log: topics,
channels and the registrations of living nsqds survive a restart, and several replicas hold one registry and
answer alike, whichever is asked.

With no flags it is a replica alone on nsqlookupd's ports. With -join and -bootstrap-expect the same command line
serves for the first start, every restart, and a machine that replaces another.`)
	m.section("OPTIONS")
	m.paragraphs("Flags take one dash or two. Durations look like 700ms, 45s or 5m.")
	writeManOptions(m)
	if err := writeManWords(m, src.raftlookup); err != nil {
		return "", err
	}
	m.section("ENVIRONMENT")
	m.paragraphs("Every flag but -version can be set in the environment: -tcp-address is RAFTLOOKUPD_TCP_ADDRESS. A flag wins over the " +
		"environment, which wins over the file of -config. An unknown variable that begins so is refused.")
	m.section("FILES")
	m.item("the file of -config", `TOML; its keys are the flags' names with underscores: tcp_address = "0.0.0.0:4160". A file of nsqlookupd works as it is.`)
	m.item("the directory of -data-path", "the log, the snapshots, and what makes this replica itself. It belongs to one process.")
	codes, err := exitCodes(src.raftlookup)
	if err != nil {
		return "", err
	}
	m.exitStatus(codes)
	m.section("EXAMPLES")
	for _, e := range config.Examples() {
		m.item(e.Line, e.Does)
	}
	m.section("SEE ALSO")
	m.macro(`.BR lookupctl (1)`)
	return m.String(), nil
}

func writeManOptions(m *manual) {
	group := ""
	for _, o := range config.Options() {
		if o.Group != group {
			group = o.Group
			m.subsection(group)
		}
		text := []string{o.Usage}
		if o.Default != "" {
			text = append(text, "Default: "+o.Default)
		}
		m.item(strings.TrimSpace("-"+o.Name+" "+o.Arg), text...)
	}
}

func writeManWords(m *manual, main *source) error {
	url, err := main.constant("healthURL")
	if err != nil {
		return err
	}
	help, err := main.constant("recoverHelp")
	if err != nil {
		return err
	}
	m.section("WORDS")
	for _, w := range config.Words() {
		m.item(strings.TrimPrefix(w.Line, "raftlookupd "), w.Does)
	}
	m.paragraphs("healthcheck asks " + url + " unless it is given another URL.")
	m.block(help)
	return nil
}

func (m *manual) exitStatus(codes [][]string) {
	m.section("EXIT STATUS")
	for _, row := range codes {
		m.item(row[0], row[1])
	}
}

func lookupctlMan(src *sources) (string, error) {
	root := rootCommand()
	m := newManual("lookupctl", "1", strings.ToLower(root.Short[:1])+root.Short[1:])
	m.section("SYNOPSIS")
	m.macro(`\fBlookupctl\fR [flags] \fIcommand\fR`)
	m.section("DESCRIPTION")
	m.paragraphs(root.Long)
	m.section("OPTIONS")
	for _, row := range flagRows(root.PersistentFlags()) {
		m.item(row[0], row[2], "Default: "+row[1])
	}
	m.section("COMMANDS")
	for _, g := range grouped(root) {
		for _, c := range g.commands {
			m.subsection(strings.TrimPrefix(usageLine(c), "lookupctl "))
			m.paragraphs(c.Long)
			for _, row := range flagRows(c.LocalNonPersistentFlags()) {
				m.item(row[0], row[2])
			}
			m.block(outdent(c.Example))
		}
	}
	names, err := environmentOf(src.ctl)
	if err != nil {
		return "", err
	}
	m.section("ENVIRONMENT")
	for _, name := range names {
		m.item(name, environment()[name])
	}
	codes, err := controlCodes(src.ctl)
	if err != nil {
		return "", err
	}
	m.exitStatus(codes)
	m.section("SEE ALSO")
	m.macro(`.BR raftlookupd (8)`)
	return m.String(), nil
}
