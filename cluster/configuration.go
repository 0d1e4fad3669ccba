package cluster

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// configWait is how long a change of Raft's configuration may take to be committed.
const configWait = 2 * time.Second

// servers are those of Raft's newest configuration, by id.
func (r *Replica) servers() map[string]raft.Server {
	servers := make(map[string]raft.Server)
	for _, s := range r.raft.GetConfiguration().Configuration().Servers {
		servers[string(s.ID)] = s
	}
	return servers
}

// voters are the ids of those that vote.
func (r *Replica) voters() map[string]bool {
	voters := make(map[string]bool)
	for id, server := range r.servers() {
		if server.Suffrage == raft.Voter {
			voters[id] = true
		}
	}
	return voters
}

// keepsQuorum says why not when those who vote without that one are no majority of themselves.
func (r *Replica) keepsQuorum(ctx context.Context, without string) error {
	rest := r.voters()
	delete(rest, without)
	return r.majority(ctx, rest, "")
}

// majority says why not when of those voters, as far as they answer now, too few would be left to
// commit anything; or when the one that must be among them does not answer.
func (r *Replica) majority(ctx context.Context, voters map[string]bool, must string) error {
	answer := r.standings(ctx, slices.Collect(maps.Keys(voters)))
	need := len(voters)/2 + 1
	if _, there := answer[must]; must != "" && !there {
		return refuse(ErrRefused, "replica %s does not answer", r.nameOf(must))
	}
	if len(answer) < need {
		return refuse(ErrRefused, "%d replicas would vote, of which %d answer, and nothing can be committed by fewer than %d: "+
			"bring the others back first, or take the dead ones out (lookupctl remove)", len(voters), len(answer), need)
	}
	return nil
}

// reconfigure changes the configuration, as the leader, unless check, which may be nil, says why not.
// One change is made after the other: what check has seen still holds when the change is made.
// (The library could be told as of which configuration a change is, but not which one it has.)
func (r *Replica) reconfigure(check func() error, change func() raft.IndexFuture) error {
	r.reconfiguring.Lock()
	defer r.reconfiguring.Unlock()
	if check != nil {
		if err := check(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), configWait)
	defer cancel()
	return awaitFuture(ctx, change())
}

// removeServer takes a replica out, as the leader, unless check says why not.
func (r *Replica) removeServer(id string, check func() error) error {
	return r.reconfigure(check, func() raft.IndexFuture { return r.raft.RemoveServer(raft.ServerID(id), 0, configWait) })
}

// pilotRaft is Raft as autopilot uses it. Autopilot decides upon a state that it has gathered up to
// a second ago; a server that was removed since then would be added again by its promotion, as a
// voter that is gone. So a promotion counts only for who is a non-voter now.
type pilotRaft struct {
	*raft.Raft
	r *Replica
}

var errNotNonvoter = errors.New("it is no non-voter of this cluster any more")

// AddVoter implements autopilot.Raft.
func (p pilotRaft) AddVoter(id raft.ServerID, address raft.ServerAddress, _ uint64, timeout time.Duration) raft.IndexFuture {
	return settled{p.r.reconfigure(func() error {
		if s, in := p.r.servers()[string(id)]; !in || s.Suffrage != raft.Nonvoter {
			return errNotNonvoter
		}
		voters := p.r.voters()
		voters[string(id)] = true
		return p.r.majority(context.Background(), voters, string(id))
	}, func() raft.IndexFuture { return p.Raft.AddVoter(id, address, 0, timeout) })}
}

// DemoteVoter implements autopilot.Raft.
func (p pilotRaft) DemoteVoter(id raft.ServerID, _ uint64, timeout time.Duration) raft.IndexFuture {
	return settled{p.r.reconfigure(func() error {
		return p.r.keepsQuorum(context.Background(), string(id))
	}, func() raft.IndexFuture { return p.Raft.DemoteVoter(id, 0, timeout) })}
}

// settled is a future whose outcome is known.
type settled struct{ err error }

// Error implements raft.Future.
func (s settled) Error() error { return s.err }

// Index implements raft.IndexFuture; autopilot does not ask for it.
func (settled) Index() uint64 { return 0 }
