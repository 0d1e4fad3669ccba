package e2e

import (
	"errors"
	"fmt"
	"strings"
)

// walkStep is one command of a document, with what the document says that it prints.
type walkStep struct {
	line     int // where it stands, from 1
	command  string
	want     string // lines that end in \n, or ""
	from, to int    // the lines of want, from 0; to is not included
}

const (
	fenceBegin   = "```console"
	fenceEnd     = "```"
	prompt       = "$ "
	continuation = "> "
)

var errDocument = errors.New("the document cannot be walked")

// parseWalk finds the commands of the console blocks: a line after a prompt, and those after it that continue it.
// All else in a block is what the command above it prints.
func parseWalk(lines []string) ([]walkStep, error) {
	var steps []walkStep
	var now *walkStep // nil outside of blocks and before a block's first command
	inside := false
	for i, line := range lines {
		command, isCommand := strings.CutPrefix(line, prompt)
		more, isMore := strings.CutPrefix(line, continuation)
		switch {
		case !inside:
			inside, now = line == fenceBegin, nil
		case line == fenceEnd:
			inside = false
		case isCommand:
			steps = append(steps, walkStep{line: i + 1, command: command, from: i + 1, to: i + 1})
			now = &steps[len(steps)-1]
		case now == nil:
			return nil, fmt.Errorf("%w: line %d: a console block begins with %q", errDocument, i+1, prompt)
		case isMore && now.to == i && now.want == "":
			now.command += "\n" + more
			now.from, now.to = i+1, i+1
		default:
			now.want += line + "\n"
			now.to = i + 1
		}
	}
	if inside || len(steps) == 0 {
		return nil, fmt.Errorf("%w: %d commands, a block is open: %v", errDocument, len(steps), inside)
	}
	return steps, nil
}

// withOutputs returns the lines with what the commands really print.
func withOutputs(lines []string, steps []walkStep, outputs []string) []string {
	var all []string
	at := 0
	for i, s := range steps {
		all = append(all, lines[at:s.from]...)
		if outputs[i] != "" {
			all = append(all, strings.Split(strings.TrimSuffix(outputs[i], "\n"), "\n")...)
		}
		at = s.to
	}
	return append(all, lines[at:]...)
}
