package config

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/version"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "r.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func hostname(t *testing.T) string {
	t.Helper()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// changed is the default Config with one change.
func changed(t *testing.T, change func(*Config)) Config {
	t.Helper()
	c := Default(hostname(t))
	if change != nil {
		change(&c)
	}
	return c
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		env  []string
		file string
		want func(*Config)
	}{
		{name: "nothing"},
		{name: "one dash", args: []string{"-tcp-address=:1"}, want: func(c *Config) { c.TCPAddress = ":1" }},
		{name: "two dashes", args: []string{"--tcp-address", ":1"}, want: func(c *Config) { c.TCPAddress = ":1" }},
		{name: "environment", env: []string{"RAFTLOOKUPD_RAFT_TIMEOUT=1s"}, want: func(c *Config) { c.RaftTimeout = time.Second }},
		{name: "file", file: `raft_timeout = "1s"`, want: func(c *Config) { c.RaftTimeout = time.Second }},
		{name: "environment over file", env: []string{"RAFTLOOKUPD_DATA_PATH=e"}, file: `data_path = "f"`,
			want: func(c *Config) { c.DataPath = "e" }},
		{name: "flag over both", args: []string{"-data-path=l"}, env: []string{"RAFTLOOKUPD_DATA_PATH=e"}, file: `data_path = "f"`,
			want: func(c *Config) { c.DataPath = "l" }},
		{name: "a flag that says the default", args: []string{"-register-window=256"}, file: `register_window = 0`},
		{name: "the last flag wins", args: []string{"-data-path=a", "-data-path=b"}, want: func(c *Config) { c.DataPath = "b" }},
		{name: "empty environment is unset", env: []string{"RAFTLOOKUPD_DATA_PATH=", "RAFTLOOKUPD_JOIN="}},
		{name: "other environment", env: []string{"RAFTLOOKUPDX=1", "LOOKUPCTL_ADDR=x", "PATH", "=C:=x"}},
		{name: "the name is given", args: []string{"-name=" + hostname(t)}, want: func(c *Config) { c.NameGiven = true }},
		{name: "the name is given in the file", file: `name = "r1"`, want: func(c *Config) { c.Name, c.NameGiven = "r1", true }},
		{name: "an empty name in the file is not given", file: `name = ""`},
		{name: "advertise as broadcast", args: []string{"-broadcast-address=b"}, want: func(c *Config) {
			c.BroadcastAddress, c.ClusterAdvertiseAddress, c.GossipAdvertiseAddress = "b", "b", "b"
		}},
		{name: "own advertise", args: []string{"-broadcast-address=b", "-cluster-advertise-address=[::1]:0"}, want: func(c *Config) {
			c.BroadcastAddress, c.ClusterAdvertiseAddress, c.GossipAdvertiseAddress = "b", "[::1]:0", "b"
		}},
		{name: "words in any case", args: []string{"-log-level=WaRn", "-log-format=JSON"},
			want: func(c *Config) { c.LogLevel, c.LogFormat = "warn", "json" }},
		{name: "bootstrap alone", args: []string{"-bootstrap-expect=1", "-reader=false"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := c.env
			if c.file != "" {
				env = append(env, "RAFTLOOKUPD_CONFIG="+file(t, c.file))
			}
			got, err := Parse(c.args, env, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if want := changed(t, c.want); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestTheFlagNamesTheFile(t *testing.T) {
	wrong, right := file(t, `data_path = "wrong"`), file(t, `data_path = "right"`)
	got, err := Parse([]string{"-config", right}, []string{"RAFTLOOKUPD_CONFIG=" + wrong}, io.Discard)
	if err != nil || got.DataPath != "right" {
		t.Errorf("data path %q, error %v", got.DataPath, err)
	}
}

// TestNsqlookupdsOwn is what nsqio/nsq, apps/nsqlookupd and contrib/nsqlookupd.cfg.example allow.
func TestNsqlookupdsOwn(t *testing.T) {
	text := `
log_level = "WARN"
log_prefix = "[x] "
verbose = true
tcp_address = "127.0.0.1:5160"
http_address = "127.0.0.1:5161"
broadcast_address = ""
inactive_producer_timeout = 60000
tombstone_lifetime = "10s"
`
	want := changed(t, func(c *Config) {
		c.LogLevel, c.LogPrefix = "warn", "[x] "
		c.TCPAddress, c.HTTPAddress = "127.0.0.1:5160", "127.0.0.1:5161"
		c.InactiveProducerTimeout, c.TombstoneLifetime = time.Minute, 10*time.Second
	})
	args := []string{"-log-level=warn", "-log-prefix=[x] ", "-verbose", "-tcp-address=127.0.0.1:5160",
		"--http-address", "127.0.0.1:5161", "-inactive-producer-timeout=1m", "-tombstone-lifetime=10s"}
	for name, line := range map[string][]string{"file": {"-config=" + file(t, text)}, "flags": args} {
		got, err := Parse(line, nil, io.Discard)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		env  []string
		file string
		want []string // each starts or is part of its own line
	}{
		{name: "unknown flag", args: []string{"-nope"}, want: []string{"-nope"}},
		{name: "argument", args: []string{"-reader", "true"}, want: []string{`unexpected argument "true"`}},
		{name: "missing value", args: []string{"-tcp-address"}, want: []string{"-tcp-address"}},
		{name: "bad switch", args: []string{"-verbose=maybe"}, want: []string{"verbose"}},
		{name: "bad values", args: []string{"-raft-timeout=5", "-register-window=x"},
			want: []string{"-register-window: must be a whole number", "-raft-timeout: must be a duration"}},
		{name: "huge count", args: []string{"-register-window=99999999999"}, want: []string{"-register-window"}},
		{name: "environment", env: []string{"RAFTLOOKUPD_NOPE=1", "RAFTLOOKUPD_COMMIT_TIMEOUT=fast"},
			want: []string{"RAFTLOOKUPD_NOPE: no such", "RAFTLOOKUPD_COMMIT_TIMEOUT: must be"}},
		{name: "flag only", env: []string{"RAFTLOOKUPD_VERSION=1"}, want: []string{"RAFTLOOKUPD_VERSION: no such"}},
		{name: "unknown keys", file: "zeta = 1\nversion = true\nconfig = \"x\"\n\"log-level\" = \"info\"\n[sub]\nname = \"n\"",
			want: []string{"unknown key config", "unknown key log-level", "unknown key sub", "unknown key version", "unknown key zeta"}},
		{name: "file types", file: "tcp_address = 4160\ncommit_timeout = 0.5\nreader = 1\nregister_window = true\njoin = [1]",
			want: []string{"commit_timeout: must be a duration", "join: must be a list", "reader: must be true or false",
				"register_window: must be a whole number", "tcp_address: must be a string"}},
		{name: "file overflow", file: "raft_timeout = 9223372036854775807\nregister_window = 9223372036854775807",
			want: []string{"raft_timeout: is out of range", "register_window: is out of range"}},
		{name: "not TOML", file: "tcp_address", want: []string{"read config file"}},
		{name: "a wrong value below a right one", args: []string{"-log-prefix=x"}, file: "log_prefix = 5",
			want: []string{"log_prefix: must be a string"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := c.env
			if c.file != "" {
				env = append(env, "RAFTLOOKUPD_CONFIG="+file(t, c.file))
			}
			_, err := Parse(c.args, env, io.Discard)
			wantLines(t, err, c.want)
		})
	}
}

// wantLines checks that the error has these lines, in order, and no others.
func wantLines(t *testing.T, err error, want []string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", want)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%v", len(lines), len(want), err)
	}
	for i, line := range lines {
		if !strings.Contains(line, want[i]) {
			t.Errorf("line %q does not say %q", line, want[i])
		}
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	long := file(t, strings.Repeat("# long\n", maxFile/6))
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "none"): "no such file",
		long:                               "longer than",
		t.TempDir():                        "directory",
	} {
		_, err := Parse([]string{"-config=" + path}, nil, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v, want it to say %q", path, err, want)
		}
	}
}

func TestKubernetesServiceVariablesAreNotSettings(t *testing.T) {
	_, err := Parse(nil, []string{
		"RAFTLOOKUPD_SERVICE_HOST=10.0.0.1",
		"RAFTLOOKUPD_SERVICE_PORT=4160",
		"RAFTLOOKUPD_SERVICE_PORT_HTTP=4161",
		"RAFTLOOKUPD_PORT=tcp://10.0.0.1:4160",
		"RAFTLOOKUPD_PORT_4160_TCP=tcp://10.0.0.1:4160",
		"RAFTLOOKUPD_PORT_4160_TCP_PROTO=tcp",
		"RAFTLOOKUPD_HTTP_PORT_4161_TCP_ADDR=10.0.0.1",
	}, io.Discard)
	if err != nil {
		t.Error(err)
	}
	_, err = Parse(nil, []string{"RAFTLOOKUPD_HTTP_PORT=4161", "RAFTLOOKUPD_PORT_X=1"}, io.Discard)
	wantLines(t, err, []string{"RAFTLOOKUPD_HTTP_PORT", "RAFTLOOKUPD_PORT_X"})
}

func TestJoinTakesListsFromEverywhere(t *testing.T) {
	want := []string{"a", "b:1", "c"}
	for name, c := range map[string]struct {
		args, env []string
		file      string
	}{
		"repeated":    {args: []string{"-join=a", "-join=b:1", "--join", "c"}},
		"commas":      {args: []string{"-join", "a, b:1,,c"}},
		"environment": {env: []string{"RAFTLOOKUPD_JOIN=a,b:1,c"}},
		"file text":   {file: `join = "a,b:1,c"`},
		"file list":   {file: `join = ["a", "b:1", "c"]`},
		"flag wins":   {args: []string{"-join=a,b:1,c"}, env: []string{"RAFTLOOKUPD_JOIN=x"}, file: `join = ["y"]`},
	} {
		p := &parser{options: options(), config: Default("h"), given: map[string]bool{}}
		line, err := p.parseArgs(c.args, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if c.file != "" {
			p.applyFile(file(t, c.file))
		}
		p.apply(p.environment(c.env), option.env)
		p.apply(line, option.env)
		if !reflect.DeepEqual(p.config.Join, want) || len(p.problems) > 0 {
			t.Errorf("%s: join = %q, problems %v", name, p.config.Join, p.problems)
		}
	}
}

func TestBootstrapExpectDefaultsToNoneWithJoin(t *testing.T) {
	for _, c := range []struct {
		join  []string
		given bool
		set   int
		want  int
	}{{nil, false, 0, 1}, {[]string{"a"}, false, 0, 0}, {[]string{"a"}, true, 3, 3}, {nil, true, 0, 0}} {
		cfg := defaults("h")
		cfg.Join, cfg.BootstrapExpect = c.join, c.set
		cfg.complete(map[string]bool{"bootstrap-expect": c.given})
		if cfg.BootstrapExpect != c.want {
			t.Errorf("join %v, given %v: %d, want %d", c.join, c.given, cfg.BootstrapExpect, c.want)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, dash := range []string{"-h", "-help", "--help"} {
		var out bytes.Buffer
		// Help is shown whatever else is wrong.
		_, err := Parse([]string{"-register-window=x", dash}, []string{"RAFTLOOKUPD_NOPE=1"}, &out)
		if !errors.Is(err, flag.ErrHelp) {
			t.Fatalf("%s: error %v", dash, err)
		}
		for _, o := range options() {
			if !strings.Contains(out.String(), "\n  -"+o.name) || !strings.Contains(out.String(), o.usage) {
				t.Errorf("%s does not show -%s and its meaning", dash, o.name)
			}
		}
		for _, want := range []string{"Examples:", "RAFTLOOKUPD_", "(default 0.0.0.0:4160)", "(default 5m)", "(default " + hostnameDefault + ")"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s does not say %q", dash, want)
			}
		}
		if strings.Contains(out.String(), "(default )") {
			t.Errorf("%s shows an empty default", dash)
		}
	}
}

func TestVersion(t *testing.T) {
	var out bytes.Buffer
	_, err := Parse([]string{"-version", "-config=/does/not/exist"}, nil, &out)
	if !errors.Is(err, ErrVersion) || out.String() != version.String("raftlookupd")+"\n" {
		t.Errorf("printed %q, error %v", out.String(), err)
	}
	if _, err := Parse([]string{"-version=false"}, nil, io.Discard); err != nil {
		t.Errorf("-version=false: %v", err)
	}
}

// brokenWriter is a standard output that went away.
type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestPrintingFails(t *testing.T) {
	for _, arg := range []string{"-help", "-version"} {
		if _, err := Parse([]string{arg}, nil, brokenWriter{}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: error %v", arg, err)
		}
	}
}
