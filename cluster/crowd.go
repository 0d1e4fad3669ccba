package cluster

import "slices"

// maxAhead is how far a change of a session may be ahead of what is applied here when it is answered OK.
// A read waits for what was said OK to, so in a storm this bounds how long; and it is enough for full
// batches to be on their way. Whatever else waits in the journal counts too (a restore, sessions that
// are opened again, changes that are pending): to say OK behind it would make reads wait for it. What
// nobody waits for (IDENTIFY, PING, the end of a session) is not held back.
const maxAhead = 1024

// crowd is those who wait until the journal is less far ahead of the registry. Who gives up stays until
// his turn comes.
type crowd struct{ waiting []ahead } // by number

// ahead waits until its number is near enough to what is applied.
type ahead struct {
	number uint64
	near   chan struct{} // closed then
}

// room returns nil when the change of that number is no more than maxAhead ahead of what is applied,
// else what is closed when it is.
func (j *journal) room(number uint64) <-chan struct{} {
	if number <= j.applied.Load()+maxAhead {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if number <= j.applied.Load()+maxAhead {
		return nil
	}
	return j.crowd.join(number)
}

// join is cheap because they come nearly in the order of their numbers.
func (c *crowd) join(number uint64) <-chan struct{} {
	at := len(c.waiting)
	for at > 0 && c.waiting[at-1].number > number {
		at--
	}
	a := ahead{number, make(chan struct{})}
	c.waiting = slices.Insert(c.waiting, at, a)
	return a.near
}

// admit lets those go on whose numbers are up to last.
func (c *crowd) admit(last uint64) {
	n := 0
	for ; n < len(c.waiting) && c.waiting[n].number <= last; n++ {
		close(c.waiting[n].near)
	}
	clear(c.waiting[:n])
	c.waiting = c.waiting[n:]
}
