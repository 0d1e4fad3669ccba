package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// handOver gives leadership to a voter that has caught up, so that a planned stop costs no
// election timeout. It takes two seconds at most; when it fails, the others elect somebody.
func (r *Replica) handOver() {
	if !r.leads() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*transportTimeout)
	defer cancel()
	to, ok := r.successor(ctx)
	if !ok {
		return
	}
	if err := r.transferTo(ctx, to); err != nil {
		r.log.Warn("leadership was not handed over: the others elect a leader", "error", err)
	}
}

// Transfer moves leadership to the replica of that name, or to the one that is furthest with the
// log for "", and returns the name of whoever leads then. It may block for seconds; a Refusal says
// why nothing was done.
func (r *Replica) Transfer(ctx context.Context, name string) (leader string, err error) {
	id, err := r.atLeader(ctx, order{Verb: verbTransfer, Name: name, From: r.leader()})
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, orderWait)
	defer cancel()
	for r.leader() != id {
		if !pause(ctx, orderRetry) {
			return "", ErrNoLeader
		}
	}
	return r.nameOf(id), nil
}

// transfer does what Transfer asks for, on the leader, and returns the new one's id.
func (r *Replica) transfer(ctx context.Context, id string) (to string, err error) {
	switch {
	case id == r.data.ID:
		return id, nil // it leads already
	case id == "":
		best, ok := r.successor(ctx)
		if !ok {
			return "", refuse(ErrRefused, "no other replica that votes answers: %s goes on leading", r.data.Name)
		}
		id = best
	case !r.voters()[id]:
		return "", refuse(ErrRefused, "replica %s does not vote, so it cannot lead", r.nameOf(id))
	}
	s, answered := r.standings(ctx, []string{id})[id]
	switch {
	case !answered:
		return "", refuse(ErrRefused, "replica %s does not answer, so it cannot lead", r.nameOf(id))
	case s.LastIndex+healthyLag < r.raft.LastIndex():
		return "", refuse(ErrRefused, "replica %s is %d entries behind: wait until it has caught up",
			r.nameOf(id), r.raft.LastIndex()-s.LastIndex)
	}
	return id, r.transferTo(ctx, id)
}

// errHeld means that a replica does not take entries now.
var errHeld = errors.New("replication to it waits")

// transferTo makes the voter of that id the leader in the place of this replica. Not while replication to
// it is held: the library's transfer hands replication an order and waits for it (raft.go,
// leadershipTransfer). The second such order would wait for as long as the call is held, and nothing could
// be committed meanwhile.
func (r *Replica) transferTo(ctx context.Context, id string) error {
	if r.transport.holder.holds(id) || r.transfers.failedLately(id) {
		return fmt.Errorf("hand leadership over to %s: %w", r.nameOf(id), errHeld)
	}
	start := time.Now()
	err := awaitFuture(ctx, r.raft.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(id)))
	if err != nil {
		r.transfers.hasFailed(id)
		return fmt.Errorf("hand leadership over to %s: %w", r.nameOf(id), err)
	}
	r.log.Info("handed leadership over", "to", r.nameOf(id), "took", time.Since(start))
	return nil
}

// successor is the other voter that is furthest with the log and answers now. The library's own
// choice does not ask whether it is alive.
func (r *Replica) successor(ctx context.Context) (best string, ok bool) {
	var furthest uint64
	for id, s := range r.standings(ctx, r.otherVoters()) {
		if !ok || s.LastIndex > furthest {
			best, furthest, ok = id, s.LastIndex, true
		}
	}
	return best, ok
}

func (r *Replica) otherVoters() []string {
	var ids []string
	for id, server := range r.servers() {
		if id != r.data.ID && server.Suffrage == raft.Voter {
			ids = append(ids, id)
		}
	}
	return ids
}

// standings asks the replicas of those ids, all at once, and returns what those said that answered.
func (r *Replica) standings(ctx context.Context, ids []string) map[string]standing {
	var mu sync.Mutex
	var wg sync.WaitGroup
	all := make(map[string]standing)
	for _, id := range ids {
		wg.Go(func() {
			s, err := r.standingOf(ctx, id)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all[id] = s
		})
	}
	wg.Wait()
	return all
}

func (r *Replica) standingOf(ctx context.Context, id string) (standing, error) {
	if id == r.data.ID {
		return r.standing(), nil
	}
	return r.caller.standing(ctx, id)
}

// transferWatch ends a replica whose transfer of leadership never ends. hashicorp/raft issue 696: a
// transfer that a step-down interrupts can leave its mark behind; when that replica leads again, it
// refuses every entry for as long as the process lives.
type transferWatch struct {
	limit  time.Duration // that a transfer takes at most, and then some
	failed func(error)

	mu    sync.Mutex
	since time.Time // of the first refusal in a row; zero when the last answer was another
	tried string    // to which replica the last transfer that failed was
	at    time.Time // when
}

// orderTaken is by when replication has taken an order that a transfer has left, or is held.
const orderTaken = transportTimeout + holdMax

// hasFailed notes that a transfer to that replica has failed.
func (w *transferWatch) hasFailed(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tried, w.at = id, time.Now()
}

// failedLately reports whether the order of a transfer to that replica may still wait to be taken.
func (w *transferWatch) failedLately(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tried == id && time.Since(w.at) < orderTaken
}

func newTransferWatch(raftTimeout time.Duration, failed func(error)) *transferWatch {
	return &transferWatch{limit: 2*raftTimeout + 2*transportTimeout, failed: failed}
}

// observe is told what became of each entry that was proposed here.
func (w *transferWatch) observe(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !errors.Is(err, raft.ErrLeadershipTransferInProgress):
		w.since = time.Time{}
	case w.since.IsZero():
		w.since = time.Now()
	case time.Since(w.since) > w.limit:
		w.failed(fmt.Errorf("leadership is being handed over for longer than %s, and nothing can be committed: "+
			"this replica ends so that others can lead; start it again", w.limit))
	}
}
