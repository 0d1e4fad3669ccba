package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
)

// lookupd is an nsqlookupd or a raftlookupd, which can be stopped and started again with the same
// arguments: same addresses, same data.
type lookupd struct {
	*process
	name, bin string
	args      []string
	tcp, http string // its addresses, host:port
	client    *http.Client
	readyPath string // answers 200 when it serves
}

func startNsqlookupd(t *testing.T, args ...string) *lookupd {
	t.Helper()
	l := newLookupd(t, "nsqlookupd", program("nsqlookupd"), args)
	l.start(t)
	return l
}

// startRaftlookupd starts a replica that is a cluster of one, or its stand-in.
func startRaftlookupd(t *testing.T, args ...string) *lookupd {
	t.Helper()
	l := newRaftlookupd(t, args...)
	l.start(t)
	return l
}

// newRaftlookupd prepares a replica without starting it.
func newRaftlookupd(t testing.TB, args ...string) *lookupd {
	t.Helper()
	l := newLookupd(t, "raftlookupd", programs.raftlookupd, args)
	if programs.standIn {
		return l
	}
	l.args = append(l.args,
		"-name", "r1",
		"-data-path", filepath.Join(t.TempDir(), "data"),
		"-cluster-address", freeAddress(t),
		"-gossip-address", freeAddress(t))
	l.readyPath = "/readyz"
	return l
}

func newLookupd(t testing.TB, name, bin string, args []string) *lookupd {
	t.Helper()
	l := &lookupd{name: name, bin: bin, tcp: freeAddress(t), http: freeAddress(t),
		client: newHTTPClient(), readyPath: "/ping"}
	l.args = append(slices.Clone(args), "-broadcast-address", "127.0.0.1",
		"-tcp-address", l.tcp, "-http-address", l.http)
	t.Cleanup(l.client.CloseIdleConnections)
	return l
}

// start starts it, for the first time or again, and returns when it serves.
func (l *lookupd) start(t testing.TB) {
	t.Helper()
	l.launch(t)
	eventually(t, patience, l.serves)
}

// launch starts it without waiting.
func (l *lookupd) launch(t testing.TB) {
	t.Helper()
	l.client.CloseIdleConnections()
	l.process = startProcess(t, l.name, l.bin, l.args...)
}

var errExited = errors.New("the program has exited")

func (l *lookupd) serves() error {
	if l.hasExited() {
		return fmt.Errorf("%w: %s", errExited, l.stderr.tail())
	}
	if err := l.get("/ping", nil); err != nil {
		return err
	}
	return l.get(l.readyPath, nil)
}

// producer is a row of /lookup or /nodes.
type producer struct {
	RemoteAddress    string   `json:"remote_address"`
	BroadcastAddress string   `json:"broadcast_address"`
	TCPPort          int      `json:"tcp_port"`
	HTTPPort         int      `json:"http_port"`
	Topics           []string `json:"topics"`
	Tombstones       []bool   `json:"tombstones"`
}

// key names the producer as raftlookupd does, and no two of a test's connections alike.
func (p producer) key() string { return fmt.Sprintf("%s:%d", p.BroadcastAddress, p.TCPPort) }

func keys(producers []producer) []string {
	var out []string
	for _, p := range producers {
		out = append(out, p.key())
	}
	return out
}

// lookupAnswer is the body of /lookup; /nodes has the producers alone.
type lookupAnswer struct {
	Channels  []string   `json:"channels"`
	Producers []producer `json:"producers"`
}

func (l *lookupd) get(path string, out any) error {
	return call(l.client, http.MethodGet, "http://"+l.http+path, "", out)
}

func (l *lookupd) post(path string) error {
	return call(l.client, http.MethodPost, "http://"+l.http+path, "", nil)
}

func (l *lookupd) lookup(topic string) (lookupAnswer, error) {
	var a lookupAnswer
	err := l.get("/lookup?topic="+url.QueryEscape(topic), &a)
	return a, err
}

func (l *lookupd) nodes() ([]producer, error) {
	var a lookupAnswer
	err := l.get("/nodes", &a)
	return a.Producers, err
}

func (l *lookupd) topics() ([]string, error) {
	var a struct {
		Topics []string `json:"topics"`
	}
	err := l.get("/topics", &a)
	return a.Topics, err
}

func (l *lookupd) channels(topic string) ([]string, error) {
	var a lookupAnswer
	err := l.get("/channels?topic="+url.QueryEscape(topic), &a)
	return a.Channels, err
}

// debugRows returns /debug: producers by "category:topic:channel".
func (l *lookupd) debugRows() (map[string][]producer, error) {
	var rows map[string][]producer
	err := l.get("/debug", &rows)
	return rows, err
}

// forgot returns nil when no connection of the producer is known any more.
func (l *lookupd) forgot(key string) error {
	rows, err := l.debugRows()
	if err != nil {
		return err
	}
	for row, producers := range rows {
		if slices.Contains(keys(producers), key) {
			return fmt.Errorf("%s still has producer %s under %s", l.name, key, row)
		}
	}
	return nil
}

// hasProducers returns nil when /lookup shows exactly these producers, in any order.
func (l *lookupd) hasProducers(topic string, want ...string) error {
	a, err := l.lookup(topic)
	if err != nil {
		return err
	}
	if got := keys(a.Producers); !sameSet(got, want) {
		return fmt.Errorf("%s: producers of %s are %v, want %v", l.name, topic, got, want)
	}
	return nil
}

// hasNodes returns nil when /nodes shows exactly these producers, in any order.
func (l *lookupd) hasNodes(want ...string) error {
	nodes, err := l.nodes()
	if err != nil {
		return err
	}
	if got := keys(nodes); !sameSet(got, want) {
		return fmt.Errorf("%s: nodes are %v, want %v", l.name, got, want)
	}
	return nil
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
