package cluster

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/raft"
)

// Network says where a replica is.
type Network struct {
	Listener         net.Listener // the cluster port; the replica closes it
	ClusterAdvertise string       // host or host:port where other replicas reach it
	ClientHost       string       // where clients reach TCPPort and HTTPPort
	TCPPort          int
	HTTPPort         int
	Gossip           GossipConfig
}

// Config says how a replica behaves. Durations must be positive unless said otherwise.
type Config struct {
	Name      string // unique among living replicas
	NameGiven bool   // false: a name that the data path remembers is preferred to Name
	DataPath  string // where the log and snapshots live; made if missing
	Version   string // of this program, shown in the status

	Network
	// BootstrapExpect is how many replicas form a new cluster together, 0: only join.
	BootstrapExpect int
	Reader          bool // hold the registry, but do not vote
	Apart           bool // it has left its cluster: wait for Join, and look for nobody

	// RegisterWindow is how many changes of a session may be on their way when a command is
	// answered; 0: none.
	RegisterWindow int
	// CommitTimeout is how long a command waits to come below the window, and near to what is applied.
	CommitTimeout time.Duration
	// ReplicaGrace is how long the orphans of a lost or restarted replica stay.
	ReplicaGrace time.Duration
	// DeadAfter is how long a voter has to be dead before a newcomer replaces it.
	DeadAfter time.Duration
	// IsolationTimeout is how long a replica without a leader keeps its nsqds.
	IsolationTimeout time.Duration
	// RaftTimeout is Raft's heartbeat, election and lease time.
	RaftTimeout time.Duration
	// InactiveTimeout is how long after its last PING a session counts as active.
	InactiveTimeout time.Duration
	// TombstoneLifetime is how long a tombstone hides a producer; may be 0.
	TombstoneLifetime time.Duration

	Logger *slog.Logger
	// Paused, when set, reports whether this process stood still at any time from since until now.
	Paused func(since time.Time) bool

	hooks
}

// hooks are for tests.
type hooks struct {
	wrapLog func(raft.LogStore) raft.LogStore // a log that hangs or fails
	watch   func(*watchedLog)                 // a watchdog of another limit, or that tells nobody
	cut     func(id string) bool              // see port
	raft    func(*raft.Config)                // other limits of the log and of snapshots
	fault   func(to string, beat bool) error  // of an AppendEntries to that id; beat: it is a heartbeat
	// closeAge is the journal's, when it is positive.
	closeAge time.Duration
	deaf     func() bool // gossip hears nothing
	older    func() bool // it speaks as release 0.1.0 does
}

func (h hooks) watched(w *watchedLog) *watchedLog {
	if h.watch != nil {
		h.watch(w)
	}
	return w
}

func (c Config) paused(since time.Time) bool { return c.Paused != nil && c.Paused(since) }

// Validate names everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		what  string
		value string
	}{{"name", c.Name}, {"data path", c.DataPath}} {
		if f.value == "" {
			errs = append(errs, fmt.Errorf("%s is empty", f.what))
		}
	}
	for _, f := range []struct {
		what  string
		value time.Duration
	}{
		{"commit timeout", c.CommitTimeout}, {"replica grace", c.ReplicaGrace},
		{"isolation timeout", c.IsolationTimeout}, {"raft timeout", c.RaftTimeout},
		{"inactive timeout", c.InactiveTimeout}, {"dead after", c.DeadAfter},
	} {
		if f.value <= 0 {
			errs = append(errs, fmt.Errorf("%s is %s, must be positive", f.what, f.value))
		}
	}
	if c.RegisterWindow < 0 {
		errs = append(errs, fmt.Errorf("register window is %d, must not be negative", c.RegisterWindow))
	}
	if c.TombstoneLifetime < 0 {
		errs = append(errs, fmt.Errorf("tombstone lifetime is %s, must not be negative", c.TombstoneLifetime))
	}
	if c.BootstrapExpect < 0 {
		errs = append(errs, fmt.Errorf("bootstrap expect is %d, must not be negative", c.BootstrapExpect))
	}
	if c.Listener == nil {
		errs = append(errs, errors.New("listener of the cluster port is missing"))
	}
	if c.Logger == nil {
		errs = append(errs, errors.New("logger is missing"))
	}
	return errors.Join(errs...)
}

const (
	// readWait is how long a read waits for what this replica has said OK to.
	readWait = 250 * time.Millisecond
	// changeWait is how long an HTTP change waits to be committed and applied. nsqadmin gives up
	// after 5 s (nsqio/nsq, apps/nsqadmin/main.go, -http-client-request-timeout).
	changeWait = 3 * time.Second
	// closeWait bounds each step of closing.
	closeWait = 5 * time.Second
)
