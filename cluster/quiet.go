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

// quiet is Raft's logger. Raft logs each heartbeat, call and vote that fails, up to 20 a second for each
// replica that is down. Of those lines quiet passes on the first, and then one in ten seconds that
// says how many were left out.
type quiet struct {
	hclog.Logger
	mu   sync.Mutex
	last map[string]quietLine
	now  func() time.Time
}

type quietLine struct {
	told time.Time
	left int // out, since then
}

func newQuiet(l hclog.Logger) *quiet {
	return &quiet{Logger: l, last: make(map[string]quietLine), now: time.Now}
}

// Warn implements hclog.Logger.
func (q *quiet) Warn(msg string, args ...any) {
	if args, ok := q.pass(msg, args); ok {
		q.Logger.Warn(msg, args...)
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
	key, repeats := quietKey(msg, args)
	if !repeats {
		return args, true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now, line := q.now(), q.last[key]
	if !line.told.IsZero() && now.Sub(line.told) < quietFor {
		line.left++
		q.last[key] = line
		return nil, false
	}
	if len(q.last) >= maxRecords { // ids that are long gone
		clear(q.last)
	}
	q.last[key] = quietLine{told: now}
	if line.left > 0 {
		args = append(append([]any(nil), args...), "left_out", line.left)
	}
	return args, true
}

// quietKey returns what a failure is and with which replica; false when it is no such line.
func quietKey(msg string, args []any) (string, bool) {
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
