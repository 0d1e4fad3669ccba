package check

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Program is what raftlookupd says of itself, and what its sources and its image promise.
type Program struct {
	Flags map[string]string // defaults by flag without dash; "" where the help shows none
	User  string            // uid:gid that the image runs as
	Stops time.Duration     // it has stopped after so long, whatever hangs
}

var (
	helpFlag  = regexp.MustCompile(`(?m)^  -([a-z-]+)(?: .*)?\n(?: {8}(.*)\n)?`)
	helpValue = regexp.MustCompile(`\(default (.*)\)$`)
	imageUser = regexp.MustCompile(`(?m)^USER (\S+)$`)
	seconds   = `(?m)^const %s = (\d+) \* time\.Second$`
)

// Describe asks the program at bin for its help, and reads the rest below root.
func Describe(bin, root string) (Program, error) {
	help, err := exec.Command(bin, "-help").Output()
	if err != nil {
		return Program{}, fmt.Errorf("ask for help: %w", err)
	}
	p := Program{Flags: make(map[string]string)}
	for _, m := range helpFlag.FindAllStringSubmatch(string(help), -1) {
		value := ""
		if d := helpValue.FindStringSubmatch(m[2]); d != nil {
			value = d[1]
		}
		p.Flags[m[1]] = value
	}
	user, err := find(root+"/Dockerfile", imageUser)
	if err != nil {
		return p, err
	}
	p.User = user
	for file, name := range map[string]string{"internal/daemon/daemon.go": "stopLimit", "cmd/raftlookupd/main.go": "lastLines"} {
		text, err := find(root+"/"+file, regexp.MustCompile(fmt.Sprintf(seconds, name)))
		if err != nil {
			return p, err
		}
		limit, err := time.ParseDuration(text + "s")
		if err != nil {
			return p, fmt.Errorf("read %s: %w", name, err)
		}
		p.Stops += limit
	}
	return p, nil
}

// find returns what the pattern's group matches in a file.
func find(path string, pattern *regexp.Regexp) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read what the program promises: %w", err)
	}
	m := pattern.FindStringSubmatch(string(text))
	if m == nil {
		return "", fmt.Errorf("%s has nothing like %s", path, pattern)
	}
	return m[1], nil
}

// port is that of an address flag's default.
func (p Program) port(flag string) string {
	address := p.Flags[flag]
	return address[strings.LastIndexByte(address, ':')+1:]
}

// settings are the names of the variables that the program reads.
func (p Program) settings() []string {
	var names []string
	for flag := range p.Flags {
		names = append(names, envPrefix+strings.ToUpper(strings.ReplaceAll(flag, "-", "_")))
	}
	slices.Sort(names)
	return names
}

const envPrefix = "RAFTLOOKUPD_"

// checkVariable complains of a variable that looks like a setting and is none.
func (p Program) checkVariable(name string, bad *complaints) {
	if strings.HasPrefix(name, envPrefix) && !slices.Contains(p.settings(), name) {
		bad.add("%s: no such setting", name)
	}
}

// checkArgs complains of what is no flag, and returns the values by flag.
func (p Program) checkArgs(args []string, bad *complaints) map[string]string {
	values := make(map[string]string)
	for _, arg := range args {
		name, value, valued := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if _, known := p.Flags[name]; !known || !valued || !strings.HasPrefix(arg, "-") {
			bad.add("%s: not -FLAG=VALUE of a flag that there is", arg)
			continue
		}
		values[name] = value
	}
	return values
}

// complaints are what is wrong, one line each.
type complaints []string

func (c *complaints) add(format string, args ...any) { *c = append(*c, fmt.Sprintf(format, args...)) }

// unless adds a complaint when something is not so.
func (c *complaints) unless(so bool, format string, args ...any) {
	if !so {
		c.add(format, args...)
	}
}
