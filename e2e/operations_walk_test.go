package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// walkedPages are the documents whose commands are run.
var walkedPages = []string{"../docs/operations.md", "../docs/migrating.md", "../docs/upgrading.md"}

const (
	// updateWalk, set to 1 in the environment, has the test write what the commands print into the document.
	updateWalk = "E2E_UPDATE"
	// walkPatience is how long a command that only looks may show something else than the document. It is more than
	// gossip needs to call a replica dead, and the leader to replace it.
	walkPatience = 30 * time.Second
	// settled is how long a command is looked at whose output is not known yet.
	settled   = 15 * time.Second
	lookAgain = 100 * time.Millisecond
	logTail   = 15 // lines of each log, when the walk fails
)

// onlyLooks are the commands that change nothing, and so may be repeated.
var onlyLooks = regexp.MustCompile(`^(lookupctl (--addr \S+ |-o \S+ )*(status|members|verify|topics|channels|lookup|nodes|snapshot inspect)\b` +
	`|curl -s '?[a-z0-9.:/]\S*(; echo)?$|(grep|tail|cat|ls) )`)

// walk is a document and the shell that its commands are run in.
type walk struct {
	*shell
	page  string
	lines []string // of the document
	steps []walkStep
	shift portShift
}

// TestWalk runs the commands of a page one after another and compares what they print with what the page says, as
// mask shows it. E2E_UPDATE=1 makes the page say what they print.
func TestWalk(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	for _, page := range walkedPages {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			readWalk(t, page).walk(t, os.Getenv(updateWalk) == "1")
		})
	}
}

func (w *walk) walk(t *testing.T, update bool) {
	document := strings.Join(w.lines, "\n")
	w.shift = freeShift(t, document)
	w.shell = startShell(t, withReleases(t, pathOfPrograms(t), document))
	t.Cleanup(func() { w.checkLogs(t) })
	outputs := make([]string, len(w.steps))
	for i, s := range w.steps {
		began := time.Now()
		got, err := w.take(t, s, update)
		if err != nil {
			t.Fatalf("%s:%d: $ %s\n%v", w.page, s.line, s.command, err)
		}
		t.Logf("line %d, %.1f s: %.60q", s.line, time.Since(began).Seconds(), s.command)
		outputs[i] = got
	}
	if !update {
		return
	}
	text := strings.Join(withOutputs(w.lines, w.steps, outputs), "\n")
	if err := os.WriteFile(w.page, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readWalk(t *testing.T, path string) *walk {
	t.Helper()
	w := &walk{page: path, lines: strings.Split(readText(t, path), "\n")}
	var err error
	if w.steps, err = parseWalk(w.lines); err != nil {
		t.Fatal(err)
	}
	return w
}

var errOtherOutput = errors.New("the document says otherwise")

// take runs a command, and again if it only looks, until it prints what the document says.
func (w *walk) take(t *testing.T, s walkStep, update bool) (string, error) {
	limit := time.Now().Add(walkPatience)
	if update {
		limit = time.Now().Add(settled)
	}
	for {
		printed, err := w.run(w.shift.there(s.command))
		if err != nil {
			return "", err
		}
		got := tidy(w.shift.back(printed))
		err = s.compare(got)
		switch {
		case err == nil:
			return got, nil
		case onlyLooks.MatchString(s.command) && time.Now().Before(limit):
			wait(t.Context(), lookAgain)
		case update:
			return got, nil
		default:
			return "", err
		}
	}
}

// compare returns nil when the output is the document's.
func (s walkStep) compare(got string) error {
	if mask(got) == mask(s.want) {
		return nil
	}
	return fmt.Errorf("%w (%s=1 writes it anew)\nit says:\n%s\nprinted is:\n%s\nas compared:\n%s\n%s",
		errOtherOutput, updateWalk, s.want, got, mask(s.want), mask(got))
}

// checkLogs reads what the replicas have logged.
func (w *walk) checkLogs(t *testing.T) {
	logs, _ := filepath.Glob(filepath.Join(w.dir, "*.log")) // the pattern is good
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		for _, bad := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE"} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%s has %q", path, bad)
			}
		}
		if t.Failed() {
			lines := strings.SplitAfter(string(text), "\n")
			t.Logf("the end of %s\n%s", filepath.Base(path), strings.Join(lines[max(0, len(lines)-logTail):], ""))
		}
	}
}

// TestWalkNoticesChanges changes each line of output in the pages, takes it away and doubles it: compare has to notice,
// for else the pages and the programs could drift apart.
func TestWalkNoticesChanges(t *testing.T) {
	for _, page := range walkedPages {
		changes := 0
		for _, s := range readWalk(t, page).steps {
			for _, changed := range s.changes() {
				if changed.compare(s.want) == nil {
					t.Errorf("%s:%d: it is not noticed when %q is instead\n%s", page, s.line, s.want, changed.want)
				}
				changes++
			}
		}
		t.Logf("%d changes of %s", changes, page)
	}
}

// changes returns the step with each line of its output changed in some ways.
func (s walkStep) changes() []walkStep {
	var all []walkStep
	lines := strings.SplitAfter(s.want, "\n")
	for i, line := range lines {
		if strings.TrimSpace(line) == "" {
			continue
		}
		for _, other := range []string{"", line + line, "x" + line, strings.TrimSuffix(line, "\n") + " x\n"} {
			changed := s
			changed.want = strings.Join(lines[:i], "") + other + strings.Join(lines[i+1:], "")
			all = append(all, changed)
		}
	}
	return all
}
