package cluster

import (
	"slices"
	"sync"
	"time"
)

// contacts knows for each replica when the newest message was sent that it has answered in a term. A
// leader learns from it when it was last known to lead: a voter that answers in this term has voted
// in no later one when the message was sent.
type contacts struct {
	mu     sync.Mutex
	newest map[string]contact
}

type contact struct {
	term uint64
	sent time.Time
}

// answered is told of each answer of the same term as the message.
func (c *contacts) answered(id string, term uint64, sent time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.newest[id]
	if term < was.term || term == was.term && !sent.After(was.sent) {
		return
	}
	if c.newest == nil {
		c.newest = make(map[string]contact)
	}
	c.newest[id] = contact{term, sent}
}

// in returns the newest contact with each of these replicas in that term; the zero time for none.
func (c *contacts) in(term uint64, ids []string) []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	times := make([]time.Time, len(ids))
	for i, id := range ids {
		if last := c.newest[id]; last.term == term {
			times[i] = last.sent
		}
	}
	return times
}

// majorityContact returns the newest time since which a majority of the voters has answered. The
// others are the contacts with the other voters; voter says whether this replica is one, which answers
// itself now. The zero time when there is no majority.
func majorityContact(now time.Time, voter bool, others []time.Time) time.Time {
	all := slices.Clone(others)
	if voter {
		all = append(all, now)
	}
	if len(all) == 0 {
		return time.Time{}
	}
	slices.SortFunc(all, func(a, b time.Time) int { return b.Compare(a) })
	return all[len(all)/2]
}
