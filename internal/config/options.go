package config

import "strings"

// option is one row of the table: everything that flag, environment, file and help know about it.
type option struct {
	name  string // of the flag
	group string // heading in the help
	arg   string // what stands for the value in the help, "" for a switch
	usage string
	field field
	// computed describes a default that depends on the machine or on other values. In the file, an
	// empty string then means that default, as the commented line of nsqlookupd's example suggests.
	computed string
	flagOnly bool // acts on the command line alone
	notFile  bool
}

func (o option) key() string { return strings.ReplaceAll(o.name, "-", "_") }
func (o option) env() string { return envPrefix + strings.ToUpper(o.key()) }

func (o option) inFile() bool { return !o.flagOnly && !o.notFile }
func (o option) inEnv() bool  { return !o.flagOnly }

const (
	groupGeneral = "General"
	groupLookup  = "NSQ's side, as nsqlookupd"
	groupReplica = "This replica"
	groupCluster = "Cluster"
	groupTiming  = "Promises and timing"
)

// Option describes one setting, for its documentation.
type Option struct {
	Name  string // of the flag, without its dash
	Group string
	Arg   string // stands for the value; "" for a switch
	Usage string
	// Default is the value, or words for one that depends on the machine or on other values; "" for
	// none, and for a switch that is off.
	Default string
	Env     string // "" when it cannot be set there
	Key     string // in the file; "" likewise
}

// Options lists every setting, in the order of the help.
func Options() []Option {
	preset := Default("")
	var all []Option
	for _, o := range options() {
		d := Option{Name: o.name, Group: o.group, Arg: o.arg, Usage: o.usage, Default: shownDefault(o, &preset)}
		if o.inEnv() {
			d.Env = o.env()
		}
		if o.inFile() {
			d.Key = o.key()
		}
		all = append(all, d)
	}
	return all
}

const hostnameDefault = "this machine's hostname"

// options is the table. Its order is the order of the help.
func options() []option {
	var all []option
	for _, rows := range [][]option{general(), lookup(), replica(), clustering(), timing()} {
		all = append(all, rows...)
	}
	return all
}

func general() []option {
	return []option{
		{name: "config", group: groupGeneral, arg: "FILE", usage: "TOML file; its keys are these names with underscores",
			field: ignored{}, notFile: true},
		{name: "version", group: groupGeneral, usage: "print the version and exit",
			field: ignored{boolean: true}, flagOnly: true},
		{name: "log-level", group: groupGeneral, arg: "LEVEL", usage: "debug, info, warn, error or fatal",
			field: wordField(func(c *Config) *string { return &c.LogLevel })},
		{name: "log-format", group: groupGeneral, arg: "FORMAT", usage: "text (nsqlookupd's form) or json",
			field: wordField(func(c *Config) *string { return &c.LogFormat })},
		{name: "log-prefix", group: groupGeneral, arg: "TEXT", usage: "starts each line of the text form",
			field: textField(func(c *Config) *string { return &c.LogPrefix })},
		{name: "verbose", group: groupGeneral, usage: "no effect; accepted because nsqlookupd does",
			field: ignored{boolean: true}},
	}
}

func lookup() []option {
	return []option{
		{name: "tcp-address", group: groupLookup, arg: "HOST:PORT", usage: "listen here for nsqds; port 0 picks one",
			field: textField(func(c *Config) *string { return &c.TCPAddress })},
		{name: "http-address", group: groupLookup, arg: "HOST:PORT", usage: "listen here for HTTP; port 0 picks one",
			field: textField(func(c *Config) *string { return &c.HTTPAddress })},
		{name: "broadcast-address", group: groupLookup, arg: "HOST", usage: "the address that others reach this replica at",
			field: textField(func(c *Config) *string { return &c.BroadcastAddress }), computed: hostnameDefault},
		{name: "inactive-producer-timeout", group: groupLookup, arg: "DURATION",
			usage: "an nsqd that has not pinged for so long is not listed",
			field: durationField(func(c *Config) *duration { return &c.InactiveProducerTimeout })},
		{name: "tombstone-lifetime", group: groupLookup, arg: "DURATION",
			usage: "how long a tombstoned producer stays hidden if its registration remains",
			field: durationField(func(c *Config) *duration { return &c.TombstoneLifetime })},
	}
}

func replica() []option {
	return []option{
		{name: "name", group: groupReplica, arg: "NAME",
			usage: "unique among the living; remembered in the data path",
			field: textField(func(c *Config) *string { return &c.Name }), computed: hostnameDefault},
		{name: "data-path", group: groupReplica, arg: "DIR", usage: "where the log and the snapshots live",
			field: textField(func(c *Config) *string { return &c.DataPath })},
	}
}

func clustering() []option {
	const asBroadcast = "the broadcast address"
	return []option{
		{name: "cluster-address", group: groupCluster, arg: "HOST:PORT", usage: "listen here for other replicas; port 0 picks one",
			field: textField(func(c *Config) *string { return &c.ClusterAddress })},
		{name: "cluster-advertise-address", group: groupCluster, arg: "HOST[:PORT]", usage: "where other replicas reach that",
			field: textField(func(c *Config) *string { return &c.ClusterAdvertiseAddress }), computed: asBroadcast},
		{name: "gossip-address", group: groupCluster, arg: "HOST:PORT", usage: "listen here for membership, TCP and UDP; port 0 picks one",
			field: textField(func(c *Config) *string { return &c.GossipAddress })},
		{name: "gossip-advertise-address", group: groupCluster, arg: "HOST[:PORT]", usage: "where other replicas reach that",
			field: textField(func(c *Config) *string { return &c.GossipAdvertiseAddress }), computed: asBroadcast},
		{name: "join", group: groupCluster, arg: "HOST[:PORT],…", usage: "gossip addresses of other replicas; repeatable",
			field: listField(func(c *Config) *[]string { return &c.Join })},
		{name: "bootstrap-expect", group: groupCluster, arg: "N", usage: "how many replicas form a new cluster together",
			field: countField(func(c *Config) *int { return &c.BootstrapExpect }), computed: "1 without -join, else 0"},
		{name: "reader", group: groupCluster, usage: "hold the registry and serve it, but do not vote",
			field: boolField(func(c *Config) *bool { return &c.Reader })},
	}
}

func timing() []option {
	return []option{
		{name: "register-window", group: groupTiming, arg: "N",
			usage: "changes of a session that may be answered OK before they are applied, 1,024 of all sessions; 0: none",
			field: countField(func(c *Config) *int { return &c.RegisterWindow })},
		{name: "read-consistency", group: groupTiming, arg: "LEVEL",
			usage: "what lookups are that do not say: local, leader or linearizable",
			field: wordField(func(c *Config) *string { return &c.ReadConsistency })},
		{name: "commit-timeout", group: groupTiming, arg: "DURATION",
			usage: "how long an answer may wait for its change; nsqd hangs up after one second",
			field: durationField(func(c *Config) *duration { return &c.CommitTimeout })},
		{name: "replica-grace", group: groupTiming, arg: "DURATION", usage: "how long a lost replica's sessions stay",
			field: durationField(func(c *Config) *duration { return &c.ReplicaGrace })},
		{name: "dead-after", group: groupTiming, arg: "DURATION",
			usage: "how long a voter has to be dead before a newcomer replaces it",
			field: durationField(func(c *Config) *duration { return &c.DeadAfter })},
		{name: "isolation-timeout", group: groupTiming, arg: "DURATION",
			usage: "after how long without a leader nsqds are sent elsewhere; below -replica-grace",
			field: durationField(func(c *Config) *duration { return &c.IsolationTimeout })},
		{name: "raft-timeout", group: groupTiming, arg: "DURATION", usage: "heartbeat, election and lease time, 50ms to 10s",
			field: durationField(func(c *Config) *duration { return &c.RaftTimeout })},
	}
}
