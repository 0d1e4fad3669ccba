package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"
)

// adminAnswer is what the answers of nsqadmin's API have in common, and what tests ask of each.
type adminAnswer struct {
	Message string          `json:"message"`
	Topics  json.RawMessage `json:"topics"` // names, or of one node more
	Nodes   []adminNode     `json:"nodes"`
	// Of /api/topics/x.
	Channels []struct {
		Name string `json:"channel_name"`
	} `json:"channels"`
	MessageCount int `json:"message_count"`
}

// adminNode is a row of /api/nodes or, with the node's name alone, of /api/topics/x.
type adminNode struct {
	Node             string `json:"node"`
	BroadcastAddress string `json:"broadcast_address"`
	TCPPort          int    `json:"tcp_port"`
	Topics           []struct {
		Topic      string `json:"topic"`
		Tombstoned bool   `json:"tombstoned"`
	} `json:"topics"`
}

// world is a lookupd and the programs around it.
type world struct {
	*lookupd
	one, two *nsqd
	admin    *nsqadmin
}

// TestRealPrograms is a day in the life of a lookupd: all of NSQ's programs, none of them changed.
func TestRealPrograms(t *testing.T) {
	t.Parallel()
	l := startRaftlookupd(t)
	w := &world{lookupd: l, one: startNsqd(t, l), two: startNsqd(t, l), admin: startNsqadmin(t, l)}
	eventually(t, patience, func() error { return l.hasNodes(w.one.tcp, w.two.tcp) })
	t.Run("consumers find all messages", w.testConsumers)
	t.Run("a new topic is found", w.testNewTopic)
	t.Run("nsqadmin lists", w.testAdminLists)
	t.Run("nsqadmin creates", w.testAdminCreates)
	t.Run("nsqadmin deletes", w.testAdminDeletes)
	t.Run("nsqadmin tombstones", w.testAdminTombstones)
	t.Run("an nsqd leaves", w.testNsqdLeaves)
}

// inbox collects the messages of a consumer.
type inbox struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (i *inbox) HandleMessage(m *nsq.Message) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seen[string(m.Body)] = true
	return nil
}

// has returns nil when all these messages, and no others, have come.
func (i *inbox) has(want []string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.seen) != len(want) {
		return fmt.Errorf("%d messages, want %d", len(i.seen), len(want))
	}
	for _, m := range want {
		if !i.seen[m] {
			return fmt.Errorf("message %q is missing", m)
		}
	}
	return nil
}

// startConsumer consumes a topic, which need not exist yet, from wherever the lookupd says.
func startConsumer(t *testing.T, l *lookupd, topic, channel string) *inbox {
	t.Helper()
	config := nsq.NewConfig()
	config.LookupdPollInterval = 100 * time.Millisecond
	config.MaxInFlight = 10 // with fewer than there are nsqds it serves them by turns of 5 s
	c, err := nsq.NewConsumer(topic, channel, config)
	if err != nil {
		t.Fatal(err)
	}
	c.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	in := &inbox{seen: map[string]bool{}}
	c.AddHandler(in)
	if err := c.ConnectToNSQLookupd(l.http); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Stop()
		<-c.StopChan
	})
	return in
}

func (w *world) testConsumers(t *testing.T) {
	const topic = "events"
	dir := t.TempDir()
	archiver := startProcess(t, "nsq_to_file", program("nsq_to_file"), "-topic", topic, "-channel", "archive",
		"-lookupd-http-address", w.http, "-output-dir", dir, "-sync-interval", "100ms",
		"-consumer-opt", "lookupd_poll_interval,100ms")
	in := startConsumer(t, w.lookupd, topic, "workers")
	nsqds := []*nsqd{w.one, w.two}
	for _, n := range nsqds {
		if err := n.post("/topic/create?topic="+topic, ""); err != nil {
			t.Fatal(err)
		}
	}
	// A message goes to the channels that its nsqd has by then.
	eventually(t, patience, func() error {
		return errors.Join(w.one.hasChannels(topic, "archive", "workers"), w.two.hasChannels(topic, "archive", "workers"))
	})
	var sent []string
	for i := range 100 {
		sent = append(sent, fmt.Sprintf("message %d", i))
		if err := nsqds[i%2].publish(topic, sent[i]); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, patience, func() error { return errors.Join(in.has(sent), linesIn(dir).has(sent)) })
	if code := archiver.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code of nsq_to_file %d", code)
	}
}

// linesIn returns the lines of all files in dir.
func linesIn(dir string) *inbox {
	in := &inbox{seen: map[string]bool{}}
	files, _ := filepath.Glob(filepath.Join(dir, "*")) // the pattern is good
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // nsq_to_file renames its files
		}
		for line := range strings.Lines(string(text)) {
			in.seen[strings.TrimSuffix(line, "\n")] = true
		}
	}
	return in
}

func (w *world) testNewTopic(t *testing.T) {
	in := startConsumer(t, w.lookupd, "late", "workers")
	if err := w.two.publish("late", "first"); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error { return w.hasProducers("late", w.two.tcp) })
	eventually(t, patience, func() error { return in.has([]string{"first"}) })
	eventually(t, patience, func() error {
		a, err := w.lookup("late")
		if err == nil && !sameSet(a.Channels, []string{"workers"}) {
			err = fmt.Errorf("channels %v", a.Channels)
		}
		return err
	})
}

func (w *world) testAdminLists(t *testing.T) {
	var topics, nodes, events adminAnswer
	err := errors.Join(w.admin.do(http.MethodGet, "/api/topics", "", &topics),
		w.admin.do(http.MethodGet, "/api/nodes", "", &nodes),
		w.admin.do(http.MethodGet, "/api/topics/events", "", &events))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	if err := json.Unmarshal(topics.Topics, &names); err != nil || !sameSet(names, []string{"events", "late"}) {
		t.Errorf("topics %s, %v", topics.Topics, err)
	}
	var addresses []string
	for _, n := range nodes.Nodes {
		addresses = append(addresses, fmt.Sprintf("%s:%d", n.BroadcastAddress, n.TCPPort))
		if len(n.Topics) == 0 || n.Topics[0].Topic != "events" {
			t.Errorf("topics of %s: %+v", addresses[len(addresses)-1], n.Topics)
		}
	}
	if !sameSet(addresses, []string{w.one.tcp, w.two.tcp}) {
		t.Errorf("nodes %v", addresses)
	}
	if len(events.Nodes) != 2 || len(events.Channels) != 2 || events.MessageCount != 100 {
		t.Errorf("topic events: %+v", events)
	}
}

func (w *world) testAdminCreates(t *testing.T) {
	if err := w.admin.do(http.MethodPost, "/api/topics", `{"topic":"made","channel":"ready"}`, nil); err != nil {
		t.Fatal(err)
	}
	a, err := w.lookup("made")
	if err != nil || len(a.Producers) != 0 || !sameSet(a.Channels, []string{"ready"}) {
		t.Errorf("made: %+v, %v", a, err)
	}
	// An nsqd asks the lookupds that it knows for a new topic's channels (nsqio/nsq, nsqd/nsqd.go).
	if err := w.one.post("/topic/create?topic=made", ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error {
		return errors.Join(w.one.hasChannels("made", "ready"), w.hasProducers("made", w.one.tcp))
	})
}

func (w *world) testAdminDeletes(t *testing.T) {
	if err := w.one.post("/topic/create?topic=doomed", ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error { return w.hasProducers("doomed", w.one.tcp) })
	if err := w.admin.do(http.MethodPost, "/api/topics", `{"topic":"doomed","channel":"c"}`, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error { return w.one.hasChannels("doomed", "c") })
	if err := w.admin.do(http.MethodDelete, "/api/topics/doomed/c", "", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error {
		channels, err := w.channels("doomed")
		if err == nil && len(channels) > 0 {
			err = fmt.Errorf("channels %v", channels)
		}
		return errors.Join(err, w.one.hasChannels("doomed"), w.hasProducers("doomed", w.one.tcp))
	})
	if err := w.admin.do(http.MethodDelete, "/api/topics/doomed", "", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error {
		a, err := request(w.client, http.MethodGet, "http://"+w.http+"/lookup?topic=doomed", "")
		if err == nil && a.Status != http.StatusNotFound {
			err = fmt.Errorf("/lookup of a deleted topic: %d %s", a.Status, a.Body)
		}
		return errors.Join(err, w.one.hasNoTopic("doomed"))
	})
}

func (w *world) testAdminTombstones(t *testing.T) {
	for _, n := range []*nsqd{w.one, w.two} {
		if err := n.post("/topic/create?topic=entombed", ""); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, patience, func() error { return w.hasProducers("entombed", w.one.tcp, w.two.tcp) })
	if err := w.admin.do(http.MethodDelete, "/api/nodes/"+w.one.node(), `{"topic":"entombed"}`, nil); err != nil {
		t.Fatal(err)
	}
	// From here on nobody may be sent to that nsqd: nsqadmin has deleted the topic there.
	if err := w.hasProducers("entombed", w.two.tcp); err != nil {
		t.Error(err)
	}
	if err := errors.Join(w.one.hasNoTopic("entombed"), w.two.hasChannels("entombed")); err != nil {
		t.Error(err)
	}
}

func (w *world) testNsqdLeaves(t *testing.T) {
	if err := w.hasProducers("events", w.one.tcp, w.two.tcp); err != nil {
		t.Fatal(err)
	}
	if code := w.one.stop(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code of nsqd %d", code)
	}
	eventually(t, patience, func() error {
		return errors.Join(w.hasProducers("events", w.two.tcp), w.hasProducers("made"), w.hasNodes(w.two.tcp))
	})
}
