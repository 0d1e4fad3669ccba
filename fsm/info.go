package fsm

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
)

// ProducerInfo is what an nsqd says of itself in IDENTIFY, and what listings show of it: the
// field names and their order are nsqlookupd's (nsqio/nsq, nsqlookupd/registration_db.go); the
// topology fields are those of nsqlookupd's master branch and absent when the nsqd sent none.
type ProducerInfo struct {
	RemoteAddress    string `json:"remote_address"` // host:port of the nsqd's end of its connection
	Hostname         string `json:"hostname"`
	BroadcastAddress string `json:"broadcast_address"`
	TCPPort          int    `json:"tcp_port"`
	HTTPPort         int    `json:"http_port"`
	Version          string `json:"version"`
	TopologyZone     string `json:"topology_zone,omitempty"`
	TopologyRegion   string `json:"topology_region,omitempty"`
}

// Producer is the producer that the info is about.
func (i ProducerInfo) Producer() ProducerKey {
	return ProducerKey{Address: i.BroadcastAddress, Port: i.TCPPort}
}

// node is how /topic/tombstone names a producer: its broadcast address and HTTP port.
func (i ProducerInfo) node() string {
	return i.BroadcastAddress + ":" + strconv.Itoa(i.HTTPPort)
}

// render returns the info as nsqlookupd shows it.
func (i ProducerInfo) render() []byte {
	b, err := json.Marshal(i)
	if err != nil { // strings and ints always marshal
		return []byte("{}")
	}
	return b
}

func (i ProducerInfo) clone() ProducerInfo {
	i.RemoteAddress = strings.Clone(i.RemoteAddress)
	i.Hostname = strings.Clone(i.Hostname)
	i.BroadcastAddress = strings.Clone(i.BroadcastAddress)
	i.Version = strings.Clone(i.Version)
	i.TopologyZone = strings.Clone(i.TopologyZone)
	i.TopologyRegion = strings.Clone(i.TopologyRegion)
	return i
}

// ProducerKey names a producer: an nsqd, by its broadcast address and TCP port.
type ProducerKey struct {
	Address string
	Port    int
}

// String returns address:port.
func (k ProducerKey) String() string { return k.Address + ":" + strconv.Itoa(k.Port) }

func (k ProducerKey) compare(o ProducerKey) int {
	if c := strings.Compare(k.Address, o.Address); c != 0 {
		return c
	}
	return cmp.Compare(k.Port, o.Port)
}

// SessionKey names a session: the replica that it came in on, that replica's incarnation, and
// the number of the change that opened it.
type SessionKey struct {
	Replica     string
	Incarnation uint64
	Number      uint64
}
