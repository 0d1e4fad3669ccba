package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"
	"github.com/raftlookupd/raftlookupd/discovery"
)

// arrivals is a consumer's handler: it notes when each message came.
type arrivals struct {
	mu   sync.Mutex
	came map[string]time.Time
}

func (a *arrivals) HandleMessage(m *nsq.Message) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.came[string(m.Body)]; !ok {
		a.came[string(m.Body)] = time.Now()
	}
	return nil
}

func (a *arrivals) of(message string) (time.Time, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, ok := a.came[message]
	if !ok {
		return at, fmt.Errorf("message %q has not come", message)
	}
	return at, nil
}

// newConsumer makes a real one with go-nsq's own intervals; it is stopped with the test.
func newConsumer(t *testing.T, topic, channel string) (*nsq.Consumer, *arrivals) {
	t.Helper()
	config := nsq.NewConfig()
	// More than one nsqd may have out (2,500): else go-nsq gives a further one its share only after 5 s,
	// now and then (consumer.go, updateRDY).
	config.MaxInFlight = 10_000
	config.OutputBufferTimeout = 25 * time.Millisecond // the least: for so long an nsqd waits for more to send, else 250 ms
	c, err := nsq.NewConsumer(topic, channel, config)
	if err != nil {
		t.Fatal(err)
	}
	c.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	in := &arrivals{came: map[string]time.Time{}}
	c.AddHandler(in)
	t.Cleanup(func() {
		c.Stop()
		<-c.StopChan
	})
	return c, in
}

// discover runs a discovery for a new consumer until the test ends, and returns what it logs too.
func discover(t *testing.T, topic, channel string, lookupds ...*lookupd) (*arrivals, *output) {
	t.Helper()
	c, in := newConsumer(t, topic, channel)
	said := &output{}
	cfg := discovery.Config{Topic: topic, AlreadyConnected: nsq.ErrAlreadyConnected, PollInterval: time.Second,
		Logger: slog.New(slog.NewTextHandler(said, nil))}
	for _, l := range lookupds {
		cfg.Addresses = append(cfg.Addresses, "http://"+l.http)
	}
	d, err := discovery.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, c) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		if t.Failed() {
			t.Logf("discovery\n%s", said)
		}
	})
	return in, said
}

// followed is the address of the replica that the discovery follows.
func followed(said *output) (string, error) {
	_, last, ok := strings.Cut(said.String()[max(0, strings.LastIndex(said.String(), "following a replica")):], "replica=http://")
	if !ok {
		return "", errors.New("it follows nobody")
	}
	return strings.Fields(last)[0], nil
}

// TestDiscovery: a new nsqd's messages reach a consumer within milliseconds of its registration, also
// when the replica that the consumer follows has just been killed; one that polls waits for its minute.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	r := c.replicas
	in, said := discover(t, "news", "followed", r[0].lookupd, r[1].lookupd, r[2].lookupd)
	polling, polled := newConsumer(t, "news", "polled")
	if err := polling.ConnectToNSQLookupds([]string{r[0].http, r[1].http, r[2].http}); err != nil {
		t.Fatal(err)
	}
	var address string
	eventually(t, patience, func() (err error) {
		address, err = followed(said)
		return err
	})
	first := newcomer(t, c, "news")
	arrive(t, first, in, "one")

	for _, replica := range r {
		if replica.http == address {
			replica.kill()
		}
	}
	if err := first.publish("news", "two"); err != nil { // its connection does not depend on replicas
		t.Fatal(err)
	}
	eventually(t, patience, func() error { _, err := in.of("two"); return err })
	c.settle(t)
	eventually(t, patience, func() error {
		now, err := followed(said)
		if err == nil && now == address {
			err = fmt.Errorf("it follows %s, which was killed", now)
		}
		return err
	})
	second := newcomer(t, c, "news")
	arrive(t, second, in, "three")
	if at, err := polled.of("one"); err == nil {
		t.Errorf("the consumer that polls every minute had a message at %v", at)
	}
}

// newcomer starts an nsqd, which has a topic and is known to all replicas that run, so that what follows
// is measured from when the topic is.
func newcomer(t *testing.T, c *cluster, topic string) *nsqd {
	t.Helper()
	var tcp []string
	for _, r := range c.up() {
		tcp = append(tcp, r.lookupd.tcp)
	}
	n := startNsqdFor(t, tcp...)
	eventually(t, patience, func() error {
		return c.everywhere(func(l *lookupd) error {
			nodes, err := l.nodes()
			if err != nil {
				return err
			}
			for _, p := range nodes {
				if p.key() == n.tcp {
					return nil
				}
			}
			return fmt.Errorf("%s is not known", n.tcp)
		})
	})
	return n
}

// arrive publishes the first message of a topic at an nsqd, which registers the topic then, and prints
// how long it took to the consumer.
func arrive(t *testing.T, n *nsqd, in *arrivals, message string) {
	t.Helper()
	begin := time.Now()
	if err := n.publish("news", message); err != nil {
		t.Fatal(err)
	}
	published := time.Now()
	var at time.Time
	const most = 5 * time.Second // far from the minute of a poll; it takes some milliseconds
	eventually(t, most, func() (err error) {
		at, err = in.of(message)
		return err
	})
	t.Logf("message %q at a new nsqd: published after %v, with the consumer after %v", message, published.Sub(begin), at.Sub(begin))
}

// TestDiscoveryDocument runs the program that the documentation shows.
func TestDiscoveryDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/discovery.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(text), "```go\n")
	code, _, ok := strings.Cut(code, "```\n")
	if !ok {
		t.Fatal("there is no program in docs/discovery.md")
	}
	source, binary := filepath.Join(t.TempDir(), "main.go"), filepath.Join(t.TempDir(), "consume")
	if err := os.WriteFile(source, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := goBuild(".", binary, source); err != nil {
		t.Fatal(err)
	}
	l := startRaftlookupd(t)
	n := startNsqd(t, l)
	consume := startProcess(t, "consume", binary, "-topic", "news", "-replicas", "http://"+l.http)
	if err := n.publish("news", "a message"); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, func() error {
		if got := consume.stdout.String(); got != "a message\n" {
			return fmt.Errorf("it has printed %q", got)
		}
		return nil
	})
	if code := consume.stop(t, os.Interrupt); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestDiscoveryOfStockLookupds: it polls those that have no /watch.
func TestDiscoveryOfStockLookupds(t *testing.T) {
	t.Parallel()
	one, two := startNsqlookupd(t), startNsqlookupd(t)
	in, _ := discover(t, "news", "c", one, two)
	for i, l := range []*lookupd{one, two} {
		n := startNsqd(t, l)
		message := fmt.Sprint("message ", i)
		if err := n.publish("news", message); err != nil {
			t.Fatal(err)
		}
		eventually(t, patience, func() error { _, err := in.of(message); return err })
	}
}
