package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// How nsqd behaves towards each nsqlookupd (nsqio/nsq, nsqd/lookup_peer.go), but for the time between PINGs.
const (
	clientTimeout = time.Second
	clientPing    = 200 * time.Millisecond
)

// client is an nsqd's side of one connection: it registers all it has, pings, and after any error
// begins anew at the next of its addresses.
type client struct {
	name      string
	addresses []string

	mu            sync.Mutex
	registrations []string
	done          int    // how many of them this connection has been told
	at            string // where it has registered all, else ""
	last          error  // of the connection before

	stop func() // closes the connection, and returns when it is closed
}

// startClient starts the producer name:4150; it stops with the test at the latest.
func startClient(t *testing.T, name string, addresses []string, registrations ...string) *client {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	c := &client{name: name, addresses: addresses, registrations: registrations}
	c.stop = func() { cancel(); wg.Wait() }
	wg.Go(func() { c.run(ctx) })
	t.Cleanup(c.stop)
	return c
}

func (c *client) key() string { return c.name + ":4150" }

func (c *client) run(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		err := c.serve(ctx, c.addresses[i%len(c.addresses)])
		c.mu.Lock()
		c.done, c.at, c.last = 0, "", err
		c.mu.Unlock()
		wait(ctx, clientPing)
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// serve keeps one connection until something is wrong.
func (c *client) serve(ctx context.Context, address string) error {
	conn, err := open(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.timeout = clientTimeout
	if _, err := conn.identify(identity(c.name, 4150, 4151)); err != nil {
		return fmt.Errorf("identify at %s: %w", address, err)
	}
	for ctx.Err() == nil {
		next, left := c.next()
		if left {
			if err := conn.expectOK("REGISTER " + next); err != nil {
				return fmt.Errorf("%s: %w", address, err)
			}
			continue
		}
		if err := conn.expectOK("PING"); err != nil {
			return fmt.Errorf("%s: %w", address, err)
		}
		c.settled(address)
		wait(ctx, clientPing)
	}
	return ctx.Err()
}

// next returns the next registration that the connection has to be told.
func (c *client) next() (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == len(c.registrations) {
		return "", false
	}
	c.done++
	return c.registrations[c.done-1], true
}

func (c *client) settled(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == len(c.registrations) {
		c.at = address
	}
}

// where is the address where the client has registered all it has.
func (c *client) where() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == "" {
		return "", fmt.Errorf("%s has told %d of %d registrations; its last connection: %v",
			c.name, c.done, len(c.registrations), c.last)
	}
	return c.at, nil
}

// told returns nil when the clients' connections have been told that much together.
func told(clients []*client, enough int) error {
	n := 0
	for _, c := range clients {
		c.mu.Lock()
		n += c.done
		c.mu.Unlock()
	}
	if n < enough {
		return fmt.Errorf("%d registrations are told, want %d", n, enough)
	}
	return nil
}

// registered lists the topics of each of the producers, as the clients have them.
func registered(clients []*client) map[string][]string {
	byKey := map[string][]string{}
	for _, c := range clients {
		c.mu.Lock()
		for _, r := range c.registrations {
			topic, _, _ := strings.Cut(r, " ")
			if !slices.Contains(byKey[c.key()], topic) {
				byKey[c.key()] = append(byKey[c.key()], topic)
			}
		}
		c.mu.Unlock()
	}
	return byKey
}

// lists returns nil when /nodes and /lookup show each client once with all it has, and nobody else.
func lists(l *lookupd, clients []*client) error {
	want := registered(clients)
	nodes, err := l.nodes()
	if err != nil {
		return err
	}
	byTopic := map[string][]string{}
	for _, n := range nodes {
		topics, known := want[n.key()]
		if !known || !sameSet(n.Topics, topics) {
			return fmt.Errorf("%s: /nodes has %s with %v, want %v", l.name, n.key(), n.Topics, topics)
		}
	}
	for key, topics := range want {
		for _, topic := range topics {
			byTopic[topic] = append(byTopic[topic], key)
		}
	}
	if len(nodes) != len(want) {
		return fmt.Errorf("%s: /nodes has %v, want %d", l.name, keys(nodes), len(want))
	}
	for topic, producers := range byTopic {
		if err := l.hasProducers(topic, producers...); err != nil {
			return err
		}
	}
	return nil
}
