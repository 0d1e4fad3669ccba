package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// reader is a client's own registry, made of what it is told.
type reader struct {
	topics map[string]string // a topic's lookup
	index  map[string]uint64 // of a topic's last event in this connection
	events int
	pages  bool // told in pages, of which a later one may tell what is told again after all of them
}

func (r *reader) take(t testing.TB, e watched) {
	t.Helper()
	var is struct {
		Topic     string
		Index     uint64
		Channels  json.RawMessage
		Producers json.RawMessage
	}
	if err := json.Unmarshal([]byte(e.data), &is); err != nil {
		t.Fatalf("%v in %s", err, e)
	}
	switch e.kind {
	case "resync":
		clear(r.topics)
		clear(r.index)
		return
	case "ready":
		return
	case "gone":
		delete(r.topics, is.Topic)
	default:
		r.topics[is.Topic] = fmt.Sprintf(`{"channels":%s,"producers":%s}`, is.Channels, is.Producers)
	}
	if before, ok := r.index[is.Topic]; ok && (is.Index < before || is.Index == before && !r.pages) {
		t.Errorf("%s at %d comes after it at %d", e, is.Index, before)
	}
	r.index[is.Topic] = is.Index
	r.events++
}

// check holds what a client knows to what there is.
func (r *reader) check(t testing.TB, s *fsm.State, names []string) {
	t.Helper()
	for _, name := range names {
		body, ok := s.Lookup(name)
		if got, has := r.topics[name]; has != ok || got != string(body) {
			t.Errorf("%s: the client knows %q, %v; it is %q, %v", name, got, has, body, ok)
		}
	}
}

// A client that loses its connection at any point, and resumes, ends with exactly what there is.
func TestWatchLosesNothing(t *testing.T) {
	few := []string{"a", "b", "c", "d", "e", "f#ephemeral"}
	var many []string // of which a first content has three pages
	for i := range 5 * watchPage / 2 {
		many = append(many, fmt.Sprint("t", i))
	}
	for _, c := range []struct {
		query          string
		all, watched   []string
		events, change int // before it loses its connection, at most; and in all
	}{
		{"", few, few, 10, 3000},
		{"?topic=b", few, few[1:2], 10, 3000},
		{"?topic=a&topic=c&topic=f%23ephemeral", few, []string{"a", "c", "f#ephemeral"}, 10, 3000},
		{"", many, many, 2 * len(many), 6000},
	} {
		t.Run(fmt.Sprintf("%d topics%s", len(c.all), c.query), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			f := newFakeReplica(t)
			for _, name := range c.all {
				f.apply(t, fsm.CreateTopic(name))
			}
			s := start(t, quick(f))
			done := make(chan uint64, 1)
			go func() { done <- changeAtRandom(t, f, rand.New(rand.NewPCG(seed, 1)), c.all, c.change) }()
			r := &reader{topics: map[string]string{}, pages: len(c.watched) > watchPage}
			readInPieces(t, s, r, c.query, c.events, rand.New(rand.NewPCG(seed, 2)), done)
			r.check(t, f.registry.State(), c.watched)
		})
	}
}

// readInPieces reads some events and connects again, until it has been told everything.
func readInPieces(t *testing.T, s *running, r *reader, query string, most int, random *rand.Rand, done <-chan uint64) {
	t.Helper()
	lastID, final := "", uint64(0)
	for pieces := 1; ; pieces++ {
		c := openWatch(t, s, query, lastID)
		r.index = map[string]uint64{}
		for left := 1 + random.IntN(most); left > 0; left-- {
			e, err := c.nextOrBeat()
			if err != nil {
				t.Fatal(err)
			}
			select {
			case final = <-done:
			default:
			}
			if e.kind == beat && final > 0 {
				break // there may be no more events of these topics
			} else if e.kind == beat {
				continue
			}
			r.take(t, e)
			lastID = strconv.FormatUint(e.id, 10)
			if final > 0 && e.id >= final {
				t.Logf("%d events in %d pieces up to index %d", r.events, pieces, final)
				return
			}
		}
		c.close()
	}
}

// changeAtRandom returns the last index.
func changeAtRandom(t *testing.T, f *fakeReplica, random *rand.Rand, names []string, changes int) uint64 {
	info := fsm.ProducerInfo{RemoteAddress: "h:1", Hostname: "h", BroadcastAddress: "h", TCPPort: 4150, HTTPPort: 4151, Version: "1.3.0"}
	session := f.apply(t, fsm.OpenSession(info))
	few := len(names) < watchPage // of many nothing must make that all are told again: it would hide what was lost
	for range changes {
		name, channel := names[random.IntN(len(names))], "c"+strconv.Itoa(random.IntN(3))
		switch random.IntN(60) {
		case 0:
			if few {
				restoreItself(t, f)
			}
			continue
		case 1, 2:
			busyFor(time.Duration(random.IntN(3)) * time.Millisecond)
			continue
		}
		kinds := []fsm.Change{fsm.CreateTopic(name), fsm.DeleteTopic(name), fsm.CreateChannel(name, channel),
			fsm.DeleteChannel(name, channel), fsm.Register(session, name, ""), fsm.Register(session, name, channel),
			fsm.Unregister(session, name, channel), fsm.Unregister(session, name, "")}
		if few {
			kinds = append(kinds, fsm.SetActive(session, random.IntN(2) == 0))
		}
		if _, err := f.applyChange(kinds[random.IntN(len(kinds))]); err != nil && !errors.Is(err, fsm.ErrChannelNotFound) {
			t.Error(err)
		}
	}
	return f.registry.State().Index()
}

// What changes on a page that was told, while the next is, is told after them; and what was told newer
// than the first page has no say in what the client knows of that.
func TestWatchChangesBetweenPages(t *testing.T) {
	f := newFakeReplica(t)
	for i := range watchPage + 1 {
		f.apply(t, fsm.CreateTopic(fmt.Sprintf("t%04d", i)))
	}
	var reads atomic.Int64
	f.onRead = func(context.Context) error {
		const secondPage = 4 // after the request's, the index's and the first page's
		if reads.Add(1) == secondPage {
			f.apply(t, fsm.CreateChannel("t0000", "c"))
			f.apply(t, fsm.CreateChannel("t1000", "c"))
		}
		return nil
	}
	c := openWatch(t, start(t, quick(f)), "", "")
	for range watchPage {
		if _, err := c.next(); err != nil {
			t.Fatal(err)
		}
	}
	c.expect(`0 topic {"topic":"t1000","index":1004,"channels":["c"],"producers":[]}`, `1002 ready {"index":1002}`,
		`1002 topic {"topic":"t0000","index":1003,"channels":["c"],"producers":[]}`,
		`1004 topic {"topic":"t1000","index":1004,"channels":["c"],"producers":[]}`)
}

// Many watch, and each is told of its own.
func TestManyWatchers(t *testing.T) {
	f := newFakeReplica(t)
	s := start(t, quick(f))
	var clients []*watchClient
	for i := range 200 {
		query := fmt.Sprintf("?topic=t%d", i%100)
		if i%10 == 0 {
			query = ""
		}
		c := openWatch(t, s, query, "")
		clients = append(clients, c)
	}
	for i := range 100 {
		f.apply(t, fsm.CreateTopic(fmt.Sprint("t", i)))
	}
	for i, c := range clients {
		want := map[string]bool{fmt.Sprint("t", i%100): true}
		if i%10 == 0 {
			want = map[string]bool{}
			for n := range 100 {
				want[fmt.Sprint("t", n)] = true
			}
		}
		r := &reader{topics: map[string]string{}, index: map[string]uint64{}}
		for len(r.topics) < len(want) {
			e, err := c.next()
			if err != nil {
				t.Fatalf("watcher %d knows %d of %d: %v", i, len(r.topics), len(want), err)
			}
			r.take(t, e)
		}
		for name := range r.topics {
			if !want[name] {
				t.Errorf("watcher %d was told of %s", i, name)
			}
		}
	}
}

// BenchmarkWatch is from a change to its event at a client, beside 100,000 topics and without an Interval.
func BenchmarkWatch(b *testing.B) {
	f := newFakeReplica(b)
	for i := range 100_000 {
		f.apply(b, fsm.CreateTopic(fmt.Sprint("t", i)))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &running{Server: New(Config{Replica: f, Times: fakeTimes{}, Fresh: &fakeFresh{fakeReplica: f},
		Watch: WatchConfig{Interval: time.Nanosecond}}), addr: l.Addr().String(), served: make(chan error, 1)}
	go func() { s.served <- s.Serve(l) }()
	b.Cleanup(func() { _ = s.Close(context.Background()) })
	i := 0
	for _, query := range []string{"?topic=t7", ""} {
		b.Run("watch"+query, func(b *testing.B) {
			c := openWatch(b, s, query, strconv.FormatUint(f.registry.State().Index(), 10))
			if e, err := c.next(); err != nil || e.kind != "ready" {
				b.Fatal(e, err)
			}
			for ; b.Loop(); i++ {
				change := fsm.CreateChannel("t7", "c")
				if i%2 == 1 {
					change = fsm.DeleteChannel("t7", "c")
				}
				f.apply(b, change)
				if _, err := c.next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
