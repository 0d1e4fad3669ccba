package cluster

import (
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// When a replica has accepted a newer life, what the former one has still open ends, because it was
// judged when it was opened.
func TestConnectionsOfAFormerLifeEnd(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	as := func(l lineage) (*port, net.Conn) {
		p := newPort(noListener{}, livingAs{identity0{"other", r.whoami().cluster}, l}, r.log)
		t.Cleanup(func() { p.drop(); p.wait() })
		c, err := p.dial(t.Context(), kindJournal, r.ID(), r.port.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return p, c
	}
	first := lineage{}.next()
	_, former := as(first)
	as(first.next())
	if err := former.SetReadDeadline(time.Now().Add(soon)); err != nil {
		t.Fatal(err)
	}
	if _, err := former.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the former life's connection stays: %v", err)
	}
	p := newPort(noListener{}, livingAs{identity0{"other", r.whoami().cluster}, first}, r.log)
	if c, err := p.dial(t.Context(), kindCall, r.ID(), r.port.listener.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the former life is taken again")
	}
}

// A life is on disk before its replica is told that it is accepted: a witness that is killed then still knows it.
func TestLifeIsKeptBeforeItIsAccepted(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	for l := (lineage{}).next(); l.Start < 30; l = l.next() {
		p := newPort(noListener{}, livingAs{identity0{"other", r.whoami().cluster}, l}, r.log)
		c, err := p.dial(t.Context(), kindCall, r.ID(), r.port.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		kept, err := r.data.loadBook(r.whoami().cluster)
		_ = c.Close()
		p.wait()
		if err != nil || kept.get("other").Life != l.life() {
			t.Fatalf("start %d was accepted, on disk is %+v, error %v", l.Start, kept.get("other").Life, err)
		}
	}
}

// livingAs is a stranger of that lineage.
type livingAs struct {
	identity0
	lineage lineage
}

func (l livingAs) hello() hello { return hello{Name: "other", lineage: l.lineage} }

// A life that was judged before another one overtook it does not take its place.
func TestOvertakenLifeIsNotLearned(t *testing.T) {
	first := lineage{}.next()
	second := first.next()
	b := newBook()
	for _, step := range []struct {
		said      lineage
		overtaken bool
	}{{first, false}, {first, false}, {second, false}, {first, true}, {first.next(), true}, {lineage{}, false}, {second, false}} {
		if _, overtaken := b.learn("id", hello{Name: "other", lineage: step.said}); overtaken != step.overtaken {
			t.Errorf("start %d: overtaken %v", step.said.Start, overtaken)
		}
	}
	if known := b.get("id"); known.Life != second.life() {
		t.Errorf("life %+v is known, not %+v", known.Life, second.life())
	}
}

// A replica that hangs up at the newer greeting gets the older one, also when gossip has told nothing of
// it. One that is known to speak the newer gets it at the second time only, because it may just have ended.
func TestGreetingOfTheOlderRelease(t *testing.T) {
	var old atomic.Bool
	old.Store(true)
	cfg := testConfig(t.TempDir())
	cfg.older = old.Load
	r := openReady(t, cfg)
	p := newPort(noListener{}, livingAs{identity0{"other", r.whoami().cluster}, lineage{}.next()}, r.log)
	defer func() { p.drop(); p.wait() }()
	dial := func() error {
		c, err := p.dial(t.Context(), kindCall, r.ID(), r.port.listener.Addr().String())
		if err == nil {
			err = c.Close()
		}
		return err
	}
	if err := dial(); err != nil {
		t.Fatalf("the older release: %v", err)
	}
	if known := p.book.get(r.ID()); known.Life.Start > 0 || !p.book.speaksPlain(r.ID()) {
		t.Errorf("it is known as %+v", known)
	}
	old.Store(false)
	p.book.mu.Lock()
	p.book.records[r.ID()].hangUps.last = time.Now().Add(-plainKept)
	p.book.mu.Unlock()
	if err := dial(); err != nil {
		t.Fatalf("upgraded: %v", err)
	}
	if known := p.book.get(r.ID()); known.Life != r.lineage.life() || known.Level != knownLevel {
		t.Errorf("upgraded, it is known as %+v", known)
	}
	old.Store(true)
	if err := dial(); !errors.Is(err, errHungUp) {
		t.Errorf("the first hang-up: %v", err)
	}
	if err := dial(); err != nil {
		t.Errorf("downgraded: %v", err)
	}
}

// Once release 0.1.0 cannot be part of the cluster any more, a replica that is known by the newer greeting is
// not taken by the older one, which tells nothing of its history. It goes on with the newer one.
func TestNoWayAroundTheJudgement(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	eventually.True(t, soon, "the level is in force", func() error {
		if r.registry.State().Level() == 0 {
			return errors.New("it is not")
		}
		return nil
	})
	p := newPort(noListener{}, livingAs{identity0{"other", r.whoami().cluster}, lineage{}.next()}, r.log)
	defer func() { p.drop(); p.wait() }()
	dial := func(kind byte) error {
		c, err := p.dial(t.Context(), kind, r.ID(), r.port.listener.Addr().String())
		if err == nil {
			err = c.Close()
		}
		return err
	}
	hangUp := func() { // as a proxy in front of a replica that starts
		p.book.mu.Lock()
		known := p.book.of(r.ID())
		known.Level, known.hangUps = 0, hangUps{inRow: 2, last: time.Now()}
		p.book.mu.Unlock()
	}
	hangUp()
	if err := dial(kindJournal); err != nil {
		t.Errorf("a replica of release 0.1.0, for all that is known: %v", err)
	}
	p.book.newlyAgain(r.ID())
	if err := dial(kindJournal); err != nil { // now it is known
		t.Fatal(err)
	}
	for _, kind := range []byte{kindRaft, kindJournal} {
		c, err := p.dialAs(t.Context(), kind, plainGreeting, r.ID(), r.port.listener.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "newer greeting") {
			t.Errorf("kind %c: the older greeting is taken: %v", kind, err)
		}
		hangUp()
		if err := dial(kind); err != nil {
			t.Errorf("kind %c: the newer one does not come next: %v", kind, err)
		}
		if known := p.book.get(r.ID()); known.Level != knownLevel {
			t.Errorf("kind %c: it is known as %+v", kind, known)
		}
	}
}

// A name and addresses that fit into what release 0.1.0 tells by gossip still fit.
func TestGossipHasRoomForWhatFittedBefore(t *testing.T) {
	m := meta{ID: randomID(), Incarnation: 1 << 40, Cluster: randomID(), Version: "0.1.0", Expect: 3, Host: "h", TCP: 4160, HTTP: 4161,
		ClusterHost: "k", ClusterPort: 4162}
	for n := range maxMeta {
		m.Name = strings.Repeat("n", n+1)
		if b, err := json.Marshal(m); err != nil || len(b) > maxMeta {
			return
		}
		with := m
		with.Level, with.Start, with.Nonce, with.InForce = 1, 12345, 1<<32-1, 1
		raw, err := with.encode()
		if err != nil {
			t.Fatalf("a name of %d: %v", n+1, err)
		}
		if back, err := decodeMeta(raw); err != nil || back.Level != 1 || back.Name != m.Name {
			t.Fatalf("a name of %d: %v, %+v", n+1, err, back)
		}
	}
}

// What a replica says of itself is bounded, and survives what it does not know.
func FuzzHello(f *testing.F) {
	f.Add([]byte(`{"name":"a","start":3,"nonces":[1,2,3],"last":9,"new":{"x":1}}`))
	f.Add([]byte(`{"reason":"no","history":true,"hello":{"start":1,"nonces":[1]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		framed := append([]byte{byte(len(data) >> 8), byte(len(data))}, data...)
		var h hello
		if err := readMessage(strings.NewReader(string(framed)), &h); err == nil && h.cut().sound() == nil {
			known := peerRecord{Life: life{2, 2}, Acked: 5}
			v := judge(known, h.lineage, h.Last)
			if text := v.explain(known, h.cut()); v.refuses() && text == "" {
				t.Error("refused without a word")
			}
			if raw, err := json.Marshal(h); err != nil || len(raw) == 0 {
				t.Error(err)
			}
		}
		var a answer
		if readMessage(strings.NewReader(string(framed)), &a) == nil {
			_ = a.err()
		}
	})
}
