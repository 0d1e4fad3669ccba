package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nsqio/go-nsq"
)

// flowPause is between two messages.
const flowPause = 5 * time.Millisecond

// consume starts a consumer that asks at these addresses, and returns what stops it.
func consume(t *testing.T, topic, channel string, addresses []string, in *inbox) (stop func()) {
	t.Helper()
	config := nsq.NewConfig()
	config.LookupdPollInterval = 100 * time.Millisecond
	config.MaxInFlight = 10
	c, err := nsq.NewConsumer(topic, channel, config)
	if err != nil {
		t.Fatal(err)
	}
	c.SetLogger(log.New(io.Discard, "", 0), nsq.LogLevelError)
	c.AddHandler(in)
	if err := c.ConnectToNSQLookupds(addresses); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() { c.Stop(); <-c.StopChan })
	t.Cleanup(stop)
	return stop
}

// read starts the flow's readers, a consumer and nsq_to_file, and returns once they are at every nsqd.
func (m *migration) read(t *testing.T, addresses []string) (stop func()) {
	t.Helper()
	dir := t.TempDir()
	args := []string{"-topic", flowTopic, "-channel", "archive", "-output-dir", dir, "-sync-interval", "100ms",
		"-consumer-opt", "lookupd_poll_interval,100ms"}
	for _, a := range addresses {
		args = append(args, "-lookupd-http-address", a)
	}
	m.archives = append(m.archives, dir)
	archiver := startProcess(t, "nsq_to_file", program("nsq_to_file"), args...)
	stopWorkers := consume(t, flowTopic, "workers", addresses, m.workers)
	for _, n := range m.nsqds {
		eventually(t, patience, func() error { return n.hasReaders(len(m.archives)) })
	}
	return func() {
		stopWorkers()
		if code := archiver.stop(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code of nsq_to_file %d", code)
		}
	}
}

// hasReaders returns nil when so many read each of the flow's channels that has readers.
func (n *nsqd) hasReaders(want int) error {
	var stats struct {
		Topics []struct {
			Channels []struct {
				Name    string            `json:"channel_name"`
				Clients []json.RawMessage `json:"clients"`
			} `json:"channels"`
		} `json:"topics"`
	}
	if err := n.get("/stats?format=json&topic="+flowTopic, &stats); err != nil {
		return err
	}
	got := map[string]int{}
	for _, topic := range stats.Topics {
		for _, c := range topic.Channels {
			got[c.Name] = len(c.Clients)
		}
	}
	if !maps.Equal(got, map[string]int{"workers": want, "archive": want}) {
		return fmt.Errorf("readers at nsqd %s: %v, want %d of each", n.tcp, got, want)
	}
	return nil
}

// startFlow publishes to the nsqds in turn, and returns what stops that and tells what was published.
func (m *migration) startFlow(t *testing.T) (stop func() (sent []string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var sent []string
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			message := fmt.Sprintf("message %d", i)
			if err := m.nsqds[i%len(m.nsqds)].publish(flowTopic, message); err != nil {
				t.Error(err)
				return
			}
			sent = append(sent, message)
			wait(ctx, flowPause)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return func() []string { cancel(); wg.Wait(); return sent }
}

// sameNames returns nil when ours has the topics and channels that the others have together.
func sameNames(old []*lookupd, ours *lookupd) error {
	want, err := namesOf(old...)
	if err != nil {
		return err
	}
	got, err := namesOf(ours)
	if err == nil && !slices.Equal(got, want) {
		err = fmt.Errorf("%s has %v, the old ones have %v", ours.name, got, want)
	}
	return err
}

// namesOf lists topics and topic:channel, without repeats.
func namesOf(all ...*lookupd) ([]string, error) {
	var names []string
	for _, l := range all {
		topics, err := l.topics()
		if err != nil {
			return nil, err
		}
		names = append(names, topics...)
		for _, topic := range topics {
			channels, err := l.channels(topic)
			if err != nil {
				return nil, err
			}
			for _, c := range channels {
				names = append(names, topic+":"+c)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// sameProducers returns nil when a consumer is told the same of each topic that the old one has.
func sameProducers(old, ours *lookupd) error {
	topics, err := old.topics()
	if err != nil {
		return err
	}
	for _, topic := range topics {
		a, err := old.lookup(topic)
		if err != nil {
			return err
		}
		if err := ours.hasProducers(topic, keys(a.Producers)...); err != nil {
			return err
		}
	}
	return nil
}

// linesInAll returns the lines of all files in the directories.
func linesInAll(dirs []string) *inbox {
	all := &inbox{seen: map[string]bool{}}
	for _, dir := range dirs {
		maps.Copy(all.seen, linesIn(dir).seen)
	}
	return all
}
