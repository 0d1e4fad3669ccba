package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// poker tells followers at once what is committed. Raft would tell them with the next entries or
// its next idle message, 50 to 100 ms later; telling them by more frequent idle messages costs CPU
// all day. After the leader has applied an entry, each follower is sent an empty AppendEntries with
// the leader's commit index, one at a time per follower: a message that the leader might send
// anyway, so that it needs no trust in anything new.
type poker struct {
	r       *Replica
	applied chan struct{} // holds a token when the leader has applied something

	targets map[raft.ServerID]target
}

// target is a follower that is being poked.
type target struct {
	wake chan struct{} // holds a token when there is something to tell
	stop context.CancelFunc
}

func newPoker(r *Replica) *poker {
	return &poker{r: r, applied: make(chan struct{}, 1), targets: make(map[raft.ServerID]target)}
}

// poke is told of each entry applied. It does not block.
func (p *poker) poke() {
	select {
	case p.applied <- struct{}{}:
	default:
	}
}

// run pokes until the context ends.
func (p *poker) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.applied:
		}
		if !p.r.leads() {
			continue
		}
		servers := p.r.servers()
		for id := range servers {
			if id != p.r.data.ID {
				p.target(ctx, &wg, raft.ServerID(id))
			}
		}
		for id, gone := range p.targets {
			if _, in := servers[string(id)]; !in {
				gone.stop()
				delete(p.targets, id)
			}
		}
	}
}

// target wakes the follower's goroutine, and starts it when there is none.
func (p *poker) target(ctx context.Context, wg *sync.WaitGroup, id raft.ServerID) {
	to, ok := p.targets[id]
	if !ok {
		ctx, stop := context.WithCancel(ctx)
		to = target{wake: make(chan struct{}, 1), stop: stop}
		p.targets[id] = to
		wg.Go(func() { p.serve(ctx, id, to.wake) })
	}
	select {
	case to.wake <- struct{}{}:
	default:
	}
}

func (p *poker) serve(ctx context.Context, id raft.ServerID, wake <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		if err := p.tell(ctx, id); err != nil {
			pause(ctx, 100*time.Millisecond) // Raft's own messages go on meanwhile
		}
	}
}

// tell pokes the follower, and again when it has not got the entry yet: the poke may overtake it.
func (p *poker) tell(ctx context.Context, id raft.ServerID) error {
	for wait := 2 * time.Millisecond; wait <= 16*time.Millisecond; wait *= 2 {
		if knows, err := p.send(id); knows || err != nil {
			return err
		}
		pause(ctx, wait)
	}
	return nil // it is far behind
}

// send tells the follower of the newest entry that is applied here. The term is read before and
// after: the message must be one that the leader of that term could send.
func (p *poker) send(id raft.ServerID) (knows bool, err error) {
	r := p.r
	term := r.raft.CurrentTerm()
	index := r.machine.index.Load()
	var entry raft.Log
	if err := r.stores.log.GetLog(index, &entry); err != nil {
		return false, err
	}
	if !r.leads() || r.raft.CurrentTerm() != term {
		return true, nil
	}
	me := []byte(r.data.ID)
	request := raft.AppendEntriesRequest{
		RPCHeader:         raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: me, Addr: me},
		Term:              term,
		PrevLogEntry:      index,
		PrevLogTerm:       entry.Term,
		LeaderCommitIndex: index,
	}
	var response raft.AppendEntriesResponse
	err = r.transport.appendOnce(id, raft.ServerAddress(id), &request, &response)
	return response.Success, err
}
