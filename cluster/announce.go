package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// announceTimeout bounds the announcement of a new life. It is more than probeTimeout, because a
// replica that hears of the new life may have to ask whether the former one still answers.
const announceTimeout = 700 * time.Millisecond

// errCondemned means that this replica's data path is not the history of its id.
var errCondemned = errors.New("this replica's data path is refused by its cluster")

// beginLife makes this start's number and incarnation durable.
func (r *Replica) beginLife() (incarnation uint64, err error) {
	incarnation = r.data.next()
	if r.atStart, err = r.stores.lastIndex(); err != nil {
		return 0, err
	}
	if r.lineage, err = r.data.beginLife(); err != nil {
		return 0, err
	}
	err = r.data.update(func(me *identity) { me.Incarnation = incarnation })
	return incarnation, errors.Join(r.data.removeLeftovers(), err)
}

// lastIndex returns the index of the newest entry on disk, in the log or in a snapshot.
func (s *stores) lastIndex() (uint64, error) {
	last, err := s.log.LastIndex()
	if err != nil {
		return 0, fmt.Errorf("read the log's last index: %w", err)
	}
	list, err := s.snapshots.List()
	if err != nil {
		return 0, fmt.Errorf("list snapshots: %w", err)
	}
	for _, snapshot := range list {
		last = max(last, snapshot.Index)
	}
	return last, nil
}

// hello implements self.
func (r *Replica) hello() hello {
	me := r.meta()
	h := hello{Name: me.Name, Version: me.Version, Level: me.Level, Incarnation: me.Incarnation, lineage: r.lineage,
		Last: r.atStart, Address: me.clusterAddress(), TCP: join(me.Host, me.TCP), HTTP: join(me.Host, me.HTTP)}
	if r.begins() {
		h.Last, h.Gossip = max(h.Last, r.raft.LastIndex()), r.gossip.address
	}
	return h
}

// begins reports whether Raft and gossip run.
func (r *Replica) begins() bool {
	select {
	case <-r.port.begun:
		return true
	default:
		return false
	}
}

// condemned implements self. Nothing is said or heard from then on: a vote of this replica might
// elect a leader without an acknowledged change.
func (r *Replica) condemned(reason string) {
	r.port.hangUp()
	r.fail(fmt.Errorf("%w: %s", errCondemned, reason))
}

// announce tells every replica that the book knows of this life, before Raft may vote or acknowledge
// anything in it. It returns an error when one of them refuses it. It does not wait for the silent.
func (r *Replica) announce() error {
	var wg sync.WaitGroup
	for _, known := range r.book.all() {
		wg.Go(func() { r.greet(context.Background(), known.ID) })
	}
	wg.Wait()
	select {
	case err := <-r.failure:
		return err
	default:
		return nil
	}
}

// greetEvery is how often a replica that could not be greeted is tried again.
const greetEvery = 2 * time.Second

// greetSeen greets the replicas of this cluster of which gossip tells a life that no greeting has told
// of, so that every replica remembers each life of every other. It runs until the context ends.
func (r *Replica) greetSeen(ctx context.Context) error {
	t := time.NewTicker(greetEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		case <-r.book.unmet:
		}
		var wg sync.WaitGroup
		for _, m := range r.members.all() {
			known := r.book.get(m.ID)
			if m.ID == r.data.ID || !m.alive || m.Cluster != r.whoami().cluster || m.Cluster == "" || !known.unmet() {
				continue
			}
			wg.Go(func() { r.greet(ctx, m.ID) })
		}
		wg.Wait()
	}
}

// greet shows this life to the replica of that id, and learns of its.
func (r *Replica) greet(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	if c, err := r.port.reach(ctx, kindCall, id); err == nil {
		_ = c.Close()
	}
}

// met has gossip join a replica that it does not see, though there is a connection with it.
func (r *Replica) met(id string) {
	if r.begins() && !r.seen(id) {
		r.gossip.nudge()
	}
}

// witness notes that the leader has what is committed: a replica that leads has every entry that was
// committed before, on its disk. Its followers' acknowledgements the leader notes itself.
func (r *Replica) witness() {
	if !r.begins() {
		return
	}
	index := r.machine.index.Load() // first: whoever leads afterwards has it
	if leader := r.leader(); leader != "" && leader != r.data.ID {
		r.book.acked(leader, index)
	}
}
