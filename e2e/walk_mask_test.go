package e2e

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// A document has the ports of `make cluster`, 4150 to 4203. The test moves them all by the same, to where they are
// free; they keep their four digits, so that tables look the same.
const (
	firstWalkPort = 4100
	walkPorts     = 200
)

// Ports are moved to 2400…9199, so that no year in a time is taken for a port.
const (
	firstWalkBase = 2400
	walkBases     = 34
)

// nextWalkBase is counted on, so that no two walks of this process get the same. Other processes begin elsewhere.
var nextWalkBase atomic.Int64

// portShift is by how much ports are moved.
type portShift int

var (
	documentPort = regexp.MustCompile(`\b4[12]\d\d\b`)
	fourDigits   = regexp.MustCompile(`\b\d{4}\b`)
)

// freeShift finds one that needs no port which is in use.
func freeShift(t *testing.T, document string) portShift {
	t.Helper()
	used := documentPort.FindAllString(document, -1)
	for i := 1; i < 10; i++ { // by port 127.0.0.1:41…, with the loop's computed ones
		for p := range 4 {
			used = append(used, strconv.Itoa(firstWalkPort+50+10*i+p))
		}
	}
	slices.Sort(used)
	used = slices.Compact(used)
	for range walkBases {
		shift := portShift(firstWalkBase + (os.Getpid()+int(nextWalkBase.Add(1)))%walkBases*walkPorts - firstWalkPort)
		if !slices.ContainsFunc(used, func(port string) bool { return !isFree("127.0.0.1:" + shift.there(port)) }) {
			return shift
		}
	}
	t.Fatal("no free ports")
	return 0
}

// there moves the ports of a command.
func (s portShift) there(command string) string {
	return documentPort.ReplaceAllStringFunc(command, func(port string) string {
		n, _ := strconv.Atoi(port) // it has digits only
		return strconv.Itoa(n + int(s))
	})
}

// back moves the ports of an output back.
func (s portShift) back(output string) string {
	return fourDigits.ReplaceAllStringFunc(output, func(number string) string {
		n, _ := strconv.Atoi(number) // it has digits only
		if n -= int(s); n < firstWalkPort || n >= firstWalkPort+walkPorts {
			return number
		}
		return strconv.Itoa(n)
	})
}

// chanceLines may be printed or not: how far a join is when it is looked at, and what bash says about its jobs.
var chanceLines = regexp.MustCompile(`^(catching up: |waits: |bash: line \d+: +\d+ (Killed|Terminated) )`)

// tidy makes an output what a document shows. A line that is printed again, but for numbers, is shown once: a join
// says how far it is as often as that changes.
func tidy(output string) string {
	var b strings.Builder
	before := ""
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, " \n") + "\n"
		same := mask(line)
		if chanceLines.MatchString(line) || strings.HasPrefix(line, "caught up: ") && same == before {
			continue
		}
		before = same
		b.WriteString(line)
	}
	return b.String()
}

// masks hide what differs from run to run.
var masks = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)`), "<time>"},
	{regexp.MustCompile(`\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d+`), "<time>"},
	{regexp.MustCompile(`\b[0-9dhms]+ ago\b`), "<duration> ago"},
	{regexp.MustCompile(`\b(term|entry|[Ii]ndex|at|up to) +\d+\b`), "$1 <number>"},
	{regexp.MustCompile(`\bfrom \d+ sessions?\b`), "from <number> sessions"}, // whether nsqds are back after a restart
	{regexp.MustCompile(`\bcaught up: \d+ of \d+$`), "caught up: <number>"},
	{regexp.MustCompile(`\b(version|raftlookupd|lookupctl) v?\d+\.\d+\.\d+\S*`), "$1 <version>"},
	{regexp.MustCompile(`\b\d+(\.\d+)? (B|KiB|MiB)\b`), "<size>"},
	{regexp.MustCompile(`127\.0\.0\.1:\d{5}\b`), "<client>"},
	{regexp.MustCompile(`"(index|term|incarnation|commit_index|applied_index|last_contact_ms)":\d+`), `"$1":<number>`},
	{regexp.MustCompile(` +`), " "},
}

// maskedColumns are those of tables whose cells differ from run to run.
var maskedColumns = []string{"APPLIED", "INDEX", "GONE SINCE", "VERSION", "HOSTNAME", "REMOTE ADDRESS"}

var (
	hexNumber  = regexp.MustCompile(`\b([0-9a-f]{32}\b|[0-9a-f]{8}…)`)
	columnGap  = regexp.MustCompile(` {2,}`)
	isHeadLine = regexp.MustCompile(`^[A-Z]+( ?[A-Z]+)*( {2,}[A-Z]+( [A-Z]+)*)+$`)
)

// mask hides what differs from run to run: ids and fingerprints, of which the same are given the same number; terms,
// indexes, times, versions, sizes; the ports of clients; the width of columns. A cell that is empty (-) stays so.
func mask(output string) string {
	var b strings.Builder
	var columns []string
	for line := range strings.Lines(output) {
		line = strings.TrimRight(line, " \n")
		switch {
		case line == "":
			columns = nil
		case isHeadLine.MatchString(line):
			columns = columnGap.Split(line, -1)
		case columns != nil:
			line = maskRow(columns, line)
		}
		for _, m := range masks {
			line = m.pattern.ReplaceAllString(line, m.with)
		}
		b.WriteString(line + "\n")
	}
	known := map[string]string{}
	return hexNumber.ReplaceAllStringFunc(b.String(), func(hex string) string {
		short := hex[:8] // the same id may be shown whole and cut off
		if known[short] == "" {
			known[short] = fmt.Sprintf("<id %d>", len(known)+1)
		}
		return known[short]
	})
}

func maskRow(columns []string, line string) string {
	cells := columnGap.Split(line, -1)
	if len(cells) != len(columns) {
		return line
	}
	for i, name := range columns {
		if slices.Contains(maskedColumns, name) && cells[i] != "-" && !strings.Contains(cells[i], " ") {
			cells[i] = "<" + strings.ToLower(name) + ">"
		}
	}
	return strings.Join(cells, "  ")
}
