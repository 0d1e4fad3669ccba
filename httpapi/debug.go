package httpapi

import (
	"net/http"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// debugRow is one session that holds a registration. Fields are in the order of their names, in
// which nsqlookupd, that encodes a map, shows them (nsqio/nsq, nsqlookupd/http.go).
type debugRow struct {
	BroadcastAddress string `json:"broadcast_address"`
	Hostname         string `json:"hostname"`
	HTTPPort         int    `json:"http_port"`
	ID               string `json:"id"`
	LastUpdate       int64  `json:"last_update"`
	TCPPort          int    `json:"tcp_port"`
	Tombstoned       bool   `json:"tombstoned"`
	TombstonedAt     int64  `json:"tombstoned_at"`
	TopologyRegion   string `json:"topology_region,omitempty"`
	TopologyZone     string `json:"topology_zone,omitempty"`
	Version          string `json:"version"`
}

func (s *Server) debug(w http.ResponseWriter, r *http.Request) answer {
	state, err := s.cfg.Replica.Read(r.Context())
	if err != nil {
		return s.failure(r, err)
	}
	rows := make(map[string][]debugRow)
	state.Held(func(h fsm.Held) bool {
		key := h.Category + ":" + h.Topic + ":" + h.Channel
		rows[key] = append(rows[key], newDebugRow(h, s.cfg.Times))
		return r.Context().Err() == nil
	})
	return s.encode(w, rows)
}

func newDebugRow(h fsm.Held, times Times) debugRow {
	// Without a tombstone nsqlookupd shows the zero time's UnixNano, -6795364578871345152.
	var tombstonedAt time.Time
	if h.Tombstone != 0 {
		tombstonedAt = times.TombstonedAt(h.Tombstone)
	}
	return debugRow{
		BroadcastAddress: h.Info.BroadcastAddress,
		Hostname:         h.Info.Hostname,
		HTTPPort:         h.Info.HTTPPort,
		ID:               h.Info.RemoteAddress,
		LastUpdate:       times.LastUpdate(h.Session),
		TCPPort:          h.Info.TCPPort,
		Tombstoned:       h.Tombstone != 0,
		TombstonedAt:     tombstonedAt.UnixNano(),
		TopologyRegion:   h.Info.TopologyRegion,
		TopologyZone:     h.Info.TopologyZone,
		Version:          h.Info.Version,
	}
}
