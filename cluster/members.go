package cluster

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// members is who gossip says there is: for each id the newest of its lives. It also remembers the
// dead for a while, so that they can be named.
type members struct {
	changed chan struct{} // holds a token when something changed

	mu    sync.Mutex
	nodes map[string]member // by gossip name
}

type member struct {
	meta
	node   string // its name in gossip: id and incarnation
	gossip string // host:port
	alive  bool
	gone   time.Time // since when it is not alive
}

// deadKept is for how long the dead are remembered.
const deadKept = 24 * time.Hour

func newMembers() *members {
	return &members{nodes: make(map[string]member), changed: make(chan struct{}, 1)}
}

func (ms *members) put(m member) {
	ms.mu.Lock()
	ms.nodes[m.node] = m
	for name, other := range ms.nodes { // of the dead only the newest life is remembered
		replaced := other.ID == m.ID && other.Incarnation < m.Incarnation
		if !other.alive && (replaced || time.Since(other.gone) > deadKept) {
			delete(ms.nodes, name)
		}
	}
	ms.mu.Unlock()
	ms.notify()
}

func (ms *members) gone(node string) {
	ms.mu.Lock()
	if m, known := ms.nodes[node]; known && m.alive {
		m.alive, m.gone = false, time.Now()
		ms.nodes[node] = m
	}
	ms.mu.Unlock()
	ms.notify()
}

func (ms *members) notify() {
	select {
	case ms.changed <- struct{}{}:
	default:
	}
}

// all returns each id once, in its newest life but a living one first, sorted by name and id.
func (ms *members) all() []member {
	ms.mu.Lock()
	byID := make(map[string]member)
	for _, m := range ms.nodes {
		old, known := byID[m.ID]
		if !known || m.alive && !old.alive || m.alive == old.alive && m.Incarnation > old.Incarnation {
			byID[m.ID] = m
		}
	}
	ms.mu.Unlock()
	all := make([]member, 0, len(byID))
	for _, m := range byID {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b member) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	return all
}

// unseenServers returns the other servers of Raft's configuration that are not alive for gossip.
func (r *Replica) unseenServers() []string {
	var ids []string
	for id := range r.servers() {
		if id != r.data.ID && !r.seen(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// get returns the newest life of an id.
func (ms *members) get(id string) (member, bool) {
	for _, m := range ms.all() {
		if m.ID == id {
			return m, true
		}
	}
	return member{}, false
}
