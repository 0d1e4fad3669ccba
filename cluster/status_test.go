package cluster

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/raftlookupd/raftlookupd/fsm"
)

func TestStatus(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Version = "1.2.3"
	g := gated(t, &cfg)
	defer g.open()
	cfg.ClientHost, cfg.TCPPort, cfg.HTTPPort = "h", 4160, 4161
	r := openReady(t, cfg)
	register(t, session(t, r, 1), "topic", "channel")
	change(t, r, fsm.Tombstone("topic", "nsqd-1:4151"))
	settle(t, r)
	levelled(t, r)
	addresses := Addresses{TCP: "h:4160", HTTP: "h:4161", Cluster: r.port.listener.Addr().String(),
		Gossip: r.gossip.address}
	state := r.registry.State()
	term := r.raft.CurrentTerm()
	want := Status{
		Name: "r1", ID: r.ID(), Version: "1.2.3", ClusterID: identityOf(t, cfg.DataPath).Cluster,
		Role: "leader", Leader: "r1", Term: term, Ready: true, CommitIndex: state.Index(), AppliedIndex: state.Index(),
		Incarnation: identityOf(t, cfg.DataPath).Incarnation, Addresses: addresses,
		Registry: RegistryStatus{Index: state.Index(), Fingerprint: state.Fingerprint().String(),
			Topics: 1, Channels: 1, Producers: 1, Sessions: 1, Tombstones: 1, LogLevel: knownLevel},
		Members: []Member{{Name: "r1", ID: r.ID(), Role: "leader", Alive: true, Health: "healthy",
			AppliedIndex: state.Index(), Version: "1.2.3", LogLevel: knownLevel, Addresses: addresses}},
	}
	if got := r.Status(); !reflect.DeepEqual(got, want) {
		t.Errorf("status\n%+v, want\n%+v", got, want)
	}
	if len(want.ClusterID) != 32 || term == 0 {
		t.Errorf("cluster %q, term %d", want.ClusterID, term)
	}

	g.hang(0)
	register(t, session(t, r, 2), "other", "")
	if got := r.Status().Registry.Pending; got != 2 {
		t.Errorf("%d changes pending, want 2", got)
	}
}

func TestStatusBeforeItIsReady(t *testing.T) {
	cfg := testConfig(t.TempDir())
	g := gated(t, &cfg)
	defer g.open()
	g.hang(2)
	r := open(t, cfg)
	s := r.Status()
	if s.Ready || s.Reason == "" || s.Members[0].Health != s.Reason || s.Registry.Pending != 1 {
		t.Errorf("status %+v", s)
	}
}

func TestStatusWithoutALeader(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	settle(t, r)
	if err := r.raft.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	s := r.Status()
	if s.Role == "leader" || s.Leader != "" || s.LastContactMS < 0 {
		t.Errorf("role %q, leader %q, last contact %d", s.Role, s.Leader, s.LastContactMS)
	}
}

// The field names are a contract with scripts and dashboards.
func TestStatusFields(t *testing.T) {
	raw, err := json.Marshal(Status{Members: []Member{{}}})
	if err != nil {
		t.Fatal(err)
	}
	const addresses = `{"tcp":"","http":"","cluster":"","gossip":""}`
	want := `{"name":"","id":"","version":"","cluster_id":"","role":"","reader":false,"leader":"","term":0,"ready":false,"reason":"","waiting_for":"",` +
		`"commit_index":0,"applied_index":0,"last_contact_ms":0,"incarnation":0,"divergences":0,"addresses":` + addresses + `,` +
		`"registry":{"index":0,"fingerprint":"","topics":0,"channels":0,"producers":0,"sessions":0,"orphans":0,"tombstones":0,"pending":0,"log_level":0},` +
		`"members":[{"name":"","id":"","role":"","alive":false,"health":"","applied_index":0,"lag":0,"version":"","log_level":0,"gone_ms":0,"leaving":false,"addresses":` + addresses + `}]}`
	if string(raw) != want {
		t.Errorf("status is\n%s, want\n%s", raw, want)
	}
}
