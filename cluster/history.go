package cluster

import (
	"fmt"
	"slices"
)

// judgement is what a replica makes of another's claim to be the replica of an id.
type judgement int

const (
	sameLife   judgement = iota // the life that is known, or one that cannot be compared
	laterLife                   // a newer life of the same history: the former one must have ended
	olderLife                   // an older life than the one known
	forkedLife                  // not the life known, nor descended from it: two copies of one data path
	shortLog                    // its log ends before what the id has acknowledged
	stillLives                  // a newer life, but the former one still runs: decided after laterLife
)

// judge compares what a replica claims with what is known of its id. It refuses a life that the one
// known cannot have come to: one id has one history. The log is compared once in each life, because
// later on acknowledgements may overtake the claim.
func judge(known peerRecord, said lineage, last uint64) judgement {
	now := said.life()
	if now != known.Life && slices.ContainsFunc(known.Refused, said.includes) {
		return forkedLife
	}
	if known.Life.Start > 0 && now.Start > 0 {
		nonce, kept := said.nonce(known.Life.Start)
		switch {
		case now == known.Life:
			return sameLife
		case now.Start < known.Life.Start:
			return olderLife
		case kept && nonce != known.Life.Nonce:
			return forkedLife
		}
	}
	switch {
	case now.Start == 0: // it does not say
		return sameLife
	case last < known.Acked:
		return shortLog
	case known.Life.Start == 0:
		return sameLife
	}
	return laterLife
}

// refuses reports whether the judgement ends the one that is judged.
func (v judgement) refuses() bool { return v >= olderLife }

// startAfresh is what to do with the data path of a replica that is refused. The leader takes out the former
// replica of the name when the new one comes.
const startAfresh = "start it on its newest data path; if that is lost, move this one away and start it with an empty one: " +
	"it joins as a new replica (one of another name: then take the old one out with lookupctl remove); " +
	"when a majority is lost that way, see raftlookupd recover"

// explain says on one line what is wrong with a replica that is refused, and what to do.
func (v judgement) explain(known peerRecord, said hello) string {
	who := fmt.Sprintf("replica %s (%.8s…)", said.Name, known.ID)
	switch v {
	case olderLife:
		return fmt.Sprintf("%s comes with start %d of its data path, but start %d was seen: this is an older copy: %s",
			who, said.Start, known.Life.Start, startAfresh)
	case forkedLife:
		return fmt.Sprintf("%s comes with start %d of its data path, which is not the history of start %d that was seen: "+
			"the data path is a copy, and another was started before: %s", who, said.Start, known.Life.Start, startAfresh)
	case shortLog:
		return fmt.Sprintf("the log of %s ends at entry %d, but it has acknowledged entry %d: its data path is an older copy, "+
			"or has lost something: %s", who, said.Last, known.Acked, startAfresh)
	case stillLives:
		return fmt.Sprintf("%s runs already, and answers as start %d of its data path: this is a copy (start %d) at %s: "+
			"stop it, and never copy a data path to a second replica", who, known.Life.Start, said.Start, said.Address)
	}
	return ""
}
