package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// Run does what the command line says and returns the exit code: 0 done, 1 it failed, 2 wrong usage.
// What went wrong is one line on stderr. args has no program name, env is like os.Environ's. It
// returns when the verb is done or soon after ctx ends.
func Run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newProgram(env, stdin, stdout, stderr).run(ctx, args)
}

// New returns the root command with all others below it, to write their documentation from.
func New() *cobra.Command {
	return newProgram(nil, strings.NewReader(""), io.Discard, io.Discard).root()
}

// program is one run of lookupctl.
type program struct {
	env            []string
	stdin          io.Reader
	stdout, stderr io.Writer
	color          bool // stdout is a terminal that wants it

	flags  flags
	client *client // nil before the verb starts, and for verbs that ask nobody
	began  bool    // the verb has started, so what goes wrong is no wrong usage

	pace
}

// pace has what tests set otherwise.
type pace struct {
	clock         func() time.Time
	limit         int64 // bytes of one answer
	progressEvery time.Duration
	pollEvery     time.Duration
	leastInterval time.Duration // of watch
}

// flags are those that every verb has.
type flags struct {
	addrs        []string
	output       string
	timeout      time.Duration
	timeoutGiven bool
}

// maxAnswer is beyond what a registry of a million registrations answers to /nodes.
const maxAnswer = 256 << 20

func newProgram(env []string, stdin io.Reader, stdout, stderr io.Writer) *program {
	p := &program{env: env, stdin: stdin, stdout: stdout, stderr: stderr,
		pace: pace{clock: time.Now, limit: maxAnswer, progressEvery: time.Second, pollEvery: 300 * time.Millisecond, leastInterval: 100 * time.Millisecond}}
	p.color = wantsColor(isTerminal(stdout), p.getenv)
	return p
}

func wantsColor(terminal bool, getenv func(string) string) bool {
	return terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

func (p *program) getenv(key string) string {
	for _, e := range slices.Backward(p.env) {
		if value, ok := strings.CutPrefix(e, key+"="); ok {
			return value
		}
	}
	return ""
}

func (p *program) run(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(append([]string{}, args...)) // cobra takes nil for the process's own
	cmd, err := root.ExecuteContextC(ctx)
	if p.client != nil {
		p.client.close()
	}
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case !p.began || errors.As(err, &usage):
		p.complain(fmt.Sprintf("%v; see '%s --help'", err, cmd.CommandPath()))
		return exitUsage
	case ctx.Err() != nil:
		p.complain(p.interruption())
	default:
		p.complain(err.Error())
	}
	return exitFailed
}

// complain is the one line that says what went wrong. When stderr cannot be written to either, the
// exit code has to do.
func (p *program) complain(text string) {
	_, _ = fmt.Fprintln(p.stderr, "lookupctl: "+clean(text))
}

func (p *program) interruption() string {
	if p.client != nil && p.client.posted.Load() {
		return "interrupted: what was asked for may be done all the same; look with 'lookupctl status'"
	}
	return "interrupted"
}

// note tells on stderr how it goes.
func (p *program) note(format string, args ...any) {
	_, _ = fmt.Fprintln(p.stderr, clean(fmt.Sprintf(format, args...)))
}

// within is how long a verb may take that takes long by its nature.
func (p *program) within(usual time.Duration) time.Duration {
	if p.flags.timeoutGiven {
		return p.flags.timeout
	}
	return usual
}

// usageError is wrong usage that shows only when the verb looks at its arguments.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// pause waits and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
