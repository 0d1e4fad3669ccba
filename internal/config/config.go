package config

import (
	"errors"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/consistency"
)

// ErrVersion is what Parse returns after it printed the version.
var ErrVersion = errors.New("version shown")

// Config is everything that can be set. Get one from Parse or Default.
type Config struct {
	Lookup
	Log
	Replica
	Membership
	Timing
}

// Lookup is what a replica offers to NSQ's programs.
type Lookup struct {
	TCPAddress              string // host:port
	HTTPAddress             string // host:port
	BroadcastAddress        string // host
	InactiveProducerTimeout time.Duration
	TombstoneLifetime       time.Duration
}

// Log says what is logged, and how. Level and format are in lower case.
type Log struct {
	LogLevel  string // debug, info, warn, error, fatal
	LogFormat string // text, json
	LogPrefix string
}

// Replica is what makes this replica itself.
type Replica struct {
	Name string
	// NameGiven: the operator chose the name. Otherwise the one remembered in the data path wins.
	NameGiven bool
	DataPath  string
	Reader    bool
}

// Membership is how replicas find and reach each other.
type Membership struct {
	ClusterAddress          string // host:port
	ClusterAdvertiseAddress string // host[:port]; without a port: the one listened on
	GossipAddress           string // host:port
	GossipAdvertiseAddress  string // host[:port]; without a port: the one listened on
	Join                    []string
	BootstrapExpect         int
}

// Timing holds the bounds that DESIGN.md, "What OK means" and "Lost and restarted replicas", explains.
type Timing struct {
	RegisterWindow   int    // changes; 0: OK only when committed and applied
	ReadConsistency  string // a level of package consistency
	CommitTimeout    time.Duration
	ReplicaGrace     time.Duration
	DeadAfter        time.Duration
	IsolationTimeout time.Duration
	RaftTimeout      time.Duration
}

// Default is the Config of a command line without flags on a machine of that name.
func Default(hostname string) Config {
	c := defaults(hostname)
	c.complete(nil)
	return c
}

// defaults leaves out what follows from other values; complete adds it.
func defaults(hostname string) Config {
	return Config{
		Lookup: Lookup{
			TCPAddress:              "0.0.0.0:4160",
			HTTPAddress:             "0.0.0.0:4161",
			BroadcastAddress:        hostname,
			InactiveProducerTimeout: 5 * time.Minute,
			TombstoneLifetime:       45 * time.Second,
		},
		Log: Log{LogLevel: "info", LogFormat: "text", LogPrefix: "[nsqlookupd] "},
		Replica: Replica{
			Name:     hostname,
			DataPath: "raftlookupd.data",
		},
		Membership: Membership{
			ClusterAddress: "0.0.0.0:4162",
			GossipAddress:  "0.0.0.0:4163",
		},
		Timing: Timing{
			RegisterWindow:   256,
			ReadConsistency:  consistency.Local.String(),
			CommitTimeout:    700 * time.Millisecond,
			ReplicaGrace:     60 * time.Second,
			DeadAfter:        10 * time.Minute,
			IsolationTimeout: 30 * time.Second,
			RaftTimeout:      300 * time.Millisecond,
		},
	}
}

// complete fills in the defaults that depend on what was given.
func (c *Config) complete(given map[string]bool) {
	c.NameGiven = given["name"]
	if c.ClusterAdvertiseAddress == "" {
		c.ClusterAdvertiseAddress = c.BroadcastAddress
	}
	if c.GossipAdvertiseAddress == "" {
		c.GossipAdvertiseAddress = c.BroadcastAddress
	}
	if !given["bootstrap-expect"] && len(c.Join) == 0 {
		c.BootstrapExpect = 1
	}
}
