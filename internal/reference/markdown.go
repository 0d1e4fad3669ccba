package reference

import (
	"fmt"
	"strings"
)

// page is a Markdown page as it is written.
type page struct{ strings.Builder }

func newPage(title string) *page {
	p := &page{}
	p.line("# %s\n", title)
	p.WriteString(generated)
	return p
}

func (p *page) line(format string, args ...any) { p.WriteString(fmt.Sprintf(format, args...) + "\n") }

// paragraph is text that runs on, with an empty line after it.
func (p *page) paragraph(text string) { p.line("%s\n", strings.TrimSpace(text)) }

// block is text that is shown as it is.
func (p *page) block(text string) {
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		p.WriteString(strings.TrimRight("    "+line, " \n") + "\n")
	}
	p.line("")
}

// table has a row for each slice; the first one is its head.
func (p *page) table(rows [][]string) {
	for i, row := range rows {
		for j := range row {
			row[j] = strings.ReplaceAll(row[j], "|", `\|`)
		}
		p.line("| %s |", strings.Join(row, " | "))
		if i == 0 {
			p.line("|%s", strings.Repeat(" --- |", len(row)))
		}
	}
	p.line("")
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}
