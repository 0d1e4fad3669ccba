package ctl

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// world is what a replica that is watched shows.
type world struct {
	index    int
	topics   string // as JSON, and so on
	channels map[string]string
	nodes    string
}

func (f *fake) show(w world) {
	f.set("GET /topics", ok(`{"topics":[`+w.topics+`]}`))
	f.set("GET /nodes", ok(`{"producers":[`+w.nodes+`]}`))
	for topic, channels := range w.channels {
		f.set("GET /channels?topic="+topic, ok(`{"channels":[`+channels+`]}`))
	}
	f.set("GET /cluster/fingerprint", ok(fmt.Sprintf(`{"index":%d,"fingerprint":"f%d"}`, w.index, w.index)))
}

func nodeWith(topics, tombstones string) string {
	return `{"broadcast_address":"n1","tcp_port":4150,"http_port":4151,"topics":[` + topics + `],"tombstones":[` + tombstones + `]}`
}

// watcher is a watch that runs until the test ends.
type watcher struct {
	*run
	t      *testing.T
	cancel context.CancelFunc
	done   chan struct{}
}

func watch(t *testing.T, args ...string) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watcher{run: &run{ctx: ctx, pace: func(p *pace) { p.leastInterval = time.Millisecond }}, t: t, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.do(t, append([]string{"watch", "--interval", "1ms"}, args...)...)
	}()
	t.Cleanup(w.end)
	return w
}

func (w *watcher) end() {
	w.cancel()
	<-w.done
}

// shows waits until that is what was printed so far.
func (w *watcher) shows(lines ...string) {
	w.t.Helper()
	want := ""
	for _, line := range lines {
		want += time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC).Local().Format(time.TimeOnly) + "  " + line + "\n"
	}
	w.printed(&w.stdout, want)
}

func (w *watcher) printed(where *text, want string) {
	w.t.Helper()
	eventually.True(w.t, patience, "the lines", func() error {
		if got := where.String(); got != want {
			return fmt.Errorf("shows\n%swant\n%s", got, want)
		}
		return nil
	})
}

func TestWatch(t *testing.T) {
	a := serve(t, routes{})
	a.show(world{index: 1, topics: `"t1"`, channels: map[string]string{"t1": `"c1"`}})
	w := watch(t, "--addr", a.URL)
	w.printed(&w.stderr, "watching 1 topic at "+a.URL+" until Ctrl-C\n")
	var lines []string
	for i, step := range []struct {
		world world
		lines []string
	}{
		{world{topics: `"t1","t2"`, channels: map[string]string{"t2": `"c2"`}, nodes: nodeWith("", "")},
			[]string{"+ topic t2", "+ channel c2 of t2", "+ producer n1:4151"}},
		{world{topics: `"t1","t2"`, channels: map[string]string{"t1": ``}, nodes: nodeWith(`"t1"`, "false")},
			[]string{"- channel c1 of t1", "+ producer n1:4151 of t1"}},
		{world{topics: `"t1","t2"`, nodes: nodeWith(`"t1"`, "true")}, []string{"~ producer n1:4151 is tombstoned for t1"}},
		{world{topics: `"t1","t2"`, nodes: nodeWith(`"t1"`, "false")}, []string{"~ producer n1:4151 is tombstoned for t1 no longer"}},
		{world{topics: `"t1","t2"`, nodes: nodeWith(`"t1","t2"`, "false,true")},
			[]string{"+ producer n1:4151 of t2", "~ producer n1:4151 is tombstoned for t2"}},
		{world{topics: `"t1"`}, []string{"- channel c2 of t2", "- topic t2", "- producer n1:4151 of t1", "- producer n1:4151 of t2", "- producer n1:4151"}},
	} {
		step.world.index = i + 2
		a.show(step.world)
		lines = append(lines, step.lines...)
		w.shows(lines...)
	}
	w.end()
	if w.code != 0 {
		t.Errorf("exit code %d", w.code)
	}
}

func TestWatchOfSomeTopics(t *testing.T) {
	a := serve(t, routes{})
	a.show(world{index: 1, channels: map[string]string{"t1": "", "t2": ""}})
	w := watch(t, "--addr", a.URL, "-o", "json", "t1")
	w.printed(&w.stderr, "watching 0 topics at "+a.URL+" until Ctrl-C\n")
	a.show(world{index: 2, topics: `"t1","t2"`, channels: map[string]string{"t1": `"c"`, "t2": `"c"`}, nodes: nodeWith(`"t1","t2"`, "")})
	const at = `{"time":"2024-02-29T12:00:00Z","event":`
	w.printed(&w.stdout, at+`"topic_created","topic":"t1","channel":"","producer":""}`+"\n"+
		at+`"channel_created","topic":"t1","channel":"c","producer":""}`+"\n"+
		at+`"producer_added","topic":"t1","channel":"","producer":"n1:4151"}`+"\n")
	for _, call := range a.asked("GET") {
		if call == "/channels?topic=t2" {
			t.Error("it asks for channels of a topic that is not watched")
		}
	}
}

// What has not changed is not read again.
func TestWatchOfAnIdleRegistryIsCheap(t *testing.T) {
	a := serve(t, routes{})
	a.show(world{index: 1})
	watch(t, "--addr", a.URL)
	eventually.True(t, patience, "some looks", func() error {
		if n := len(a.asked("GET")); n < 30 {
			return fmt.Errorf("%d calls", n)
		}
		return nil
	})
	if calls := strings.Join(a.asked("GET"), " "); strings.Count(calls, "/topics") != 1 || strings.Count(calls, "/nodes") != 1 {
		t.Error(calls)
	}
}

func TestWatchGoesOnElsewhere(t *testing.T) {
	a, b := serve(t, routes{}), serve(t, routes{})
	a.show(world{index: 5, topics: `"t1"`, channels: map[string]string{"t1": ""}})
	b.show(world{index: 5, topics: `"t1"`, channels: map[string]string{"t1": ""}})
	w := watch(t, "--addr", a.URL, "--addr", b.URL)
	began := "watching 1 topic at " + a.URL + " until Ctrl-C\n"
	w.printed(&w.stderr, began)
	a.set("GET /cluster/fingerprint", reply(http.StatusServiceUnavailable, `{"message":"NOT_READY"}`))
	w.printed(&w.stderr, began+b.URL+" answers now\n")
	b.show(world{index: 6, topics: ``})
	w.shows("- topic t1")
	b.set("GET /cluster/fingerprint", reply(http.StatusServiceUnavailable, `{"message":"CLOSED"}`))
	nobody := "http://a answers NOT_READY: it has not caught up since its start; try again, or give another replica with --addr; trying on\n"
	w.printed(&w.stderr, began+b.URL+" answers now\n"+strings.Replace(nobody, "http://a", a.URL, 1))
	b.show(world{index: 7, topics: ``})
	w.printed(&w.stderr, began+b.URL+" answers now\n"+strings.Replace(nobody, "http://a", a.URL, 1)+b.URL+" answers now\n")
	w.shows("- topic t1")
}

// What is half of one replica and half of another is not taken for what there is.
func TestWatchMixesNoReplicas(t *testing.T) {
	a, b := serve(t, routes{}), serve(t, routes{})
	a.show(world{index: 5, topics: `"only at a"`, channels: map[string]string{"only+at+a": ""}})
	a.set("GET /nodes", reply(http.StatusServiceUnavailable, `{"message":"CLOSED"}`))
	b.show(world{index: 5, topics: `"t1"`, channels: map[string]string{"t1": ""}})
	w := watch(t, "--addr", a.URL, "--addr", b.URL)
	w.printed(&w.stderr, "watching 1 topic at "+b.URL+" until Ctrl-C\n")
	b.show(world{index: 6, topics: ``})
	w.shows("- topic t1")
}

// A replica that is behind does not undo what has been seen, but a cluster made anew is believed.
func TestWatchOfOneThatIsBehind(t *testing.T) {
	last := &view{at: fingerprint{5, "f5"}}
	w := &watching{last: last}
	for i := range maxOlder {
		if !w.unchanged(fingerprint{4, "f4"}) {
			t.Errorf("believed at the %dth time", i+1)
		}
	}
	if w.unchanged(fingerprint{4, "f4"}) {
		t.Error("never believed")
	}
	w.older = 3
	if !w.unchanged(fingerprint{6, "f5"}) || w.older != 0 {
		t.Error("the same registry at a later index is a change, or does not count")
	}
	if w.unchanged(fingerprint{6, "f6"}) || w.unchanged(fingerprint{}) {
		t.Error("a change is not seen")
	}
}

// nsqlookupd has no fingerprint.
func TestWatchOfNsqlookupd(t *testing.T) {
	a := serve(t, routes{})
	a.show(world{topics: ``})
	a.set("GET /cluster/fingerprint", reply(http.StatusNotFound, `{"message":"NOT_FOUND"}`))
	w := watch(t, "--addr", a.URL)
	w.printed(&w.stderr, "watching 0 topics at "+a.URL+" until Ctrl-C\n")
	a.set("GET /channels", ok(`{"channels":[]}`))
	a.set("GET /topics", ok(`{"topics":["t"]}`))
	w.shows("+ topic t")
}

func TestWatchEndsWithItsOutput(t *testing.T) {
	a := serve(t, routes{})
	a.show(world{index: 1, topics: ``, channels: map[string]string{"t": ""}})
	var stderr text
	p := newProgram(nil, nil, brokenPipe{}, &stderr)
	p.leastInterval = time.Millisecond
	ended := make(chan int)
	go func() { ended <- p.run(t.Context(), []string{"--addr", a.URL, "watch", "--interval", "1ms"}) }()
	eventually.True(t, patience, "the start", func() error {
		if stderr.String() == "" {
			return errors.New("not yet")
		}
		return nil
	})
	a.show(world{index: 2, topics: `"t"`})
	if code := <-ended; code != 1 || !strings.HasSuffix(stderr.String(), "lookupctl: write the output: file already closed\n") {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
}
