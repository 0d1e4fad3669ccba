package cluster

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// quietFor is how long the same failure of Raft with the same replica is kept out of the log.
const quietFor = 10 * time.Second

// repeats tells which lines of the log repeat: the first of a key passes, and then one in quietFor. Its
// zero value is ready.
type repeats struct {
	mu   sync.Mutex
	last map[string]quietLine
}

type quietLine struct {
	told time.Time
	left int // out, since then
}

// pass reports whether a line of that key is to be logged now, and how many were left out since the
// last one.
func (r *repeats) pass(now time.Time, key string) (left int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := r.last[key]
	if !line.told.IsZero() && now.Sub(line.told) < quietFor {
		line.left++
		r.last[key] = line
		return 0, false
	}
	if r.last == nil || len(r.last) >= maxRecords { // keys that are long gone
		r.last = make(map[string]quietLine)
	}
	r.last[key] = quietLine{told: now}
	return line.left, true
}

// quiet is Raft's logger. Raft logs each heartbeat, call and vote that fails, up to 20 a second for each
// replica that is down, and three lines for each campaign of a replica that no majority hears, six a second.
// Of those lines quiet passes on the first, and then one in ten seconds that says how many were left out.
type quiet struct {
	hclog.Logger
	repeats repeats
	now     func() time.Time
}

func newQuiet(l hclog.Logger) *quiet { return &quiet{Logger: l, now: time.Now} }

// Warn implements hclog.Logger.
func (q *quiet) Warn(msg string, args ...any) {
	if args, ok := q.pass(msg, args); ok {
		q.Logger.Warn(msg, args...)
	}
}

// Info implements hclog.Logger.
func (q *quiet) Info(msg string, args ...any) {
	if args, ok := q.pass(msg, args); ok {
		q.Logger.Info(msg, args...)
	}
}

// Error implements hclog.Logger.
func (q *quiet) Error(msg string, args ...any) {
	if args, ok := q.pass(msg, args); ok {
		q.Logger.Error(msg, args...)
	}
}

// pass reports whether a line is to be logged, and with which arguments.
func (q *quiet) pass(msg string, args []any) ([]any, bool) {
	key, known := quietKey(msg, args)
	if !known {
		return args, true
	}
	left, ok := q.repeats.pass(q.now(), key)
	if left > 0 {
		args = append(append([]any(nil), args...), "left_out", left)
	}
	return args, ok
}

// campaign has Raft's lines about a campaign that may fail (raft.go, runCandidate). Those of one that is won
// are not among them.
var campaign = map[string]bool{
	"entering candidate state":                               true,
	"pre-vote campaign failed, waiting for election timeout": true,
	"Election timeout reached, restarting election":          true,
}

// quietKey returns what a failure is and with which replica; false when it is no such line.
func quietKey(msg string, args []any) (string, bool) {
	if campaign[msg] {
		return msg, true
	}
	if !strings.HasPrefix(msg, "failed to ") {
		return "", false
	}
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "peer", "target", "server-id":
			return msg + fmt.Sprint(args[i+1]), true
		}
	}
	return "", false
}
