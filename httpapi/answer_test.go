package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/raftlookupd/raftlookupd/fsm"
)

type saying string

func (s saying) Error() string   { return "unlike its message" }
func (s saying) Message() string { return string(s) }

func TestErrorsOfTheReplica(t *testing.T) {
	unavailable := func(text string) string {
		return jsonAnswer("503 Service Unavailable", `{"message":"`+text+`"}`)
	}
	for _, test := range []struct {
		err  error
		want string
		logs bool
	}{
		{saying("NOT_READY"), unavailable("NOT_READY"), false},
		{fmt.Errorf("propose: %w", saying("NO_LEADER")), unavailable("NO_LEADER"), false},
		{saying(`a "quote"`), unavailable(`a \"quote\"`), false},
		{fmt.Errorf("apply: %w", fsm.ErrChannelNotFound), notFound("CHANNEL_NOT_FOUND"), false},
		{fmt.Errorf("ring: %w", fsm.ErrIndexTooOld), jsonAnswer("410 Gone", `{"message":"INDEX_TOO_OLD"}`), false},
		{errors.New("disk on fire"), jsonAnswer("500 Internal Server Error", `{"message":"INTERNAL_ERROR"}`), true},
	} {
		replica := newFakeReplica(t)
		replica.readErr, replica.changeErr, replica.fingerprintErr = test.err, test.err, test.err
		log, logged := newLog(slog.LevelError)
		s := start(t, Config{Replica: replica, Logger: log})
		for _, line := range []string{
			"GET /lookup?topic=t", "GET /channels?topic=t", "GET /topics", "GET /nodes", "GET /debug",
			"GET /cluster/fingerprint",
			"POST /topic/create?topic=t", "POST /topic/delete?topic=t", "POST /topic/tombstone?topic=t&node=n:1",
			"POST /channel/create?topic=t&channel=c", "POST /channel/delete?topic=t&channel=c",
		} {
			before := len(logged.String())
			if got := exchange(t, s.addr, line, ""); got != test.want {
				t.Errorf("%v, %s: got %q, want %q", test.err, line, got, test.want)
			}
			if logs := strings.Contains(logged.String()[before:], test.err.Error()); logs != test.logs {
				t.Errorf("%v, %s: logged %v, want %v", test.err, line, logs, test.logs)
			}
		}
		// What is wrong with the request is said first.
		if got := exchange(t, s.addr, "GET /lookup", ""); got != badRequest("MISSING_ARG_TOPIC") {
			t.Errorf("%v: got %q", test.err, got)
		}
	}
}

func TestHealth(t *testing.T) {
	replica := newFakeReplica(t)
	s := start(t, Config{Replica: replica})
	for _, path := range []string{"/livez", "/readyz"} {
		if got := exchange(t, s.addr, "GET "+path, ""); got != plainAnswer("OK") {
			t.Errorf("%s: got %q", path, got)
		}
	}
	replica = newFakeReplica(t)
	replica.notReady = "no leader for 31 s"
	s = start(t, Config{Replica: replica})
	if got := exchange(t, s.addr, "GET /livez", ""); got != plainAnswer("OK") {
		t.Errorf("got %q", got)
	}
	want := jsonAnswer("503 Service Unavailable", `{"message":"no leader for 31 s"}`)
	if got := exchange(t, s.addr, "GET /readyz", ""); got != want {
		t.Errorf("got %q", got)
	}
}

func TestStatus(t *testing.T) {
	replica := newFakeReplica(t)
	replica.statusValue = struct {
		Name string `json:"name"`
	}{"r1"}
	s := start(t, Config{Replica: replica})
	if got := exchange(t, s.addr, "GET /cluster/status", ""); got != okJSON(`{"name":"r1"}`) {
		t.Errorf("got %q", got)
	}
	replica = newFakeReplica(t)
	replica.statusValue = func() {}
	s = start(t, Config{Replica: replica})
	want := jsonAnswer("500 Internal Server Error", `{"message":"INTERNAL_ERROR"}`)
	if got := exchange(t, s.addr, "GET /cluster/status", ""); got != want {
		t.Errorf("a status that cannot be encoded: got %q", got)
	}
}

func TestFingerprint(t *testing.T) {
	replica := newFakeReplica(t)
	first := replica.registry.State()
	replica.apply(t, fsm.CreateTopic("t"))
	newest := replica.registry.State()
	s := start(t, Config{Replica: replica})
	ok := func(state *fsm.State) string {
		return okJSON(fmt.Sprintf(`{"index":%d,"fingerprint":"%s"}`, state.Index(), state.Fingerprint()))
	}
	for _, test := range []struct{ query, want string }{
		{"", ok(newest)},
		{"?index=0", ok(newest)},
		{"?index=1", ok(first)},
		{"?index=2", ok(newest)},
		{"?index=1&index=2", ok(first)},
		{"?index", badRequest("INVALID_ARG_INDEX")},
		{"?index=", badRequest("INVALID_ARG_INDEX")},
		{"?index=-1", badRequest("INVALID_ARG_INDEX")},
		{"?index=1x", badRequest("INVALID_ARG_INDEX")},
		{"?index=18446744073709551616", badRequest("INVALID_ARG_INDEX")},
		{"?index=1;", badRequest("INVALID_REQUEST")},
	} {
		if got := exchange(t, s.addr, "GET /cluster/fingerprint"+test.query, ""); got != test.want {
			t.Errorf("%q: got %q, want %q", test.query, got, test.want)
		}
	}
}

func TestRequestLog(t *testing.T) {
	log, logged := newLog(slog.LevelInfo)
	s := start(t, Config{Replica: newFakeReplica(t), Logger: log})
	for line, want := range map[string]string{
		"GET /ping":                    `200 GET /ping`,
		"GET /lookup?topic=x":          `404 GET /lookup\?topic=x`,
		"POST /topic/create?topic=a+b": `400 POST /topic/create\?topic=a\+b`,
		"GET /none?x":                  `404 GET /none\?x`,
		"PUT /ping":                    `405 PUT /ping`,
	} {
		exchange(t, s.addr, line, "")
		form := regexp.MustCompile(`level=INFO msg="` + want + ` \(127\.0\.0\.1:[0-9]+\) [0-9.]+(ns|µs|ms|s)"`)
		if !form.MatchString(logged.String()) {
			t.Errorf("nothing like %s in the log:\n%s", form, logged)
		}
	}
}

func TestNetHTTPsWarningsAreLogged(t *testing.T) {
	log, logged := newLog(slog.LevelWarn)
	s := New(Config{Replica: newFakeReplica(t), Times: fakeTimes{}, Logger: log})
	s.http.ErrorLog.Print("http: something odd")
	if !strings.Contains(logged.String(), `level=WARN msg="http: something odd"`) {
		t.Errorf("log: %s", logged)
	}
}

// nullWriter takes an answer and keeps nothing of it.
type nullWriter struct{ header http.Header }

func (w nullWriter) Header() http.Header         { return w.header }
func (w nullWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w nullWriter) WriteHeader(int)             {}

func readServer(t testing.TB) *Server {
	t.Helper()
	replica := newFakeReplica(t)
	session := replica.apply(t, fsm.OpenSession(fsm.ProducerInfo{RemoteAddress: "10.0.0.1:5000",
		Hostname: "h", BroadcastAddress: "a", TCPPort: 4150, HTTPPort: 4151, Version: "1.3.0"}))
	replica.apply(t, fsm.Register(session, "t", "c"))
	log, _ := newLog(slog.LevelWarn)
	return New(Config{Replica: replica, Fresh: &fakeFresh{fakeReplica: replica}, Times: fakeTimes{}, Logger: log})
}

// A read allocates the values of its headers and its ETag, and nothing that grows with the answer.
func TestReadsAllocateLittle(t *testing.T) {
	s := readServer(t)
	w := nullWriter{http.Header{}}
	for path, most := range map[string]float64{"/lookup?topic=t": 2, "/lookup?topic=none": 1, "/topics": 2, "/nodes": 2, "/ping": 0,
		"/channels?topic=t&consistency=local": 2} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		if n := testing.AllocsPerRun(100, func() { s.handler.ServeHTTP(w, r) }); n > most {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

func BenchmarkHandler(b *testing.B) {
	s := readServer(b)
	state, err := s.cfg.Replica.Read(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	body, _ := state.Lookup("t")
	constant := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer{code: http.StatusOK, form: formJSON, body: body}.write(w)
	})
	run := func(name, path string, h http.Handler) {
		b.Run(name, func(b *testing.B) {
			w := nullWriter{http.Header{}}
			r := httptest.NewRequest(http.MethodGet, path, nil)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
	run("constant", "/lookup?topic=t", constant)
	run("lookup", "/lookup?topic=t", s.handler)
	run("lookup-escaped", "/lookup?topic=%74", s.handler)
	run("channels", "/channels?topic=t", s.handler)
	run("topics", "/topics", s.handler)
	run("nodes", "/nodes", s.handler)
}
