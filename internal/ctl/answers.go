package ctl

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// This file has what replicas answer, as far as it is not printed as it comes.

func (s *Status) tidy() string {
	if s.ID == "" {
		return "id"
	}
	if s.Members == nil {
		s.Members = []Member{}
	}
	slices.SortFunc(s.Members, func(a, b Member) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return ""
}

// quorum counts the voters, those of them that are alive, and how many must be.
func (s *Status) quorum() (voters, alive, needed int) {
	for _, m := range s.Members {
		if m.votes() {
			voters++
			if m.Alive {
				alive++
			}
		}
	}
	return voters, alive, voters/2 + 1
}

// in reports whether a replica of that id is part of the cluster.
func (s *Status) in(id string) bool {
	return slices.ContainsFunc(s.Members, func(m Member) bool { return m.ID == id && m.Role != roleNone })
}

// newest is the newest log entry that the replica that was asked knows of.
func (s *Status) newest() uint64 {
	newest := s.CommitIndex
	for _, m := range s.Members {
		newest = max(newest, m.AppliedIndex)
	}
	return newest
}

// The roles of a replica.
const (
	roleLeader = "leader"
	roleVoter  = "voter"
	roleReader = "reader"
	roleNone   = "none"
)

func (m *Member) votes() bool { return m.Role == roleLeader || m.Role == roleVoter }

// told is the answer of the routes that administer.
type told struct {
	Message string `json:"message"`
	ID      string `json:"id"`
	Leader  string `json:"leader"`
}

func (t *told) tidy() string {
	if t.Message == "" {
		return "message"
	}
	return ""
}

// fingerprint is the answer of /cluster/fingerprint.
type fingerprint struct {
	Index       uint64 `json:"index"`
	Fingerprint string `json:"fingerprint"`
}

func (f *fingerprint) tidy() string {
	if f.Fingerprint == "" {
		return "fingerprint"
	}
	return ""
}

// restored is the answer of /cluster/restore.
type restored struct {
	told
	Restored
}

func (r *restored) tidy() string { return r.told.tidy() }

// The lists of nsqlookupd's API are sorted when they are read, also those of nsqlookupd itself.

type topicList struct {
	Topics []string `json:"topics"`
}

func (l *topicList) tidy() string {
	slices.Sort(l.Topics)
	return absent("topics", l.Topics)
}

type channelList struct {
	Channels []string `json:"channels"`
}

func (l *channelList) tidy() string {
	slices.Sort(l.Channels)
	return absent("channels", l.Channels)
}

func (l *Lookup) tidy() string {
	slices.Sort(l.Channels)
	for i := range l.Producers {
		l.Producers[i].Node = l.Producers[i].node()
	}
	slices.SortStableFunc(l.Producers, func(a, b Producer) int { return a.compare(b) })
	return cmp.Or(absent("channels", l.Channels), absent("producers", l.Producers))
}

func absent[T any](field string, list []T) string {
	if list == nil {
		return field
	}
	return ""
}

// node is how a tombstone names a producer.
func (p Producer) node() string { return p.BroadcastAddress + ":" + strconv.Itoa(p.HTTPPort) }

func (p Producer) compare(q Producer) int {
	return cmp.Or(strings.Compare(p.Node, q.Node), cmp.Compare(p.TCPPort, q.TCPPort), strings.Compare(p.RemoteAddress, q.RemoteAddress))
}

// nodeList is the answer of /nodes: each producer has its topics, and beside them whether it is
// tombstoned there.
type nodeList struct{ nodes []Node }

func (l *nodeList) tidy() string { return absent("producers", l.nodes) }

// UnmarshalJSON implements json.Unmarshaler.
func (l *nodeList) UnmarshalJSON(b []byte) error {
	var all struct {
		Producers []struct {
			Producer
			Topics     []string `json:"topics"`
			Tombstones []bool   `json:"tombstones"`
		} `json:"producers"`
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("read nodes: %w", err)
	}
	if all.Producers == nil {
		return nil
	}
	l.nodes = make([]Node, 0, len(all.Producers))
	for _, p := range all.Producers {
		n := Node{Producer: p.Producer, Topics: make([]NodeTopic, 0, len(p.Topics))}
		n.Node = n.node()
		for i, name := range p.Topics {
			n.Topics = append(n.Topics, NodeTopic{name, i < len(p.Tombstones) && p.Tombstones[i]})
		}
		slices.SortFunc(n.Topics, func(a, b NodeTopic) int { return strings.Compare(a.Name, b.Name) })
		l.nodes = append(l.nodes, n)
	}
	slices.SortStableFunc(l.nodes, func(a, b Node) int { return a.compare(b.Producer) })
	return nil
}
