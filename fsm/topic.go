package fsm

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
)

// topic is one topic in one state. Once a State shows it it never changes: the next entry that
// touches the topic works on a clone. So whatever is rendered of it can be kept. What a
// listing reads of every topic comes first, and together.
type topic struct {
	holders    []*holder   // sorted by producer, then serial
	oneHolder  [1]*holder  // room for the first: most topics have but one, and one channel
	tombstones []tombstone // sorted by producer; each producer here has a holder
	name       string
	// registered says whether the topic exists. Channels may outlive it: nsqlookupd forgets an
	// ephemeral topic when its last producer unregisters it, but not the topic's channels.
	registered bool
	modified   uint64       // index of the entry that made this value, or was the last to alter it
	channels   []channel    // sorted by name
	oneChannel [1]channel   // room for the first
	answers    topicAnswers // rendered when first asked for
}

// newTopic returns a topic of nothing, made by the entry at index.
func newTopic(name string, index uint64) *topic {
	t := &topic{name: name, modified: index}
	t.holders, t.channels = t.oneHolder[:0], t.oneChannel[:0]
	return t
}

type topicAnswers struct {
	lookup   atomic.Pointer[[]byte]
	channels atomic.Pointer[[]byte]
}

// channel is a channel and how many sessions hold it.
type channel struct {
	name    string
	holders int
}

// holder is a session's registration of a topic and of some of its channels. Like a topic it
// does not change once a State shows it.
type holder struct {
	session  *identity
	modified uint64    // index of the entry that made this value
	channels []string  // sorted
	one      [1]string // room for the first, as in a topic
}

func newHolder(s *identity, index uint64) *holder {
	h := &holder{session: s, modified: index}
	h.channels = h.one[:0]
	return h
}

type tombstone struct {
	producer ProducerKey
	id       uint64
}

// clone returns a copy that the entry at index may alter.
func (t *topic) clone(index uint64) *topic {
	c := newTopic(t.name, index)
	c.registered = t.registered
	c.channels = append(c.channels, t.channels...)
	c.holders = append(c.holders, t.holders...)
	c.tombstones = slices.Clone(t.tombstones)
	return c
}

func (t *topic) findChannel(name string) (int, bool) {
	return slices.BinarySearchFunc(t.channels, name, func(c channel, name string) int {
		return strings.Compare(c.name, name)
	})
}

func (t *topic) hasChannel(name string) bool {
	_, found := t.findChannel(name)
	return found
}

func (t *topic) findHolder(s *identity) (int, bool) {
	return slices.BinarySearchFunc(t.holders, s, func(h *holder, s *identity) int {
		return h.session.compare(s)
	})
}

// holds reports whether any session of the producer has the topic.
func (t *topic) holds(k ProducerKey) bool {
	i, _ := slices.BinarySearchFunc(t.holders, k, func(h *holder, k ProducerKey) int {
		return h.session.producer.compare(k)
	})
	return i < len(t.holders) && t.holders[i].session.producer == k
}

func (t *topic) findTombstone(k ProducerKey) (int, bool) {
	return slices.BinarySearchFunc(t.tombstones, k, func(t tombstone, k ProducerKey) int {
		return t.producer.compare(k)
	})
}

// tombstone returns the id of the producer's tombstone, 0 for none.
func (t *topic) tombstone(k ProducerKey) uint64 {
	if len(t.tombstones) == 0 {
		return 0
	}
	if i, found := t.findTombstone(k); found {
		return t.tombstones[i].id
	}
	return 0
}

func (h *holder) has(channel string) bool {
	_, found := slices.BinarySearch(h.channels, channel)
	return found
}

// ownHolder returns the holder at i in a value that the entry which owns the topic may alter. Up to the
// index that is shown, States show the values that were made.
func (t *topic) ownHolder(i int, shown uint64) *holder {
	h := t.holders[i]
	if h.modified <= shown {
		c := newHolder(h.session, t.modified)
		c.channels = append(c.channels, h.channels...)
		h, t.holders[i] = c, c
	}
	return h
}

// add gives the holder a channel that it has not.
func (h *holder) add(channel string) {
	i, _ := slices.BinarySearch(h.channels, channel)
	h.channels = slices.Insert(h.channels, i, channel)
}

// drop takes one of its channels from the holder.
func (h *holder) drop(channel string) {
	if i, found := slices.BinarySearch(h.channels, channel); found {
		h.channels = slices.Delete(h.channels, i, i+1)
	}
}

// identity is what never changes of a session. The order of identities is that of listings:
// by producer, and the oldest session first.
type identity struct {
	key      SessionKey
	serial   uint64 // grows with each session that is opened; unique in the registry
	producer ProducerKey
	info     ProducerInfo
	rendered []byte // info as listings show it
}

func (s *identity) compare(o *identity) int {
	if c := s.producer.compare(o.producer); c != 0 {
		return c
	}
	return cmp.Compare(s.serial, o.serial)
}
