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

// A replica that no majority hears campaigns twice a second, for as long as that lasts.
func TestQuietLeavesOutCampaigns(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	q := newQuiet(hclog.New(&hclog.LoggerOptions{Output: &out, DisableTime: true}))
	q.now = func() time.Time { return now }
	for range 60 {
		q.Warn("Election timeout reached, restarting election")
		q.Info("entering candidate state", "node", "r1", "term", 6)
		q.Info("pre-vote campaign failed, waiting for election timeout", "term", 6)
		now = now.Add(quietFor / 20)
	}
	q.Info("election won", "term", 6)
	q.Info("election won", "term", 7)
	if s := out.String(); strings.Count(s, "\n") != 3*3+2 || strings.Count(s, "left_out=19") != 6 {
		t.Error(s)
	}
}

// A replica that is refused all the time does not fill the log of the one that refuses it.
func TestRefusedConnectionsDoNotFillTheLog(t *testing.T) {
	said := &logged{}
	cfg := testConfig(t.TempDir())
	cfg.Logger = said.logger()
	r := openReady(t, cfg)
	stranger := newPort(noListener{}, identity0(peer{"stranger", "another cluster"}), r.log)
	defer stranger.wait()
	for range 20 {
		if c, err := stranger.dial(t.Context(), kindRaft, r.data.ID, r.port.listener.Addr().String()); err == nil {
			_ = c.Close()
			t.Fatal("it was let in")
		}
	}
	mustClose(t, r)
	if n := strings.Count(said.all(), "refused a connection"); n != 1 {
		t.Errorf("%d lines: %s", n, said.all())
	}
}
