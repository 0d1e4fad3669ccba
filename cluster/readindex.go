package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/consistency"
)

const (
	// readIndexWait is how long a read waits for an index that is fresh enough, and to reach it.
	readIndexWait = 2 * time.Second
	// roundWait bounds one round of questions.
	roundWait  = 500 * time.Millisecond
	roundRetry = 10 * time.Millisecond
	// slowAnswer is by when a leader answers that it has no index yet. It is less than callTimeout, because
	// a leader that answers is heard of (hearsLeader), however far its registry is behind in a storm.
	slowAnswer = callTimeout * 4 / 5

	readIndexPath = "/read-index"
	termPath      = "/term"
)

// freshness finds out up to which index a replica has to have applied the log for a read.
type freshness struct {
	// readyTerm is the term in which this replica leads and has committed something of its own: from
	// then on its commit index covers what earlier leaders have committed.
	readyTerm atomic.Uint64
	// leader and linearizable are the rounds for reads at this replica.
	leader, linearizable *rounds
	asking               sync.Map // ids of the voters that have not answered yet
	caughtUp
}

// ReadFresh waits until this replica has applied what a read of that level must not miss, two
// seconds at most, and returns the newest state. ErrNoLeader or ErrNotConfirmed when that cannot be
// found out in time.
func (r *Replica) ReadFresh(ctx context.Context, level consistency.Level) (*fsm.State, error) {
	if level == consistency.Local {
		return r.Read(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, readIndexWait)
	defer cancel()
	rounds := r.fresh.linearizable
	if level == consistency.Leader {
		rounds = r.fresh.leader
	}
	for {
		index, err := rounds.join(ctx)
		if err == nil {
			err = r.awaitIndex(ctx, index)
		}
		if err == nil {
			return r.Read(ctx)
		}
		if !pause(ctx, roundRetry) {
			if r.leader() == "" {
				return nil, ErrNoLeader
			}
			return nil, fmt.Errorf("%w: %w", ErrNotConfirmed, err)
		}
	}
}

// awaitIndex waits until the registry has applied everything up to index, which is that of an entry of
// the registry's.
func (r *Replica) awaitIndex(ctx context.Context, index uint64) error {
	for r.registry.State().Index() < index {
		w := r.registry.Watch(fsm.Thing{All: true})
		if r.registry.State().Index() >= index {
			w.Stop()
			return nil
		}
		select {
		case <-w.C:
		case <-ctx.Done():
			w.Stop()
			return ErrNotReached
		}
	}
	return nil
}

// askIndex makes a round: it asks the leader.
func (r *Replica) askIndex(level consistency.Level) func(context.Context) (uint64, error) {
	return func(ctx context.Context) (uint64, error) {
		ctx, cancel := context.WithTimeout(ctx, roundWait)
		defer cancel()
		switch leader := r.leader(); leader {
		case "":
			return 0, ErrNoLeader
		case r.data.ID:
			return r.readIndex(ctx, level)
		default:
			return r.caller.number(ctx, leader, readIndexPath+"?level="+level.String())
		}
	}
}

var errNotLeading = errors.New("this replica does not lead, or has not committed anything since it does")

// readIndex is the leader's answer: the index of an entry of the registry's, which every replica
// comes to apply, and that covers all that was committed when this was called. It follows Raft's ReadIndex (Ongaro's
// thesis, 6.4), but for this: the library's VerifyLeader also counts answers to heartbeats that
// were sent before it was called, so the voters are asked anew, each for its term.
func (r *Replica) readIndex(ctx context.Context, level consistency.Level) (uint64, error) {
	term := r.fresh.readyTerm.Load()
	if term == 0 || !r.leads() || r.raft.CurrentTerm() != term {
		return 0, errNotLeading
	}
	committed := r.raft.CommitIndex()
	if level == consistency.Linearizable {
		if err := r.confirm(ctx, term); err != nil {
			return 0, err
		}
	}
	if !r.leads() || r.raft.CurrentTerm() != term {
		return 0, errNotLeading
	}
	for !r.reached(committed) {
		if !pause(ctx, time.Millisecond) {
			return 0, ErrNotReached
		}
	}
	return r.registry.State().Index(), nil
}

// confirm asks all voters at once for their term. One that answers with this term has voted for no
// later leader; with a majority of such answers nobody can have committed anything in a later term
// when the questions were asked.
func (r *Replica) confirm(ctx context.Context, term uint64) error {
	voters := r.voters()
	agreed := make(chan bool, len(voters))
	need := len(voters)/2 + 1
	if voters[r.data.ID] {
		need--
	}
	asked := 0
	for id := range voters {
		if id == r.data.ID {
			continue
		}
		if r.fresh.ask(r, id, func(theirs uint64, err error) { agreed <- err == nil && theirs == term }) {
			asked++
		}
	}
	for ; asked > 0 && need > 0; asked-- {
		select {
		case yes := <-agreed:
			if yes {
				need--
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if need > 0 {
		return errors.New("no majority has confirmed that this replica leads")
	}
	return nil
}

// ask asks a voter for its term; callTimeout bounds it. The answer of a slow one is not waited for
// when a majority has answered, nor is its connection cut, as a cancelled call would; it is not asked
// again before it has answered. False when that is so.
func (f *freshness) ask(r *Replica, id string, answered func(term uint64, err error)) bool {
	if _, busy := f.asking.LoadOrStore(id, true); busy {
		return false
	}
	r.port.wg.Go(func() {
		term, err := r.caller.number(context.Background(), id, termPath)
		f.asking.Delete(id)
		answered(term, err)
	})
	return true
}

// claimTerms commits something whenever this replica has become the leader, until the context ends.
// What it commits is a Checkpoint, which every replica can use.
func (r *Replica) claimTerms(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.raft.LeaderCh(): // the newest state; it may be told twice
		}
		for r.leads() && r.fresh.readyTerm.Load() != r.raft.CurrentTerm() {
			term, s := r.raft.CurrentTerm(), r.registry.State()
			done := r.decide(fsm.Checkpoint(s.Index(), s.Fingerprint()))
			if done && r.leads() && r.raft.CurrentTerm() == term {
				r.fresh.readyTerm.Store(term)
			} else if !pause(ctx, orderRetry) {
				return nil
			}
		}
	}
}

// answerNumbers adds what other replicas ask for by number.
func (r *Replica) answerNumbers(mux *http.ServeMux) {
	write := func(w http.ResponseWriter, n uint64) { _, _ = w.Write(strconv.AppendUint(nil, n, 10)) }
	mux.HandleFunc("GET "+termPath, func(w http.ResponseWriter, _ *http.Request) { write(w, r.raft.CurrentTerm()) })
	mux.HandleFunc("GET "+readIndexPath, func(w http.ResponseWriter, req *http.Request) {
		rounds := r.fresh.linearizable
		if req.URL.Query().Get("level") == consistency.Leader.String() {
			rounds = r.fresh.leader
		}
		if !r.leads() { // it must not ask on
			http.Error(w, errNotLeading.Error(), http.StatusServiceUnavailable)
			return
		}
		majority := r.lastMajority(time.Now()) // before the index, which so covers what was committed by then
		ctx, cancel := context.WithTimeout(req.Context(), slowAnswer)
		defer cancel()
		index, err := rounds.join(ctx)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set(ageHeader, strconv.FormatInt(time.Since(majority).Microseconds(), 10))
		write(w, index)
	})
}
