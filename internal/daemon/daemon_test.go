package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/raftlookupd/raftlookupd/cluster"
	"github.com/raftlookupd/raftlookupd/internal/config"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
	"github.com/raftlookupd/raftlookupd/internal/version"
)

// What an nsqd says over TCP is what consumers see over HTTP, at once.
func TestRoundTrip(t *testing.T) {
	r := start(t, testConfig(t, "r1"))
	n, greeting := r.identified(4150)
	checkGreeting(t, r, greeting)
	n.ok("REGISTER topic channel")
	n.ok("REGISTER topic other")
	n.ok("REGISTER second")
	n.ok("PING")
	for path, want := range map[string]string{
		"/topics":               `{"topics":["second","topic"]}`,
		"/channels?topic=topic": `{"channels":["channel","other"]}`,
		"/ping":                 "OK",
		"/livez":                "OK",
	} {
		if code, body := r.get(path); code != http.StatusOK || body != want {
			t.Errorf("%s: %d %s, want %s", path, code, body, want)
		}
	}
	if !r.lists("topic", 4150) || !r.lists("second", 4150) {
		t.Error("the producer is not listed")
	}
	n.ok("UNREGISTER second")
	if r.lists("second", 4150) {
		t.Error("listed after UNREGISTER")
	}
	r.post("/topic/tombstone?topic=topic&node=nsqd:4151")
	if r.lists("topic", 4150) {
		t.Error("listed in spite of its tombstone")
	}
	r.post("/channel/delete?topic=topic&channel=other")
	r.post("/topic/delete?topic=second")
	if _, body := r.get("/topics"); body != `{"topics":["topic"]}` {
		t.Errorf("topics %s", body)
	}
	if code, body := r.get("/debug"); code != http.StatusOK || !strings.Contains(body, "nsqd") {
		t.Errorf("/debug: %d %s", code, body)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	eventually.True(t, soon, "gone with its connection", func() error {
		if _, body := r.get("/nodes"); body != `{"producers":[]}` {
			return errors.New(body)
		}
		return nil
	})
}

func checkGreeting(t *testing.T, r *running, greeting string) {
	t.Helper()
	var got struct {
		BroadcastAddress string `json:"broadcast_address"`
		Hostname         string `json:"hostname"`
		TCPPort          int    `json:"tcp_port"`
		HTTPPort         int    `json:"http_port"`
		Version          string `json:"version"`
	}
	if err := json.Unmarshal([]byte(greeting), &got); err != nil {
		t.Fatalf("%v in %s", err, greeting)
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	a := r.Addresses()
	if fmt.Sprintf("%s:%d", got.BroadcastAddress, got.TCPPort) != a.TCP ||
		fmt.Sprintf("%s:%d", got.BroadcastAddress, got.HTTPPort) != a.HTTP ||
		got.Hostname != hostname || got.Version != version.Binary {
		t.Errorf("IDENTIFY was answered %s; the daemon listens on %+v", greeting, a)
	}
}

func TestStatusAndInfo(t *testing.T) {
	cfg := testConfig(t, "r1")
	r := start(t, cfg)
	_, body := r.get("/cluster/status")
	var status cluster.Status
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		t.Fatal(err)
	}
	if status.Name != "r1" || status.Role != "leader" || !status.Ready || status.Version != version.Binary ||
		status.Addresses != r.Addresses() || len(status.Members) != 1 || status.Members[0].Addresses != r.Addresses() {
		t.Errorf("status %s", body)
	}
	want := fmt.Sprintf(`{"version":%q,"name":"r1","id":%q}`, version.Binary, status.ID)
	if _, body := r.get("/info"); body != want {
		t.Errorf("info %s, want %s", body, want)
	}
	if _, body := r.get("/cluster/fingerprint"); !strings.Contains(body, status.Registry.Fingerprint) {
		t.Errorf("fingerprint %s, status %s", body, status.Registry.Fingerprint)
	}
}

// Two daemons in one process have nothing in common.
func TestTwoDaemons(t *testing.T) {
	a, b := start(t, testConfig(t, "a")), start(t, testConfig(t, "b"))
	if a.Addresses() == b.Addresses() {
		t.Fatalf("both listen on %+v", a.Addresses())
	}
	one, _ := a.identified(4150)
	two, _ := b.identified(5150)
	one.ok("REGISTER topic")
	two.ok("REGISTER topic")
	if !a.lists("topic", 4150) || a.lists("topic", 5150) || !b.lists("topic", 5150) || b.lists("topic", 4150) {
		t.Error("they share a registry")
	}
	a.stopped()
	two.ok("REGISTER more")
	if !b.lists("more", 5150) {
		t.Error("the second does not survive the first")
	}
}

// After a clean stop the registrations are there again, until their nsqds are.
func TestRestartKeepsRegistrations(t *testing.T) {
	cfg := testConfig(t, "r1")
	r := start(t, cfg)
	n, _ := r.identified(4150)
	n.ok("REGISTER topic channel")
	r.stopped()
	again := start(t, cfg)
	if !again.lists("topic", 4150) {
		t.Error("the registration is gone")
	}
	n, _ = again.identified(4150)
	n.ok("REGISTER other")
	n.ok("PING")
	if again.lists("topic", 4150) || !again.lists("other", 4150) {
		t.Error("the nsqd's new session does not count")
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	cfg := testConfig(t, "r1")
	for flag, set := range map[string]func(*config.Config, string){
		"-tcp-address":     func(c *config.Config, a string) { c.TCPAddress = a },
		"-http-address":    func(c *config.Config, a string) { c.HTTPAddress = a },
		"-cluster-address": func(c *config.Config, a string) { c.ClusterAddress = a },
		"-gossip-address":  func(c *config.Config, a string) { c.GossipAddress = a },
	} {
		busy := cfg
		set(&busy, taken.Addr().String())
		err := run(t, busy)
		if err == nil || !strings.Contains(err.Error(), flag+" "+taken.Addr().String()) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v", flag, err)
		}
	}
	start(t, cfg) // nothing is left behind
}

func TestDataPathInUse(t *testing.T) {
	cfg := testConfig(t, "r1")
	start(t, cfg)
	if err := run(t, cfg); !errors.Is(err, cluster.ErrData) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("error %v", err)
	}
}

// Whatever keeps a daemon from starting, it lets go of the ports that it has taken before.
func TestFailedStartReleasesThePorts(t *testing.T) {
	cfg := testConfig(t, "r1")
	first := start(t, cfg)
	noData := testConfig(t, "r2")
	noData.DataPath = cfg.DataPath
	noPort := testConfig(t, "r3")
	noPort.ClusterAddress = first.Addresses().Cluster
	for name, failing := range map[string]config.Config{"data path": noData, "port": noPort} {
		t.Run(name, func(t *testing.T) {
			addresses := freeAddresses(t, 2)
			failing.TCPAddress, failing.HTTPAddress = addresses[0], addresses[1]
			if err := run(t, failing); err == nil {
				t.Fatal("it started")
			}
			for _, a := range addresses {
				l, err := net.Listen("tcp", a)
				if err != nil {
					t.Fatal(err)
				}
				_ = l.Close()
			}
		})
	}
}

// freeAddresses are addresses that nobody listens on.
func freeAddresses(t testing.TB, n int) (all []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		all = append(all, l.Addr().String())
	}
	return all
}

// run runs a daemon that is to fail at once.
func run(t testing.TB, cfg config.Config) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	return New(cfg, discard).Run(ctx)
}
