package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// restless is an nsqd that does what chance says: it makes and deletes topics and channels, tells each of its peers
// so, one after another, and after any error begins anew there with all it has (nsqio/nsq, nsqd/lookup.go and
// lookup_peer.go). It is never without its own topic.
type restless struct {
	name  string
	peers []*peer
	known *ledger
	*rand.Rand

	has  map[string]map[string]bool // channels by topic; nobody writes once it is calm
	calm chan struct{}              // closed when it changes nothing more, and only PINGs
}

// peer is a connection to an nsqlookupd, for an nsqd that knows it by one address or by several.
type peer struct {
	addresses []string
	turn      int
	conn      *conn // nil while there is none
	unplugged bool  // and stays so
}

func newRestless(name string, seed, number uint64, known *ledger, peers ...*peer) *restless {
	return &restless{name: name, peers: peers, known: known, Rand: rand.New(rand.NewPCG(seed, number)),
		has: map[string]map[string]bool{"own-" + name: {}}, calm: make(chan struct{})}
}

// start runs it until the test ends; it is calm soon after busy has ended.
func (n *restless) start(t *testing.T, busy context.Context) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		n.tell("REGISTER own-" + n.name)
		for busy.Err() == nil {
			n.step()
			wait(busy, time.Duration(n.IntN(60))*time.Millisecond)
		}
		n.rest()
		close(n.calm)
		for ctx.Err() == nil {
			n.tell("PING")
			wait(ctx, clientPing)
		}
		for _, p := range n.peers {
			p.hangUp()
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

func (n *restless) step() {
	p := n.peers[n.IntN(len(n.peers))]
	switch chance := n.IntN(1000); { // connections live for seconds, so that most outlive a cut
	case chance < 350:
		n.register()
	case chance < 550:
		n.unregister()
	case chance < 555:
		p.hangUp() // and comes back with the next command
	case chance < 560:
		p.hangUp()
		p.unplugged = !p.unplugged
	default:
		n.tell("PING")
	}
}

// rest leaves most nsqds with one connection, so that what it has said must stay without help from another, and some
// with none.
func (n *restless) rest() {
	keep := n.IntN(len(n.peers))
	if n.IntN(6) == 0 {
		keep = -1
	}
	for i, p := range n.peers {
		if p.unplugged = i != keep && n.IntN(4) > 0; p.unplugged {
			p.hangUp()
		}
	}
}

func (n *restless) register() {
	topic := fmt.Sprintf("t%d", n.IntN(5))
	if n.has[topic] == nil {
		n.has[topic] = map[string]bool{}
		n.tell("REGISTER " + topic)
	}
	if n.IntN(3) > 0 {
		channel := fmt.Sprintf("c%d", n.IntN(3))
		n.has[topic][channel] = true
		n.tell("REGISTER " + topic + " " + channel)
	}
}

// unregister deletes a channel, or a topic with its channels before it.
func (n *restless) unregister() {
	topics := slices.Sorted(maps.Keys(n.has))
	topic := topics[n.IntN(len(topics))]
	if strings.HasPrefix(topic, "own-") {
		return
	}
	channels := slices.Sorted(maps.Keys(n.has[topic]))
	whole := len(channels) == 0 || n.IntN(2) == 0
	if !whole {
		channels = channels[:1]
	}
	for _, channel := range channels {
		delete(n.has[topic], channel)
		n.tell("UNREGISTER " + topic + " " + channel)
	}
	if whole {
		delete(n.has, topic)
		n.tell("UNREGISTER " + topic)
	}
}

// tell sends a line to each peer.
func (n *restless) tell(line string) {
	for _, p := range n.peers {
		if p.unplugged {
			continue
		}
		if err := n.command(p, line); err != nil {
			p.hangUp()
			p.turn++
		}
	}
}

func (n *restless) command(p *peer, line string) error {
	if p.conn == nil {
		if err := n.connect(p); err != nil {
			return err
		}
	}
	return n.say(p, line)
}

func (n *restless) connect(p *peer) error {
	conn, err := open(p.addresses[p.turn%len(p.addresses)])
	if err != nil {
		return err
	}
	conn.timeout = clientTimeout
	p.conn = conn
	if text, err := conn.identify(identity(n.name, 4150, 4151)); err != nil || strings.HasPrefix(text, "E_") {
		return fmt.Errorf("identify: %q, %w", text, err)
	}
	for _, r := range n.registrations() {
		if err := n.say(p, "REGISTER "+r); err != nil {
			return err
		}
	}
	return nil
}

// say sends one line. That a change waits for a commit is an answer that nsqds ignore.
func (n *restless) say(p *peer, line string) error {
	registration, registers := strings.CutPrefix(line, "REGISTER ")
	if registers {
		n.known.tries(registration)
	}
	answer, err := p.conn.command(line)
	if err != nil {
		return err
	}
	switch {
	case answer == "OK" && registers:
		n.known.has(registration)
	case answer == "OK", strings.HasPrefix(answer, "E_PENDING"):
	case strings.HasPrefix(answer, "E_UNAVAILABLE"):
		return fmt.Errorf("%s: %s", line, answer)
	default:
		n.known.wonder(fmt.Errorf("%s at %s: %s: answered %q", n.name, p.conn.RemoteAddr(), line, answer))
	}
	return nil
}

func (p *peer) hangUp() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

// registrations are what it says on a new connection.
func (n *restless) registrations() []string {
	var all []string
	for topic, channels := range n.has {
		if len(channels) == 0 {
			all = append(all, topic)
		}
		for channel := range channels {
			all = append(all, topic+" "+channel)
		}
	}
	slices.Sort(all)
	return all
}

// plugged is how many connections it has when all is well.
func (n *restless) plugged() int {
	count := 0
	for _, p := range n.peers {
		if !p.unplugged {
			count++
		}
	}
	return count
}

// rows are those of /debug under which each of its sessions is.
func (n *restless) rows() []string {
	rows := []string{"client::"}
	for topic, channels := range n.has {
		rows = append(rows, "topic:"+topic+":")
		for channel := range channels {
			rows = append(rows, "channel:"+topic+":"+channel)
		}
	}
	return rows
}
