package bench

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Who a figure is of.
const (
	nsqlookupd  = "nsqlookupd"
	raftlookupd = "raftlookupd"
	constant    = "constant answer"
	bareRaft    = "bare Raft"
)

// unit says how the values of a row are written.
type unit int

const (
	perSecond unit = iota
	inSeconds
	inBytes
	bytesPerSecond
	inPercent // of one core
	inNumbers
)

const (
	kibibyte = 1 << 10
	mebibyte = 1 << 20
)

func (u unit) format(v float64) string {
	switch {
	case u == perSecond:
		return digits(v) + "/s"
	case u == inSeconds && v < 1e-3:
		return digits(v*1e6) + " µs"
	case u == inSeconds && v < 1:
		return digits(v*1e3) + " ms"
	case u == inSeconds:
		return digits(v) + " s"
	case u == bytesPerSecond:
		return digits(v/mebibyte) + " MiB/s"
	case u == inBytes && v < kibibyte:
		return digits(v) + " B"
	case u == inBytes && v < mebibyte:
		return digits(v/kibibyte) + " KiB"
	case u == inBytes:
		return digits(v/mebibyte) + " MiB"
	case u == inPercent:
		return digits(v) + " %"
	}
	return digits(v)
}

// digits writes three significant digits, and thousands with commas.
func digits(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0:
		return "-" + digits(-v)
	case v >= 1000:
		return thousands(strconv.FormatFloat(v, 'f', 0, 64))
	}
	text := strconv.FormatFloat(v, 'g', 3, 64)
	if strings.Contains(text, "e") {
		text = strconv.FormatFloat(v, 'f', 5, 64)
	}
	return text
}

func thousands(whole string) string {
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return whole
}

// figure is what was measured of one program.
type figure struct {
	who    string
	values []float64 // of each run; none: it was not measured, or has no such thing
	note   string    // behind the value
	cost   cost
}

func (f figure) format(u unit) string {
	if len(f.values) == 0 {
		if f.note != "" {
			return f.note
		}
		return "–"
	}
	text := u.format(median(f.values))
	if f.who != nsqlookupd && f.who != raftlookupd {
		text = f.who + ": " + text
	}
	if len(f.values) > 1 {
		text += fmt.Sprintf(" (%s to %s)", u.format(slices.Min(f.values)), u.format(slices.Max(f.values)))
	}
	if f.note != "" {
		text += "; " + f.note
	}
	return text
}

// row is a line of the table.
type row struct {
	name         string
	unit         unit
	theirs, ours figure
	aim          string
	limits       string // beside how busy the processors were
}

// ratio is ours to theirs, whichever is better.
func (r row) ratio() string {
	theirs := median(r.theirs.values)
	if theirs == 0 || len(r.ours.values) == 0 {
		return "–"
	}
	return digits(median(r.ours.values)/theirs) + "x"
}

func (r row) cells() []string {
	var limits []string
	if r.limits != "" {
		limits = append(limits, r.limits)
	}
	if text := costs(r.theirs, r.ours); text != "" {
		limits = append(limits, text)
	}
	return []string{r.name, r.theirs.format(r.unit), r.ours.format(r.unit), r.ratio(), r.aim, strings.Join(limits, "; ")}
}

// table is what the bench prints.
type table struct {
	preface []string
	rows    []row
}

func (t *table) write(w io.Writer) error {
	var text strings.Builder
	for _, line := range t.preface {
		text.WriteString(line + "\n")
	}
	text.WriteString("\n")
	line := func(cells []string) {
		for i := range cells {
			cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
		}
		text.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	line([]string{"row", nsqlookupd + ", median (spread)", raftlookupd + ", median (spread)", "ratio", "aim", "what limits"})
	line(strings.Split(strings.Repeat("---,", 5)+"---", ","))
	for _, r := range t.rows {
		line(r.cells())
	}
	_, err := io.WriteString(w, text.String())
	return err
}
