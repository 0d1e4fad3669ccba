package ctl

import (
	"time"

	"github.com/raftlookupd/raftlookupd/internal/snapfile"
)

// This file says what `-o json` prints. Fields are added, but neither renamed nor removed. Lists are
// sorted and never null. `status` prints the replica's answer to /cluster/status as it came, which
// Status describes.

// Status is a replica and its cluster as the replica sees them.
type Status struct {
	Name          string         `json:"name"`
	ID            string         `json:"id"`
	Version       string         `json:"version"`
	ClusterID     string         `json:"cluster_id"`
	Role          string         `json:"role"`   // leader, voter, reader or none
	Reader        bool           `json:"reader"` // it was started to read only, and will not vote
	Leader        string         `json:"leader"` // "" when none is known
	Term          uint64         `json:"term"`
	Ready         bool           `json:"ready"`
	Reason        string         `json:"reason"`      // why it is not ready
	WaitingFor    string         `json:"waiting_for"` // why it is not part of a cluster yet
	CommitIndex   uint64         `json:"commit_index"`
	AppliedIndex  uint64         `json:"applied_index"`
	LastContactMS int64          `json:"last_contact_ms"` // since it had last caught up with the leader; 0 on the leader, -1 when never
	Addresses     Addresses      `json:"addresses"`
	Registry      RegistryCounts `json:"registry"`
	Members       []Member       `json:"members"`
}

// Addresses are where a replica can be reached, each host:port, "" when it is not known.
type Addresses struct {
	TCP     string `json:"tcp"`
	HTTP    string `json:"http"`
	Cluster string `json:"cluster"`
	Gossip  string `json:"gossip"`
}

// RegistryCounts say what the registry of a replica holds.
type RegistryCounts struct {
	Index       uint64 `json:"index"`
	Fingerprint string `json:"fingerprint"`
	Topics      int    `json:"topics"`
	Channels    int    `json:"channels"`
	Producers   int    `json:"producers"`
	Sessions    int    `json:"sessions"`
	Orphans     int    `json:"orphans"`
	Tombstones  int    `json:"tombstones"`
	Pending     int    `json:"pending"`   // changes of this replica that are not applied yet
	LogLevel    uint64 `json:"log_level"` // the level of log kinds in force
}

// Member is a replica as the one that was asked sees it.
type Member struct {
	Name          string    `json:"name"`
	ID            string    `json:"id"`
	Role          string    `json:"role"` // leader, voter, reader or none
	Alive         bool      `json:"alive"`
	Health        string    `json:"health"` // healthy, or what is wrong
	Leaving       bool      `json:"leaving"`
	AppliedIndex  uint64    `json:"applied_index"`
	Lag           uint64    `json:"lag"`             // entries that it is behind
	LastContactMS int64     `json:"last_contact_ms"` // always 0; scripts may read it
	GoneMS        int64     `json:"gone_ms"`         // since it is called dead; 0 when it is alive
	Version       string    `json:"version"`
	LogLevel      uint64    `json:"log_level"` // of log kinds that it knows
	Addresses     Addresses `json:"addresses"`
}

// Members is what `members` prints.
type Members struct {
	Asked       string   `json:"asked"`  // name of the replica that answered
	Leader      string   `json:"leader"` // "" when none is known
	Term        uint64   `json:"term"`
	CommitIndex uint64   `json:"commit_index"`
	Voters      int      `json:"voters"`
	VotersAlive int      `json:"voters_alive"`
	Quorum      int      `json:"quorum"`  // voters that must be alive for changes
	Members     []Member `json:"members"` // by name and id
}

// Joined is what `join` prints.
type Joined struct {
	Name      string `json:"name"`
	ID        string `json:"id"`
	Role      string `json:"role"` // leader, voter or reader
	ClusterID string `json:"cluster_id"`
	Leader    string `json:"leader"`
	Already   bool   `json:"already"` // it was a member before
}

// Left is what `leave` prints.
type Left struct {
	Name    string   `json:"name"`
	ID      string   `json:"id"`       // the one that it had in the cluster
	Remain  []Member `json:"remain"`   // by name and id
	SeenOut bool     `json:"seen_out"` // one of them says that it is out
}

// Removed is what `remove` prints.
type Removed struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// Transferred is what `transfer` prints.
type Transferred struct {
	Leader string `json:"leader"`
}

// Verified is what `verify` prints.
type Verified struct {
	Index    uint64        `json:"index"` // at which all were compared
	Agree    bool          `json:"agree"` // all answered the same
	Replicas []Fingerprint `json:"replicas"`
}

// Fingerprint is one replica's registry at an index.
type Fingerprint struct {
	Name        string `json:"name"`
	ID          string `json:"id"`
	HTTP        string `json:"http"`
	Index       uint64 `json:"index"`       // 0 when it did not answer
	Fingerprint string `json:"fingerprint"` // "" when it did not answer
	Verdict     string `json:"verdict"`     // same, differs, gone, or why it did not answer
}

// Topics is what `topics` prints.
type Topics struct {
	Topics []string `json:"topics"`
}

// Channels is what `channels` prints.
type Channels struct {
	Topic    string   `json:"topic"`
	Channels []string `json:"channels"`
}

// Lookup is what `lookup` prints.
type Lookup struct {
	Topic     string     `json:"topic"`
	Channels  []string   `json:"channels"`
	Producers []Producer `json:"producers"` // by node
}

// Producer is an nsqd.
type Producer struct {
	Node             string `json:"node"` // broadcast_address:http_port, as `topic tombstone` takes it
	RemoteAddress    string `json:"remote_address"`
	Hostname         string `json:"hostname"`
	BroadcastAddress string `json:"broadcast_address"`
	TCPPort          int    `json:"tcp_port"`
	HTTPPort         int    `json:"http_port"`
	Version          string `json:"version"`
	TopologyZone     string `json:"topology_zone"`
	TopologyRegion   string `json:"topology_region"`
}

// Nodes is what `nodes` prints.
type Nodes struct {
	Producers []Node `json:"producers"` // by node
}

// Node is an nsqd with the topics that it has.
type Node struct {
	Producer
	Topics []NodeTopic `json:"topics"` // by name
}

// NodeTopic is a topic of an nsqd.
type NodeTopic struct {
	Name       string `json:"name"`
	Tombstoned bool   `json:"tombstoned"`
}

// Changed is what the commands below `topic` and `channel` print.
type Changed struct {
	Done    string `json:"done"` // created, deleted or tombstoned
	Topic   string `json:"topic"`
	Channel string `json:"channel"` // "" when it is about a topic
	Node    string `json:"node"`    // of a tombstone
}

// Event is a line of `watch`.
type Event struct {
	Time time.Time `json:"time"` // when it was noticed
	// Event is topic_created, topic_deleted, channel_created, channel_deleted, producer_added and
	// producer_removed (of a topic, or of all for topic ""), tombstoned or tombstone_cleared.
	Event    string `json:"event"`
	Topic    string `json:"topic"`
	Channel  string `json:"channel"`
	Producer string `json:"producer"` // its node
}

// Imported is what `import` prints.
type Imported struct {
	From       []string     `json:"from"`
	DryRun     bool         `json:"dry_run"`
	Topics     ImportCounts `json:"topics"`
	Channels   ImportCounts `json:"channels"`
	Tombstones ImportCounts `json:"tombstones"`
}

// ImportCounts say what has become of one kind of things.
type ImportCounts struct {
	Found   int `json:"found"`
	Created int `json:"created"` // or would be, in a dry run
	Already int `json:"already"` // there before
	// Skipped counts by why: ephemeral, not_registered (a tombstone of a producer that does not have
	// the topic here), or refused (no valid name).
	Skipped map[string]int `json:"skipped"`
}

// Saved is what `snapshot save` prints.
type Saved struct {
	File     string          `json:"file"`
	Bytes    int64           `json:"bytes"`
	Snapshot snapfile.Header `json:"snapshot"`
}

// Inspected is what `snapshot inspect` prints.
type Inspected Saved

// Restored is what `snapshot restore` prints.
type Restored struct {
	Index           uint64 `json:"index"` // of the registry with it
	TopicsCreated   int    `json:"topics_created"`
	TopicsRemoved   int    `json:"topics_removed"`
	TopicsKept      int    `json:"topics_kept"` // not in the file, but held by live nsqds
	ChannelsCreated int    `json:"channels_created"`
	ChannelsRemoved int    `json:"channels_removed"`
	ChannelsKept    int    `json:"channels_kept"`
}

// Version is what `version` prints.
type Version struct {
	Version string `json:"version"`
}
