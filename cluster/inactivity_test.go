package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// IDENTIFY and PING tell that an nsqd lives, REGISTER does not (nsqio/nsq,
// nsqlookupd/lookup_protocol_v1.go).
func TestRegisterDoesNotCountAsPing(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.InactiveTimeout = 200 * time.Millisecond
	r := openReady(t, cfg)
	start := time.Now()
	s := session(t, r, 1)
	register(t, s, "topic", "")
	if !lists(read(t, r), "topic", 1) {
		t.Fatal("IDENTIFY must count as a PING")
	}
	eventually.True(t, soon, "inactive", func() error {
		register(t, s, "topic", "channel")
		if lists(read(t, r), "topic", 1) {
			return errors.New("still listed")
		}
		return nil
	})
	if after := time.Since(start); after < cfg.InactiveTimeout {
		t.Errorf("inactive after %s", after)
	}
	if got := read(t, r).Counts(); got.Sessions != 1 || got.Topics != 1 || got.Channels != 1 {
		t.Errorf("the registry has %+v", got)
	}
	s.Ping()
	if !lists(read(t, r), "topic", 1) {
		t.Error("not listed after a PING")
	}
}

func TestPingKeepsActive(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.InactiveTimeout = 200 * time.Millisecond
	r := openReady(t, cfg)
	s := session(t, r, 1)
	register(t, s, "topic", "")
	s.Ping()
	settle(t, r)
	quiet := r.registry.State().Index()
	start := time.Now()
	eventually.True(t, soon, "three timeouts", func() error {
		s.Ping()
		if !lists(read(t, r), "topic", 1) {
			t.Fatal("not listed between two PINGs")
		}
		if time.Since(start) < 3*cfg.InactiveTimeout {
			return errors.New("too early")
		}
		return nil
	})
	if now := r.registry.State().Index(); now != quiet {
		t.Errorf("PINGs made %d entries", now-quiet)
	}
}

func TestLastUpdate(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	before := time.Now().UnixNano()
	s := session(t, r, 1)
	incarnation := r.Status().Incarnation
	key := fsm.SessionKey{Replica: r.ID(), Incarnation: incarnation, Number: s.number}
	first := r.LastUpdate(key)
	if first < before || first > time.Now().UnixNano() {
		t.Errorf("last update %d, want about %d", first, before)
	}
	eventually.True(t, soon, "a later PING", func() error {
		s.Ping()
		if r.LastUpdate(key) <= first {
			return errors.New("not later")
		}
		return nil
	})
	for _, other := range []fsm.SessionKey{
		{Replica: "other", Incarnation: incarnation, Number: s.number},
		{Replica: r.ID(), Incarnation: incarnation + 1, Number: s.number},
		{Replica: r.ID(), Incarnation: incarnation, Number: s.number + 1},
	} {
		if got := r.LastUpdate(other); got != 0 {
			t.Errorf("last update of %+v is %d", other, got)
		}
	}
	hangUp(s)
	if got := r.LastUpdate(key); got != 0 {
		t.Errorf("last update of a closed session is %d", got)
	}
}
