package tcpproto

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// Greeting is what IDENTIFY answers, as a JSON object. The fields stand in the order of their
// keys, because nsqlookupd marshals a map (nsqio/nsq, nsqlookupd/lookup_protocol_v1.go).
type Greeting struct {
	BroadcastAddress string `json:"broadcast_address"`
	Hostname         string `json:"hostname"`
	HTTPPort         int    `json:"http_port"`
	TCPPort          int    `json:"tcp_port"`
	Version          string `json:"version"`
}

func (g Greeting) frame() []byte {
	b, err := json.Marshal(g)
	if err != nil { // strings and ints always marshal
		b = []byte("OK")
	}
	return frame(string(b))
}

// identity is the body of IDENTIFY. A field that nsqlookupd v1.3.0 knows must have the right
// type, remote_address too, although its value is not used (nsqlookupd/registration_db.go).
type identity struct {
	RemoteAddress    string        `json:"remote_address"`
	Hostname         string        `json:"hostname"`
	BroadcastAddress string        `json:"broadcast_address"`
	TCPPort          int           `json:"tcp_port"`
	HTTPPort         int           `json:"http_port"`
	Version          string        `json:"version"`
	TopologyZone     lenientString `json:"topology_zone"`
	TopologyRegion   lenientString `json:"topology_region"`
}

// lenientString ignores JSON that is no string: v1.3.0 does not know the topology fields, so no
// value of theirs may refuse an nsqd that v1.3.0 accepts.
type lenientString string

func (s *lenientString) UnmarshalJSON(b []byte) error {
	_ = json.Unmarshal(b, (*string)(s))
	return nil
}

func (c *conn) identify() ([]byte, *protocolError) {
	if c.session != nil {
		return nil, fatal(codeInvalid, "cannot IDENTIFY again", nil)
	}
	body, perr := c.readBody()
	if perr != nil {
		return nil, perr
	}
	info, perr := decodeIdentity(body)
	if perr != nil {
		return nil, perr
	}
	info.RemoteAddress = c.remote
	c.srv.log.Info("IDENTIFY", "client", c.remote, "address", printable(info.BroadcastAddress),
		"tcp", info.TCPPort, "http", info.HTTPPort, "version", printable(info.Version))
	session, err := c.srv.cfg.Open(info, c.evict)
	if err != nil {
		return nil, fatal(codeUnavailable, "IDENTIFY no nsqd is taken now", err)
	}
	c.session = session
	// An identified nsqd may be silent for as long as it likes, as with nsqlookupd.
	_ = c.nc.SetReadDeadline(time.Time{})
	return c.srv.greeting, nil
}

func (c *conn) readBody() ([]byte, *protocolError) {
	var head [4]byte
	if _, err := io.ReadFull(&c.in, head[:]); err != nil {
		return nil, fatal(codeBadBody, "IDENTIFY failed to read body size", err)
	}
	size := int32(binary.BigEndian.Uint32(head[:]))
	if size < 0 || size > MaxBody {
		text := fmt.Sprintf("IDENTIFY body size %d is not between 0 and %d", size, MaxBody)
		return nil, fatal(codeBadBody, text, nil)
	}
	body, err := c.in.body(int(size))
	if err != nil {
		return nil, fatal(codeBadBody, "IDENTIFY failed to read body", err)
	}
	return body, nil
}

func decodeIdentity(body []byte) (fsm.ProducerInfo, *protocolError) {
	var id identity
	if err := json.Unmarshal(body, &id); err != nil {
		return fsm.ProducerInfo{}, fatal(codeBadBody, "IDENTIFY failed to decode JSON body", err)
	}
	if id.BroadcastAddress == "" || id.TCPPort == 0 || id.HTTPPort == 0 || id.Version == "" {
		return fsm.ProducerInfo{}, fatal(codeBadBody, "IDENTIFY missing fields", nil)
	}
	return fsm.ProducerInfo{
		Hostname:         id.Hostname,
		BroadcastAddress: id.BroadcastAddress,
		TCPPort:          id.TCPPort,
		HTTPPort:         id.HTTPPort,
		Version:          id.Version,
		TopologyZone:     string(id.TopologyZone),
		TopologyRegion:   string(id.TopologyRegion),
	}, nil
}
