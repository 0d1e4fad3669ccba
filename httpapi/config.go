package httpapi

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/consistency"
)

// Replica is what the HTTP API needs from the replica that it belongs to. The methods may be
// called from many goroutines at once.
//
// An error with a method Message() string, found by errors.As, is answered 503 with that message.
// fsm.ErrChannelNotFound is answered 404, fsm.ErrIndexTooOld 410, and any other error 500.
type Replica interface {
	// Read waits, 250 ms at most, for the changes that this replica has said OK to, and returns
	// the newest state.
	Read(ctx context.Context) (*fsm.State, error)
	// Change proposes c and waits until it is committed and applied here, ctx ends, or the
	// replica gives up, which takes seconds at most. Then the change may still happen.
	Change(ctx context.Context, c fsm.Change) error
	// Ready says whether this replica should get requests, and if not, why. It does not block.
	Ready() (ok bool, reason string)
	// Status is encoded to JSON for /cluster/status. It does not block.
	Status() any
	// Fingerprint returns the registry's fingerprint at a recent applied index, or at the newest
	// one for 0. It waits briefly for an index that is not applied yet.
	Fingerprint(ctx context.Context, index uint64) (at uint64, fp fsm.Fingerprint, err error)
}

// Freshness is what reads need that say how fresh they are, or wait for a change. The methods may be
// called from many goroutines at once; errors are as Replica's.
type Freshness interface {
	// ReadFresh returns a state that misses nothing that the level does not let it miss; it may
	// wait, for seconds at most.
	ReadFresh(ctx context.Context, level consistency.Level) (*fsm.State, error)
	// FreshAsOf returns the time as of which what is read afterwards is fresh: everything that had been
	// committed by then is in it. The zero time when nothing is known. It does not block.
	FreshAsOf() time.Time
	// Position says up to where this replica has applied the log, of which cluster, who leads, and how
	// long ago it was last known to have applied what that one had committed: 0 on the leader, below 0
	// when never. It does not block.
	Position() (applied uint64, cluster, leader string, lastContact time.Duration)
	// Watch begins to wait for the next change of a thing. It does not block.
	Watch(thing fsm.Thing) *fsm.Waiter
}

// Times knows what /debug shows and the registry must not hold, for it has no clock. The methods
// do not block and may be called from many goroutines at once.
type Times interface {
	// LastUpdate is when the session was last heard from, in Unix nanoseconds, or 0 when the
	// session is another replica's.
	LastUpdate(fsm.SessionKey) int64
	// TombstonedAt is when this replica saw the tombstone with that id; zero when it did not.
	TombstonedAt(id uint64) time.Time
}

// Info is the answer to /info.
type Info struct {
	Version string `json:"version"` // semver; clients of nsqlookupd parse it
	Name    string `json:"name,omitempty"`
	ID      string `json:"id,omitempty"`
}

// Config says what a Server serves and what it grants its clients. A zero limit means the default
// of DefaultConfig.
//
// The limits bound the memory of one connection: 8 KiB of buffers, 8 KiB more while a body is read,
// a goroutine, and the request line and header. Those are at most MaxHeaderBytes and 4 KiB as they
// are sent; parsed, thousands of tiny header lines take 1 MiB (measured, with the default), an
// ordinary request 1 KiB. A body is never kept; an answer from the registry is shared, not copied.
type Config struct {
	Replica Replica      // required
	Times   Times        // required
	Admin   Admin        // required
	Fresh   Freshness    // required
	Backups Backups      // required
	Info    Info         //
	Logger  *slog.Logger // nil: no logging

	// Consistency is what reads are that do not say otherwise, but for /channels, which is
	// linearizable when that can be had in half a second.
	Consistency consistency.Level
	// Watch is about the streams of /watch.
	Watch WatchConfig

	// ReadHeaderTimeout is for the first request line and header to arrive, from the moment the
	// connection is accepted, and for each further one from its first bytes.
	ReadHeaderTimeout time.Duration
	// BodyTimeout is for a whole body to arrive.
	BodyTimeout time.Duration
	// WriteTimeout is for the client to take a whole answer. Profiles that run for a number of
	// seconds, changes, and what is rendered for the request have it from when they are done.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may rest between two requests.
	IdleTimeout time.Duration
	// StopTimeout is how long Close waits for handlers after it has cut their connections and
	// canceled their contexts.
	StopTimeout time.Duration
	// MaxHeaderBytes is the longest request line and header; net/http allows 4 KiB more.
	MaxHeaderBytes int
	// MaxBodyBytes is the longest body; no route needs one.
	MaxBodyBytes int64
	// MaxSnapshotBytes is the longest file that is restored, the one body that is used.
	MaxSnapshotBytes int64
}

// DefaultConfig has the limits that a zero in Config stands for.
func DefaultConfig() Config {
	return Config{
		ReadHeaderTimeout: 10 * time.Second,
		BodyTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       120 * time.Second,
		StopTimeout:       5 * time.Second,
		MaxHeaderBytes:    64 << 10,
		MaxBodyBytes:      1 << 20,
		MaxSnapshotBytes:  256 << 20,
	}
}

func (c Config) withDefaults() Config {
	d := DefaultConfig()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.ReadHeaderTimeout = cmp.Or(c.ReadHeaderTimeout, d.ReadHeaderTimeout)
	c.BodyTimeout = cmp.Or(c.BodyTimeout, d.BodyTimeout)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, d.WriteTimeout)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, d.IdleTimeout)
	c.StopTimeout = cmp.Or(c.StopTimeout, d.StopTimeout)
	c.MaxHeaderBytes = cmp.Or(c.MaxHeaderBytes, d.MaxHeaderBytes)
	c.MaxBodyBytes = cmp.Or(c.MaxBodyBytes, d.MaxBodyBytes)
	c.MaxSnapshotBytes = cmp.Or(c.MaxSnapshotBytes, d.MaxSnapshotBytes)
	c.Watch = c.Watch.withDefaults()
	return c
}
