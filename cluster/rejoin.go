package cluster

import "time"

const (
	// joinFirst and joinLast bound the pauses between two times of joining while a voter is missing, or
	// nothing has answered yet.
	joinFirst = 200 * time.Millisecond
	joinLast  = 10 * time.Second
	// joinAgain is how often the seeds are joined in any case, so that what a partition has parted finds
	// together even when no voter is missing in either part.
	joinAgain = 10 * time.Second
)

// joinFacts is what a replica knows of gossip after a time of joining.
type joinFacts struct {
	found   bool // a seed has answered, or there is none but itself
	missing bool // a server of Raft's configuration is not alive for gossip
	tries   int  // in a row, that left it so
}

// next returns how long to wait before joining again, and the facts to go on with.
func (f joinFacts) next() (time.Duration, joinFacts) {
	if f.found && !f.missing {
		f.tries = 0
		return joinAgain, f
	}
	wait := joinLast
	if f.tries < 6 {
		wait = min(joinFirst<<f.tries, joinLast)
	}
	f.tries++
	return wait, f
}
