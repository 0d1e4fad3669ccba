package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// badLeader stands for whoever leads. It has a real registry, and does to the entries that are
// proposed whatever can happen to them, at random, until it is healed.
type badLeader struct {
	journal *journal

	mu       sync.Mutex
	random   *rand.Rand
	registry *fsm.Registry
	numbers  []uint64 // of the changes that were applied, in order
	limbo    [][]byte // proposed, and neither committed nor lost yet
	healed   bool
	fates    map[string]int
}

func newBadLeader(seed uint64, j *journal) *badLeader {
	return &badLeader{journal: j, random: rand.New(rand.NewPCG(seed, 0)), registry: fsm.New(), fates: make(map[string]int)}
}

var errLost = errors.New("leadership lost")

func (l *badLeader) propose(entry []byte) func(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.healed {
		l.settleLimbo(1)
		return known(l.commit(entry))
	}
	l.settleLimbo(l.random.Float64())
	fates := []string{"commit", "commit", "commit", "commit", "drop", "lie", "late", "silent", "slow", "enqueue"}
	fate := fates[l.random.IntN(len(fates))]
	l.fates[fate]++
	switch fate {
	case "drop":
		return known(errLost)
	case "lie": // committed, but the answer says that it is not known
		_ = l.commit(entry)
		return known(errLost)
	case "late": // committed after later ones, perhaps; the answer comes before
		l.limbo = append(l.limbo, entry)
		return known(errLost)
	case "silent": // a future that never resolves
		l.limbo = append(l.limbo, entry)
		return func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	case "slow": // committed after others that were sent later
		return func(ctx context.Context) error {
			inTime := pause(ctx, time.Duration(l.draw(3000))*time.Millisecond)
			l.mu.Lock()
			defer l.mu.Unlock()
			if !inTime {
				l.limbo = append(l.limbo, entry)
				return ctx.Err()
			}
			return l.commit(entry)
		}
	case "enqueue":
		return known(raft.ErrEnqueueTimeout)
	}
	return known(l.commit(entry))
}

func known(err error) func(context.Context) error { return func(context.Context) error { return err } }

func (l *badLeader) draw(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.random.IntN(n)
}

// settleLimbo decides what becomes of entries in limbo, in any order; some stay.
func (l *badLeader) settleLimbo(share float64) {
	l.random.Shuffle(len(l.limbo), func(i, k int) { l.limbo[i], l.limbo[k] = l.limbo[k], l.limbo[i] })
	for n := int(share * float64(len(l.limbo))); n > 0; n-- {
		entry := l.limbo[0]
		l.limbo = l.limbo[1:]
		switch l.random.IntN(3) {
		case 0: // lost
		case 1: // twice in the log
			_ = l.commit(entry)
			_ = l.commit(entry)
		default:
			_ = l.commit(entry)
		}
	}
}

// commit applies an entry as machine does.
func (l *badLeader) commit(entry []byte) error {
	o, err := l.registry.Apply(l.registry.State().Index()+1, entry)
	if err != nil {
		return err
	}
	if o.Err != nil {
		return o.Err
	}
	for n := o.First; n <= o.Last; n++ {
		l.numbers = append(l.numbers, n)
	}
	if l.journal.is(o.Replica, o.Incarnation) {
		l.journal.observe(o.Last, o.Result)
	}
	return nil
}

func (l *badLeader) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.healed = true
}

// running runs a sender until the test's function has returned, and gives what it ended with.
func running(j *journal, to proposer, fenced func(*fsm.IncarnationError) error, f func()) error {
	ctx, stop := context.WithCancel(context.Background())
	s := newSender(j, to, newestLevel, fenced)
	ended := make(chan error, 2)
	go func() { ended <- s.send(ctx) }()
	go func() { ended <- s.collect(ctx) }()
	f()
	stop()
	return errors.Join(<-ended, <-ended)
}

// newestLevel is a registry that has every kind.
func newestLevel() levelAt { return levelAt{level: fsm.MaxLevel} }

func neverFenced(e *fsm.IncarnationError) error { return fmt.Errorf("fenced: %w", e) }

// history is changes whose results and end state depend on their order.
func history(random *rand.Rand, n int) []fsm.Change {
	changes := []fsm.Change{fsm.OpenReplica("r1"), fsm.OpenSession(nsqd(1)), fsm.OpenSession(nsqd(2))}
	for len(changes) < n {
		topic, channel := fmt.Sprintf("t%d", random.IntN(4)), fmt.Sprintf("c%d", random.IntN(3))
		who := uint64(2 + random.IntN(2))
		changes = append(changes, []fsm.Change{
			fsm.Register(who, topic, channel), fsm.Register(who, topic, ""), fsm.Unregister(who, topic, channel),
			fsm.Unregister(who, topic, ""), fsm.DeleteChannel(topic, channel), fsm.DeleteTopic(topic),
			fsm.CreateChannel(topic, channel), fsm.Tombstone(topic, "nsqd-1:4151"), fsm.SetActive(who, random.IntN(2) == 0),
		}[random.IntN(9)])
	}
	return changes
}

func TestSenderWhateverHappens(t *testing.T) {
	fates := make(map[string]int)
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			j := newJournal("id", 1)
			leader := newBadLeader(seed, j)
			random := rand.New(rand.NewPCG(seed, 1))
			changes := history(random, 20+random.IntN(3*maxBatchChanges))
			told := &owner{}
			err := running(j, leader, neverFenced, func() {
				for _, c := range changes {
					mustAppend(t, j, c, told)
					if random.IntN(20) == 0 {
						time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond) // the clock of synctest
					}
				}
				time.Sleep(10 * time.Second)
				leader.heal()
				waitApplied(t, j, len(changes))
			})
			if err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			leader.check(t, seed, changes, told)
			for fate, n := range leader.fates {
				fates[fate] += n
			}
		})
		if t.Failed() {
			break
		}
	}
	if len(fates) != 7 {
		t.Errorf("only these fates were met: %v", fates)
	}
}

// When there is another leader what failed is sent again at once, else after a pause.
func TestSenderDoesNotPauseForANewLeader(t *testing.T) {
	for _, moved := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			j := newJournal("id", 1)
			var asked []time.Time
			to := proposerFunc(func([]byte) func(context.Context) error {
				if asked = append(asked, time.Now()); len(asked) == 1 {
					return known(raft.ErrNotLeader)
				}
				j.observe(1, ok)
				return known(nil)
			})
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			s := newSender(j, to, newestLevel, neverFenced)
			s.moved() // before the trouble: of no use
			go func() { _ = s.collect(ctx) }()
			go func() { _ = s.send(ctx) }()
			mustAppend(t, j, topicChange(1), nil)
			synctest.Wait()
			time.Sleep(resendPause / 4)
			if moved {
				s.moved()
			}
			time.Sleep(resendPause)
			stop()
			synctest.Wait()
			want := resendPause
			if moved {
				want = resendPause / 4
			}
			if len(asked) != 2 || asked[1].Sub(asked[0]) != want {
				t.Errorf("moved %v: sent %d times, again after %v; want %v", moved, len(asked), asked[len(asked)-1].Sub(asked[0]), want)
			}
		})
	}
}

type proposerFunc func([]byte) func(context.Context) error

func (f proposerFunc) propose(entry []byte) func(context.Context) error { return f(entry) }

func waitApplied(t testing.TB, j *journal, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := j.wait(ctx, uint64(n)); err != nil {
		t.Fatalf("%d of %d changes are applied: %v", j.applied.Load(), n, err)
	}
}

// check compares with a registry that got the changes one by one.
func (l *badLeader) check(t testing.TB, seed uint64, changes []fsm.Change, told *owner) {
	t.Helper()
	want, results := fsm.New(), []string{}
	for i, c := range changes {
		h := fsm.Header{Replica: "id", Incarnation: 1, First: uint64(i) + 1}
		o, err := want.Apply(uint64(i)+1, h.AppendEntry(nil, 1, fsm.AppendChange(nil, c)))
		if err != nil || o.Err != nil {
			t.Fatalf("seed %d: %v, %v", seed, err, o.Err)
		}
		results = append(results, fmt.Sprintf("%d:%v", i+1, o.Result(uint64(i)+1)))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, n := range l.numbers {
		if n != uint64(i)+1 {
			t.Fatalf("seed %d: change %d was applied in the place of %d", seed, n, i+1)
		}
	}
	if len(l.numbers) != len(changes) {
		t.Errorf("seed %d: %d changes were applied, want %d", seed, len(l.numbers), len(changes))
	}
	if got, want := l.registry.State().Fingerprint(), want.State().Fingerprint(); got != want {
		t.Errorf("seed %d: fingerprint %s, want %s", seed, got, want)
	}
	if fmt.Sprint(told.told) != fmt.Sprint(results) {
		t.Errorf("seed %d: the owner was told\n%v, want\n%v", seed, told.told, results)
	}
}

// At the start the registry may know a greater incarnation: the sender goes on under the next.
func TestSenderFencedAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal("id", 2)
		leader := newBadLeader(1, j)
		leader.healed = true
		former := fsm.Header{Replica: "id", Incarnation: 5, First: 1}
		_ = leader.commit(former.AppendEntry(nil, 1, fsm.AppendChange(nil, fsm.OpenReplica("r1"))))
		leader.numbers = nil
		var fences []uint64
		err := running(j, leader, func(e *fsm.IncarnationError) error {
			fences = append(fences, e.Known)
			if !j.reopen(e.Known + 1) {
				return e
			}
			return nil
		}, func() {
			for _, c := range history(rand.New(rand.NewPCG(1, 1)), 3*maxBatchChanges) {
				mustAppend(t, j, c, nil)
			}
			waitApplied(t, j, 3*maxBatchChanges)
		})
		if err != nil {
			t.Error(err)
		}
		if len(fences) == 0 || fences[0] != 5 {
			t.Errorf("fenced with %v, want 5", fences)
		}
		if me, _ := leader.registry.State().Replica("id"); me.Incarnation != 6 || me.Last != 3*maxBatchChanges {
			t.Errorf("the registry knows %+v", me)
		}
	})
}

// Later it means that somebody else lives under this id: that ends the sender.
func TestSenderFencedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal("id", 2)
		leader := newBadLeader(1, j)
		leader.healed = true
		double := errors.New("somebody else lives under this id")
		err := running(j, leader, func(*fsm.IncarnationError) error { return double }, func() {
			mustAppend(t, j, fsm.OpenReplica("r1"), nil)
			waitApplied(t, j, 1)
			other := fsm.Header{Replica: "id", Incarnation: 3, First: 1}
			leader.mu.Lock()
			_ = leader.commit(other.AppendEntry(nil, 1, fsm.AppendChange(nil, fsm.OpenReplica("r1"))))
			leader.mu.Unlock()
			mustAppend(t, j, topicChange(1), nil)
			synctest.Wait()
		})
		if !errors.Is(err, double) {
			t.Errorf("the sender ended with %v", err)
		}
	})
}

// It does not spin while nothing can be committed.
func TestSenderPausesWhenNothingCanBeCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal("id", 1)
		mustAppend(t, j, fsm.OpenReplica("r1"), nil)
		refusals := &refuser{}
		err := running(j, refusals, neverFenced, func() { time.Sleep(time.Minute) })
		if err != nil {
			t.Error(err)
		}
		if max := int(time.Minute/resendPause) + 2; refusals.n < 100 || refusals.n > max {
			t.Errorf("%d attempts in a minute, want at most %d", refusals.n, max)
		}
	})
}

type refuser struct{ n int }

func (r *refuser) propose([]byte) func(context.Context) error {
	r.n++
	return known(raft.ErrNotLeader)
}
