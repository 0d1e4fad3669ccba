package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/raftlookupd/raftlookupd/fsm"
)

func fingerprint(t testing.TB, r *Replica, index uint64) fsm.Fingerprint {
	t.Helper()
	at, fp, err := r.Fingerprint(context.Background(), index)
	if err != nil {
		t.Fatalf("at %d: %v", index, err)
	}
	if index > 0 && at != index {
		t.Errorf("asked for %d, answered for %d", index, at)
	}
	return fp
}

func TestFingerprintNow(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	register(t, session(t, r, 1), "topic", "")
	settle(t, r)
	s := r.registry.State()
	at, fp, err := r.Fingerprint(context.Background(), 0)
	if err != nil || at != s.Index() || fp != s.Fingerprint() {
		t.Errorf("index %d, fingerprint %s, error %v; want %d, %s", at, fp, err, s.Index(), s.Fingerprint())
	}
}

func TestFingerprintsOfThePast(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	want := make(map[uint64]fsm.Fingerprint)
	for i := range 10 {
		change(t, r, fsm.CreateTopic(fmt.Sprintf("topic-%d", i)))
		s := r.registry.State()
		want[s.Index()] = s.Fingerprint()
	}
	for index, fp := range want {
		if got := fingerprint(t, r, index); got != fp {
			t.Errorf("at %d: %s, want %s", index, got, fp)
		}
	}
	if got := fingerprint(t, r, 1); got != fsm.New().State().Fingerprint() {
		t.Errorf("before the first change: %s, want that of an empty registry", got)
	}
}

func TestFingerprintTooOld(t *testing.T) {
	cfg := testConfig(t.TempDir())
	first := openReady(t, cfg)
	populate(t, first)
	compact(t, first)
	old := first.registry.State().Index() - 1
	mustClose(t, first)
	r := openReady(t, cfg)
	if _, _, err := r.Fingerprint(context.Background(), old); !errors.Is(err, fsm.ErrIndexTooOld) {
		t.Errorf("error %v, want ErrIndexTooOld", err)
	}
}

func TestFingerprintNotReached(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	settle(t, r)
	ahead := r.registry.State().Index() + 2
	for _, index := range []uint64{ahead, 1 << 62} {
		if _, _, err := r.Fingerprint(context.Background(), index); !errors.Is(err, ErrNotReached) {
			t.Errorf("at %d: error %v, want ErrNotReached", index, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := r.Fingerprint(ctx, ahead); !errors.Is(err, ErrNotReached) {
		t.Errorf("error %v, want ErrNotReached", err)
	}
}

func TestFingerprintWaitsBriefly(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	settle(t, r)
	next := r.registry.State().Index() + 1
	type answer struct {
		fp  fsm.Fingerprint
		err error
	}
	got := make(chan answer)
	go func() {
		_, fp, err := r.Fingerprint(context.Background(), next)
		got <- answer{fp, err}
	}()
	change(t, r, fsm.CreateTopic("topic"))
	if a := <-got; a.err != nil || a.fp != r.registry.State().Fingerprint() {
		t.Errorf("fingerprint %s, error %v", a.fp, a.err)
	}
}

// Raft's own entries never reach the registry: its fingerprint there is the one before.
func TestFingerprintAtAnEntryOfRaft(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	change(t, r, fsm.CreateTopic("topic"))
	settle(t, r)
	levelled(t, r)
	before := r.registry.State()
	future := r.raft.Barrier(soon)
	if err := future.Error(); err != nil {
		t.Fatal(err)
	}
	barrier := future.(raft.IndexFuture).Index()
	if barrier <= before.Index() {
		t.Fatalf("the barrier is entry %d, the registry at %d", barrier, before.Index())
	}
	if got := fingerprint(t, r, barrier); got != before.Fingerprint() {
		t.Errorf("fingerprint %s, want %s", got, before.Fingerprint())
	}
	if _, _, err := r.Fingerprint(context.Background(), barrier+1); !errors.Is(err, ErrNotReached) {
		t.Errorf("error %v, want ErrNotReached", err)
	}
}
