package check

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func readUnit(t *testing.T) (u Unit, sysusers string) {
	t.Helper()
	u, err := ReadUnit(systemd + "/raftlookupd.service")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(systemd + "/raftlookupd.sysusers")
	if err != nil {
		t.Fatal(err)
	}
	return u, string(text)
}

func TestUnit(t *testing.T) {
	u, sysusers := readUnit(t)
	for _, bad := range CheckUnit(u, sysusers, described) {
		t.Error(bad)
	}
}

func TestBrokenUnitsAreFound(t *testing.T) {
	good, sysusers := readUnit(t)
	for _, c := range []struct{ key, value, want string }{
		{"Service.ExecStart", "/usr/bin/other -data-path=/var/lib/raftlookupd", "runs /usr/bin/other"},
		{"Service.ExecStart", "/usr/bin/raftlookupd -data-path=/var/lib/raftlookupd -no-such=1", "-no-such=1: not"},
		{"Service.ExecStart", "/usr/bin/raftlookupd -data-path=/srv", "only /var/lib/raftlookupd can be written"},
		{"Service.StateDirectory", "other", "only /var/lib/other can be written"},
		{"Service.User", "other", "User \"other\" is not made"},
		{"Service.Group", "root", "Group is not"},
		{"Service.EnvironmentFile", "/etc/default/raftlookupd", "must be there"},
		{"Service.TimeoutStopSec", "23", "is not above the 23s"},
		{"Service.RestartPreventExitStatus", "1", "RestartPreventExitStatus"},
		{"Service.Restart", "always", "Restart is not"},
		{"Service.KillSignal", "SIGQUIT", "KillSignal"},
		{"Service.ProcSubset", "pid", "ProcSubset"},
		{"Service.SystemCallFilter", "@basic-io", "@system-service"},
		{"Service.ProtectSystem", "full", "ProtectSystem is"},
		{"Unit.StartLimitIntervalSec", "10", "gives up"},
	} {
		u := maps.Clone(good)
		u[c.key] = []string{c.value}
		bad := CheckUnit(u, sysusers, described)
		if !slices.ContainsFunc(bad, func(b string) bool { return strings.Contains(b, c.want) }) {
			t.Errorf("%s=%s: complaints %q, want %q", c.key, c.value, bad, c.want)
		}
	}
	for key := range hardening {
		u := maps.Clone(good)
		delete(u, "Service."+key)
		if len(CheckUnit(u, sysusers, described)) == 0 {
			t.Errorf("nobody misses %s", key)
		}
	}
}

func TestSettings(t *testing.T) {
	settings, err := ReadSettings(systemd + "/raftlookupd.default")
	if err != nil || len(settings) == 0 {
		t.Fatalf("%d settings: %v", len(settings), err)
	}
	for _, bad := range CheckSettings(settings, described) {
		t.Error(bad)
	}
	if bad := CheckSettings(map[string]string{"RAFTLOOKUPD_JOINS": "x"}, described); len(bad) != 1 {
		t.Errorf("a setting that there is not: complaints %q", bad)
	}
}

// unitArgs are the arguments of ExecStart, with another data path: that of the unit is the machine's.
func unitArgs(t *testing.T, more ...string) []string {
	t.Helper()
	u, _ := readUnit(t)
	args := strings.Fields(u.service("ExecStart"))[1:]
	return slices.Concat(args, []string{"-data-path=" + filepath.Join(t.TempDir(), "data")}, more)
}

func TestUnitStarts(t *testing.T) {
	t.Parallel()
	at := pick(t)
	p := start(t, nil, raftlookupd, unitArgs(t, append(at.args(), "-broadcast-address=127.0.0.1")...)...)
	p.answers(t, at.http, "/readyz")
	p.stop(t)
	start(t, nil, raftlookupd, unitArgs(t, "-log-level=loud")...).ends(t, 2)
}

// With every example in the settings taken at its word the process serves; that it is not ready is
// because its peers are not there.
func TestSettingsStart(t *testing.T) {
	t.Parallel()
	settings, err := ReadSettings(systemd + "/raftlookupd.default")
	if err != nil {
		t.Fatal(err)
	}
	example, err := filepath.Abs(root + "/docs/raftlookupd.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	settings["RAFTLOOKUPD_CONFIG"] = example
	settings["RAFTLOOKUPD_JOIN"] = "127.0.0.1:1" // nobody else's machine is asked
	var env []string
	for name, value := range settings {
		env = append(env, name+"="+value)
	}
	at := pick(t)
	p := start(t, env, raftlookupd, unitArgs(t, at.args()...)...)
	p.answers(t, at.http, "/livez")
	p.stop(t)
}
