package cluster

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// maxHello bounds each message of the greeting that is not a text.
const maxHello = 4096

// hello is what a replica says of itself in a greeting of version 2. Fields that are not known are
// ignored, so that later versions may add some.
type hello struct {
	Name        string `json:"name"`
	Version     string `json:"version"`
	Level       uint64 `json:"level"` // of log kinds that it knows
	Incarnation uint64 `json:"incarnation"`
	lineage
	Last    uint64 `json:"last"` // of its log or newest snapshot, on disk
	Address string `json:"address"`
	Gossip  string `json:"gossip,omitempty"`
	TCP     string `json:"tcp,omitempty"`
	HTTP    string `json:"http,omitempty"`
}

// sound returns an error for a hello that no replica sends.
func (h hello) sound() error {
	if len(h.Nonces) > maxLives || uint64(len(h.Nonces)) > h.Start || h.Start > 0 && len(h.Nonces) == 0 {
		return fmt.Errorf("hello: %d nonces for start %d", len(h.Nonces), h.Start)
	}
	return nil
}

// answer is the second and the third message of a greeting of version 2: what each side makes of the
// other.
type answer struct {
	Reason string `json:"reason,omitempty"` // why not, "" to go on
	// History says that the reason is a verdict on the other side's data path, which ends it.
	History bool   `json:"history,omitempty"`
	Hello   *hello `json:"hello,omitempty"` // of the accepter
}

// errHistory is the verdict of another replica on this one's data path.
type errHistory struct{ reason string }

// Error returns the reason.
func (e *errHistory) Error() string { return e.reason }

// err returns what the answer says as an error.
func (a answer) err() error {
	switch {
	case a.Reason == "":
		return nil
	case a.History:
		return &errHistory{a.Reason}
	}
	return fmt.Errorf("%s%s", refusedBy, a.Reason)
}

// refusedBy begins the error of a greeting that the other side has refused.
const refusedBy = "refused: "

// appendMessage appends a message: its length in two bytes, and JSON.
func appendMessage(b []byte, m any) ([]byte, error) {
	raw, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode greeting: %w", err)
	}
	if len(raw) > maxHello {
		return nil, fmt.Errorf("encode greeting: %d bytes", len(raw))
	}
	return append(binary.BigEndian.AppendUint16(b, uint16(len(raw))), raw...), nil
}

// readMessage reads a message, and no further.
func readMessage(r io.Reader, m any) error {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint16(length[:])
	if n > maxHello {
		return fmt.Errorf("read greeting: %d bytes", n)
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(r, raw); err != nil {
		return err
	}
	if err := json.Unmarshal(raw, m); err != nil {
		return fmt.Errorf("read greeting: %w", err)
	}
	return nil
}

// cut shortens texts of another replica's that would not fit where they are kept.
func (h hello) cut() hello {
	for _, s := range []*string{&h.Name, &h.Version, &h.Address, &h.Gossip, &h.TCP, &h.HTTP} {
		*s = (*s)[:min(len(*s), 512)]
	}
	return h
}
