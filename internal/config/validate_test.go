package config

import (
	"strings"
	"testing"
	"time"
)

func TestDefaultIsValid(t *testing.T) {
	c := Default("r1.example.com")
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateAccepts(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"port 0 everywhere": func(c *Config) {
			c.TCPAddress, c.HTTPAddress = "127.0.0.1:0", "127.0.0.1:0"
			c.ClusterAddress, c.GossipAddress = "[::1]:0", ":0"
		},
		"one port, two interfaces": func(c *Config) { c.TCPAddress, c.HTTPAddress = "127.0.0.1:1", "127.0.0.2:1" },
		"named port":               func(c *Config) { c.HTTPAddress = "localhost:http" },
		"highest port":             func(c *Config) { c.HTTPAddress = "localhost:65535" },
		"advertised host":          func(c *Config) { c.ClusterAdvertiseAddress = "r1.example.com" },
		"advertised IPv6":          func(c *Config) { c.GossipAdvertiseAddress = "fe80::1" },
		"advertised [IPv6]":        func(c *Config) { c.GossipAdvertiseAddress = "[fe80::1]" },
		"shortest name":            func(c *Config) { c.Name = "-" },
		"longest name":             func(c *Config) { c.Name = strings.Repeat("aZ0._-xy", 8) },
		"zero where it means something": func(c *Config) {
			c.TombstoneLifetime, c.RegisterWindow = 0, 0
		},
		"shortest times": func(c *Config) {
			c.CommitTimeout, c.RaftTimeout = 1, 50*time.Millisecond
			c.IsolationTimeout, c.ReplicaGrace = 50*time.Millisecond+1, 50*time.Millisecond+2
		},
		"longest times": func(c *Config) { c.CommitTimeout, c.RaftTimeout = time.Second-1, 10*time.Second },
	} {
		c := Default("r1")
		change(&c)
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateRefuses(t *testing.T) {
	for want, changes := range map[string][]func(*Config){
		"-log-level: ":  {func(c *Config) { c.LogLevel = "warning" }},
		"-log-format: ": {func(c *Config) { c.LogFormat = "" }},
		"-name: ": {
			func(c *Config) { c.Name = "" }, func(c *Config) { c.Name = strings.Repeat("a", 65) },
			func(c *Config) { c.Name = "a b" }, func(c *Config) { c.Name = "é" }, func(c *Config) { c.Name = "a/b" },
			func(c *Config) { c.Name = "a@" }, func(c *Config) { c.Name = "a[" }, func(c *Config) { c.Name = "`{" },
		},
		"-data-path: ":         {func(c *Config) { c.DataPath = "" }},
		"-broadcast-address: ": {func(c *Config) { c.BroadcastAddress = "" }},
		"-tcp-address: ": {
			func(c *Config) { c.TCPAddress = "" }, func(c *Config) { c.TCPAddress = "localhost" },
			func(c *Config) { c.TCPAddress = "localhost:" }, func(c *Config) { c.TCPAddress = ":-1" },
			func(c *Config) { c.TCPAddress = ":65536" }, func(c *Config) { c.TCPAddress = "::1:4160" },
			func(c *Config) { c.TCPAddress = "http://h:1" }, func(c *Config) { c.TCPAddress = ":no-such-port" },
		},
		"-http-address: ":                   {func(c *Config) { c.HTTPAddress = "4161" }},
		"-cluster-address: ":                {func(c *Config) { c.ClusterAddress = "4162" }},
		"-gossip-address: ":                 {func(c *Config) { c.GossipAddress = "4163" }},
		"-tcp-address and -http-address: ":  {func(c *Config) { c.HTTPAddress = "127.0.0.1:4160" }},
		"-cluster-address and -gossip-addr": {func(c *Config) { c.GossipAddress = ":4162" }},
		"-cluster-advertise-address: ": {
			func(c *Config) { c.ClusterAdvertiseAddress = "" }, func(c *Config) { c.ClusterAdvertiseAddress = ":1" },
			func(c *Config) { c.ClusterAdvertiseAddress = "h:65536" }, func(c *Config) { c.ClusterAdvertiseAddress = "a:b:c" },
		},
		"-gossip-advertise-address: ":  {func(c *Config) { c.GossipAdvertiseAddress = "two words" }},
		"-inactive-producer-timeout: ": {func(c *Config) { c.InactiveProducerTimeout = 0 }},
		"-tombstone-lifetime: ":        {func(c *Config) { c.TombstoneLifetime = -1 }},
		"-register-window: ":           {func(c *Config) { c.RegisterWindow = -1 }},
		"-bootstrap-expect: must":      {func(c *Config) { c.BootstrapExpect = -1 }},
		"-commit-timeout: ": {
			func(c *Config) { c.CommitTimeout = 0 }, func(c *Config) { c.CommitTimeout = time.Second },
		},
		"-raft-timeout: ": {
			func(c *Config) { c.RaftTimeout = 50*time.Millisecond - 1 }, func(c *Config) { c.RaftTimeout = 10*time.Second + 1 },
		},
		"-read-consistency: must be": {
			func(c *Config) { c.ReadConsistency = "" }, func(c *Config) { c.ReadConsistency = "quorum" },
		},
		"-dead-after: ":                             {func(c *Config) { c.DeadAfter = c.RaftTimeout }},
		"-isolation-timeout: must be above 0":       {func(c *Config) { c.IsolationTimeout = 0 }},
		"-isolation-timeout: must be above -raft":   {func(c *Config) { c.IsolationTimeout = c.RaftTimeout }},
		"-isolation-timeout: must be below -replic": {func(c *Config) { c.IsolationTimeout = c.ReplicaGrace }},
	} {
		for i, change := range changes {
			c := Default("r1")
			change(&c)
			err := c.Validate()
			if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q, change %d: error %v", want, i, err)
			}
		}
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	c := Default("r1")
	c.Name, c.TCPAddress, c.CommitTimeout, c.Join = "", "x", 0, []string{"a b"}
	wantLines(t, c.Validate(), []string{"-name: ", "-tcp-address: ", "-join: must be", "-commit-timeout: "})
}
