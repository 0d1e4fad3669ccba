package cluster

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
)

// maxMeta is memberlist's limit (memberlist.MetaMaxSize); beyond it the library panics.
const maxMeta = 512

// meta is what gossip tells of a replica. Field names are short because there is little room.
type meta struct {
	ID          string `json:"i"`
	Incarnation uint64 `json:"b"` // of two nodes with one id the newer counts
	Name        string `json:"n"`
	Cluster     string `json:"c,omitempty"`
	Version     string `json:"v,omitempty"`
	Expect      int    `json:"e,omitempty"` // -bootstrap-expect
	Reader      bool   `json:"r,omitempty"`
	Apart       bool   `json:"a,omitempty"` // it is not to be taken in
	Host        string `json:"h"`           // of the client ports
	TCP         int    `json:"t"`
	HTTP        int    `json:"p"`
	ClusterHost string `json:"k"`
	ClusterPort int    `json:"l"`
	Level       uint64 `json:"w,omitempty"` // of log kinds that it knows; release 0.1.0 tells none
	Start       uint64 `json:"s,omitempty"` // its life, for others to greet it when they do not know that
	Nonce       uint32 `json:"o,omitempty"`
	InForce     uint64 `json:"f,omitempty"` // the level of log kinds in force
}

func (m meta) encode() ([]byte, error) {
	b, err := json.Marshal(m)
	if err == nil && len(b) > maxMeta { // what fitted into release 0.1.0's still has to: a greeting tells the rest
		m.Start, m.Nonce, m.InForce, m.Version = 0, 0, 0, ""
		b, err = json.Marshal(m)
	}
	if err != nil {
		return nil, fmt.Errorf("encode gossip: %w", err)
	}
	if len(b) > maxMeta {
		return nil, fmt.Errorf("name and addresses take %d bytes, gossip has room for %d: shorten them", len(b), maxMeta)
	}
	return b, nil
}

func decodeMeta(b []byte) (meta, error) {
	var m meta
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("decode gossip: %w", err)
	}
	if m.ID == "" || m.Name == "" {
		return m, fmt.Errorf("decode gossip: no id or no name")
	}
	return m, nil
}

// life returns the zero life when the member tells none.
func (m meta) life() life {
	if m.Start == 0 {
		return life{}
	}
	return life{m.Start, m.Nonce}
}

func (m meta) clusterAddress() string { return join(m.ClusterHost, m.ClusterPort) }

func (m meta) addresses(gossip string) Addresses {
	return Addresses{TCP: join(m.Host, m.TCP), HTTP: join(m.Host, m.HTTP),
		Cluster: m.clusterAddress(), Gossip: gossip}
}

// join is host:port, "" for no port.
func join(host string, port int) string {
	if port == 0 {
		return ""
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// meta returns what gossip tells of this replica.
func (r *Replica) meta() meta {
	m := r.fullMeta()
	if r.cfg.older != nil && r.cfg.older() {
		m.Level, m.Start, m.Nonce, m.InForce = 0, 0, 0, 0
	}
	return m
}

func (r *Replica) fullMeta() meta {
	host, port, err := splitPort(r.cfg.ClusterAdvertise)
	if err != nil {
		host, port = r.cfg.ClusterAdvertise, r.cfg.Listener.Addr().(*net.TCPAddr).Port
	}
	return meta{
		ID: r.data.ID, Incarnation: r.journal.begun(), Name: r.data.Name, Cluster: r.whoami().cluster,
		Version: r.cfg.Version, Expect: r.expects(), Reader: r.cfg.Reader, Apart: r.apart.Load(),
		Host: r.cfg.ClientHost, TCP: r.cfg.TCPPort, HTTP: r.cfg.HTTPPort,
		ClusterHost: host, ClusterPort: port, Level: knownLevel,
		Start: r.lineage.life().Start, Nonce: r.lineage.life().Nonce,
		InForce: r.registry.State().Level(),
	}
}
