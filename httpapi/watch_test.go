package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// quick is a configuration whose streams look all the time.
func quick(f *fakeReplica) Config {
	return Config{Replica: f, Watch: WatchConfig{Interval: time.Millisecond, Heartbeat: 50 * time.Millisecond}}
}

const nobody = `"channels":[],"producers":[]}`

// Of what is told together, only the last event has the index that all of it is as of.
func TestWatchOrder(t *testing.T) {
	f := newFakeReplica(t) // index 1
	f.apply(t, fsm.CreateTopic("b"))
	f.apply(t, fsm.CreateTopic("a"))
	s := start(t, quick(f))
	all, one := openWatch(t, s, "", ""), openWatch(t, s, "?topic=b&topic=none&topic=b", "")
	all.expect(`0 topic {"topic":"a","index":3,`+nobody, `0 topic {"topic":"b","index":2,`+nobody, `3 ready {"index":3}`)
	one.expect(`0 topic {"topic":"b","index":2,`+nobody, `0 gone {"topic":"none","index":3}`, `3 ready {"index":3}`)

	f.apply(t, fsm.CreateChannel("b", "c"))
	all.expect(`4 topic {"topic":"b","index":4,"channels":["c"],"producers":[]}`)
	one.expect(`4 topic {"topic":"b","index":4,"channels":["c"],"producers":[]}`)
	f.apply(t, fsm.DeleteTopic("*"))
	all.expect(`4 gone {"topic":"a","index":5}`, `5 gone {"topic":"b","index":5}`)
	one.expect(`5 gone {"topic":"b","index":5}`)
	f.apply(t, fsm.CreateTopic("none"))
	all.expect(`6 topic {"topic":"none","index":6,` + nobody)
	one.expect(`6 topic {"topic":"none","index":6,` + nobody)

	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := all.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// Whoever waits for one topic is not told of others, and is told of the same one only when it changes.
func TestWatchTellsNothingElse(t *testing.T) {
	f := newFakeReplica(t)
	s := start(t, quick(f))
	one, two := openWatch(t, s, "?topic=a", ""), openWatch(t, s, "?topic=a&topic=b", "")
	one.expect(`0 gone {"topic":"a","index":0}`, `1 ready {"index":1}`)
	two.expect(`0 gone {"topic":"a","index":0}`, `0 gone {"topic":"b","index":0}`, `1 ready {"index":1}`)
	for i := range 20 {
		f.apply(t, fsm.CreateTopic(fmt.Sprint("other", i)))
	}
	one.expectLines(": heartbeat", "")
	two.expectLines(": heartbeat", "")
	f.apply(t, fsm.CreateTopic("a"))
	want := fmt.Sprintf(`22 topic {"topic":"a","index":22,` + nobody)
	one.expect(want)
	two.expect(want)
}

func TestWatchResumes(t *testing.T) {
	f := newFakeReplica(t)
	f.apply(t, fsm.CreateTopic("a"))
	f.apply(t, fsm.CreateTopic("b")) // 3
	f.apply(t, fsm.CreateChannel("b", "c"))
	f.apply(t, fsm.DeleteTopic("a")) // 5
	s := start(t, quick(f))
	const b = ` topic {"topic":"b","index":4,"channels":["c"],"producers":[]}`
	openWatch(t, s, "", "5").expect(`5 ready {"index":5}`)
	openWatch(t, s, "", "4").expect(`4 gone {"topic":"a","index":5}`, `5 ready {"index":5}`)
	openWatch(t, s, "", "3").expect(`3 gone {"topic":"a","index":5}`, "3"+b, `5 ready {"index":5}`)
	openWatch(t, s, "?topic=b", "3").expect("3"+b, `5 ready {"index":5}`)
	openWatch(t, s, "?topic=b", "4").expect(`5 ready {"index":5}`)

	restoreItself(t, f) // and what had gone is forgotten
	openWatch(t, s, "", "5").expect(`5 ready {"index":5}`)
	openWatch(t, s, "", "4").expect(`0 resync {}`, "0"+b, `5 ready {"index":5}`)
	openWatch(t, s, "?topic=a", "4").expect(`4 gone {"topic":"a","index":5}`, `5 ready {"index":5}`)
	f.apply(t, fsm.CreateChannel("b", "d"))
	restoreItself(t, f)
	openWatch(t, s, "", "5").expect(`5 topic {"topic":"b","index":6,"channels":["c","d"],"producers":[]}`, `6 ready {"index":6}`)
}

// One that knows more than this replica is waited for; when that does not help, its index is of
// another cluster.
func TestWatchResumesFromAnotherReplica(t *testing.T) {
	f := newFakeReplica(t)
	f.apply(t, fsm.CreateTopic("a"))
	s := start(t, quick(f))
	c := openWatch(t, s, "", "3")
	f.apply(t, fsm.CreateTopic("b"))
	f.apply(t, fsm.CreateTopic("c"))
	if e, err := c.next(); err != nil || e.kind == "resync" || strings.Contains(e.data, `"a"`) || strings.Contains(e.data, `"b"`) {
		t.Errorf("got %v, %v", e, err)
	}
	openWatch(t, s, "?topic=a", "77").expect(`0 resync {}`, `0 topic {"topic":"a","index":2,`+nobody, `4 ready {"index":4}`)
}

// restoreItself puts the registry back from its own snapshot: it is the same, and remembers nothing.
func restoreItself(t testing.TB, f *fakeReplica) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var b bytes.Buffer
	if _, err := f.registry.State().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if err := f.registry.Restore(&b); err != nil {
		t.Fatal(err)
	}
}

// A client that stops reading is cut off in the middle of an event, and its stream has no end that looks right.
func TestWatcherThatStopsReading(t *testing.T) {
	f := newFakeReplica(t)
	for i := range 2000 {
		f.apply(t, fsm.CreateChannel("t", fmt.Sprintf("a-channel-of-no-short-name-%d", i)))
	}
	cfg := quick(f)
	cfg.WriteTimeout = ample
	cfg.Watch.Heartbeat = patience
	s := start(t, cfg)
	c := dial(t, s.addr)
	c.send("GET /watch?topic=t HTTP/1.1\r\nHost: h\r\n\r\n")
	if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	n := 0
	eventually.True(t, patience, "the client is cut off", func() error {
		n++
		f.apply(t, fsm.CreateChannel("t", fmt.Sprint("c", n)))
		if n := s.open(); n != 0 {
			return fmt.Errorf("%d connections are open", n)
		}
		return nil
	})
	got, err := io.ReadAll(c)
	if err == nil && bytes.HasSuffix(got, []byte("\r\n0\r\n\r\n")) {
		t.Error("the stream has an end")
	}
	t.Logf("%d bytes of %d changes, then %v", len(got), n, err)
}

// The WriteTimeout begins with each event.
func TestWatchOutlivesTheWriteTimeout(t *testing.T) {
	f := newFakeReplica(t)
	cfg := quick(f)
	cfg.WriteTimeout, cfg.Watch.Heartbeat = short, patience
	s := start(t, cfg)
	c := openWatch(t, s, "", "")
	c.expect(`1 ready {"index":1}`)
	busyFor(2 * short)
	const n = 20 // more than a buffer holds, from one entry
	f.apply(t, fsm.OpenSession(fsm.ProducerInfo{RemoteAddress: "h:1", Hostname: strings.Repeat("h", 8<<10), BroadcastAddress: "h", TCPPort: 1, HTTPPort: 1}))
	for i := range n {
		f.apply(t, fsm.Register(2, fmt.Sprint("t", i), ""))
	}
	for last := uint64(0); last < n+2; {
		e, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		last = e.id
	}
}

// Close waits for no stream: nothing else would end these.
func TestCloseEndsWatches(t *testing.T) {
	f := newFakeReplica(t)
	s := start(t, quick(f))
	var clients []*watchClient
	for i := range 50 {
		c := openWatch(t, s, fmt.Sprintf("?topic=t%d", i), "")
		c.expect(fmt.Sprintf(`0 gone {"topic":"t%d","index":0}`, i), `1 ready {"index":1}`)
		clients = append(clients, c)
	}
	waiting := openWatch(t, s, "", "99") // for an index
	closed := make(chan error, 1)
	go func() { closed <- s.Close(context.Background()) }()
	if err := await(t, closed, "Close"); err != nil {
		t.Error(err)
	}
	for _, c := range append(clients, waiting) {
		if e, err := c.next(); err != io.EOF {
			t.Errorf("got %v, %v", e, err)
		}
	}
}

// unsteady is a replica whose readiness a test changes.
type unsteady struct {
	*fakeReplica
	not atomic.Bool
}

func (u *unsteady) Ready() (bool, string) { return !u.not.Load(), "is isolated" }

func TestWatchNeedsAReplicaThatIsReady(t *testing.T) {
	u := &unsteady{fakeReplica: newFakeReplica(t)}
	s := start(t, Config{Replica: u, Fresh: &fakeFresh{fakeReplica: u.fakeReplica}, Watch: WatchConfig{Heartbeat: time.Millisecond}})
	c := openWatch(t, s, "", "")
	c.expect(`1 ready {"index":1}`)
	c.expectLines(": heartbeat", "")
	u.not.Store(true)
	if e, err := c.next(); err != io.EOF {
		t.Errorf("got %v, %v", e, err)
	}
	get(t, s, "/watch").expect(t, "not ready", 503, `{"message":"NOT_READY"}`)
	u.not.Store(false)
	openWatch(t, s, "", "").expect(`1 ready {"index":1}`)
}

func TestWatchFails(t *testing.T) {
	f := newFakeReplica(t)
	f.readErr = busy{}
	get(t, start(t, quick(f)), "/watch").expect(t, "cannot be read", 503, `{"message":"BUSY"}`)
}

type busy struct{}

func (busy) Error() string   { return "busy" }
func (busy) Message() string { return "BUSY" }

func TestWatchesThatMakeNoSense(t *testing.T) {
	s := start(t, quick(newFakeReplica(t)))
	many := strings.Builder{}
	for i := range maxWatched {
		fmt.Fprintf(&many, "topic=%d&", i)
	}
	openWatch(t, s, "?"+many.String()+"topic=1", "") // the same twice counts once
	for query, want := range map[string]string{
		"?" + many.String() + "topic=x": "TOO_MANY_TOPICS",
		"?topic=":                       "INVALID_ARG_TOPIC",
		"?topic=*":                      "INVALID_ARG_TOPIC",
		"?topic=a&topic=b%20":           "INVALID_ARG_TOPIC",
		"?topic=%":                      "INVALID_REQUEST",
	} {
		get(t, s, "/watch"+query).expect(t, query[:min(20, len(query))], 400, `{"message":"`+want+`"}`)
	}
	for _, id := range []string{"x", "-1", "18446744073709551616"} {
		get(t, s, "/watch", "Last-Event-ID", id).expect(t, id, 400, `{"message":"INVALID_LAST_EVENT_ID"}`)
	}
}
