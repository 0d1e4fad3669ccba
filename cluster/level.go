package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// knownLevel is the newest level of log kinds that this program knows.
const knownLevel = fsm.MaxLevel

const (
	raiseEvery = time.Second
)

// errLevel means that an entry has kinds of a level that is not in force yet. It is cut anew from the
// journal, and by then the level is known.
var errLevel = errors.New("the entry has kinds of a level that is not in force")

// speaker is what is known of the level of one of Raft's servers.
type speaker struct {
	level uint64 // that it knows
	now   bool   // it said so in the life that it lives now, and it does live
}

// levelToRaise returns the level that can be put in force, 0 for none: that which every server knows,
// because an entry of a kind that one of them does not know would end that one.
func levelToRaise(inForce uint64, servers []speaker) uint64 {
	common := uint64(knownLevel)
	for _, s := range servers {
		if !s.now {
			return 0
		}
		common = min(common, s.level)
	}
	if len(servers) == 0 || common <= inForce {
		return 0
	}
	return common
}

// speaker returns what is known of the level of the server of that id.
func (r *Replica) speaker(id string) speaker {
	if id == r.data.ID {
		return speaker{knownLevel, true}
	}
	known := r.book.get(id)
	m, _ := r.members.get(id)
	return speaker{known.Level, speaksNow(known, m, time.Now())}
}

// speaksNow reports whether what a replica said of its level holds: gossip knows of no later
// incarnation, and the replica lives.
func speaksNow(known peerRecord, m member, now time.Time) bool {
	if m.alive && m.Incarnation > known.Incarnation {
		return false
	}
	return m.alive || known.heardLately(now)
}

// raiseLevels puts a level of log kinds in force once every server knows it, while this replica leads,
// and has gossip tell of the one in force. It runs until the context ends.
func (r *Replica) raiseLevels(ctx context.Context) error {
	var told uint64
	pace(ctx, raiseEvery, func(time.Duration) {
		inForce := r.registry.State().Level()
		if inForce != told {
			told = inForce
			r.gossip.tell()
		}
		if !r.leads() || inForce >= knownLevel {
			return
		}
		var servers []speaker
		for id := range r.servers() {
			servers = append(servers, r.speaker(id))
		}
		if level := levelToRaise(inForce, servers); level > 0 {
			r.raise(ctx, level)
		}
	})
	return nil
}

func (r *Replica) raise(ctx context.Context, level uint64) {
	ctx, cancel := context.WithTimeout(ctx, batchWait)
	defer cancel()
	if err := r.apply(fsm.EncodeDecisions(fsm.RaiseLevel(level)))(ctx); err != nil {
		r.log.Warn("the level of log kinds was not raised, and is tried again", "level", level, "error", err)
		return
	}
	r.log.Info("raised the level of log kinds, because every replica knows it", "level", level)
}

// allowed returns errLevel for an entry whose kinds are not in force.
func (r *Replica) allowed(entry []byte) error {
	inForce := r.registry.State().Level()
	if inForce >= knownLevel {
		return nil
	}
	level, err := fsm.EntryLevel(entry)
	if err == nil && level > inForce {
		return fmt.Errorf("%w: %d, where %d is", errLevel, level, inForce)
	}
	return err
}

// tooOld returns why a replica of that level is not taken in, "" when it may be.
func tooOld(level, inForce uint64, version string) string {
	if level >= inForce {
		return ""
	}
	return fmt.Sprintf("its version (%s) knows log kinds up to level %d, and level %d is in force here: upgrade it", version, level, inForce)
}
