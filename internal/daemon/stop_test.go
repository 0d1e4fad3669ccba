package daemon

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// Clients that say nothing, or nothing more, must not keep the daemon.
func TestStopWithSilentClients(t *testing.T) {
	r := start(t, testConfig(t, "r1"))
	r.dial()
	if _, err := io.WriteString(r.dial(), "  V1"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(r.dial(), "  V1IDENTIFY\n\x00\x00\x01\x00{"); err != nil {
		t.Fatal(err)
	}
	n, _ := r.identified(4150)
	n.ok("REGISTER topic")
	for _, text := range []string{"", "GET /lookup?topic=t HTTP/1.1\r\nHost: h\r\n", "POST /topic/create?topic=t HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"} {
		c, err := net.Dial("tcp", r.Addresses().HTTP)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	r.stopped()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("stopping took %s", took)
	}
	if _, err := io.ReadAll(n); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the nsqd's connection: %v", err)
	}
}

// A context that has ended already is a clean stop, too.
func TestStopBeforeTheStart(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := New(testConfig(t, "r1"), discard).Run(ctx); err != nil {
		t.Error(err)
	}
}

// When the replica cannot go on, neither can the daemon: here its log has a change of a kind that
// only a newer version knows.
func TestReplicaThatFails(t *testing.T) {
	cfg := testConfig(t, "r1")
	r := start(t, cfg)
	r.stopped()
	store, err := raftboltdb.NewBoltStore(filepath.Join(cfg.DataPath, "raft.db"))
	if err != nil {
		t.Fatal(err)
	}
	last, err := store.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	var entry raft.Log
	if err := store.GetLog(last, &entry); err != nil {
		t.Fatal(err)
	}
	entry.Index++
	entry.Data = fsm.EncodeDecisions(fsm.Change{Kind: 99})
	if err := store.StoreLog(&entry); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	err = run(t, cfg)
	if err == nil || !strings.Contains(err.Error(), "newer version") || !strings.Contains(err.Error(), "upgrade") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Run returned %v", err)
	}
}
