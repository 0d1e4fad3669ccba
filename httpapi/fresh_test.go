package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/consistency"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// got is an answer as a client sees it.
type got struct {
	code   int
	header http.Header
	body   string
}

func get(t testing.TB, s *running, target string, header ...string) got {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got{response.StatusCode, response.Header, string(body)}
}

func (g got) expect(t *testing.T, what string, code int, body string) {
	t.Helper()
	if g.code != code || g.body != body {
		t.Errorf("%s: %d %s, want %d %s", what, g.code, g.body, code, body)
	}
}

func TestReadsSayHowFreshTheyAre(t *testing.T) {
	f := newFakeReplica(t) // index 1
	f.apply(t, fsm.CreateTopic("t"))
	f.apply(t, fsm.CreateChannel("t", "c"))
	f.apply(t, fsm.CreateTopic("u")) // index 4
	s := start(t, Config{Replica: f, Fresh: &fakeFresh{fakeReplica: f, contact: time.Hour, leader: "r2"}})
	for target, index := range map[string]string{
		"/lookup?topic=t": "3", "/channels?topic=t": "3", "/topics": "4", "/nodes": "0",
		"/lookup?topic=none": "4", "/lookup?topic=*": "4",
	} {
		g := get(t, s, target)
		want := map[string]string{headerIndex: index, headerApplied: "4", headerLeader: "r2"}
		for name, value := range want {
			if is := g.header.Get(name); is != value {
				t.Errorf("%s: %s %q, want %q", target, name, is, value)
			}
		}
		if age := number(t, g.header.Get(headerContact)); age < 3600000 || age > 3600000+uint64(patience.Milliseconds()) {
			t.Errorf("%s: last contact %d ms ago", target, age)
		}
		if level := g.header.Get(headerConsistency); (level == "linearizable") != strings.HasPrefix(target, "/channels") {
			t.Errorf("%s is %s", target, level)
		}
		if tag := g.header.Get("ETag"); (g.code == 200) != (tag != "") {
			t.Errorf("%s: %d with ETag %q", target, g.code, tag)
		}
	}
}

func TestDemandsThatMakeNoSense(t *testing.T) {
	s := start(t, Config{Replica: newFakeReplica(t)})
	for query, word := range map[string]string{
		"consistency=": "INVALID_ARG_CONSISTENCY", "consistency=quorum": "INVALID_ARG_CONSISTENCY",
		"max_stale=5": "INVALID_ARG_MAX_STALE", "max_stale=-1s": "INVALID_ARG_MAX_STALE",
		"index=-1": "INVALID_ARG_INDEX", "index=x": "INVALID_ARG_INDEX", "index=18446744073709551616": "INVALID_ARG_INDEX",
		"index=1&wait=": "INVALID_ARG_WAIT", "index=1&wait=-1s": "INVALID_ARG_WAIT", "index=1&wait=1": "INVALID_ARG_WAIT",
	} {
		for _, path := range []string{"/topics?", "/nodes?", "/lookup?topic=t&", "/channels?topic=t&"} {
			get(t, s, path+query).expect(t, path+query, 400, `{"message":"`+word+`"}`)
		}
	}
	for _, target := range []string{"/topics?consistency=quorum&%zz", "/nodes?wait=%zz"} { // no query at all, as for nsqlookupd
		if g := get(t, s, target); g.code != 200 {
			t.Errorf("%s: %d", target, g.code)
		}
	}
}

func TestConsistency(t *testing.T) {
	f := newFakeReplica(t)
	f.apply(t, fsm.CreateTopic("t"))
	f.apply(t, fsm.CreateChannel("full", "channel"))
	var asked []consistency.Level
	fail := false
	fresh := &fakeFresh{fakeReplica: f, fresh: func(_ context.Context, level consistency.Level) error {
		asked = append(asked, level)
		if fail {
			return messageError("NOT_CONFIRMED")
		}
		return nil
	}}
	for _, c := range []struct {
		byDefault consistency.Level
		target    string
		fail      bool
		asked     string
		code      int
		level     string
	}{
		{0, "/topics", false, "[]", 200, "local"},
		{0, "/topics?consistency=local", false, "[]", 200, "local"},
		{0, "/topics?consistency=leader", false, "[leader]", 200, "leader"},
		{0, "/topics?consistency=linearizable", false, "[linearizable]", 200, "linearizable"},
		{0, "/topics?consistency=linearizable", true, "[linearizable]", 503, ""},
		{consistency.Linearizable, "/topics", false, "[linearizable]", 200, "linearizable"},
		{consistency.Linearizable, "/topics", true, "[linearizable]", 503, ""},
		{consistency.Linearizable, "/topics?consistency=local", true, "[]", 200, "local"},
		{0, "/channels?topic=t", false, "[linearizable]", 200, "linearizable"},
		{0, "/channels?topic=t", true, "[linearizable]", 503, ""},         // it would be empty
		{0, "/channels?topic=full", true, "[linearizable]", 200, "local"}, // and marked so
		{0, "/channels?topic=none", true, "[linearizable]", 503, ""},
		{0, "/channels?topic=t&consistency=local", true, "[]", 200, "local"},
		{0, "/channels?topic=t&consistency=linearizable", true, "[linearizable]", 503, ""},
		{consistency.Leader, "/channels?topic=t", true, "[linearizable leader]", 503, ""},
		{consistency.Linearizable, "/channels?topic=t", true, "[linearizable]", 503, ""},
	} {
		asked, fail = nil, c.fail
		s := start(t, Config{Replica: f, Fresh: fresh, Consistency: c.byDefault})
		g := get(t, s, c.target)
		if is, want := g.header.Get(headerUnconfirmed), c.fail && strings.HasSuffix(c.target, "full") && g.code == 200; (is == "true") != want {
			t.Errorf("%+v: unconfirmed %q", c, is)
		}
		if is := fmt.Sprint(asked); g.code != c.code || g.header.Get(headerConsistency) != c.level || is != c.asked {
			t.Errorf("%+v: %d %q, asked %s", c, g.code, g.header.Get(headerConsistency), is)
		}
	}
}

func TestMaxStale(t *testing.T) {
	f := newFakeReplica(t)
	for contact, codes := range map[time.Duration][2]int{0: {200, 200}, time.Minute: {200, 503}, time.Hour: {503, 503}, -1: {503, 503}} {
		s := start(t, Config{Replica: f, Fresh: &fakeFresh{fakeReplica: f, contact: contact}})
		for i, query := range []string{"max_stale=30m", "max_stale=1m"} { // some time goes by before the answer
			for _, more := range []string{"", "&index=1&wait=1ms"} {
				g := get(t, s, "/topics?"+query+more)
				if g.code != codes[i] && !(contact == 0 && g.code == 200) || g.code == 503 && g.body != `{"message":"STALE"}` {
					t.Errorf("%s, last contact %s: %d %s", query+more, contact, g.code, g.body)
				}
			}
		}
		if g := get(t, s, "/topics?max_stale=0s&consistency=linearizable"); g.code != 200 {
			t.Errorf("linearizable: %d", g.code)
		}
	}
}

func TestIsTooStale(t *testing.T) {
	for _, c := range []struct {
		age, allowed time.Duration
		want         bool
	}{
		{0, -1, false}, {-1, -1, false}, {time.Hour, -1, false},
		{0, 0, false}, {1, 0, true}, {-1, 0, true}, {-1, time.Hour, true},
		{5 * time.Second, 5 * time.Second, false}, {5*time.Second + 1, 5 * time.Second, true},
	} {
		if got := isTooStale(c.age, c.allowed); got != c.want {
			t.Errorf("age %s, allowed %s: %v", c.age, c.allowed, got)
		}
	}
}

// What has become fresh after the state was taken does not count for that state.
func TestAgeIsThatOfTheState(t *testing.T) {
	f := newFakeReplica(t)
	f.apply(t, fsm.CreateTopic("t"))
	fresh := &fakeFresh{fakeReplica: f, contact: time.Hour}
	asked := 0
	fresh.taken = func() {
		if asked++; asked > 1 {
			t.Error("asked again after the state was taken")
		}
	}
	s := start(t, Config{Replica: f, Fresh: fresh})
	if g := get(t, s, "/topics?max_stale=2h"); g.code != 200 || number(t, g.header.Get(headerContact)) < 3600000 {
		t.Errorf("%d, age %s ms", g.code, g.header.Get(headerContact))
	}
}

// A read that waits is as fresh when it is answered as it was when it was asked.
func TestBlockingQueryKeepsItsConsistency(t *testing.T) {
	f := newFakeReplica(t)
	f.apply(t, fsm.CreateChannel("t", "c"))
	var fail atomic.Bool
	fresh := &fakeFresh{fakeReplica: f, fresh: func(context.Context, consistency.Level) error {
		if fail.Load() {
			return messageError("NOT_CONFIRMED")
		}
		return nil
	}}
	s := start(t, Config{Replica: f, Fresh: fresh})
	for _, c := range []struct {
		target      string
		code        int
		level       string
		unconfirmed string
	}{
		{"/topics?consistency=linearizable", 503, "", ""},
		{"/channels?topic=t", 200, "local", "true"},
		{"/channels?topic=none", 503, "", ""},
	} {
		fail.Store(false)
		answered := later(t, s, c.target+"&index=99&wait=200ms")
		waits(t, f, answered, 1)
		fail.Store(true)
		if g := await(t, answered, c.target); g.code != c.code || g.header.Get(headerConsistency) != c.level ||
			g.header.Get(headerUnconfirmed) != c.unconfirmed {
			t.Errorf("%s: %d %s %v", c.target, g.code, g.body, g.header)
		}
	}
}

func TestConditionalRequests(t *testing.T) {
	f := newFakeReplica(t)
	f.apply(t, fsm.CreateTopic("t"))
	s := start(t, Config{Replica: f})
	for _, target := range []string{"/lookup?topic=t", "/channels?topic=t", "/topics", "/nodes"} {
		first := get(t, s, target)
		tag := first.header.Get("ETag")
		for _, header := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
			g := get(t, s, target, "If-None-Match", header)
			g.expect(t, target+" with "+header, 304, "")
			if g.header.Get("ETag") != tag || g.header.Get(headerIndex) == "" {
				t.Errorf("%s: header of a 304: %v", target, g.header)
			}
		}
		for _, header := range []string{`"other"`, "W/", "x" + tag} {
			get(t, s, target, "If-None-Match", header).expect(t, target+" with "+header, 200, first.body)
		}
	}
	before := get(t, s, "/lookup?topic=t").header.Get("ETag")
	f.apply(t, fsm.CreateTopic("other"))
	if g := get(t, s, "/lookup?topic=t", "If-None-Match", before); g.code != 304 {
		t.Errorf("another topic's change: %d", g.code)
	}
	f.apply(t, fsm.CreateChannel("t", "c"))
	if g := get(t, s, "/lookup?topic=t", "If-None-Match", before); g.code != 200 || g.header.Get("ETag") == before {
		t.Errorf("after its own change: %d %s", g.code, g.header.Get("ETag"))
	}
}

// later sends a request that has to wait, and returns where its answer comes.
func later(t *testing.T, s *running, target string) <-chan got {
	t.Helper()
	answered := make(chan got, 1)
	go func() { answered <- get(t, s, target) }()
	return answered
}

// waits holds that nothing has come yet, once the server is known to wait.
func waits(t *testing.T, f *fakeReplica, answered <-chan got, waiters int) {
	t.Helper()
	eventually.True(t, patience, fmt.Sprintf("%d wait", waiters), func() error {
		if n := f.registry.Waiters(); n != waiters {
			return fmt.Errorf("%d do", n)
		}
		return nil
	})
	select {
	case g := <-answered:
		t.Errorf("answered at once: %d %s", g.code, g.body)
	default:
	}
}

func number(t *testing.T, text string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Error(err)
	}
	return n
}

func TestBlockingQueries(t *testing.T) {
	f := newFakeReplica(t)
	f.apply(t, fsm.CreateTopic("t")) // index 2
	s := start(t, Config{Replica: f})
	for _, c := range []struct {
		target      string
		nothing, it fsm.Change // what does not wake it, and what does
		want        string
	}{
		{"/lookup?topic=t", fsm.CreateTopic("a"), fsm.CreateChannel("t", "c"), `{"channels":["c"],"producers":[]}`},
		{"/channels?topic=t", fsm.CreateTopic("b"), fsm.CreateChannel("t", "d"), `{"channels":["c","d"]}`},
		{"/topics", fsm.CreateChannel("t", "e"), fsm.DeleteTopic("t"), `{"topics":["a","b"]}`},
		{"/lookup?topic=new", fsm.CreateTopic("c"), fsm.CreateTopic("new"), `{"channels":[],"producers":[]}`},
	} {
		index := get(t, s, c.target).header.Get(headerIndex)
		answered := later(t, s, c.target+func() string {
			if strings.Contains(c.target, "?") {
				return "&index=" + index
			}
			return "?index=" + index
		}())
		waits(t, f, answered, 1)
		f.apply(t, c.nothing)
		waits(t, f, answered, 1)
		f.apply(t, c.it)
		g := await(t, answered, c.target)
		if g.code != 200 || g.body != c.want || number(t, g.header.Get(headerIndex)) <= number(t, index) {
			t.Errorf("%s after %s: %d %s at %s", c.target, index, g.code, g.body, g.header.Get(headerIndex))
		}
	}
	if n := f.registry.Waiters(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

// A change that leaves the answer as it is wakes nobody.
func TestBlockingQueryWithTheSameAnswer(t *testing.T) {
	f := newFakeReplica(t)
	f.apply(t, fsm.CreateChannel("t", "c"))
	s := start(t, Config{Replica: f})
	answered := later(t, s, "/channels?topic=t&consistency=local&index=2")
	waits(t, f, answered, 1)
	session := f.apply(t, fsm.OpenSession(fsm.ProducerInfo{BroadcastAddress: "a", TCPPort: 1, HTTPPort: 2, Hostname: "h", Version: "1"}))
	f.apply(t, fsm.Register(session, "t", "c")) // another producer, the same channels
	waits(t, f, answered, 1)
	f.apply(t, fsm.CreateChannel("t", "d"))
	await(t, answered, "the answer").expect(t, "channels", 200, `{"channels":["c","d"]}`)
}

func TestBlockingQueryEnds(t *testing.T) {
	f := newFakeReplica(t)
	f.apply(t, fsm.CreateTopic("t"))
	s := start(t, Config{Replica: f, WriteTimeout: 300 * time.Millisecond})
	for _, query := range []string{"index=2&wait=500ms", "index=9&wait=1ms", "index=0", "index=1", "wait=1h"} {
		get(t, s, "/topics?"+query).expect(t, query, 200, `{"topics":["t"]}`) // later than the WriteTimeout, too
	}
	answered := later(t, s, "/topics?index=2&wait=10h")
	waits(t, f, answered, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Error(err)
	}
	await(t, answered, "the answer").expect(t, "while the server closes", 200, `{"topics":["t"]}`)
	if n := f.registry.Waiters(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestBlockingQueryOfAClientThatLeaves(t *testing.T) {
	f := newFakeReplica(t)
	s := start(t, Config{Replica: f})
	c := dial(t, s.addr)
	c.send("GET /topics?index=5 HTTP/1.1\r\nHost: h\r\n\r\n")
	waits(t, f, nil, 1)
	_ = c.Close()
	waits(t, f, nil, 0)
}

// go-nsq sends a token with its lookups when it has one. Nothing asks for it yet.
func TestAuthorizationIsNotRefused(t *testing.T) {
	f := newFakeReplica(t)
	f.apply(t, fsm.CreateTopic("t"))
	s := start(t, Config{Replica: f})
	get(t, s, "/lookup?topic=t", "Authorization", "Bearer secret").expect(t, "lookup", 200, `{"channels":[],"producers":[]}`)
}

func TestReadyInWords(t *testing.T) {
	f := newFakeReplica(t)
	s := start(t, Config{Replica: f, Fresh: &fakeFresh{fakeReplica: f, contact: 12345 * time.Microsecond, leader: "r2"}})
	get(t, s, "/readyz?verbose").expect(t, "ready", 200,
		"ready: yes\ncluster: 0123456789abcdef\nleader: r2\ncaught up with the leader: 12ms ago\napplied index: 1\n")
	f.notReady = "is asleep"
	s = start(t, Config{Replica: f, Fresh: &fakeFresh{fakeReplica: f, contact: -1}})
	get(t, s, "/readyz?verbose").expect(t, "not ready", 503,
		"ready: no: is asleep\ncluster: 0123456789abcdef\nleader: none is known\ncaught up with the leader: never\napplied index: 1\n")
	get(t, s, "/readyz").expect(t, "not ready", 503, `{"message":"is asleep"}`)
}
