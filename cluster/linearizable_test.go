package cluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/consistency"
)

// A history of what clients did to topics, each of which is there or not.
type topicInput struct {
	topic string
	kind  fsm.Kind // CreateTopic or DeleteTopic; 0 is a read
}

// topicModel is the specification: one topic, changed and read by one after the other.
var topicModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byTopic := make(map[string][]porcupine.Operation)
		for _, o := range history {
			topic := o.Input.(topicInput).topic
			byTopic[topic] = append(byTopic[topic], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range byTopic {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return false },
	Step: func(state, input, output any) (bool, any) {
		switch input.(topicInput).kind {
		case fsm.KindCreateTopic:
			return true, true
		case fsm.KindDeleteTopic:
			return true, false
		}
		return state == output, state
	},
}

// recorder writes a history down.
type recorder struct {
	start    time.Time
	replicas [3]atomic.Pointer[Replica]

	mu      sync.Mutex
	history []porcupine.Operation
}

func (h *recorder) now() int64 { return time.Since(h.start).Nanoseconds() }

func (h *recorder) add(client int, in topicInput, out any, call, end int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.history = append(h.history, porcupine.Operation{ClientId: client, Input: in, Output: out, Call: call, Return: end})
}

// forever is when an operation ends of which nobody knows what became of it: it may take effect at
// any time.
const forever = int64(1) << 62

// play has one client change and read topics at random replicas until the context ends.
func (h *recorder) play(ctx context.Context, client int, level consistency.Level) {
	random := rand.New(rand.NewPCG(7, uint64(client)))
	for ctx.Err() == nil {
		in := topicInput{topic: fmt.Sprintf("topic-%d", random.IntN(3))}
		// A change at a replica that is cut off may take effect at any time, and would explain any read.
		changing, reading := h.replicas[1+random.IntN(2)].Load(), h.replicas[random.IntN(3)].Load()
		ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		call := h.now()
		switch random.IntN(4) {
		case 0:
			in.kind = fsm.KindCreateTopic
			h.change(ctx, changing, client, in, fsm.CreateTopic(in.topic), call)
		case 1:
			in.kind = fsm.KindDeleteTopic
			h.change(ctx, changing, client, in, fsm.DeleteTopic(in.topic), call)
		default:
			if s, err := reading.ReadFresh(ctx, level); err == nil {
				h.add(client, in, exists(s, in.topic), call, h.now())
			}
		}
		cancel()
	}
}

func (h *recorder) change(ctx context.Context, r *Replica, client int, in topicInput, c fsm.Change, call int64) {
	end := forever
	if err := r.Change(ctx, c); err == nil {
		end = h.now()
	}
	h.add(client, in, nil, call, end)
}

// record has clients play while a leader is deposed that does not notice, and is healed; in between the
// leader is killed: nobody hears of it any more before it is closed, and it starts again. That leaves
// changes of which nobody knows what became of them, which would explain nearly any read; so it is
// left out for the levels whose reads are to be found out.
func record(t *testing.T, level consistency.Level) []porcupine.Operation {
	t.Helper()
	c := newTrioOfTwoLeaders(t)
	h := &recorder{start: time.Now()}
	for i, r := range c.replicas {
		h.replicas[i].Store(r)
	}
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for n := range 8 {
		clients.Go(func() { h.play(ctx, n, level) })
	}
	for n := range 2 {
		c.depose()
		pause(ctx, 500*time.Millisecond)
		c.heal()
		killed := c.leader()
		if n > 0 || level != consistency.Linearizable {
			continue
		}
		i := c.index(killed)
		c.part(killed, true)
		c.stop(i)
		c.heal()
		h.replicas[i].Store(c.start(i))
		c.ready()
	}
	stop()
	clients.Wait()
	return h.history
}

// Linearizable reads hold what their name says, whatever becomes of leaders and networks; reads
// that are only local do not, and the checker notices, if not in the first history.
func TestLinearizable(t *testing.T) {
	if got, history := checked(t, consistency.Linearizable); got != porcupine.Ok {
		t.Errorf("%d operations: %s", len(history), got)
	}
	for range 3 {
		if got, _ := checked(t, consistency.Local); got == porcupine.Illegal {
			return
		}
	}
	t.Error("no history of local reads was rejected")
}

// checked records a history and checks it.
func checked(t *testing.T, level consistency.Level) (porcupine.CheckResult, []porcupine.Operation) {
	t.Helper()
	history := record(t, level)
	reads := 0
	for _, o := range history {
		if o.Input.(topicInput).kind == 0 {
			reads++
		}
	}
	if reads < 40 {
		t.Errorf("%d reads of level %s are too few to say anything", reads, level)
	}
	return porcupine.CheckOperationsTimeout(topicModel, history, time.Minute), history
}

// The checker itself: a read that misses what was there before it began.
func TestCheckerRejectsAStaleRead(t *testing.T) {
	create := porcupine.Operation{Input: topicInput{"topic", fsm.KindCreateTopic}, Call: 1, Return: 2}
	for at, want := range map[int64]bool{1: true, 3: false} {
		read := porcupine.Operation{ClientId: 1, Input: topicInput{topic: "topic"}, Output: false, Call: at, Return: 4}
		if got := porcupine.CheckOperations(topicModel, []porcupine.Operation{create, read}); got != want {
			t.Errorf("a read from %d: %v", at, got)
		}
	}
}
