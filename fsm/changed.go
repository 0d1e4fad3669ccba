package fsm

import (
	"slices"
	"sync"
)

// changedSize is how many names of changed topics a registry remembers. A storm of registrations
// fills that in a second or so; who watches looks every few milliseconds.
const changedSize = 1 << 16

// changed remembers which topics the latest entries have touched, so that whoever watches all topics
// need not look at each of them. Its zero value remembers everything since index 0.
type changed struct {
	mu      sync.RWMutex
	floor   uint64  // of the entries up to here not all is known
	touches []touch // by index; a ring once it is full
	next    int     // where the next one goes
}

type touch struct {
	index uint64
	topic string
}

// add notes what the entry at index has touched.
func (c *changed) add(index uint64, topics []string) {
	if len(topics) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range topics {
		if len(c.touches) < changedSize {
			c.touches = append(c.touches, touch{index, name})
			continue
		}
		c.floor = c.touches[c.next].index
		c.touches[c.next] = touch{index, name}
		c.next = (c.next + 1) % changedSize
	}
}

// reset forgets everything up to index.
func (c *changed) reset(index uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floor, c.touches, c.next = index, nil, 0
}

// since returns the names of what was touched after one index and up to another.
func (c *changed) since(after, upTo uint64) (topics []string, known bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if after < c.floor {
		return nil, false
	}
	for i := range c.touches { // the newest first
		t := c.touches[(c.next+len(c.touches)-1-i)%len(c.touches)]
		if t.index <= after {
			break
		}
		if t.index <= upTo {
			topics = append(topics, t.topic)
		}
	}
	return topics, true
}

// ChangedSince returns the topics whose Lookup may differ from what it was after the entry at index,
// sorted; some of them may exist no longer, or not have existed then either. It is not known when
// the registry does not remember that far back: then ask ModifiedSince, which cannot tell what has
// gone, and whether Modified(Thing{Topics: true}) is greater, without which nothing has.
func (s *State) ChangedSince(index uint64) (topics []string, known bool) {
	topics, known = s.changed.since(index, s.index)
	slices.Sort(topics)
	return slices.Compact(topics), known
}

// ModifiedSince returns the topics that exist and are as they are since an entry after index, sorted;
// with 0 it is all topics. It looks at every topic.
func (s *State) ModifiedSince(index uint64) []string {
	var names []string
	s.topics.Scan(func(name string, t *topic) bool {
		if t.registered && t.modified > index {
			names = append(names, name)
		}
		return true
	})
	return names
}
