package fsm

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/golden.txt anew")

const goldenFile = "testdata/golden.txt"

// lastKind is the greatest kind there is.
const lastKind = KindRaiseLevel

// sampleChange is a change of one kind, with every field that the kind has.
type sampleChange struct {
	name   string
	change Change
}

func sampleChanges() []sampleChange {
	info := ProducerInfo{RemoteAddress: "10.0.0.1:40000", Hostname: "host", BroadcastAddress: "nsqd-1",
		TCPPort: 4150, HTTPPort: 4151, Version: "1.3.0", TopologyZone: "z1", TopologyRegion: "r1"}
	return []sampleChange{
		{"OpenReplica", OpenReplica("r1")},
		{"OpenSession", OpenSession(info)},
		{"OpenSession of odd ports", OpenSession(ProducerInfo{TCPPort: -1, HTTPPort: 1 << 40})},
		{"Register a topic", Register(2, "topic", "")},
		{"Register a channel", Register(300, "topic", "channel#ephemeral")},
		{"Unregister", Unregister(2, "topic", "channel")},
		{"SetActive", SetActive(2, true)},
		{"SetActive not", SetActive(2, false)},
		{"Settle", Settle(2)},
		{"CloseSession", CloseSession(2)},
		{"CreateTopic", CreateTopic("topic")},
		{"DeleteTopic", DeleteTopic(AllTopics)},
		{"CreateChannel", CreateChannel("topic", "channel")},
		{"DeleteChannel", DeleteChannel("topic", "channel")},
		{"Tombstone", Tombstone("topic", "nsqd-1:4151")},
		{"Prune", Prune("topic")},
		{"PruneChannel", PruneChannel("topic", "channel")},
		{"Detach", Detach(2)},
		{"ClearTombstone", ClearTombstone("topic", ProducerKey{"nsqd-1", 4150}, 7)},
		{"LoseReplica", LoseReplica("id-1", 3)},
		{"ExpireReplica", ExpireReplica("id-1", 1<<63)},
		{"ExpireOrphans", ExpireOrphans(OrphanGroup{Replica: "id-1", Incarnation: 3, Since: 300})},
		{"RaiseLevel", RaiseLevel(MaxLevel)},
		{"Checkpoint", Checkpoint(1<<40, Fingerprint{hi: 1, lo: 2})},
	}
}

// sampleRegistry has a bit of everything that a snapshot may hold.
func sampleRegistry(t testing.TB) *Registry {
	l := newTape(t)
	a, b := l.journal("a"), l.journal("b")
	gone := b.identify(nsqd("h2"))
	b.send(Register(gone, "t", "c"), Register(gone, "only", ""))
	b.restart() // what it had is an orphan now
	s, again := a.identify(nsqd("h1")), a.identify(ProducerInfo{BroadcastAddress: "h1", TCPPort: 4150,
		HTTPPort: 5151, Version: "1.3.1", TopologyZone: "z"})
	a.send(Register(s, "t", "c"), Register(s, "t", "d"), Register(again, "t", "x#ephemeral"), Settle(again),
		SetActive(s, false), CreateTopic("empty"), CreateChannel("t2", "c"),
		Register(s, "e#ephemeral", "left"), Unregister(s, "e#ephemeral", ""),
		Tombstone("t", "h2:4151"), Tombstone("t", "h1:5151"))
	l.decide(LoseReplica("a", 1))
	return l.r
}

// sampleLeveled is sampleRegistry after its level rose, with orphans of each origin.
func sampleLeveled(t testing.TB) *Registry {
	l := &tape{t: t, r: sampleRegistry(t)}
	l.index = l.r.State().Index()
	l.decide(RaiseLevel(1))
	c, d := l.journal("c"), l.journal("d")
	ended, live := c.identify(nsqd("h3")), c.identify(nsqd("h4"))
	c.send(Register(ended, "t", "c"), Register(live, "t", "d"), Detach(ended))
	lost := d.identify(nsqd("h5"))
	d.send(Register(lost, "t2", "c"))
	l.decide(LoseReplica("d", 1))
	return l.r
}

// golden lists by name the bytes that must never change: logs and snapshots of old hold them.
func golden(t testing.TB) []string {
	var lines []string
	line := func(name string, b []byte) { lines = append(lines, fmt.Sprintf("%s: %x", name, b)) }
	for _, s := range sampleChanges() {
		line(s.name, AppendChange(nil, s.change))
	}
	line("entry of a journal", journalEntry(Header{"id-1", 3, 300}, CreateTopic("t"), Register(2, "t", "c")))
	line("entry of a journal without changes", journalEntry(Header{"", 0, 0}))
	line("entry of decisions", EncodeDecisions(LoseReplica("id-1", 3), ExpireReplica("id-1", 3)))
	line("snapshot of nothing", snapshot(t, New().State()))
	line("snapshot", snapshot(t, sampleRegistry(t).State()))
	line("snapshot of level 1", snapshot(t, sampleLeveled(t).State()))
	return lines
}

func TestGolden(t *testing.T) {
	got := golden(t)
	if *update {
		if err := os.WriteFile(goldenFile, []byte(strings.Join(got, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(file)), "\n")
	if len(got) != len(want) {
		t.Errorf("%d golden lines, the file has %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Errorf("\n got %s\nwant %s", got[i], want[i])
		}
	}
}

// TestGoldenIsRead reads the bytes of the file, not those that this version writes.
func TestGoldenIsRead(t *testing.T) {
	file, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	bytesOf := map[string][]byte{}
	for line := range strings.Lines(string(file)) {
		name, digits, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if bytesOf[name], err = hex.DecodeString(digits); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for _, s := range sampleChanges() {
		d := decoder{rest: string(bytesOf[s.name])}
		if c, err := d.change(); err != nil || d.end() != nil || c != s.change {
			t.Errorf("%s: read %+v, %v %v", s.name, c, err, d.end())
		}
	}
	topics := []string{"t", "t2", "only", "empty", "e#ephemeral"}
	for name, want := range map[string]*Registry{
		"snapshot": sampleRegistry(t), "snapshot of level 1": sampleLeveled(t),
	} {
		r := New()
		if err := r.Restore(bytes.NewReader(bytesOf[name])); err != nil {
			t.Fatal(err)
		}
		if d := ask(r.State(), topics).diff(ask(want.State(), topics)); d != "" {
			t.Fatalf("the %s holds something else: %s", name, d)
		}
		if r.State().Level() != want.State().Level() {
			t.Fatalf("the %s has level %d", name, r.State().Level())
		}
	}
}

// TestEveryKindHasASample fails when a kind is added without golden bytes.
func TestEveryKindHasASample(t *testing.T) {
	seen := map[Kind]bool{}
	for _, s := range sampleChanges() {
		seen[s.change.Kind] = true
	}
	for k := KindOpenReplica; k <= lastKind; k++ {
		if !seen[k] {
			t.Errorf("no sample of kind %d", k)
		}
	}
}
