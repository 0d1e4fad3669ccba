package config

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/raftlookupd/raftlookupd/internal/version"
)

const (
	program   = "raftlookupd"
	envPrefix = "RAFTLOOKUPD_"
	// maxFile keeps a wrong path, a log or a device, from being read into memory.
	maxFile = 1 << 20
)

// Parse makes a checked Config of a command line (without the program's name), an environment
// ("KEY=value") and the file that they name. After -help it returns flag.ErrHelp, after -version
// ErrVersion; both have then been printed to out. Any other error is a usage error: one line for each
// thing that is wrong.
func Parse(args, environ []string, out io.Writer) (Config, error) {
	// A machine without a name only needs the flags that Validate then asks for.
	hostname, _ := os.Hostname()
	p := &parser{options: options(), config: defaults(hostname), given: map[string]bool{}}
	line, err := p.parseArgs(args, out)
	if err != nil {
		return Config{}, err
	}
	env := p.environment(environ)
	path := env["config"]
	if flagged, ok := line["config"]; ok {
		path = flagged
	}
	if path != "" {
		p.applyFile(path)
	}
	p.apply(env, option.env)
	p.apply(line, func(o option) string { return "-" + o.name })
	p.config.complete(p.given)
	if len(p.problems) == 0 { // a value that was not understood would be blamed twice
		p.problems = append(p.problems, p.config.Validate())
	}
	if err := errors.Join(p.problems...); err != nil {
		return Config{}, err
	}
	return p.config, nil
}

type parser struct {
	options  []option
	config   Config
	given    map[string]bool // by option name
	problems []error
}

func (p *parser) fail(format string, args ...any) {
	p.problems = append(p.problems, fmt.Errorf(format, args...))
}

// parseArgs returns the values on the command line by option name.
func (p *parser) parseArgs(args []string, out io.Writer) (map[string]string, error) {
	line := map[string]string{}
	fs := flag.NewFlagSet(program, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // main prints the error
	for _, o := range p.options {
		fs.Var(&rawFlag{option: o, line: line}, o.name, o.usage)
	}
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		if err := printHelp(out, p.options); err != nil {
			return nil, fmt.Errorf("print help: %w", err)
		}
		return nil, flag.ErrHelp
	case err != nil:
		return nil, fmt.Errorf("%w (%s -help lists the flags)", err, program)
	}
	if shown, err := parseBool(line["version"]); err == nil && shown {
		if _, err := fmt.Fprintln(out, version.String(program)); err != nil {
			return nil, fmt.Errorf("print version: %w", err)
		}
		return nil, ErrVersion
	}
	for _, arg := range fs.Args() {
		p.fail("unexpected argument %q: every setting is a flag", arg)
	}
	return line, nil
}

// rawFlag notes what stands on the command line. It is understood later, so that all problems can be
// reported together.
type rawFlag struct {
	option option
	line   map[string]string
}

func (r *rawFlag) Set(s string) error {
	if r.IsBoolFlag() {
		if _, err := parseBool(s); err != nil {
			return err
		}
	}
	if _, ok := r.option.field.(listField); ok && r.line[r.option.name] != "" {
		s = r.line[r.option.name] + "," + s
	}
	r.line[r.option.name] = s
	return nil
}

func (r *rawFlag) String() string { return "" }

func (r *rawFlag) IsBoolFlag() bool { return r.option.arg == "" }

// environment returns the values in the environment by option name. An empty one is as good as none:
// that is what a compose file makes of an unset variable.
func (p *parser) environment(environ []string) map[string]string {
	known := map[string]string{}
	for _, o := range p.options {
		if o.inEnv() {
			known[o.env()] = o.name
		}
	}
	values := map[string]string{}
	for _, entry := range environ {
		key, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(key, envPrefix) || serviceVariable(key, value) {
			continue
		}
		switch name, ok := known[key]; {
		case !ok:
			p.fail("%s: no such setting in the environment", key)
		case value == "":
			delete(values, name)
		default:
			values[name] = value
		}
	}
	return values
}

// serviceVariable tells the variables that Kubernetes gives each container for a service named
// raftlookupd or raftlookupd-….
func serviceVariable(key, value string) bool {
	if strings.Contains(key, "_SERVICE_HOST") || strings.Contains(key, "_SERVICE_PORT") {
		return true
	}
	if strings.HasSuffix(key, "_PORT") && strings.Contains(value, "://") {
		return true
	}
	_, port, ok := strings.Cut(key, "_PORT_")
	if !ok {
		return false
	}
	number, _, _ := strings.Cut(port, "_")
	_, err := strconv.ParseUint(number, 10, 16)
	return err == nil
}

// apply sets options from strings. The order is the table's, so that problems come in one order.
func (p *parser) apply(values map[string]string, label func(option) string) {
	for _, o := range p.options {
		if value, ok := values[o.name]; ok {
			p.set(o, value, label(o))
		}
	}
}

func (p *parser) set(o option, value any, label string) {
	if err := o.field.set(&p.config, value); err != nil {
		p.fail("%s: %w", label, err)
		return
	}
	p.given[o.name] = true
}

func (p *parser) applyFile(path string) {
	values, err := readFile(path)
	if err != nil {
		p.fail("read config file %s: %w", path, err)
		return
	}
	known := map[string]option{}
	for _, o := range p.options {
		if o.inFile() {
			known[o.key()] = o
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		o, ok := known[key]
		if !ok {
			p.fail("%s: unknown key %s", path, key)
			continue
		}
		if o.computed != "" && values[key] == "" {
			continue
		}
		p.set(o, values[key], path+": "+key)
	}
}

func readFile(path string) (map[string]any, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err) // the caller names the path
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("longer than %d bytes", maxFile)
	}
	var values map[string]any
	if _, err := toml.Decode(string(text), &values); err != nil {
		return nil, err
	}
	return values, nil
}
