package check

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// Unit holds the values of a unit file, in order, by "Section.Key".
type Unit map[string][]string

// ReadUnit reads a unit file.
func ReadUnit(path string) (Unit, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read unit: %w", err)
	}
	u, section := Unit{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		key, value, assigns := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case assigns && !strings.HasSuffix(line, `\`):
			u[section+"."+key] = append(u[section+"."+key], value)
		default:
			return nil, fmt.Errorf("read unit %s: %q is not understood", path, line)
		}
	}
	return u, nil
}

// service is the value of a key that is there once, "" if it is not.
func (u Unit) service(key string) string {
	if values := u["Service."+key]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// hardening is what the unit must say, whatever else.
var hardening = map[string]string{
	"AmbientCapabilities": "", "CapabilityBoundingSet": "", "DevicePolicy": "closed", "LockPersonality": "yes",
	"MemoryDenyWriteExecute": "yes", "NoNewPrivileges": "yes", "PrivateDevices": "yes", "PrivateTmp": "yes",
	"ProtectClock": "yes", "ProtectControlGroups": "yes", "ProtectHome": "yes", "ProtectHostname": "yes",
	"ProtectKernelLogs": "yes", "ProtectKernelModules": "yes", "ProtectKernelTunables": "yes",
	"ProtectProc": "invisible", "ProtectSystem": "strict", "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
	"RestrictNamespaces": "yes", "RestrictRealtime": "yes", "RestrictSUIDSGID": "yes",
	"SystemCallArchitectures": "native", "UMask": "0077",
}

// CheckUnit complains of a unit that does not fit the program. sysusers is the text that makes its user.
func CheckUnit(u Unit, sysusers string, p Program) []string {
	var bad complaints
	for key, want := range hardening {
		values := u["Service."+key]
		bad.unless(len(values) == 1 && values[0] == want, "%s is %q, want %q", key, values, want)
	}
	bad.unless(slices.Contains(u["Service.SystemCallFilter"], "@system-service"), "SystemCallFilter lacks @system-service")
	bad.unless(u["Service.ProcSubset"] == nil, "ProcSubset hides the length of the queue of new connections")
	bad.unless(strings.Contains(sysusers, "\nu "+u.service("User")+" "), "User %q is not made", u.service("User"))
	bad.unless(u.service("Group") == u.service("User"), "Group is not User's")
	for _, file := range u["Service.EnvironmentFile"] {
		bad.unless(strings.HasPrefix(file, "-"), "EnvironmentFile %s must be there", file)
	}
	checkCommand(u, p, &bad)
	checkEnding(u, p, &bad)
	return bad
}

func checkCommand(u Unit, p Program, bad *complaints) {
	command := strings.Fields(u.service("ExecStart"))
	if len(command) == 0 {
		bad.add("ExecStart is not there once")
		return
	}
	bad.unless(strings.HasPrefix(command[0], "/") && strings.HasSuffix(command[0], "/raftlookupd"), "ExecStart runs %s", command[0])
	flags := p.checkArgs(command[1:], bad)
	state := "/var/lib/" + u.service("StateDirectory")
	bad.unless(flags["data-path"] == state, "-data-path is %q, and only %s can be written", flags["data-path"], state)
}

// checkEnding looks at what follows the end of the process, and what leads to it.
func checkEnding(u Unit, p Program, bad *complaints) {
	bad.unless(u.service("Restart") == "on-failure", "Restart is not on-failure")
	bad.unless(u.service("RestartPreventExitStatus") == "2", "RestartPreventExitStatus is not that of a wrong setting, 2")
	bad.unless(u.service("KillSignal") == "SIGTERM", "KillSignal is not SIGTERM")
	bad.unless(slices.Equal(u["Unit.StartLimitIntervalSec"], []string{"0"}), "StartLimitIntervalSec: it gives up")
	stops, err := time.ParseDuration(u.service("TimeoutStopSec") + "s")
	bad.unless(err == nil && stops > p.Stops, "TimeoutStopSec %q is not above the %s that stopping takes", u.service("TimeoutStopSec"), p.Stops)
}

// ReadSettings returns the variables of an EnvironmentFile, those that are commented out included.
func ReadSettings(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	settings := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		name, value, assigns := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "#"), "=")
		if assigns && strings.HasPrefix(name, envPrefix) {
			settings[name] = value
		}
	}
	return settings, nil
}

// CheckSettings complains of settings that there are not.
func CheckSettings(settings map[string]string, p Program) []string {
	var bad complaints
	for name := range settings {
		p.checkVariable(name, &bad)
	}
	return bad
}
