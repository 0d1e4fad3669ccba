package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/consistency"
)

// nsqdDeadline is how long an nsqd waits for an answer before it drops the connection
// (nsqio/nsq, nsqd/lookup_peer.go).
const nsqdDeadline = time.Second

// Validate reports everything that is wrong with single values and between them, one line each, and
// nil when nothing is.
func (c *Config) Validate() error {
	var v violations
	c.validateWords(&v)
	c.validateAddresses(&v)
	c.validateTiming(&v)
	return errors.Join(v...)
}

type violations []error

func (v *violations) add(format string, args ...any) {
	*v = append(*v, fmt.Errorf(format, args...))
}

func (c *Config) validateWords(v *violations) {
	v.oneOf("log-level", c.LogLevel, "debug", "info", "warn", "error", "fatal")
	v.oneOf("log-format", c.LogFormat, "text", "json")
	if !validName(c.Name) {
		v.add("-name: must be 1 to 64 characters of A-Z a-z 0-9 . _ -, not %q", c.Name)
	}
	if c.DataPath == "" {
		v.add("-data-path: must not be empty")
	}
}

func (v *violations) oneOf(name, value string, allowed ...string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	v.add("-%s: must be one of %s, not %q", name, strings.Join(allowed, ", "), value)
}

func validName(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for _, b := range []byte(s) {
		letter := 'a' <= b|0x20 && b|0x20 <= 'z'
		if !letter && (b < '0' || b > '9') && b != '.' && b != '_' && b != '-' {
			return false
		}
	}
	return true
}

func (c *Config) validateAddresses(v *violations) {
	v.listen("tcp-address", c.TCPAddress)
	v.listen("http-address", c.HTTPAddress)
	v.listen("cluster-address", c.ClusterAddress)
	v.listen("gossip-address", c.GossipAddress)
	v.clash("tcp-address", c.TCPAddress, "http-address", c.HTTPAddress)
	v.clash("cluster-address", c.ClusterAddress, "gossip-address", c.GossipAddress)
	if c.BroadcastAddress == "" {
		v.add("-broadcast-address: must not be empty")
	}
	if c.ClusterAdvertiseAddress != c.BroadcastAddress {
		v.reach("cluster-advertise-address", c.ClusterAdvertiseAddress)
	}
	if c.GossipAdvertiseAddress != c.BroadcastAddress {
		v.reach("gossip-advertise-address", c.GossipAdvertiseAddress)
	}
	for _, address := range c.Join {
		v.reach("join", address)
	}
}

// listen wants host:port; an empty host is every interface, port 0 a free one.
func (v *violations) listen(name, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !validPort(port) || strings.ContainsAny(host, " \t/") {
		v.add("-%s: must be host:port, not %q", name, address)
	}
}

// reach wants host or host:port.
func (v *violations) reach(name, address string) {
	if host, port, err := net.SplitHostPort(address); err == nil {
		if !validHost(host) || !validPort(port) {
			v.add("-%s: must be host or host:port, not %q", name, address)
		}
		return
	}
	if !validHost(strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")) {
		v.add("-%s: must be host or host:port, not %q", name, address)
	}
}

func validHost(host string) bool {
	if strings.Contains(host, ":") {
		_, err := netip.ParseAddr(host)
		return err == nil
	}
	return host != "" && !strings.ContainsAny(host, " \t/[]")
}

// validPort takes numbers, and the names that net.Listen takes too.
func validPort(port string) bool {
	if n, err := strconv.Atoi(port); err == nil {
		return n >= 0 && n <= 65535
	}
	if port == "" {
		return false
	}
	_, err := net.LookupPort("tcp", port)
	return err == nil
}

// clash finds two listeners on one port that cannot both be opened.
func (v *violations) clash(name, address, otherName, other string) {
	host, port, err := net.SplitHostPort(address)
	otherHost, otherPort, otherErr := net.SplitHostPort(other)
	if err != nil || otherErr != nil || port != otherPort || port == "0" {
		return
	}
	if host == otherHost || everyInterface(host) || everyInterface(otherHost) {
		v.add("-%s and -%s: both are %s", name, otherName, otherPort)
	}
}

func everyInterface(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

func (c *Config) validateTiming(v *violations) {
	if c.InactiveProducerTimeout <= 0 {
		v.add("-inactive-producer-timeout: must be above 0, not %v", c.InactiveProducerTimeout)
	}
	if c.TombstoneLifetime < 0 {
		v.add("-tombstone-lifetime: must not be negative, not %v", c.TombstoneLifetime)
	}
	if c.RegisterWindow < 0 {
		v.add("-register-window: must not be negative, not %d", c.RegisterWindow)
	}
	if _, err := consistency.Parse(c.ReadConsistency); err != nil {
		v.add("-read-consistency: %v", err)
	}
	if c.BootstrapExpect < 0 {
		v.add("-bootstrap-expect: must not be negative, not %d", c.BootstrapExpect)
	}
	if c.CommitTimeout <= 0 || c.CommitTimeout >= nsqdDeadline {
		v.add("-commit-timeout: must be above 0 and below the %v that nsqd waits, not %v", nsqdDeadline, c.CommitTimeout)
	}
	if c.RaftTimeout < 50*time.Millisecond || c.RaftTimeout > 10*time.Second {
		v.add("-raft-timeout: must be from 50ms to 10s, not %v", c.RaftTimeout)
	}
	if c.DeadAfter <= c.RaftTimeout {
		v.add("-dead-after: must be above -raft-timeout (%v), not %v", c.RaftTimeout, c.DeadAfter)
	}
	switch {
	case c.IsolationTimeout <= 0:
		v.add("-isolation-timeout: must be above 0, not %v", c.IsolationTimeout)
	case c.IsolationTimeout <= c.RaftTimeout:
		v.add("-isolation-timeout: must be above -raft-timeout (%v), not %v", c.RaftTimeout, c.IsolationTimeout)
	case c.IsolationTimeout >= c.ReplicaGrace:
		v.add("-isolation-timeout: must be below -replica-grace (%v), not %v", c.ReplicaGrace, c.IsolationTimeout)
	}
}
