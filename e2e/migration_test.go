package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
)

const (
	flowTopic     = "events"
	longTombstone = "5m" // nothing here depends on its end
)

// migration is a fleet on its way from nsqlookupds to a cluster, as docs/migrating.md has it.
type migration struct {
	old     []*lookupd // nsqlookupds
	cluster *cluster
	nsqds   []*nsqd

	workers  *inbox // what consumers of the flow have got, wherever they asked
	archives []string
	stopRead func() // the readers that are at work
	stages   int
}

// TestMigration moves a fleet under a flow of messages: not one may be missed, at no step anything may be known
// to one side only that matters there, and each step but the last can be taken back.
func TestMigration(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	m := startOldWorld(t)
	m.stopRead = m.read(t, addressesOf(m.old))
	flow := m.startFlow(t)
	m.discovers(t, addressesOf(m.old))

	m.cluster = newCluster(t, 3, "-tombstone-lifetime", longTombstone)
	m.importsNames(t)
	m.listBoth(t)
	m.importsTombstones(t)
	m.discovers(t, addressesOf(m.old))
	m.alike(t)

	m.movesReaders(t)
	m.testNsqadmin(t)
	m.discovers(t, addressesOf(m.old)) // whoever is still there, or has gone back
	m.alike(t)

	m.leavesOld(t)
	m.listBoth(t) // the way back
	m.discovers(t, addressesOf(m.old))
	m.leavesOld(t)
	for _, l := range m.old {
		if code := l.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code of nsqlookupd %d", code)
		}
	}
	m.discovers(t, m.addresses())
	m.testAhead(t)

	sent := flow()
	eventually(t, clusterPatience, func() error {
		return errors.Join(m.workers.has(sent), linesInAll(m.archives).has(sent))
	})
	m.stopRead()
	m.cluster.agree(t)
	t.Logf("%d messages", len(sent))
}

// startOldWorld starts what there is before, with a topic and channels that no nsqd has.
func startOldWorld(t *testing.T) *migration {
	t.Helper()
	m := &migration{workers: &inbox{seen: map[string]bool{}}}
	for range 2 {
		m.old = append(m.old, startNsqlookupd(t, "-tombstone-lifetime", longTombstone))
	}
	var producers []string
	for range 2 {
		n := startNsqdFor(t, m.old[0].tcp, m.old[1].tcp)
		m.nsqds = append(m.nsqds, n)
		producers = append(producers, n.tcp)
		if err := errors.Join(n.post("/topic/create?topic="+flowTopic, ""), n.post("/topic/create?topic=retired", "")); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range m.old {
		eventually(t, patience, func() error {
			return errors.Join(l.hasProducers(flowTopic, producers...), l.hasProducers("retired", producers...))
		})
		if err := l.post("/topic/tombstone?topic=retired&node=" + m.nsqds[0].node()); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(m.old[0].post("/channel/create?topic="+flowTopic+"&channel=spare"),
		m.old[1].post("/topic/create?topic=ahead"), m.old[1].post("/channel/create?topic=ahead&channel=later"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func addressesOf(all []*lookupd) []string {
	var addresses []string
	for _, l := range all {
		addresses = append(addresses, l.http)
	}
	return addresses
}

func (m *migration) addresses() []string {
	var all []*lookupd
	for _, r := range m.cluster.replicas {
		all = append(all, r.lookupd)
	}
	return addressesOf(all)
}

// discovers has a new topic arise at one nsqd, whose consumer asks at these addresses.
func (m *migration) discovers(t *testing.T, addresses []string) {
	t.Helper()
	m.stages++
	topic, in := fmt.Sprintf("stage-%d", m.stages), &inbox{seen: map[string]bool{}}
	stop := consume(t, topic, "workers", addresses, in)
	defer stop()
	if err := m.nsqds[m.stages%len(m.nsqds)].publish(topic, "first"); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error { return in.has([]string{"first"}) })
}

// imports runs lookupctl import and returns its last fields: FOUND, CREATED and so on, by topics, channels, tombstones.
func (m *migration) imports(t *testing.T, more ...string) map[string]string {
	t.Helper()
	args := append([]string{"import", "--from", strings.Join(addressesOf(m.old), ",")}, more...)
	rows := map[string]string{}
	for line := range strings.Lines(m.cluster.replicas[0].lookupctl(t, args...)) {
		if name, counts, found := strings.Cut(line, " "); found {
			rows[name] = strings.Join(strings.Fields(counts), " ")
		}
	}
	return rows
}

// importsNames is step 2: what no nsqd has comes over, but no tombstone of an nsqd that is not there yet.
func (m *migration) importsNames(t *testing.T) {
	t.Helper()
	// events, retired, ahead, stage-1; and of these archive, workers, spare; none; later; workers.
	want := map[string]string{"topics": "4 4 0 0", "channels": "5 5 0 0",
		"tombstones": "1 0 0 1 of producers that are not registered here"}
	for _, args := range [][]string{{"--dry-run"}, nil} {
		if topics, err := m.cluster.replicas[1].topics(); err != nil || len(topics) != 0 {
			t.Fatalf("topics %v before the import, %v", topics, err)
		}
		got := m.imports(t, args...)
		delete(got, "")
		if !maps.Equal(got, want) {
			t.Errorf("import %v: %v, want %v", args, got, want)
		}
	}
	eventually(t, patience, func() error {
		return m.cluster.everywhere(func(l *lookupd) error { return sameNames(m.old, l) })
	})
}

// importsTombstones is step 4.
func (m *migration) importsTombstones(t *testing.T) {
	t.Helper()
	if got := m.imports(t)["tombstones"]; got != "1 1 0 0" {
		t.Errorf("tombstones imported: %q", got)
	}
	eventually(t, patience, func() error {
		return m.cluster.everywhere(func(l *lookupd) error { return l.hasProducers("retired", m.nsqds[1].tcp) })
	})
	for name, counts := range m.imports(t, "--dry-run") {
		if fields := strings.Fields(counts); name != "" && fields[1] != "0" {
			t.Errorf("%s: %s, but all is imported", name, counts)
		}
	}
}

// list tells all nsqds where to register, while they run.
func (m *migration) list(t *testing.T, addresses []string) {
	t.Helper()
	body, err := json.Marshal(addresses)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range m.nsqds {
		var got []string
		err := call(n.client, http.MethodPut, "http://"+n.http+"/config/nsqlookupd_tcp_addresses", string(body), &got)
		if err != nil || !slices.Equal(got, addresses) {
			t.Fatalf("nsqd lists %v, want %v; %v", got, addresses, err)
		}
	}
}

// listBoth is step 3, and the way back of step 6.
func (m *migration) listBoth(t *testing.T) {
	t.Helper()
	m.list(t, append([]string{m.old[0].tcp, m.old[1].tcp}, m.cluster.tcp()...))
	all := func(l *lookupd) error { return l.hasNodes(m.nsqds[0].tcp, m.nsqds[1].tcp) }
	eventually(t, patience, func() error { return errors.Join(all(m.old[0]), all(m.old[1]), m.cluster.everywhere(all)) })
}

// leavesOld is step 6.
func (m *migration) leavesOld(t *testing.T) {
	t.Helper()
	m.list(t, m.cluster.tcp())
	eventually(t, patience, func() error { return errors.Join(m.old[0].hasNodes(), m.old[1].hasNodes()) })
	m.discovers(t, m.addresses())
}

// movesReaders is step 5: new ones come before the old ones go.
func (m *migration) movesReaders(t *testing.T) {
	t.Helper()
	stopOld := m.stopRead
	m.stopRead = m.read(t, m.addresses())
	stopOld()
	m.discovers(t, m.addresses())
}

// testNsqadmin has nsqadmin, which knows both sides, create and delete.
func (m *migration) testNsqadmin(t *testing.T) {
	t.Helper()
	a := &nsqadmin{http: freeAddress(t), client: newHTTPClient()}
	t.Cleanup(a.client.CloseIdleConnections)
	args := []string{"-http-address", a.http}
	for _, address := range slices.Concat(addressesOf(m.old), m.addresses()) {
		args = append(args, "-lookupd-http-address", address)
	}
	a.process = startProcess(t, "nsqadmin", program("nsqadmin"), args...)
	eventually(t, patience, func() error { return call(a.client, http.MethodGet, "http://"+a.http+"/ping", "", nil) })
	var nodes adminAnswer
	if err := a.do(http.MethodGet, "/api/nodes", "", &nodes); err != nil || len(nodes.Nodes) != len(m.nsqds) {
		t.Errorf("nsqadmin lists %+v, %v", nodes.Nodes, err)
	}
	if err := a.do(http.MethodPost, "/api/topics", `{"topic":"made","channel":"ready"}`, nil); err != nil {
		t.Fatal(err)
	}
	everywhere := func(check func(*lookupd) error) func() error {
		return func() error { return errors.Join(check(m.old[0]), check(m.old[1]), m.cluster.everywhere(check)) }
	}
	eventually(t, patience, everywhere(func(l *lookupd) error { return l.hasTopic("made") }))
	if err := a.do(http.MethodDelete, "/api/topics/made", "", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, everywhere(func(l *lookupd) error {
		if l.hasTopic("made") == nil {
			return fmt.Errorf("%s still has it", l.name)
		}
		return nil
	}))
}

// alike waits until every replica knows what the nsqlookupds know together, and the nsqlookupds' nsqds.
func (m *migration) alike(t *testing.T) {
	t.Helper()
	eventually(t, patience, func() error {
		return m.cluster.everywhere(func(l *lookupd) error {
			return errors.Join(sameNames(m.old, l), sameProducers(m.old[0], l), sameProducers(m.old[1], l))
		})
	})
}

// testAhead publishes to a topic that only an nsqlookupd had, with a channel for a consumer that comes later: each nsqd
// learns of the channel from the cluster, and keeps the message there.
func (m *migration) testAhead(t *testing.T) {
	t.Helper()
	for _, n := range m.nsqds {
		if err := errors.Join(n.publish("ahead", "to "+n.tcp), n.hasChannels("ahead", "later")); err != nil {
			t.Fatal(err)
		}
	}
	in := &inbox{seen: map[string]bool{}}
	consume(t, "ahead", "later", m.addresses(), in)
	eventually(t, patience, func() error { return in.has([]string{"to " + m.nsqds[0].tcp, "to " + m.nsqds[1].tcp}) })
}
