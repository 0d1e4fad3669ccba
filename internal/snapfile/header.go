package snapfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	magic     = "raftlookupd-snapshot "
	format    = 1
	maxHeader = 16 << 10
	maxChunk  = 64 << 10
	maxFirst  = len(magic) + 10 // bytes of the first line
)

// Why a file is refused. Detail is wrapped around them.
var (
	// ErrDamaged means that the file is not what was written: altered, cut short or lengthened.
	ErrDamaged = errors.New("the file is damaged, use another copy")
	// ErrNotSnapshot means that the file is something else.
	ErrNotSnapshot = errors.New("the file is no snapshot of raftlookupd, use one that a replica gave")
	// ErrTooNew means that a newer version has another form of the file.
	ErrTooNew = errors.New("the file was written by a newer version of raftlookupd, upgrade this one")
)

// ErrHeader means that a Writer was given a header that no file can have.
var ErrHeader = errors.New("header of a snapshot")

// Header says what a file holds.
type Header struct {
	Format      int       `json:"format"` // the Writer fills it in
	ClusterID   string    `json:"cluster_id"`
	Index       uint64    `json:"index"`       // of the log entry that made the registry so
	Fingerprint string    `json:"fingerprint"` // the registry's, 32 hex digits
	TakenAt     time.Time `json:"taken_at"`    // to the second, UTC
	TakenBy     string    `json:"taken_by"`    // name of the replica
	Version     string    `json:"version"`     // of the program
	Topics      int       `json:"topics"`
	Channels    int       `json:"channels"`
	Producers   int       `json:"producers"`
	Sessions    int       `json:"sessions"` // without orphans
}

// encode returns the first two lines of the file.
func (h Header) encode() ([]byte, error) {
	h.Format = format
	h.TakenAt = h.TakenAt.UTC().Truncate(time.Second)
	line, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHeader, err)
	}
	if len(line) > maxHeader {
		return nil, fmt.Errorf("%w: %d bytes, may have %d", ErrHeader, len(line), maxHeader)
	}
	return append(append(fmt.Appendf(nil, "%s%d\n", magic, format), line...), '\n'), nil
}

func decodeHeader(line []byte) (h Header, err error) {
	if err := json.Unmarshal(line, &h); err != nil {
		return h, fmt.Errorf("%w: its header is no JSON: %w", ErrDamaged, err)
	}
	if h.Format != format {
		return h, fmt.Errorf("%w: its header is of format %d, its first line of %d", ErrDamaged, h.Format, format)
	}
	return h, nil
}
