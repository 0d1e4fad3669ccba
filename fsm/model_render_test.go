package fsm

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What the model answers, rendered with encoding/json.

// holders returns the producers that have a registration, sorted.
func (m *model) holders(k registration) []ProducerKey {
	found := map[ProducerKey]bool{}
	for key := range m.registrations[k] {
		found[m.sessions[key].producer()] = true
	}
	return sortedProducers(found)
}

func sortedProducers(found map[ProducerKey]bool) []ProducerKey {
	return slices.SortedFunc(maps.Keys(found), func(a, b ProducerKey) int {
		if a.Address != b.Address {
			return strings.Compare(a.Address, b.Address)
		}
		return a.Port - b.Port
	})
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// shown is the session whose info is shown: an active one rather than an inactive one, a live one
// rather than an orphan, the newest of these.
func (m *model) shown(k ProducerKey) *modelSession {
	for _, active := range []bool{true, false} {
		for _, orphan := range []bool{false, true} {
			of := m.of(k)
			slices.Reverse(of)
			for _, s := range of {
				if s.active == active && s.orphan == orphan {
					return s
				}
			}
		}
	}
	return nil
}

// has reports whether an active session of the producer has the topic.
func (m *model) has(k ProducerKey, topic string) bool {
	for key := range m.registrations[registration{"topic", topic, ""}] {
		if s := m.sessions[key]; s.active && s.producer() == k {
			return true
		}
	}
	return false
}

func (m *model) lookup(topic string) string {
	found := m.match("topic", topic, "")
	if len(found) == 0 {
		return "false "
	}
	visible := map[ProducerKey]bool{}
	for _, k := range found {
		for _, p := range m.holders(k) {
			if m.has(p, k.topic) && m.stones[stoneKey{k.topic, p}] == 0 {
				visible[p] = true
			}
		}
	}
	infos := []ProducerInfo{}
	for _, p := range sortedProducers(visible) {
		infos = append(infos, m.shown(p).info)
	}
	return "true " + render(map[string]any{"channels": m.channels(topic), "producers": infos})
}

func (m *model) channels(topic string) []string {
	names := []string{}
	for _, k := range m.match("channel", topic, "*") {
		names = append(names, k.channel)
	}
	slices.Sort(names)
	return names
}

func (m *model) topics() []string {
	names := []string{}
	for _, k := range m.match("topic", "*", "") {
		names = append(names, k.topic)
	}
	return names
}

func (m *model) nodes() string {
	type node struct {
		ProducerInfo
		Tombstones []bool   `json:"tombstones"`
		Topics     []string `json:"topics"`
	}
	active := map[ProducerKey]bool{}
	for _, s := range m.sessions {
		if s.active {
			active[s.producer()] = true
		}
	}
	nodes := []node{}
	for _, p := range sortedProducers(active) {
		n := node{m.shown(p).info, []bool{}, []string{}}
		for _, topic := range m.topics() {
			if m.has(p, topic) {
				n.Topics = append(n.Topics, topic)
				n.Tombstones = append(n.Tombstones, m.stones[stoneKey{topic, p}] != 0)
			}
		}
		nodes = append(nodes, n)
	}
	return render(map[string]any{"producers": nodes})
}

func render(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// sorted returns sessions as listings order them: by producer, the oldest first.
func (m *model) sorted(pass func(SessionKey) bool) []*modelSession {
	producers := map[ProducerKey]bool{}
	for _, s := range m.sessions {
		producers[s.producer()] = true
	}
	var found []*modelSession
	for _, p := range sortedProducers(producers) {
		for _, s := range m.of(p) {
			if pass(s.key) {
				found = append(found, s)
			}
		}
	}
	return found
}

func (m *model) held() string {
	var b strings.Builder
	rows := func(k registration, pass func(SessionKey) bool) {
		for _, s := range m.sorted(pass) {
			h := Held{Category: k.category, Topic: k.topic, Channel: k.channel, Session: s.key, Info: s.info}
			if k.category == "topic" {
				h.Tombstone = m.stones[stoneKey{k.topic, s.producer()}]
			}
			fmt.Fprintf(&b, "%+v\n", h)
		}
	}
	rows(registration{category: "client"}, func(SessionKey) bool { return true })
	for _, topic := range m.topics() {
		for _, k := range append(m.match("topic", topic, ""), m.match("channel", topic, "*")...) {
			rows(k, func(s SessionKey) bool { return m.registrations[k][s] })
		}
	}
	return b.String()
}

func (m *model) counts() Counts {
	c := Counts{Topics: len(m.match("topic", "*", "")), Channels: len(m.match("channel", "*", "*")),
		Tombstones: len(m.stones)}
	producers := map[ProducerKey]bool{}
	for _, s := range m.sessions {
		producers[s.producer()] = true
		if s.orphan {
			c.Orphans++
		} else {
			c.Sessions++
		}
	}
	c.Producers = len(producers)
	return c
}

// groups returns the groups of orphans, sorted.
func (m *model) groups() []OrphanGroup {
	var groups []OrphanGroup
	for _, s := range m.sessions {
		if g := (OrphanGroup{s.key.Replica, s.key.Incarnation, s.since}); s.orphan && !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	slices.SortFunc(groups, func(a, b OrphanGroup) int { // no number has more than 6 digits
		text := func(g OrphanGroup) string { return fmt.Sprintf("%s %6d %6d", g.Replica, g.Incarnation, g.Since) }
		return strings.Compare(text(a), text(b))
	})
	return groups
}

// ask asks the model for what ask asks a state for.
func (m *model) ask() answers {
	a := answers{
		"topics":  render(map[string]any{"topics": m.topics()}),
		"nodes":   m.nodes(),
		"counts":  fmt.Sprintf("%+v", m.counts()),
		"orphans": groupTexts(m.groups()),
		"held":    m.held(),
		"level":   fmt.Sprint(m.level),
	}
	for _, name := range append([]string{"*"}, topicNames...) {
		a["lookup "+name] = m.lookup(name)
		a["channels "+name] = render(map[string]any{"channels": m.channels(name)})
	}
	var b strings.Builder
	for _, topic := range m.topics() {
		for _, p := range m.holders(registration{"topic", topic, ""}) {
			if id := m.stones[stoneKey{topic, p}]; id != 0 {
				fmt.Fprintf(&b, "%s %s:%d %d\n", topic, p.Address, p.Port, id)
			}
		}
	}
	a["tombstones"] = b.String()
	b.Reset()
	for _, id := range replicaIDs {
		if r := m.replicas[id]; r != nil {
			fmt.Fprintf(&b, "%+v\n", *r)
		}
	}
	a["replicas"] = b.String()
	return a
}

// content is all that a fingerprint has to tell apart; said is what ask returned.
func (m *model) content(said answers) string {
	var b strings.Builder
	fmt.Fprintln(&b, m.serial, said)
	for _, s := range m.bySerial() {
		fmt.Fprintf(&b, "%+v\n", *s)
	}
	return b.String()
}
