package cluster

import (
	"errors"
	"fmt"
)

// entryMark names an entry of the log by its index and term; the zero value names none.
type entryMark struct{ index, term uint64 }

// span is consecutive entries of one term.
type span struct{ first, last, term uint64 }

// appendEntry adds the next entry to spans.
func appendEntry(spans []span, next entryMark) []span {
	if n := len(spans); n > 0 && spans[n-1].last+1 == next.index && spans[n-1].term == next.term {
		spans[n-1].last = next.index
		return spans
	}
	return append(spans, span{next.index, next.index, next.term})
}

// logState is what a data path holds of Raft, in plain values.
type logState struct {
	spans        []span    // of the log, in the order of their indexes
	snapshot     entryMark // the last entry that the newest snapshot covers
	term         uint64    // the current term
	bootstrapped bool      // the log or a snapshot has had an entry
}

// check returns what is damaged. It refuses nothing that Raft may leave, which is the table "States of a
// data path" in DESIGN.md.
func (s logState) check() error {
	last := uint64(0) // everything up to here is in the log or in the snapshot
	if s.snapshot.index > 0 {
		last = s.snapshot.index
	}
	for i, now := range s.spans {
		if i > 0 && now.first == s.spans[i-1].last+1 && now.term < s.spans[i-1].term {
			return fmt.Errorf("entry %d: its term is %d, after %d", now.first, now.term, s.spans[i-1].term)
		}
		if now.first > last+1 {
			return fmt.Errorf("entries %d to %d are missing, and the newest snapshot ends at %d", last+1, now.first-1, s.snapshot.index)
		}
		last = max(last, now.last)
	}
	if s.bootstrapped && last == 0 {
		return errors.New("it has lost all entries")
	}
	if newest := s.newestTerm(); s.term < newest {
		return fmt.Errorf("it has lost its term and votes: the term is %d, but an entry has %d", s.term, newest)
	}
	return nil
}

// empty reports whether there was no entry yet, as far as the log and the snapshots tell.
func (s logState) empty() bool { return len(s.spans) == 0 && s.snapshot.index == 0 }

// newestTerm returns the greatest term of an entry. The current term is written before any entry of it.
func (s logState) newestTerm() uint64 {
	newest := s.snapshot.term
	for _, p := range s.spans {
		newest = max(newest, p.term)
	}
	return newest
}

// obsolete returns the index up to which the log is of no use because of the newest snapshot, 0 for none
// of it. s must have passed check. What is above the snapshot is kept if it follows the snapshot (Raft
// paper, figure 13): a leader may count on it.
func (s logState) obsolete() uint64 {
	if len(s.spans) == 0 || s.snapshot.index == 0 {
		return 0
	}
	last := s.spans[len(s.spans)-1].last
	if last < s.snapshot.index || s.contradicts() {
		return last
	}
	return s.gap()
}

// contradicts reports whether the log is another history than the snapshot, which has been committed:
// what a deposed leader had written. Nothing of it can have been committed at or above the snapshot's end.
func (s logState) contradicts() bool {
	for _, p := range s.spans {
		switch at := s.snapshot.index; {
		case p.first <= at && at <= p.last:
			return p.term != s.snapshot.term
		case p.first > at: // the entry at the snapshot's end is deleted
			return p.term < s.snapshot.term
		}
	}
	return false
}

// gap returns the index before the consecutive entries that end the log, or 0 if all are consecutive.
func (s logState) gap() uint64 {
	for i := len(s.spans) - 1; i > 0; i-- {
		if s.spans[i].first > s.spans[i-1].last+1 {
			return s.spans[i].first - 1
		}
	}
	return 0
}
