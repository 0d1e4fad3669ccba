package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/url"
)

// The names of random histories are few, so that connections meet. Two producers share a node, as
// /topic/tombstone sees it.
var (
	names         = []string{"t1", "t2", "e1#ephemeral", "e2#ephemeral"}
	channelNames  = []string{"c1", "c2", "x#ephemeral"}
	producerNames = []string{"nsqd-a:4150:4151", "nsqd-b:4150:4151", "nsqd-c:4150:4151",
		"nsqd-d:4150:4151", "nsqd-e:4150:4151", "nsqd-e:5150:4151"}
	nodeNames = []string{"nsqd-a:4151", "nsqd-b:4151", "nsqd-e:4151", "nsqd-x:4151"}
	badLines  = []string{"NONSENSE", "REGISTER", "REGISTER bad!name", "UNREGISTER t1 bad!name", "IDENTIFY"}
)

// writer writes random histories for a player. It leaves out what nsqlookupd itself answers one way or
// the other by chance: topic=* with tombstones.
type writer struct {
	*rand.Rand
	open map[int]bool // connections, by index of their producer
}

func newWriter(seed uint64) *writer {
	return &writer{rand.New(rand.NewPCG(seed, 0)), map[int]bool{}}
}

func (w *writer) history(steps int) []string {
	var lines []string
	for len(lines) < steps {
		lines = append(lines, w.some()...)
	}
	return lines
}

// some returns the next step, or the two that only make sense together.
func (w *writer) some() []string {
	conn := w.IntN(len(producerNames))
	name := connName(conn)
	if !w.open[conn] {
		w.open[conn] = true
		return []string{name + " open", name + " identify " + producerNames[conn]}
	}
	switch chance := w.IntN(100); {
	case chance < 38:
		return []string{name + " says REGISTER " + w.registration()}
	case chance < 63:
		return []string{name + " says UNREGISTER " + w.registration()}
	case chance < 66:
		return []string{name + " says PING"}
	case chance < 71:
		w.open[conn] = false
		return []string{name + " leave"}
	case chance < 73:
		w.open[conn] = false
		return []string{name + " says " + pick(w, badLines)}
	default:
		return []string{w.change()}
	}
}

// connName names the connection of a producer.
func connName(producer int) string { return string(rune('A' + producer)) }

func (w *writer) registration() string {
	if w.IntN(3) == 0 {
		return pick(w, names)
	}
	return pick(w, names) + " " + pick(w, channelNames)
}

// change returns an HTTP request that changes the registry.
func (w *writer) change() string {
	topic := url.QueryEscape(pick(w, names))
	channel := url.QueryEscape(pick(w, channelNames))
	switch chance := w.IntN(100); {
	case chance < 15:
		return "POST /topic/create?topic=" + topic
	case chance < 30:
		return "POST /topic/delete?topic=" + topic
	case chance < 32:
		return "POST /topic/delete?topic=*"
	case chance < 47:
		return fmt.Sprintf("POST /channel/create?topic=%s&channel=%s", topic, channel)
	case chance < 62:
		return fmt.Sprintf("POST /channel/delete?topic=%s&channel=%s", topic, channel)
	default:
		return fmt.Sprintf("POST /topic/tombstone?topic=%s&node=%s", topic, pick(w, nodeNames))
	}
}

func pick(w *writer, from []string) string { return from[w.IntN(len(from))] }
