package cluster

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// checkBatch cuts a batch of that level, and compares its changes.
func checkBatch(t *testing.T, j *journal, level uint64, first uint64, want ...fsm.Change) {
	t.Helper()
	b, ok := j.next(levelAt{level, time.Now()}, 1)
	if !ok {
		t.Fatal("no batch")
	}
	var changes []byte
	for _, c := range want {
		changes = fsm.AppendChange(changes, c)
	}
	h := fsm.Header{Replica: "id", Incarnation: 1, First: first}
	if !bytes.Equal(b.entry, h.AppendEntry(nil, len(want), changes)) {
		t.Errorf("the batch from %d on is not %+v", b.first, want)
	}
}

// A Detach goes into the log only at its level; before, it is what release 0.1.0 knows.
func TestDetachOfEachLevel(t *testing.T) {
	j, o := newJournal("id", 1), &owner{}
	mustAppend(t, j, fsm.OpenReplica("r1"), o)
	mustAppend(t, j, fsm.Detach(300), o)
	mustAppend(t, j, fsm.CloseSession(301), o)
	mustAppend(t, j, fsm.Detach(302), o)
	checkBatch(t, j, 0, 1, fsm.OpenReplica("r1"), fsm.CloseSession(300), fsm.CloseSession(301), fsm.CloseSession(302))
	j.rewind() // and the level has been raised meanwhile
	checkBatch(t, j, 1, 1, fsm.OpenReplica("r1"), fsm.Detach(300), fsm.CloseSession(301), fsm.Detach(302))
	bytes := j.bytes
	j.observe(4, ok)
	if len(o.told) != 4 || j.bytes != 0 || bytes == 0 {
		t.Errorf("the owner was told %v, %d bytes are left of %d", o.told, j.bytes, bytes)
	}
}

// A CloseSession that has waited for longer than a second, or through a pause, is no word of the nsqd's any more:
// the cluster may have made orphans of this replica's sessions meanwhile, for their nsqds to come back.
func TestCloseThatWaits(t *testing.T) {
	for name, tc := range map[string]struct {
		wait, again time.Duration // before it is sent, and before it is sent again
		paused      bool
		want        []fsm.Change
	}{
		"at once":          {0, 0, false, []fsm.Change{fsm.CloseSession(9), fsm.CloseSession(9)}},
		"a second":         {0, closeAge, false, []fsm.Change{fsm.CloseSession(9), fsm.CloseSession(9)}},
		"sent again late":  {0, closeAge + 1, false, []fsm.Change{fsm.CloseSession(9), fsm.Detach(9)}},
		"sent late":        {closeAge + 1, 0, false, []fsm.Change{fsm.Detach(9), fsm.Detach(9)}},
		"after a pause":    {0, 0, true, []fsm.Change{fsm.Detach(9), fsm.Detach(9)}},
		"paused, and late": {closeAge + 1, closeAge, true, []fsm.Change{fsm.Detach(9), fsm.Detach(9)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j, o := newJournal("id", 1), &owner{}
				mustAppend(t, j, fsm.CloseSession(8), o)
				mustAppend(t, j, topicChange(2), o)
				j.next(levelAt{level: 1}, 1)
				j.observe(2, ok) // what is applied is out of it
				queued := time.Now()
				j.ends.paused = func(since time.Time) bool { return tc.paused && !since.After(queued) }
				mustAppend(t, j, fsm.CloseSession(9), o)
				time.Sleep(tc.wait)
				young := mustAppend(t, j, topicChange(4), o)
				checkBatch(t, j, 1, 3, tc.want[0], topicChange(4))
				j.rewind()
				time.Sleep(tc.again)
				checkBatch(t, j, 1, 3, tc.want[1], topicChange(4))
				j.observe(young, ok)
				if len(o.told) != 4 || len(j.ends.closes) != 0 || j.bytes != 0 {
					t.Errorf("told %v; %d ends and %d bytes are left", o.told, len(j.ends.closes), j.bytes)
				}
			})
		})
	}
}

// Only those that have waited too long change, and each batch knows its own.
func TestYoungAndOldCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal("id", 1)
		mustAppend(t, j, fsm.CloseSession(1), nil)
		mustAppend(t, j, fsm.CloseSession(2), nil)
		time.Sleep(closeAge / 2)
		mustAppend(t, j, fsm.CloseSession(3), nil)
		time.Sleep(closeAge/2 + 1)
		checkBatch(t, j, 1, 1, fsm.Detach(1), fsm.Detach(2), fsm.CloseSession(3))
		j.rewind()
		j.observe(1, ok)
		time.Sleep(closeAge)
		mustAppend(t, j, fsm.CloseSession(4), nil)
		checkBatch(t, j, 1, 2, fsm.Detach(2), fsm.Detach(3), fsm.CloseSession(4))
		j.rewind()
		checkBatch(t, j, 0, 2, fsm.CloseSession(2), fsm.CloseSession(3), fsm.CloseSession(4))
	})
}

// The ends of sessions are taken however full the journal is.
func TestEndsAreNeverRefused(t *testing.T) {
	j := newJournal("id", 1)
	j.bytes = maxQueuedBytes + 1
	if _, err := j.append(topicChange(1), nil); err != ErrOverloaded {
		t.Errorf("error %v, want ErrOverloaded", err)
	}
	mustAppend(t, j, fsm.CloseSession(1), nil)
	mustAppend(t, j, fsm.Detach(1), nil)
}

// A replica that was paused or cut off may not have applied the entry that raised the level. Its Detach waits
// until it knows, because a CloseSession would unlist a live nsqd.
func TestDetachOfAnUnknownLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal("id", 1)
		before := time.Now()
		time.Sleep(time.Second)
		mustAppend(t, j, topicChange(1), nil)
		mustAppend(t, j, fsm.Detach(9), nil)
		mustAppend(t, j, topicChange(3), nil)
		if b, ok := j.next(levelAt{0, before}, 1); !ok || b.last != 1 {
			t.Errorf("a batch up to %d, want what is before the Detach", b.last)
		}
		j.observe(1, ok)
		if b, ok := j.next(levelAt{0, before}, 1); ok {
			t.Errorf("a batch from %d to %d", b.first, b.last)
		}
		<-j.unsent // of the changes
		time.Sleep(resendPause)
		synctest.Wait()
		if len(j.unsent) == 0 {
			t.Error("it is not tried again")
		}
		checkBatch(t, j, 1, 2, fsm.Detach(9), topicChange(3))
		j.rewind()
		checkBatch(t, j, 0, 2, fsm.CloseSession(9), topicChange(3))
		j.observe(3, ok)
		if len(j.ends.detaches) > 0 {
			t.Errorf("kept: %v", j.ends.detaches)
		}
	})
}

// A CloseSession that became a Detach because it waited is one from then on, and waits for the level, too.
func TestLateCloseOfAnUnknownLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal("id", 1)
		mustAppend(t, j, fsm.CloseSession(9), nil)
		time.Sleep(closeAge)
		known := levelAt{0, time.Now()} // when it was a CloseSession still
		time.Sleep(time.Nanosecond)
		if b, ok := j.next(known, 1); ok {
			t.Errorf("a batch from %d to %d", b.first, b.last)
		}
		checkBatch(t, j, 1, 1, fsm.Detach(9))
	})
}

// A replica that is taken for lost says that it is there, though its Detach waits for the level.
func TestLostReplicaWithADetachOfAnUnknownLevel(t *testing.T) {
	j := newJournal("id", 1)
	mustAppend(t, j, topicChange(1), nil)
	j.next(levelAt{1, time.Now()}, 1)
	j.observe(1, ok)
	before := levelAt{0, time.Now().Add(-time.Hour)}
	mustAppend(t, j, fsm.Detach(9), nil)
	j.setLost(true)
	if b, ok := j.next(before, 1); !ok || b.first != 2 || b.last != 1 {
		t.Errorf("batch %v from %d to %d, want an empty one", ok, b.first, b.last)
	}
	if b, ok := j.next(before, 1); ok {
		t.Errorf("another batch from %d to %d", b.first, b.last)
	}
	checkBatch(t, j, 1, 2, fsm.Detach(9))
}
