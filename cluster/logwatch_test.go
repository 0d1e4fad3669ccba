package cluster

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// brokenLog is a log whose writes take that long, and fail while fails is positive.
type brokenLog struct {
	*raft.InmemStore
	takes time.Duration
	fails atomic.Int32
}

func (b *brokenLog) StoreLogs(logs []*raft.Log) error {
	pause(context.Background(), b.takes)
	if b.fails.Add(-1) >= 0 {
		return errors.New("no space left on device")
	}
	return b.InmemStore.StoreLogs(logs)
}

// watched is a watched log and what it says when it ends the replica.
func watched(b *brokenLog) (*watchedLog, *[]string) {
	b.InmemStore = raft.NewInmemStore()
	var said []string
	disk := &diskWatch{dir: "/the/data", limit: writeLimit, failed: func(err error) { said = append(said, err.Error()) }}
	return &watchedLog{LogStore: b, diskWatch: disk}, &said
}

func TestLogThatHangsEndsTheReplica(t *testing.T) {
	for takes, want := range map[time.Duration]int{writeLimit - time.Second: 0, writeLimit + time.Second: 1} {
		synctest.Test(t, func(t *testing.T) {
			w, said := watched(&brokenLog{takes: takes})
			if err := w.StoreLog(&raft.Log{Index: 1}); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if len(*said) != want || want > 0 && !strings.Contains((*said)[0], "the disk hangs") {
				t.Errorf("a write of %s: %q", takes, *said)
			}
		})
	}
}

// A write of entries that hangs silences the leader; one that only deletes does not, because nothing waits
// for it but other writes.
func TestLogThatHangsSilencesTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, said := watched(&brokenLog{takes: writeLimit - time.Second})
		if err := (*diskWatch)(nil).stalled(); err != nil {
			t.Error(err)
		}
		check := func(when string, want bool) {
			t.Helper()
			synctest.Wait()
			if err := w.stalled(); (err != nil) != want {
				t.Errorf("%s: %v", when, err)
			}
		}
		check("before the write", false)
		done := make(chan error)
		go func() { done <- w.StoreLog(&raft.Log{Index: 1}) }()
		check("at its beginning", false)
		time.Sleep(stallLimit)
		check("just in time", false)
		time.Sleep(time.Millisecond)
		check("late", true)
		if err := <-done; err != nil {
			t.Error(err)
		}
		check("when it has ended", false)
		if len(*said) > 0 {
			t.Errorf("it ended the replica: %q", *said)
		}
	})
}

func TestLogThatKeepsFailingEndsTheReplica(t *testing.T) {
	b := &brokenLog{}
	w, said := watched(b)
	for _, fails := range []int32{failureLimit - 1, failureLimit - 1, failureLimit} { // a success in between
		b.fails.Store(fails)
		for range fails {
			if err := w.StoreLog(&raft.Log{Index: 2}); err == nil {
				t.Fatal("no error")
			}
		}
		if ended := len(*said) > 0; ended != (fails == failureLimit) {
			t.Fatalf("after %d failures: %q", fails, *said)
		}
		if fails < failureLimit {
			if err := w.StoreLog(&raft.Log{Index: 2}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !strings.Contains((*said)[0], "make room") || !strings.Contains((*said)[0], "/the/data") {
		t.Errorf("says %q", *said)
	}
}

// brokenStable fails to write while fails is positive.
type brokenStable struct {
	*raft.InmemStore
	fails, writes int
}

func (b *brokenStable) SetUint64(key []byte, n uint64) error {
	b.writes++
	if b.fails--; b.fails >= 0 {
		return errors.New("no space left on device")
	}
	return b.InmemStore.SetUint64(key, n)
}

func (b *brokenStable) Set(key, value []byte) error {
	if b.fails--; b.fails >= 0 {
		return errors.New("no space left on device")
	}
	return b.InmemStore.Set(key, value)
}

// watchedTerm is a store that has term 2 and then fails so many times, and how often it ended the replica.
func watchedTerm(t *testing.T, fails int) (*watchedStable, *brokenStable, *int) {
	t.Helper()
	b, said := &brokenStable{InmemStore: raft.NewInmemStore()}, 0
	w := &watchedStable{b, &diskWatch{limit: writeLimit, failed: func(error) { said++ }}}
	if err := w.SetUint64([]byte(termKey), 2); err != nil {
		t.Fatal(err)
	}
	b.fails = fails
	return w, b, &said
}

// The library panics when SetUint64 returns an error for a term.
func TestTermThatCannotBeWrittenEndsTheReplica(t *testing.T) {
	for fails, wantEnd := range map[int]bool{failureLimit - 1: false, failureLimit: true} {
		w, _, said := watchedTerm(t, fails)
		returned := false
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := w.SetUint64([]byte(termKey), 3); err != nil {
				t.Error(err)
			}
			returned = true
		}()
		<-done
		if returned == wantEnd || (*said == 1) != wantEnd {
			t.Errorf("after %d failures: returned %t, ended the replica %d times", fails, returned, *said)
		}
		if _, err := w.GetUint64([]byte(termKey)); (err != nil) != wantEnd {
			t.Errorf("after %d failures the term can be read: %v", fails, err)
		}
	}
}

func TestVotesThatCannotBeWrittenEndTheReplica(t *testing.T) {
	w, _, said := watchedTerm(t, failureLimit)
	for range failureLimit {
		if err := w.Set(voteCandidateKey, nil); err == nil {
			t.Fatal("no error")
		}
	}
	if *said != 1 {
		t.Errorf("ended the replica %d times", *said)
	}
}

// A start saves the term that it has read, on the goroutine of whoever starts.
func TestTermThatIsThereIsNotWritten(t *testing.T) {
	w, b, _ := watchedTerm(t, failureLimit)
	before := b.writes
	if err := w.SetUint64([]byte(termKey), 2); err != nil || b.writes != before {
		t.Errorf("%d writes, error %v", b.writes-before, err)
	}
	empty := &watchedStable{&brokenStable{InmemStore: raft.NewInmemStore(), fails: failureLimit}, w.diskWatch}
	if err := empty.SetUint64([]byte(termKey), 0); err != nil {
		t.Error(err)
	}
	if err := empty.SetUint64([]byte(termKey), bootstrapTerm); err == nil { // which the library hands on
		t.Error("a bootstrap's term that cannot be written: no error")
	}
}

// failingLog fails its first write.
type failingLog struct {
	raft.LogStore
	failed bool
}

func (f *failingLog) StoreLogs(logs []*raft.Log) error {
	if !f.failed {
		f.failed = true
		return errors.New("no space left on device")
	}
	return f.LogStore.StoreLogs(logs)
}

// A bootstrap whose entry could not be written has left its term behind, by which the library takes
// the next attempt for one too many.
func TestBootstrapThatCannotBeWritten(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.wrapLog = func(log raft.LogStore) raft.LogStore { return &failingLog{LogStore: log} }
	r := open(t, cfg)
	checkFailure(t, r, cfg.DataPath, "make room")
	again := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(r.data.ID), Address: raft.ServerAddress(r.data.ID)}}}
	if err := r.raft.BootstrapCluster(again).Error(); err == nil || errors.Is(err, raft.ErrCantBootstrap) {
		t.Errorf("tried again before the replica has closed: %v", err)
	}
	mustClose(t, r)
	openReady(t, testConfig(cfg.DataPath))
}

// A write that fails may have landed, for example when only the last sync of it has failed. What comes
// in its place may be less: nothing of it may be left behind that.
func TestNothingIsLeftOfAFailedWrite(t *testing.T) {
	store := raft.NewInmemStore()
	fails := &failsAfterWriting{LogStore: store}
	w := &watchedLog{LogStore: fails, diskWatch: &diskWatch{failed: func(error) {}, limit: soon}}
	write := func(term uint64, indexes ...uint64) error {
		var logs []*raft.Log
		for _, i := range indexes {
			logs = append(logs, &raft.Log{Index: i, Term: term})
		}
		return w.StoreLogs(logs)
	}
	if err := write(1, 1, 2); err != nil {
		t.Fatal(err)
	}
	fails.now = true
	for range 2 {
		if err := write(1, 3, 4, 5); err == nil {
			t.Fatal("it did not fail")
		}
	}
	fails.now = false
	if err := write(2, 3); err != nil {
		t.Fatal(err)
	}
	if last, _ := store.LastIndex(); last != 3 {
		t.Errorf("the log ends at %d", last)
	}
	if err := write(2, 4, 5); err != nil {
		t.Fatal(err)
	}
	if last, _ := store.LastIndex(); last != 5 {
		t.Errorf("the log ends at %d", last)
	}
}

type failsAfterWriting struct {
	raft.LogStore
	now bool
}

func (f *failsAfterWriting) StoreLogs(logs []*raft.Log) error {
	err := f.LogStore.StoreLogs(logs)
	if f.now {
		return errors.New("sync failed")
	}
	return err
}
