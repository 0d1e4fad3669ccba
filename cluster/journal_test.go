package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// topicChange is a change that tells itself apart from others.
func topicChange(n int) fsm.Change { return fsm.CreateTopic(fmt.Sprintf("t%d", n)) }

func mustAppend(t testing.TB, j *journal, c fsm.Change, owner completer) uint64 {
	t.Helper()
	n, err := j.append(c, owner)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// owner writes down what it is told.
type owner struct{ told []string }

func (o *owner) complete(number uint64, result error) {
	o.told = append(o.told, fmt.Sprintf("%d:%v", number, result))
}

func ok(uint64) error { return nil }

// applyTo feeds a batch to a registry and returns the outcome.
func applyTo(t testing.TB, r *fsm.Registry, b batch) *fsm.Outcome {
	t.Helper()
	o, err := r.Apply(r.State().Index()+1, b.entry)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestJournalNumbersChangesFromOne(t *testing.T) {
	j := newJournal("id", 7)
	if _, ok := j.next(levelAt{level: fsm.MaxLevel}, 1); ok {
		t.Error("a batch of an empty journal")
	}
	mustAppend(t, j, fsm.OpenReplica("r1"), nil)
	for n := 2; n <= 5; n++ {
		if got := mustAppend(t, j, topicChange(n), nil); got != uint64(n) {
			t.Errorf("number %d, want %d", got, n)
		}
	}
	b, _ := j.next(levelAt{level: fsm.MaxLevel}, 1)
	if b.first != 1 || b.last != 5 {
		t.Errorf("batch %d to %d, want 1 to 5", b.first, b.last)
	}
	r := fsm.New()
	o := applyTo(t, r, b)
	if o.Err != nil || o.Replica != "id" || o.Incarnation != 7 || o.First != 1 || o.Last != 5 {
		t.Errorf("outcome %+v", o)
	}
	if got, want := string(r.State().Topics()), `{"topics":["t2","t3","t4","t5"]}`; got != want {
		t.Errorf("registry has %s, want %s", got, want)
	}
	if _, ok := j.next(levelAt{level: fsm.MaxLevel}, 1); ok {
		t.Error("the same changes were cut again")
	}
	mustAppend(t, j, topicChange(6), nil)
	if b, _ := j.next(levelAt{level: fsm.MaxLevel}, 1); b.first != 6 || b.last != 6 {
		t.Errorf("batch %d to %d, want 6 to 6", b.first, b.last)
	}
}

func TestJournalBatchIsBoundedByCount(t *testing.T) {
	j := newJournal("id", 1)
	for n := range 2*maxBatchChanges + 1 {
		mustAppend(t, j, topicChange(n), nil)
	}
	for i, want := range []int{maxBatchChanges, maxBatchChanges, 1} {
		b, ok := j.next(levelAt{level: fsm.MaxLevel}, 1)
		if got := int(b.last - b.first + 1); !ok || got != want {
			t.Errorf("batch %d has %d changes, want %d", i, got, want)
		}
	}
}

func TestJournalBatchIsBoundedByBytes(t *testing.T) {
	j := newJournal("id", 1)
	big := fsm.ProducerInfo{Hostname: strings.Repeat("h", 40<<10)}
	for range 8 {
		mustAppend(t, j, fsm.OpenSession(big), nil)
	}
	changes := 0
	for {
		b, ok := j.next(levelAt{level: fsm.MaxLevel}, 1)
		if !ok {
			break
		}
		changes += int(b.last - b.first + 1)
		if len(b.entry) > maxBatchBytes+1024 {
			t.Errorf("entry of %d bytes", len(b.entry))
		}
		if b.first == b.last && changes < 8 {
			t.Error("a batch of one where three fit")
		}
	}
	if changes != 8 {
		t.Errorf("%d changes were cut, want 8", changes)
	}
}

func TestJournalRewind(t *testing.T) {
	j := newJournal("id", 1)
	for n := range 6 {
		mustAppend(t, j, topicChange(n), nil)
	}
	j.next(levelAt{level: fsm.MaxLevel}, 1)
	j.observe(2, ok)
	<-j.unsent
	j.rewind()
	select {
	case <-j.unsent:
	default:
		t.Error("nobody is told that there is something to send")
	}
	if b, _ := j.next(levelAt{level: fsm.MaxLevel}, 1); b.first != 3 || b.last != 6 {
		t.Errorf("batch %d to %d, want 3 to 6", b.first, b.last)
	}
	// Applied while it was being sent again: nothing is left to send.
	j.rewind()
	j.observe(6, ok)
	if b, ok := j.next(levelAt{level: fsm.MaxLevel}, 1); ok {
		t.Errorf("batch %d to %d of what is applied", b.first, b.last)
	}
	if b, _ := func() (batch, bool) {
		mustAppend(t, j, topicChange(7), nil)
		return j.next(levelAt{level: fsm.MaxLevel}, 1)
	}(); b.first != 7 {
		t.Errorf("batch from %d, want 7", b.first)
	}
}

func TestJournalObserveTellsOwnersOnceInOrder(t *testing.T) {
	j, o := newJournal("id", 1), &owner{}
	for n := range 6 {
		var who completer = o
		if n == 2 {
			who = nil
		}
		mustAppend(t, j, topicChange(n), who)
	}
	failed := errors.New("failed")
	result := func(n uint64) error {
		if n == 4 {
			return failed
		}
		return nil
	}
	j.observe(0, result)
	j.observe(2, result)
	j.observe(2, result)
	j.observe(1, result)
	j.observe(5, result)
	j.observe(99, result) // more than there is, as after a restart
	want := []string{"1:<nil>", "2:<nil>", "4:failed", "5:<nil>", "6:<nil>"}
	if !slices.Equal(o.told, want) {
		t.Errorf("owner was told %v, want %v", o.told, want)
	}
	if j.applied.Load() != 6 || j.length() != 0 || j.bytes != 0 {
		t.Errorf("applied %d, %d changes and %d bytes left", j.applied.Load(), j.length(), j.bytes)
	}
}

func TestJournalReopen(t *testing.T) {
	j := newJournal("id", 1)
	mustAppend(t, j, fsm.OpenReplica("r1"), nil)
	j.next(levelAt{level: fsm.MaxLevel}, 1)
	if !j.is("id", 1) || j.is("id", 2) || j.is("other", 1) {
		t.Error("the journal does not know whose it is")
	}
	if !j.reopen(5) || !j.is("id", 5) {
		t.Fatal("a journal of which nothing is applied cannot be reopened")
	}
	j.rewind()
	b, _ := j.next(levelAt{level: fsm.MaxLevel}, 1)
	if o := applyTo(t, fsm.New(), b); o.Incarnation != 5 || o.Last != 1 {
		t.Errorf("outcome %+v", o)
	}
	j.observe(1, ok)
	if j.reopen(6) || !j.is("id", 5) {
		t.Error("a journal of which something is applied was reopened")
	}
}

func TestJournalWait(t *testing.T) {
	j := newJournal("id", 1)
	for n := range 3 {
		mustAppend(t, j, topicChange(n), nil)
	}
	if err := j.wait(context.Background(), 0); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := j.wait(ended, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
	done := make(chan error)
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	go func() { done <- j.wait(ctx, 3) }()
	go func() { done <- j.wait(ctx, 2) }()
	j.observe(2, ok)
	if err := <-done; err != nil {
		t.Error(err)
	}
	select {
	case <-done:
		t.Error("the wait for 3 has ended")
	case <-time.After(20 * time.Millisecond):
	}
	j.observe(3, ok)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestJournalOverload(t *testing.T) {
	j := newJournal("id", 1)
	big := fsm.OpenSession(fsm.ProducerInfo{Hostname: strings.Repeat("h", 60<<10)})
	taken := 0
	for {
		_, err := j.append(big, nil)
		if errors.Is(err, ErrOverloaded) {
			break
		}
		if err != nil || taken > 2*maxQueuedBytes/(60<<10) {
			t.Fatalf("%d changes taken, then error %v", taken, err)
		}
		taken++
	}
	if taken < maxQueuedBytes/(61<<10) {
		t.Errorf("only %d changes taken", taken)
	}
	if _, err := j.append(fsm.CloseSession(3), nil); err != nil {
		t.Errorf("the end of a session was refused: %v", err)
	}
	if _, err := j.append(topicChange(1), nil); !errors.Is(err, ErrOverloaded) {
		t.Errorf("error %v, want overloaded", err)
	}
	j.observe(2, ok)
	if _, err := j.append(topicChange(1), nil); err != nil {
		t.Errorf("still refused when there is room: %v", err)
	}
}

func TestJournalClose(t *testing.T) {
	j := newJournal("id", 1)
	mustAppend(t, j, topicChange(1), nil)
	j.close()
	for _, c := range []fsm.Change{topicChange(2), fsm.CloseSession(1)} {
		if _, err := j.append(c, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("error %v, want closed", err)
		}
	}
	if b, ok := j.next(levelAt{level: fsm.MaxLevel}, 1); !ok || b.last != 1 {
		t.Error("what was queued before is not sent")
	}
}

func TestJournalAckNeverFalls(t *testing.T) {
	j := newJournal("id", 1)
	for _, n := range []uint64{3, 1, 5, 4} {
		j.ack(n)
	}
	if got := j.acked.Load(); got != 5 {
		t.Errorf("acked %d, want 5", got)
	}
}
