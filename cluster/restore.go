package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// Restored says what a restore has changed.
type Restored struct {
	TopicsCreated, ChannelsCreated int
	TopicsRemoved, ChannelsRemoved int
	TopicsKept, ChannelsKept       int    // not in the file, but a session has them
	Index                          uint64 // the registry's, when all of it was done
}

const (
	// restoreWindow is how many changes of a restore may wait in the journal: less than 1 MiB of the 64
	// that it takes.
	restoreWindow = 4096
	// restoreWait is how long a restore waits for its next change to be applied.
	restoreWait = 10 * time.Second
)

// RestoreBackup makes the registry's topics and channels those of a file that Backup wrote, through
// the log like any other change. What nsqds have registered stays, whether the file has it or not, and
// their sessions, producers and tombstones in the file are passed over: living nsqds speak for
// themselves. An ephemeral topic or channel that is not there is not made: nobody has it.
//
// All of the file is read and checked before anything changes: ErrBadBackup, ErrForeignBackup unless
// foreign files are taken, ErrRestoring, ErrNotReady, ErrNoLeader for want of one then, or the reader's
// error. It returns when every change is applied here. After an error on the way a part of the changes
// may be made, and it may be called again.
func (r *Replica) RestoreBackup(ctx context.Context, body io.Reader, foreign bool) (Restored, error) {
	if !r.restoring.CompareAndSwap(false, true) {
		return Restored{}, ErrRestoring
	}
	defer r.restoring.Store(false)
	if r.journal.applied.Load() == 0 || r.apart.Load() {
		return Restored{}, ErrNotReady
	}
	header, wanted, err := readBackup(body)
	if err != nil {
		return Restored{}, err
	}
	if cluster := r.whoami().cluster; cluster != header.ClusterID && !foreign {
		return Restored{}, fmt.Errorf("%w: it is of %.8s…, this replica of %.8s…", ErrForeignBackup, header.ClusterID, cluster)
	}
	// When this replica has applied a change of its own, it has all that was committed before; and
	// what an interrupted restore has left in the journal is done. Nobody has a topic without a name.
	if err := r.Change(ctx, fsm.Prune("")); err != nil {
		return Restored{}, err
	}
	p := putBack{r: r, applied: make(chan putBackResult, restoreWindow)}
	if err := p.run(ctx, changesTo(contentsOf(r.registry.State()), wanted)); err != nil {
		return p.done, fmt.Errorf("restore is not complete, repeat it: %w", err)
	}
	r.log.Info("restored the registry from a file", "file_cluster_id", header.ClusterID, "file_index", header.Index,
		"taken_at", header.TakenAt, "taken_by", header.TakenBy, "result", fmt.Sprintf("%+v", p.done))
	return p.done, nil
}

// changesTo is the changes that make the wanted contents of those there are.
func changesTo(now, wanted []topicContents) iter.Seq[fsm.Change] {
	return func(yield func(fsm.Change) bool) {
		for _, w := range wanted {
			n, _ := findTopic(now, w.name)
			if !missing(w, n, yield) {
				return
			}
		}
		for _, n := range now {
			w, listed := findTopic(wanted, n.name)
			if !surplus(n, w, listed, yield) {
				return
			}
		}
	}
}

func findTopic(in []topicContents, name string) (topicContents, bool) {
	i, found := slices.BinarySearchFunc(in, name, func(t topicContents, name string) int {
		return strings.Compare(t.name, name)
	})
	if !found {
		return topicContents{}, false
	}
	return in[i], true
}

// missing creates what is wanted of a topic and is not there.
func missing(wanted, now topicContents, yield func(fsm.Change) bool) bool {
	exists := now.exists
	if wanted.exists && !exists && !fsm.IsEphemeral(wanted.name) {
		exists = true
		if !yield(fsm.CreateTopic(wanted.name)) {
			return false
		}
	}
	if !exists {
		return true // a channel would bring its topic with it
	}
	for _, channel := range wanted.channels {
		if fsm.IsEphemeral(channel) || has(now.channels, channel) {
			continue
		}
		if !yield(fsm.CreateChannel(wanted.name, channel)) {
			return false
		}
	}
	return true
}

// surplus removes what is there of a topic and is not wanted. The channels come one by one before
// their topic, for it stays when a session has it.
func surplus(now, wanted topicContents, listed bool, yield func(fsm.Change) bool) bool {
	for _, channel := range now.channels {
		if !has(wanted.channels, channel) && !yield(fsm.PruneChannel(now.name, channel)) {
			return false
		}
	}
	return listed || yield(fsm.Prune(now.name))
}

func has(channels []string, name string) bool {
	_, found := slices.BinarySearch(channels, name)
	return found
}

// putBack brings the changes of a restore into the log.
type putBack struct {
	r        *Replica
	applied  chan putBackResult // has room for all that are on their way
	onTheWay int
	done     Restored
}

type putBackResult struct {
	change fsm.Change
	err    error
}

// putBackChange waits in the journal.
type putBackChange struct {
	change fsm.Change
	tell   chan<- putBackResult
}

func (c putBackChange) complete(_ uint64, err error) { c.tell <- putBackResult{c.change, err} }

func (p *putBack) run(ctx context.Context, changes iter.Seq[fsm.Change]) error {
	for c := range changes {
		if p.onTheWay == restoreWindow {
			if err := p.await(ctx); err != nil {
				return err
			}
		}
		if _, err := p.r.journal.append(c, putBackChange{c, p.applied}); err != nil {
			return err
		}
		p.onTheWay++
	}
	for p.onTheWay > 0 {
		if err := p.await(ctx); err != nil {
			return err
		}
	}
	p.done.Index = p.r.registry.State().Index()
	return nil
}

// await waits for the next change to be applied.
func (p *putBack) await(ctx context.Context) error {
	late, cancel := context.WithTimeout(ctx, restoreWait)
	defer cancel()
	select {
	case result := <-p.applied:
		p.onTheWay--
		return p.count(result)
	case <-late.Done():
		if p.r.leader() == "" {
			return ErrNoLeader
		}
		return ErrNotCommitted
	}
}

func (p *putBack) count(result putBackResult) error {
	topics, channels := &p.done.TopicsRemoved, &p.done.ChannelsRemoved
	switch {
	case errors.Is(result.err, fsm.ErrHeld):
		topics, channels = &p.done.TopicsKept, &p.done.ChannelsKept
	case result.err != nil:
		return result.err
	case result.change.Kind != fsm.KindPrune:
		topics, channels = &p.done.TopicsCreated, &p.done.ChannelsCreated
	}
	if result.change.Channel == "" {
		*topics++
	} else {
		*channels++
	}
	return nil
}
