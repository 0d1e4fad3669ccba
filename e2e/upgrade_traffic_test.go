package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// traffic is what goes on while the replicas of a cluster are replaced: nsqds that stay and nsqds that change what they
// have, topics that are created and deleted over HTTP, and consumers.
type traffic struct {
	*cluster
	ledger   *ledger
	changing []*changingNsqd
	quiet    func() // ends the changes; all nsqds stay
	stop     func() // ends the rest
}

const (
	keptTopic = "kept" // of the nsqds that stay
	// changeEvery is the time between two changes of the same kind.
	changeEvery = 10 * time.Millisecond
)

// startTraffic starts it all at a cluster that has settled. Each /lookup of keptTopic at each replica has to show the
// nsqds that stay, at any time.
func startTraffic(t *testing.T, c *cluster) *traffic {
	t.Helper()
	w := &traffic{cluster: c, ledger: newLedger()}
	var stay []string
	for i, address := range c.tcp() {
		addresses := append(slices.Clone(c.tcp()[i:]), c.tcp()[:i]...)
		stay = append(stay, startClient(t, fmt.Sprintf("nsqd-%d", i), addresses, keptTopic+" c").key())
		n := startNsqdFor(t, address) // knows one replica alone
		if err := n.post("/topic/create?topic="+keptTopic, ""); err != nil {
			t.Fatal(err)
		}
		stay = append(stay, n.tcp)
		w.changing = append(w.changing, &changingNsqd{name: fmt.Sprintf("changing-%d", i), addresses: addresses, topics: map[string]bool{}})
	}
	eventually(t, patience, func() error {
		return c.everywhere(func(l *lookupd) error { return l.hasProducers(keptTopic, stay...) })
	})
	ctx, cancel := context.WithCancel(t.Context())
	changing, quiet := context.WithCancel(ctx)
	var editor, nsqds sync.WaitGroup
	editor.Go(func() { w.edit(changing) })
	for _, n := range w.changing {
		nsqds.Go(func() { n.run(ctx, changing) })
	}
	t.Cleanup(func() { cancel(); editor.Wait(); nsqds.Wait() })
	watched := (&crowd{cluster: c}).watch(t, keptTopic, stay...)
	w.quiet = func() { quiet(); editor.Wait() }
	w.stop = func() { cancel(); nsqds.Wait(); watched() }
	return w
}

// edit creates topics at one replica after another, and deletes those that are older than some others.
func (w *traffic) edit(ctx context.Context) {
	const keep = 20
	client := newHTTPClient()
	client.Timeout = 2 * time.Second
	defer client.CloseIdleConnections()
	post := func(i int, path string) func() error {
		at := w.replicas[i%len(w.replicas)].http
		return func() error { return call(client, http.MethodPost, "http://"+at+path, "", nil) }
	}
	for i := 0; ctx.Err() == nil; i++ {
		topic := fmt.Sprintf("edited-%d", i)
		w.ledger.create(topic, post(i, "/topic/create?topic="+topic))
		if old := i - keep; old >= 0 && old%2 == 0 { // the others stay
			topic := fmt.Sprintf("edited-%d", old)
			w.ledger.delete(topic, post(i, "/topic/delete?topic="+topic))
		}
		wait(ctx, changeEvery)
	}
}

// complete waits until all that was answered 200 is there, and nothing that was deleted, at all that run.
func (w *traffic) complete(t *testing.T) {
	t.Helper()
	eventually(t, clusterPatience, func() error {
		return w.everywhere(func(l *lookupd) error {
			topics, err := l.topics()
			topics = slices.DeleteFunc(topics, func(topic string) bool { return !strings.HasPrefix(topic, "edited-") })
			return errors.Join(err, w.ledger.compare("", topics))
		})
	})
}

// fingerprints returns nil when all that run have the same fingerprint at an index that all have applied. The log may
// grow meanwhile.
func (c *cluster) fingerprints() error {
	var index uint64
	for i, r := range c.up() {
		s, err := r.status()
		if err != nil {
			return err
		}
		if i == 0 || s.AppliedIndex < index {
			index = s.AppliedIndex
		}
	}
	return c.same(fmt.Sprintf("/cluster/fingerprint?index=%d", index))
}

// changingNsqd is an nsqd that registers and unregisters all the time, until it is told to be quiet. After any error it
// begins anew at the next of its addresses.
type changingNsqd struct {
	name      string
	addresses []string

	mu       sync.Mutex
	topics   map[string]bool // what it has
	next     int
	commands int   // answered OK
	last     error // why its last connection ended
}

func (n *changingNsqd) run(ctx, changing context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		err := n.serve(ctx, changing, n.addresses[i%len(n.addresses)])
		n.mu.Lock()
		n.last = err
		n.mu.Unlock()
		wait(ctx, clientPing)
	}
}

// serve keeps one connection until something is wrong.
func (n *changingNsqd) serve(ctx, changing context.Context, address string) error {
	conn, err := open(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.timeout = clientTimeout
	if _, err := conn.identify(identity(n.name, 4150, 4151)); err != nil {
		return err
	}
	for _, topic := range n.has() {
		if err := n.say(conn, "REGISTER "+topic); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		if err := n.say(conn, "PING"); err != nil {
			return err
		}
		if changing.Err() != nil {
			wait(ctx, clientPing)
			continue
		}
		if err := n.change(conn); err != nil {
			return err
		}
		wait(changing, changeEvery)
	}
	return ctx.Err()
}

// change registers a topic, and unregisters one that it has had for a while.
func (n *changingNsqd) change(conn *conn) error {
	const keeps = 10
	n.mu.Lock()
	n.next++
	come, gone := fmt.Sprintf("%s-%d", n.name, n.next), fmt.Sprintf("%s-%d", n.name, n.next-keeps)
	n.topics[come] = true
	delete(n.topics, gone)
	n.mu.Unlock()
	return errors.Join(n.say(conn, "REGISTER "+come), n.say(conn, "UNREGISTER "+gone))
}

func (n *changingNsqd) say(conn *conn, command string) error {
	if err := conn.expectOK(command); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.commands++
	return nil
}

func (n *changingNsqd) has() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Keys(n.topics))
}

// isListed returns nil when /nodes shows the nsqd with all it has, and nothing else.
func (n *changingNsqd) isListed(l *lookupd) error {
	nodes, err := l.nodes()
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if node.key() == n.name+":4150" && sameSet(node.Topics, n.has()) {
			return nil
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Errorf("%s: %s is not listed with %v; its last connection: %w", l.name, n.name, n.topics, n.last)
}

// progress counts what has gone through, for each kind of traffic and each nsqd.
func (w *traffic) progress() []int {
	counts := []int{w.ledger.created()}
	for _, n := range w.changing {
		counts = append(counts, n.done())
	}
	return counts
}

// created counts the topics whose creation was answered, one way or the other.
func (l *ledger) created() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.must)
}

func (n *changingNsqd) done() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.commands
}
