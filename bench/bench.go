package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"time"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // something does not work; never: something is slow
	exitUsage  = 2
)

// subject measures one thing, and adds rows to the table.
type subject struct {
	name string
	run  func(*bench, context.Context) error
}

func subjects() []subject {
	return []subject{
		{"storm", (*bench).storm},
		{"register", (*bench).register},
		{"lookup", (*bench).lookup},
		{"listings", (*bench).listings},
		{"underload", (*bench).underLoad},
		{"memory", (*bench).memory},
		{"idle", (*bench).idle},
		{"growth", (*bench).growth},
		{"restart", (*bench).restart},
		{"failover", (*bench).failover},
	}
}

// options are what the command line chose.
type options struct {
	sizes    sizes
	quick    bool
	rows     *regexp.Regexp
	out      string
	dir      string
	profiles string
}

// bench is one run of all that was chosen.
type bench struct {
	options
	dir      string // for programs, data and logs
	programs programs
	ports    *portPicker
	files    int // that may be open
	table    table
	progress io.Writer
}

// Main does what the command line says: the table goes to stdout, what is going on to stderr. It returns an exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 3 && args[0] == constantWord {
		return exitCode(serveConstant(ctx, args[1], args[2]), stderr)
	}
	o, err := parse(args, stderr)
	if err != nil {
		return exitUsage
	}
	dir, err := os.MkdirTemp(o.dir, "raftlookupd-bench-")
	if err != nil {
		return exitCode(err, stderr)
	}
	defer os.RemoveAll(dir)
	b := &bench{options: o, dir: dir, ports: newPortPicker(), progress: stderr}
	return exitCode(b.run(ctx, stdout), stderr)
}

func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(stderr, "bench:", err)
	return exitFailed
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.quick, "quick", false, "small sizes, to see that everything works; the figures mean nothing")
	rows := flags.String("rows", "", "only the subjects that this regular expression matches")
	runs := flags.Int("runs", 0, "how often each is measured (0: 3, with -quick 1)")
	flags.StringVar(&o.out, "out", "", "write the table to this file too")
	flags.StringVar(&o.dir, "dir", "", "keep programs, data and logs below this directory while it runs")
	flags.StringVar(&o.profiles, "profiles", "", "put CPU profiles of the servers into this directory")
	if err := flags.Parse(args); err != nil { // -help too
		return o, err
	}
	o.sizes = full()
	if o.quick {
		o.sizes = quick()
	}
	if *runs > 0 {
		o.sizes.runs = *runs
	}
	var err error
	if o.rows, err = regexp.Compile(*rows); err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("not a flag: %q", flags.Args())
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
	}
	return o, err
}

func (b *bench) run(ctx context.Context, stdout io.Writer) (err error) {
	if b.files, err = raiseFiles(); err != nil {
		return err
	}
	b.say("building both programs")
	if b.programs, err = build(ctx, b.dir); err != nil {
		return err
	}
	b.table.preface = b.machine()
	var failed []error
	if !slices.ContainsFunc(subjects(), func(s subject) bool { return b.rows.MatchString(s.name) }) {
		failed = append(failed, errors.New("-rows matches no subject"))
	}
	for _, s := range subjects() {
		if !b.rows.MatchString(s.name) {
			continue
		}
		start := time.Now()
		err := s.run(b, ctx)
		if ctx.Err() != nil { // its servers were killed, so its error says nothing
			break
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.name, err))
			b.say("%s failed: %v", s.name, err)
		}
		b.say("%s took %v", s.name, time.Since(start).Round(100*time.Millisecond))
	}
	if b.out != "" {
		failed = append(failed, b.writeFile(b.out))
	}
	return errors.Join(append(failed, ctx.Err(), b.table.write(stdout))...)
}

func (b *bench) writeFile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	return errors.Join(b.table.write(f), f.Close())
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench: "+format+"\n", args...)
}

// add puts a row into the table.
func (b *bench) add(r row) {
	b.table.rows = append(b.table.rows, r)
	cells := r.cells()
	b.say("%s | %s | %s | %s", cells[0], cells[1], cells[2], cells[3])
}

// connections is how many of those that were asked for this process may have open; it needs others beside them.
func (b *bench) connections(want int) int {
	const others = 500
	return min(want, b.files-others)
}
