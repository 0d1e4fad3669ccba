package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestCommandLine holds the command line to the contract: flags, file, environment, exit codes.
func TestCommandLine(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	t.Run("version", testVersion)
	t.Run("bad usage", testBadUsage)
	t.Run("nsqlookupd's flags", testFlags)
	t.Run("nsqlookupd's example file", testExampleFile)
	t.Run("order of sources", testSources)
	t.Run("signals", testSignals)
	t.Run("data path in use", testDataPathInUse)
	t.Run("data path of another name", testDataPathOfAnother)
	t.Run("port in use", testPortInUse)
	t.Run("recover what is in use", testRecoverInUse)
}

func testVersion(t *testing.T) {
	for _, flag := range []string{"-version", "--version"} {
		p := startProcess(t, "raftlookupd", programs.raftlookupd, flag)
		code := p.exitCode(t)
		if out := p.stdout.String(); code != 0 || !regexp.MustCompile(`^raftlookupd v\d+\.\d+\.\d+`).MatchString(out) {
			t.Errorf("%s: exit code %d, wrote %q", flag, code, out)
		}
	}
}

// writeFile makes a file of a test's own.
func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// testRecoverInUse has recover keep away from the data of a replica that runs, and from what is no replica's.
func testRecoverInUse(t *testing.T) {
	r := newReplica(t, "r1")
	r.start(t)
	expectFailure(t, startProcess(t, "recover", programs.raftlookupd, "recover", "-data-path", r.data, "-yes"), 1, "in use")
	empty := t.TempDir()
	expectFailure(t, startProcess(t, "recover", programs.raftlookupd, "recover", "-data-path", empty, "-yes"), 1, "holds no replica")
	if entries, err := os.ReadDir(empty); err != nil || len(entries) > 0 {
		t.Errorf("it left %v, error %v", entries, err)
	}
	if _, err := r.status(); err != nil {
		t.Error(err)
	}
}

func testBadUsage(t *testing.T) {
	tests := []struct {
		name, names string // the line must name what is wrong
		args        []string
		env         []string
	}{
		{name: "unknown flag", names: "no-such-flag", args: []string{"-no-such-flag"}},
		{name: "malformed duration", names: "tombstone-lifetime", args: []string{"-tombstone-lifetime", "soon"}},
		{name: "malformed number", names: "register-window", args: []string{"-register-window", "many"}},
		{name: "negative number", names: "register-window", args: []string{"-register-window", "-1"}},
		{name: "unknown log level", names: "log-level", args: []string{"-log-level", "loud"}},
		{name: "address without a port", names: "tcp-address", args: []string{"-tcp-address", "localhost"}},
		{name: "grace shorter than isolation", names: "replica-grace", args: []string{"-replica-grace", "1s", "-isolation-timeout", "2s"}},
		{name: "argument", names: "stray", args: []string{"stray"}},
		{name: "recover without a data path", names: "-data-path", args: []string{"recover"}},
		{name: "recover with an unknown flag", names: "-no-such-flag", args: []string{"recover", "-no-such-flag"}},
		{name: "recover with an argument", names: "stray", args: []string{"recover", "-data-path", "/nonexistent", "stray"}},
		{name: "unknown consistency", names: "read-consistency", args: []string{"-read-consistency", "quorum"}},
		{name: "no such file", names: "nothing.toml", args: []string{"-config", "/nonexistent/nothing.toml"}},
		{name: "unknown key", names: "no_such_key", args: []string{"-config", writeFile(t, "no_such_key = 1\n")}},
		{name: "malformed file", names: "config.toml", args: []string{"-config", writeFile(t, "tcp_address = \n")}},
		{name: "malformed value in the file", names: "tombstone_lifetime", args: []string{"-config", writeFile(t, "tombstone_lifetime = \"soon\"\n")}},
		{name: "malformed value in the environment", names: "RAFTLOOKUPD_TOMBSTONE_LIFETIME", env: []string{"RAFTLOOKUPD_TOMBSTONE_LIFETIME=soon"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := startProcessEnv(t, tt.env, "raftlookupd", programs.raftlookupd, tt.args...)
			expectFailure(t, p, 2, tt.names)
		})
	}
}

// expectFailure expects an exit code, and one line on stderr that names what is wrong.
func expectFailure(t *testing.T, p *process, code int, names string) {
	t.Helper()
	if got := p.exitCode(t); got != code {
		t.Errorf("exit code %d, want %d", got, code)
	}
	text := strings.TrimSpace(p.stderr.String())
	// A flag, its key in a file and its variable are one name in three spellings.
	if !strings.Contains(spelling(text), spelling(names)) || strings.Contains(text, "\n") {
		t.Errorf("wrote %q, want one line with %q", text, names)
	}
}

func spelling(text string) string { return strings.ReplaceAll(strings.ToLower(text), "_", "-") }

func testFlags(t *testing.T) {
	l := startRaftlookupd(t, "-log-prefix", "[prefix] ", "-verbose", "--log-level=debug",
		"--inactive-producer-timeout=5m0s", "-tombstone-lifetime", "45s")
	if text := l.stderr.String(); !strings.HasPrefix(text, "[prefix] ") {
		t.Errorf("log begins %.80q", text)
	}
	for _, line := range []string{"TCP: listening on " + l.tcp, "HTTP: listening on " + l.http} {
		if !strings.Contains(l.stderr.String(), line) {
			t.Errorf("nothing logged like %q", line)
		}
	}
}

// testExampleFile starts with the file that NSQ ships; the flags beat the ports in it.
func testExampleFile(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/nsqio/nsq").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(strings.TrimSpace(string(dir)), "contrib", "nsqlookupd.cfg.example")
	l := startRaftlookupd(t, "-config", file)
	if err := l.post("/topic/create?topic=t"); err != nil {
		t.Error(err)
	}
}

// testSources gives a value in every source: the flag counts, else the environment, else the file.
func testSources(t *testing.T) {
	flag, env, file := freeAddress(t), freeAddress(t), freeAddress(t)
	config := writeFile(t, fmt.Sprintf("http_address = %q\nlog_prefix = \"[file] \"\n", file))
	inEnv := []string{"RAFTLOOKUPD_HTTP_ADDRESS=" + env, "RAFTLOOKUPD_LOG_PREFIX=[env] "}
	tests := []struct {
		name, http, prefix string
		env, args          []string
	}{
		{name: "file", http: file, prefix: "[file] "},
		{name: "environment", http: env, prefix: "[env] ", env: inEnv},
		{name: "flag", http: flag, prefix: "[env] ", env: inEnv, args: []string{"-http-address", flag}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			args := append(tt.args, "-config", config, "-tcp-address", freeAddress(t), "-data-path", t.TempDir(),
				"-cluster-address", freeAddress(t), "-gossip-address", freeAddress(t), "-broadcast-address", "127.0.0.1")
			p := startProcessEnv(t, tt.env, "raftlookupd", programs.raftlookupd, args...)
			l := &lookupd{process: p, http: tt.http, client: newHTTPClient(), readyPath: "/readyz"}
			defer l.client.CloseIdleConnections()
			eventually(t, patience, l.serves)
			if text := p.stderr.String(); !strings.HasPrefix(text, tt.prefix) {
				t.Errorf("log begins %.80q, want %q", text, tt.prefix)
			}
		})
	}
}

func testSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		l := startRaftlookupd(t)
		// Neither an nsqd nor a client that has said nothing holds up the end.
		mustConnect(t, l, "nsqd-s", "t c")
		silent, err := dial(l.tcp)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		if code := l.stop(t, sig); code != 0 {
			t.Errorf("exit code after %v is %d", sig, code)
		}
	}
}

// failing starts a replica that must not come up. At this log level its reason is all that it says.
func failing(t *testing.T, l *lookupd, names string, more ...string) {
	t.Helper()
	args := append(append(l.args, "-log-level", "fatal"), more...)
	expectFailure(t, startProcess(t, "raftlookupd", l.bin, args...), 1, names)
}

func testDataPathInUse(t *testing.T) {
	first, second := startRaftlookupd(t), newRaftlookupd(t)
	failing(t, second, dataPath(t, first), "-data-path", dataPath(t, first))
	if err := first.serves(); err != nil {
		t.Errorf("the first: %v", err)
	}
}

// dataPath returns what a replica was given as such.
func dataPath(t *testing.T, l *lookupd) string {
	t.Helper()
	for i, arg := range l.args {
		if arg == "-data-path" {
			return l.args[i+1]
		}
	}
	t.Fatal("no -data-path")
	return ""
}

func testDataPathOfAnother(t *testing.T) {
	l := startRaftlookupd(t)
	l.stop(t, syscall.SIGTERM)
	failing(t, l, `r1`, "-name", "other")
	l.start(t) // and nothing has become of its data
}

func testPortInUse(t *testing.T) {
	for _, flag := range []string{"-tcp-address", "-http-address"} {
		t.Run(flag, func(t *testing.T) {
			taken, err := net.Listen("tcp", freeAddress(t))
			if err != nil {
				t.Fatal(err)
			}
			defer taken.Close()
			failing(t, newRaftlookupd(t), taken.Addr().String(), flag, taken.Addr().String())
		})
	}
}
