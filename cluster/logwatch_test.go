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
	return &watchedLog{LogStore: b, limit: writeLimit, failed: func(err error) { said = append(said, err.Error()) }}, &said
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

func TestLogThatKeepsFailingEndsTheReplica(t *testing.T) {
	b := &brokenLog{}
	w, said := watched(b)
	for _, fails := range []int32{failureLimit - 1, failureLimit - 1, failureLimit} { // a success in between
		b.fails.Store(fails)
		for range fails {
			if err := w.StoreLog(&raft.Log{Index: 1}); err == nil {
				t.Fatal("no error")
			}
		}
		if ended := len(*said) > 0; ended != (fails == failureLimit) {
			t.Fatalf("after %d failures: %q", fails, *said)
		}
		if fails < failureLimit {
			if err := w.StoreLog(&raft.Log{Index: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !strings.Contains((*said)[0], "make room") {
		t.Errorf("says %q", *said)
	}
}
