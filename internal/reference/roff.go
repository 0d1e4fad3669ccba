package reference

import (
	"fmt"
	"strings"

	"github.com/raftlookupd/raftlookupd/internal/version"
)

// manual is a manual page in man(7)'s language. It carries no date, so that it changes only when what
// it says does.
type manual struct {
	strings.Builder
	parted bool // a heading stands right before, and parts paragraphs well enough
}

func newManual(name, section, does string) *manual {
	m := &manual{}
	m.macro(`.\" Written from the code by 'make docs'. Change the code, not this page.`)
	m.macro(`.TH %s %s "" "raftlookupd %s" "raftlookupd"`, strings.ToUpper(name), section, version.Binary)
	m.section("NAME")
	m.macro(`%s \- %s`, name, roff(does))
	return m
}

// macro is a line as it is.
func (m *manual) macro(format string, args ...any) {
	m.WriteString(fmt.Sprintf(format, args...) + "\n")
	m.parted = false
}

func (m *manual) section(title string) {
	m.macro(`.SH "%s"`, roff(title))
	m.parted = true
}

func (m *manual) subsection(title string) {
	m.macro(`.SS "%s"`, roff(title))
	m.parted = true
}

func (m *manual) part() {
	if !m.parted {
		m.macro(".PP")
	}
}

// filled is text that man fills; its lines are kept short, as the language wants them.
func (m *manual) filled(text string) {
	const longest = 72
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > longest {
			m.macro("%s", roff(line))
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	m.macro("%s", roff(line))
}

// paragraphs are filled; an empty line parts them.
func (m *manual) paragraphs(text string) {
	for _, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		m.part()
		m.filled(paragraph)
	}
}

// item is a term in bold, and what it means.
func (m *manual) item(term string, meaning ...string) {
	m.macro(".TP\n\\fB%s\\fR", roff(term))
	for i, text := range meaning {
		if i > 0 {
			m.macro(".br")
		}
		m.filled(text)
	}
}

// block is shown as it is.
func (m *manual) block(text string) {
	m.part()
	m.macro(".nf\n.RS 4")
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		m.macro("%s", roff(strings.TrimRight(line, " \n")))
	}
	m.macro(".RE\n.fi")
}

// roff makes text of a line that means nothing to roff, in characters that every terminal has.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...", "–", `\-`, "`", "").Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		return `\&` + text
	}
	return text
}
