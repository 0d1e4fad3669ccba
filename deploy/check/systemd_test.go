package check

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mostExposed is the exposure, times ten, that `systemd-analyze security` may find: 14 is what is there.
const mostExposed = "15"

func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not here: not checked", program)
	}
}

// installed returns a copy of the unit that runs a program which is there.
func installed(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(systemd + "/raftlookupd.service")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "raftlookupd.service")
	text = bytes.Replace(text, []byte("/usr/local/bin/raftlookupd"), []byte(raftlookupd), 1)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSystemdUnderstandsTheUnit(t *testing.T) {
	t.Parallel()
	needs(t, "systemd-analyze")
	// It is content with keys that it does not know, but says so.
	out, err := exec.Command("systemd-analyze", "verify", installed(t)).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("raftlookupd")) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err = exec.Command("systemd-analyze", "security", "--offline=true", "--threshold="+mostExposed, installed(t)).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

func TestSystemdUnderstandsTheUser(t *testing.T) {
	t.Parallel()
	needs(t, "systemd-sysusers")
	path, err := filepath.Abs(systemd + "/raftlookupd.sysusers")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("systemd-sysusers", "--dry-run", path).CombinedOutput()
	if err != nil || len(out) > 0 && !bytes.Contains(out, []byte("Creating user 'raftlookupd'")) {
		t.Errorf("systemd-sysusers: %v\n%s", err, out)
	}
}

// What the process asks of the kernel must be in the unit's SystemCallFilter.
func TestSystemCallsAreAllowed(t *testing.T) {
	t.Parallel()
	needs(t, "systemd-analyze")
	needs(t, "strace")
	if err := exec.Command("strace", "-o", os.DevNull, "true").Run(); err != nil {
		t.Skipf("strace may not trace here (%v): not checked", err)
	}
	at, trace := pick(t), filepath.Join(t.TempDir(), "trace")
	// -D: the traced process is this one's child, and gets its signals.
	args := append([]string{"-D", "-f", "-c", "-S", "name", "-U", "name", "-o", trace, raftlookupd},
		unitArgs(t, append(at.args(), "-broadcast-address=127.0.0.1")...)...)
	p := start(t, nil, "strace", args...)
	p.answers(t, at.http, "/readyz")
	resp, err := http.Post("http://"+at.http+"/topic/create?topic=a", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	p.stop(t)
	u, _ := readUnit(t)
	allowed := filtered(t, u["Service.SystemCallFilter"])
	for _, call := range traced(t, trace) {
		if !allowed[call] {
			t.Errorf("SystemCallFilter forbids %s", call)
		}
	}
}

// traced waits for the summary of strace, which it writes after the process's end: one name a line
// under a rule.
func traced(t *testing.T, path string) []string {
	t.Helper()
	var calls []string
	eventually(t, func() error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, names, _ := strings.Cut(string(text), "\n-")
		calls = strings.Fields(names)
		if !strings.HasSuffix(strings.TrimSpace(string(text)), "total") {
			return os.ErrNotExist
		}
		return nil
	})
	calls = slices.DeleteFunc(calls, func(s string) bool { return s == "total" || strings.HasPrefix(s, "-") })
	if !slices.Contains(calls, "fdatasync") {
		t.Fatalf("the trace lacks what every replica does: %v", calls)
	}
	return calls
}

// filtered returns the calls that the lines of a SystemCallFilter leave.
func filtered(t *testing.T, lines []string) map[string]bool {
	t.Helper()
	out, err := exec.Command("systemd-analyze", "syscall-filter").Output()
	if err != nil {
		t.Fatal(err)
	}
	sets, set := map[string][]string{}, ""
	for line := range strings.Lines(string(out)) {
		name := strings.TrimSpace(line)
		switch {
		case name == "" || name[0] == '#':
		case line[0] != ' ':
			set = name
		default:
			sets[set] = append(sets[set], name)
		}
	}
	allowed := map[string]bool{}
	for _, line := range lines {
		names, forbids := strings.CutPrefix(line, "~")
		for _, name := range strings.Fields(names) {
			for _, call := range expand(sets, name) {
				allowed[call] = !forbids
			}
		}
	}
	return allowed
}

func expand(sets map[string][]string, name string) []string {
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	var calls []string
	for _, n := range sets[name] {
		calls = append(calls, expand(sets, n)...)
	}
	return calls
}
