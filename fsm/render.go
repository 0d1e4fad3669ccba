package fsm

import (
	"encoding/json"
	"slices"
	"strconv"
)

// Lookup is the body of /lookup?topic=: {"channels":[…],"producers":[…]}. It is rendered once per
// change of the topic; do not modify it. False when there is no such topic.
func (s *State) Lookup(name string) ([]byte, bool) {
	if name == AllTopics {
		return s.lookupAll()
	}
	t, ok := s.topics.Get(name)
	if !ok || !t.registered {
		return nil, false
	}
	if body := t.answers.lookup.Load(); body != nil {
		return *body, true
	}
	body := renderLookup(appendChannels(nil, t.channels), s.visible(t))
	t.answers.lookup.Store(&body)
	return body, true
}

func renderLookup(channels []byte, producers []*session) []byte {
	size := len(channels) + len(`{"channels":,"producers":[]}`)
	for _, p := range producers {
		size += len(p.rendered) + 1
	}
	b := make([]byte, 0, size)
	b = append(b, `{"channels":`...)
	b = append(b, channels...)
	b = append(b, `,"producers":[`...)
	for i, p := range producers {
		b = comma(b, i)
		b = append(b, p.rendered...)
	}
	return append(b, `]}`...)
}

// visible returns what to show of each producer that a lookup of the topic tells of: one that an
// active session has given the topic and that is not hidden by a tombstone.
func (s *State) visible(t *topic) []*session {
	var found []*session
	for i := 0; i < len(t.holders); {
		p := s.producer(t.holders[i].session.producer)
		active := false
		for ; i < len(t.holders) && t.holders[i].session.producer == p.key; i++ {
			active = active || p.session(t.holders[i].session.serial).active
		}
		if active && t.tombstone(p.key) == 0 {
			found = append(found, p.shown())
		}
	}
	return found
}

// lookupAll answers for AllTopics as nsqlookupd does for "*": every channel of every topic, and
// every producer that any topic shows.
func (s *State) lookupAll() ([]byte, bool) {
	if s.counts.Topics == 0 {
		return nil, false
	}
	var producers []*session
	s.topics.Scan(func(_ string, t *topic) bool {
		if t.registered {
			producers = append(producers, s.visible(t)...)
		}
		return true
	})
	slices.SortFunc(producers, func(a, b *session) int { return a.identity.compare(b.identity) })
	producers = slices.Compact(producers)
	return renderLookup(appendNames(nil, s.allChannels()), producers), true
}

func (s *State) allChannels() []string {
	var names []string
	s.topics.Scan(func(_ string, t *topic) bool {
		for _, c := range t.channels {
			names = append(names, c.name)
		}
		return true
	})
	slices.Sort(names)
	return names
}

// Topics is the body of /topics: {"topics":[…]}. Do not modify it.
func (s *State) Topics() []byte {
	if body := s.allTopics.body.Load(); body != nil {
		return *body
	}
	b := []byte(`{"topics":[`)
	i := 0
	all := s.counts.Topics == s.topics.Len() // then no topic has to be fetched from memory
	s.topics.Scan(func(name string, t *topic) bool {
		if all || t.registered {
			b = appendName(comma(b, i), name)
			i++
		}
		return true
	})
	b = append(b, `]}`...)
	s.allTopics.body.Store(&b)
	return b
}

// Channels is the body of /channels?topic=: {"channels":[…]}. Do not modify it.
func (s *State) Channels(name string) []byte {
	if name == AllTopics {
		return renderChannels(appendNames(nil, s.allChannels()))
	}
	t, ok := s.topics.Get(name)
	if !ok {
		return renderChannels([]byte(`[]`))
	}
	if body := t.answers.channels.Load(); body != nil {
		return *body
	}
	body := renderChannels(appendChannels(nil, t.channels))
	t.answers.channels.Store(&body)
	return body
}

func renderChannels(channels []byte) []byte {
	return append(append([]byte(`{"channels":`), channels...), '}')
}

// Nodes is the body of /nodes: {"producers":[…]}, each with its topics and whether it is
// tombstoned there. Do not modify it.
func (s *State) Nodes() []byte {
	if body := s.allNodes.body.Load(); body != nil {
		return *body
	}
	nodes := s.nodes()
	size := len(`{"producers":[]}`)
	for _, n := range nodes {
		size += n.size()
	}
	b := append(make([]byte, 0, size), `{"producers":[`...)
	for i, n := range nodes {
		b = n.append(comma(b, i))
	}
	b = append(b, `]}`...)
	s.allNodes.body.Store(&b)
	return b
}

// node is one row of /nodes in the making.
type node struct {
	shown      *session
	tombstones []byte // "false" or "true" for each topic, with commas
	topics     []byte // their names
	last       *topic // the last one in them
}

// nodes returns the active producers with the topics that their active sessions have. The topics come
// sorted because they are visited in their order.
func (s *State) nodes() []*node {
	nodes := make([]*node, 0, s.counts.Producers)
	of := make(map[*identity]*node, s.counts.Sessions+s.counts.Orphans) // the active sessions
	s.producers.Scan(func(p *producer) bool {
		if !p.active() {
			return true
		}
		n := &node{shown: p.shown()}
		nodes = append(nodes, n)
		for _, o := range p.sessions {
			if o.active {
				of[o.identity] = n
			}
		}
		return true
	})
	share := s.topics.Len() / max(1, len(nodes)) // what each has if no two have the same
	for _, n := range nodes {
		n.topics, n.tombstones = make([]byte, 0, share*len(`"a-name-of-usual-length",`)), make([]byte, 0, share*len(`false,`))
	}
	s.holdings(func(t *topic, session *identity) {
		if n := of[session]; n != nil && n.last != t {
			n.add(t)
		}
	})
	return nodes
}

// holdings calls f for each topic, by name, and each session that has it. It goes through 32 topics
// at a time, one step for all of them and then the next, for each step waits for memory: so they are
// waited for together, which takes half the time.
func (s *State) holdings(f func(*topic, *identity)) {
	var topics [32]*topic
	var holders [32][]*holder
	var first [32]*identity
	n := 0
	flush := func() {
		for i, t := range topics[:n] {
			holders[i] = t.holders
		}
		for i, hs := range holders[:n] {
			if len(hs) > 0 {
				first[i] = hs[0].session
			}
		}
		for i, hs := range holders[:n] {
			for k, h := range hs {
				session := first[i]
				if k > 0 {
					session = h.session
				}
				f(topics[i], session)
			}
		}
		n = 0
	}
	s.topics.Scan(func(_ string, t *topic) bool {
		topics[n] = t
		if n++; n == len(topics) {
			flush()
		}
		return true
	})
	flush()
}

func (n *node) add(t *topic) {
	if n.last != nil {
		n.tombstones, n.topics = append(n.tombstones, ','), append(n.topics, ',')
	}
	n.tombstones = strconv.AppendBool(n.tombstones, t.tombstone(n.shown.producer) != 0)
	n.topics = appendName(n.topics, t.name)
	n.last = t
}

func (n *node) size() int {
	return len(n.shown.rendered) + len(n.tombstones) + len(n.topics) + len(`,,"tombstones":[],"topics":[]`)
}

func (n *node) append(b []byte) []byte {
	b = append(b, n.shown.rendered[:len(n.shown.rendered)-1]...) // without its closing brace
	b = append(b, `,"tombstones":[`...)
	b = append(b, n.tombstones...)
	b = append(b, `],"topics":[`...)
	b = append(b, n.topics...)
	return append(b, `]}`...)
}

func appendChannels(b []byte, channels []channel) []byte {
	b = append(b, '[')
	for i, c := range channels {
		b = appendName(comma(b, i), c.name)
	}
	return append(b, ']')
}

func appendNames(b []byte, names []string) []byte {
	b = append(b, '[')
	for i, name := range names {
		b = appendName(comma(b, i), name)
	}
	return append(b, ']')
}

// appendName appends a name as JSON. Whoever proposes a change checks the names in it; one that is
// not valid all the same is quoted with care.
func appendName(b []byte, name string) []byte {
	if !ValidName(name) {
		return appendQuoted(b, name)
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"')
}

func appendQuoted(b []byte, name string) []byte {
	quoted, err := json.Marshal(name)
	if err != nil { // a string always marshals
		return append(b, `""`...)
	}
	return append(b, quoted...)
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}
