package ctl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
)

// show prints what a verb has found: the document as JSON, or else what table writes.
func (p *program) show(document any, table func(*page)) error {
	if p.flags.output == "json" {
		return p.showJSON(document)
	}
	pg := &page{color: p.color}
	table(pg)
	return p.print(pg.Bytes())
}

// showJSON prints one value on a line of its own.
func (p *program) showJSON(document any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(document); err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	return p.print(b.Bytes())
}

// errOutput means that nobody takes the output.
var errOutput = errors.New("write the output")

func (p *program) print(b []byte) error {
	if _, err := p.stdout.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// page is what a verb prints for people.
type page struct {
	bytes.Buffer
	color bool
}

// line adds a line of text.
func (pg *page) line(format string, args ...any) {
	pg.WriteString(clean(fmt.Sprintf(format, args...)) + "\n")
}

// style is how a cell looks on a terminal with colours.
type style string

const (
	plain style = ""
	good  style = "\x1b[32m"
	bad   style = "\x1b[31m"
	loud  style = "\x1b[1m"
	reset       = "\x1b[0m"
)

// cell is one text of a table.
type cell struct {
	text  string
	style style
}

// gap is between two columns.
const gap = "  "

// table adds rows whose columns begin below each other.
func (pg *page) table(rows [][]cell) {
	var widths []int
	for _, row := range rows {
		for i := range row {
			row[i].text = clean(row[i].text)
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	for _, row := range rows {
		for i, c := range row {
			pg.styled(c)
			if i < len(row)-1 {
				pg.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)) + gap)
			}
		}
		pg.WriteByte('\n')
	}
}

func (pg *page) styled(c cell) {
	if !pg.color || c.style == plain {
		pg.WriteString(c.text)
		return
	}
	pg.WriteString(string(c.style) + c.text + reset)
}

// head is a table's first row.
func head(names ...string) []cell {
	row := texts(names...)
	for i := range row {
		row[i].style = loud
	}
	return row
}

func texts(all ...string) []cell {
	row := make([]cell, len(all))
	for i, text := range all {
		row[i].text = text
	}
	return row
}

// maxLine is how much of one text is printed.
const maxLine = 2000

// clean makes a text of somebody else's fit for a terminal and for one line.
func clean(text string) string {
	cut := len(text) > maxLine
	if cut {
		text = strings.ToValidUTF8(text[:maxLine], "")
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, text)
	if cut {
		text += "…"
	}
	return text
}

// orDash shows a text, or that there is none.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// humanDuration shows a duration with two units at most, such as 3m12s.
func humanDuration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d/time.Millisecond)
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// humanBytes shows a size in powers of 1024.
func humanBytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n)/unit, "KMGTPE"
	for value >= unit && len(units) > 1 {
		value, units = value/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, units[0])
}

// count shows a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
