package cluster

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestQuietLeavesOutWhatRepeats(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	q := newQuiet(hclog.New(&hclog.LoggerOptions{Output: &out, DisableTime: true}))
	q.now = func() time.Time { return now }
	lines := func() string {
		defer out.Reset()
		return out.String()
	}
	for range 20 {
		q.Error("failed to heartbeat to", "peer", "a", "error", "cut")
		q.Error("failed to heartbeat to", "peer", "b", "error", "cut")
		q.Warn("failed to contact", "server-id", "a", "time", "1s")
		q.Warn("failed to contact quorum of nodes, stepping down")
		q.Error("a disk fails", "peer", "a")
	}
	if s := lines(); strings.Count(s, "heartbeat") != 2 || strings.Count(s, "server-id") != 1 || strings.Count(s, "quorum") != 20 ||
		strings.Count(s, "disk") != 20 || strings.Contains(s, "left_out") {
		t.Error(s)
	}
	now = now.Add(quietFor)
	q.Error("failed to heartbeat to", "peer", "a", "error", "cut")
	q.Error("failed to heartbeat to", "peer", "a", "error", "cut")
	if s := lines(); strings.Count(s, "heartbeat") != 1 || !strings.Contains(s, "left_out=19") {
		t.Error(s)
	}
}
