package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/julienschmidt/httprouter"
	"github.com/raftlookupd/raftlookupd/fsm"
	"pgregory.net/rapid"
)

// The forms of nsqlookupd's answers (nsqio/nsq, internal/http_api/api_response.go), to the byte.

func jsonAnswer(status, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: application/json; charset=utf-8\r\n"+
		"X-Nsq-Content-Type: nsq; version=1.0\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, len(body), body)
}

func plainAnswer(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n%s", len(body), body)
}

func redirect(to string) string {
	body := "<a href=\"" + strings.ReplaceAll(to, "&", "&amp;") + "\">Moved Permanently</a>.\n\n"
	return fmt.Sprintf("HTTP/1.1 301 Moved Permanently\r\nContent-Type: text/html; charset=utf-8\r\n"+
		"Location: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", to, len(body), body)
}

func redirectPost(to string) string {
	return "HTTP/1.1 307 Temporary Redirect\r\nLocation: " + to +
		"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
}

func notAllowed(allow string) string {
	return strings.Replace(jsonAnswer("405 Method Not Allowed", `{"message":"METHOD_NOT_ALLOWED"}`),
		"HTTP/1.1 405 Method Not Allowed\r\n", "HTTP/1.1 405 Method Not Allowed\r\nAllow: "+allow+"\r\n", 1)
}

func headNotAllowed(allow string) string {
	head, _, _ := strings.Cut(notAllowed(allow), "\r\n\r\n")
	return head + "\r\n\r\n"
}

func options(allow string) string {
	return "HTTP/1.1 200 OK\r\nAllow: " + allow + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
}

const done = "HTTP/1.1 200 OK\r\nX-Nsq-Content-Type: nsq; version=1.0\r\n" +
	"Content-Length: 0\r\nConnection: close\r\n\r\n"

func badRequest(text string) string {
	return jsonAnswer("400 Bad Request", `{"message":"`+text+`"}`)
}

func notFound(text string) string {
	return jsonAnswer("404 Not Found", `{"message":"`+text+`"}`)
}

func okJSON(body string) string { return jsonAnswer("200 OK", body) }

var (
	name64 = strings.Repeat("n", 64)
	name65 = strings.Repeat("n", 65)
)

// conversation is held with a registry that is empty at first; each answer depends on the requests
// before it.
var conversation = []struct{ request, body, want string }{
	{"GET /ping", "", plainAnswer("OK")},
	{"GET /ping?%", "", plainAnswer("OK")},
	{"GET /topics", "", okJSON(`{"topics":[]}`)},
	{"GET /topics?%zz;", "", okJSON(`{"topics":[]}`)},
	{"GET /nodes", "", okJSON(`{"producers":[]}`)},
	{"GET /nodes?a;b", "", okJSON(`{"producers":[]}`)},
	{"GET /debug", "", okJSON(`{}`)},
	{"GET /debug?%", "", okJSON(`{}`)},

	{"GET /lookup", "", badRequest("MISSING_ARG_TOPIC")},
	{"GET /lookup?", "", badRequest("MISSING_ARG_TOPIC")},
	{"GET /lookup?Topic=t", "", badRequest("MISSING_ARG_TOPIC")},
	{"GET /lookup?topics=t&xtopic=t", "", badRequest("MISSING_ARG_TOPIC")},
	{"GET /lookup?topic", "", notFound("TOPIC_NOT_FOUND")},
	{"GET /lookup?topic=", "", notFound("TOPIC_NOT_FOUND")},
	{"GET /lookup?topic=t", "", notFound("TOPIC_NOT_FOUND")},
	{"GET /lookup?topic=*", "", notFound("TOPIC_NOT_FOUND")},
	{"GET /lookup?topic=!!", "", notFound("TOPIC_NOT_FOUND")},
	{"GET /lookup?topic=t;", "", badRequest("INVALID_REQUEST")},
	{"GET /lookup?topic=t&a;b", "", badRequest("INVALID_REQUEST")},
	{"GET /lookup?topic=t&x=%zz", "", badRequest("INVALID_REQUEST")},
	{"GET /lookup?topic=t&%", "", badRequest("INVALID_REQUEST")},
	{"GET /lookup?topic=%4", "", badRequest("INVALID_REQUEST")},
	{"GET /channels", "", badRequest("MISSING_ARG_TOPIC")},
	{"GET /channels?%", "", badRequest("INVALID_REQUEST")},
	{"GET /channels?topic", "", okJSON(`{"channels":[]}`)},
	{"GET /channels?topic=none", "", okJSON(`{"channels":[]}`)},
	{"GET /channels?topic=*", "", okJSON(`{"channels":[]}`)},

	{"POST /topic/create", "", badRequest("MISSING_ARG_TOPIC")},
	{"POST /topic/create?;", "", badRequest("INVALID_REQUEST")},
	{"POST /topic/create?topic", "", badRequest("INVALID_ARG_TOPIC")},
	{"POST /topic/create?topic=*", "", badRequest("INVALID_ARG_TOPIC")},
	{"POST /topic/create?topic=a+b", "", badRequest("INVALID_ARG_TOPIC")},
	{"POST /topic/create?topic=" + name65, "", badRequest("INVALID_ARG_TOPIC")},
	{"POST /topic/create?topic=#ephemeral", "", badRequest("INVALID_ARG_TOPIC")},
	{"POST /topic/create?topic=%23ephemeral", "", badRequest("INVALID_ARG_TOPIC")},
	{"POST /topic/create?topic=t&topic=u", "", done},
	{"GET /lookup?topic=t", "", okJSON(`{"channels":[],"producers":[]}`)},
	{"GET /lookup?topic=%74", "", okJSON(`{"channels":[],"producers":[]}`)},
	{"GET /lookup?%74opic=t", "", okJSON(`{"channels":[],"producers":[]}`)},
	{"GET /lookup?&&x=y&topic=t&topic=none", "", okJSON(`{"channels":[],"producers":[]}`)},
	{"GET /lookup?topic=none&topic=t", "", notFound("TOPIC_NOT_FOUND")},
	{"GET /lookup?topic=t=t", "", notFound("TOPIC_NOT_FOUND")},
	{"GET /lookup?topic=*", "", okJSON(`{"channels":[],"producers":[]}`)},
	{"GET /topics", "", okJSON(`{"topics":["t"]}`)},
	{"GET /debug", "", okJSON(`{}`)},

	{"POST /channel/create", "", badRequest("MISSING_ARG_TOPIC")},
	{"POST /channel/create?channel=c&topic=!", "", badRequest("INVALID_ARG_TOPIC")},
	{"POST /channel/create?topic=!", "", badRequest("INVALID_ARG_TOPIC")},
	{"POST /channel/create?topic=t", "", badRequest("MISSING_ARG_CHANNEL")},
	{"POST /channel/create?topic=t&channel", "", badRequest("INVALID_ARG_CHANNEL")},
	{"POST /channel/create?topic=t&channel=*", "", badRequest("INVALID_ARG_CHANNEL")},
	{"POST /channel/create?topic=t&channel=" + name65, "", badRequest("INVALID_ARG_CHANNEL")},
	{"POST /channel/create?topic=t&channel=c&x=%", "", badRequest("INVALID_REQUEST")},
	{"POST /channel/create?topic=t&channel=c%23ephemeral", "", done},
	{"GET /channels?topic=t", "", okJSON(`{"channels":["c#ephemeral"]}`)},
	{"GET /channels?topic=*", "", okJSON(`{"channels":["c#ephemeral"]}`)},
	{"GET /lookup?topic=t", "", okJSON(`{"channels":["c#ephemeral"],"producers":[]}`)},
	{"POST /channel/delete?topic=t", "", badRequest("MISSING_ARG_CHANNEL")},
	{"POST /channel/delete?topic=t&channel=none", "", notFound("CHANNEL_NOT_FOUND")},
	{"POST /channel/delete?topic=none&channel=c%23ephemeral", "", notFound("CHANNEL_NOT_FOUND")},
	{"POST /channel/delete?topic=*&channel=c%23ephemeral", "", badRequest("INVALID_ARG_TOPIC")},
	{"POST /channel/delete?topic=t&channel=*", "", badRequest("INVALID_ARG_CHANNEL")},
	{"POST /channel/delete?topic=t&channel=c%23ephemeral", "", done},
	{"POST /channel/delete?topic=t&channel=c%23ephemeral", "", notFound("CHANNEL_NOT_FOUND")},
	{"GET /channels?topic=t", "", okJSON(`{"channels":[]}`)},

	{"POST /topic/tombstone", "", badRequest("MISSING_ARG_TOPIC")},
	{"POST /topic/tombstone?node=n:1", "", badRequest("MISSING_ARG_TOPIC")},
	{"POST /topic/tombstone?topic=!", "", badRequest("MISSING_ARG_NODE")},
	{"POST /topic/tombstone?topic=!&node", "", done},
	{"POST /topic/tombstone?topic=none&node=n:1", "", done},
	{"POST /topic/tombstone?topic=*&node=n:1", "", done},
	{"POST /topic/tombstone?topic=t&node=n:1;", "", badRequest("INVALID_REQUEST")},

	{"POST /topic/delete", "", badRequest("MISSING_ARG_TOPIC")},
	{"POST /topic/delete?topic=%", "", badRequest("INVALID_REQUEST")},
	{"POST /topic/delete?topic", "", done},
	{"POST /topic/delete?topic=!!", "", done},
	{"POST /topic/delete?topic=none", "", done},
	{"GET /topics", "", okJSON(`{"topics":["t"]}`)},
	{"POST /topic/delete?topic=t", "", done},
	{"GET /topics", "", okJSON(`{"topics":[]}`)},
	{"POST /channel/create?topic=" + name64 + "&channel=c", "", done},
	{"GET /topics", "", okJSON(`{"topics":["` + name64 + `"]}`)},
	{"POST /topic/delete?topic=*", "", done},
	{"GET /topics", "", okJSON(`{"topics":[]}`)},
	{"GET /channels?topic=" + name64, "", okJSON(`{"channels":[]}`)},

	{"POST /topic/create?topic=b", "5\r\nhello\r\n0\r\n\r\n", done},
	{"POST /topic/create?topic=bad", "zz\r\n", badRequest("INVALID_REQUEST")},
	{"GET /lookup?topic=b", "1\r\nx\r\n0\r\n\r\n", okJSON(`{"channels":[],"producers":[]}`)},
	{"GET /lookup?topic=b", "zz\r\n", badRequest("INVALID_REQUEST")},
	{"GET /channels?topic=b", "zz\r\n", badRequest("INVALID_REQUEST")},
	{"GET /topics", "zz\r\n", okJSON(`{"topics":["b"]}`)},

	{"GET /", "", notFound("NOT_FOUND")},
	{"GET /none", "", notFound("NOT_FOUND")},
	{"POST /", "", notFound("NOT_FOUND")},
	{"PUT /none", "", notFound("NOT_FOUND")},
	{"GET /topic", "", notFound("NOT_FOUND")},
	{"GET /lookup/x", "", notFound("NOT_FOUND")},
	{"GET /debug/pprof/none", "", notFound("NOT_FOUND")},
	{"GET /debug/pprof/trace", "", notFound("NOT_FOUND")},
	{"GET /topic/create?topic=t", "", notAllowed("OPTIONS, POST")},
	{"POST /lookup?topic=t", "", notAllowed("GET, OPTIONS")},
	{"PUT /debug/pprof/symbol", "", notAllowed("GET, OPTIONS, POST")},
	{"HEAD /ping", "", headNotAllowed("GET, OPTIONS")},
	{"DELETE /channel/delete", "", notAllowed("OPTIONS, POST")},
	{"OPTIONS /ping", "", options("GET, OPTIONS")},
	{"OPTIONS /topic/create", "", options("OPTIONS, POST")},
	{"OPTIONS /debug/pprof/symbol", "", options("GET, OPTIONS, POST")},
	{"OPTIONS /none", "", notFound("NOT_FOUND")},
	{"OPTIONS *", "", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
	{"GET /lookup/?topic=t&x=y", "", redirect("/lookup?topic=t&x=y")},
	{"GET /LOOKUP?topic=t", "", redirect("/lookup?topic=t")},
	{"GET //lookup", "", redirect("/lookup")},
	{"GET /x/../ping", "", redirect("/ping")},
	{"GET /debug/pprof/", "", redirect("/debug/pprof")},
	{"POST /topic/create/?topic=t", "", redirectPost("/topic/create?topic=t")},
	{"POST /Topic/Create?topic=t", "", redirectPost("/topic/create?topic=t")},
}

func TestConversation(t *testing.T) {
	s := start(t, Config{Replica: newFakeReplica(t)})
	for _, c := range conversation {
		if got := exchange(t, s.addr, c.request, c.body); got != c.want {
			t.Errorf("%s, body %q\ngot  %q\nwant %q", c.request, c.body, got, c.want)
		}
	}
}

func TestInfo(t *testing.T) {
	s := start(t, Config{Replica: newFakeReplica(t), Info: Info{Version: "1.2.3"}})
	if got, want := exchange(t, s.addr, "GET /info", ""), okJSON(`{"version":"1.2.3"}`); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s = start(t, Config{Replica: newFakeReplica(t), Info: Info{Version: "1.2.3", Name: "r1", ID: "x"}})
	if got, want := exchange(t, s.addr, "GET /info", ""), okJSON(`{"version":"1.2.3","name":"r1","id":"x"}`); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProducers(t *testing.T) {
	replica := newFakeReplica(t)
	a := replica.apply(t, fsm.OpenSession(fsm.ProducerInfo{RemoteAddress: "10.0.0.1:5000", Hostname: "h<a>",
		BroadcastAddress: "a", TCPPort: 4150, HTTPPort: 4151, Version: "1.3.0"}))
	b := replica.apply(t, fsm.OpenSession(fsm.ProducerInfo{RemoteAddress: "10.0.0.2:5000", Hostname: "hb",
		BroadcastAddress: "b", TCPPort: 4150, HTTPPort: 4151, Version: "1.4.0", TopologyZone: "z", TopologyRegion: "r"}))
	replica.apply(t, fsm.Register(a, "t", "c"))
	replica.apply(t, fsm.Register(a, "t-u", ""))
	replica.apply(t, fsm.Register(b, "t", ""))
	s := start(t, Config{Replica: replica})

	const infoA = `{"remote_address":"10.0.0.1:5000","hostname":"h\u003ca\u003e","broadcast_address":"a","tcp_port":4150,"http_port":4151,"version":"1.3.0"`
	const infoB = `{"remote_address":"10.0.0.2:5000","hostname":"hb","broadcast_address":"b","tcp_port":4150,"http_port":4151,"version":"1.4.0","topology_zone":"z","topology_region":"r"`
	expect := func(path, want string) {
		t.Helper()
		if got := exchange(t, s.addr, "GET "+path, ""); got != okJSON(want) {
			t.Errorf("%s\ngot  %q\nwant %q", path, got, okJSON(want))
		}
	}
	expect("/lookup?topic=t", `{"channels":["c"],"producers":[`+infoA+`},`+infoB+`}]}`)
	if got := exchange(t, s.addr, "POST /topic/tombstone?topic=t&node=a:4151", ""); got != done {
		t.Fatalf("tombstone: %q", got)
	}
	expect("/lookup?topic=t", `{"channels":["c"],"producers":[`+infoB+`}]}`)
	expect("/nodes", `{"producers":[`+infoA+`,"tombstones":[true,false],"topics":["t","t-u"]},`+
		infoB+`,"tombstones":[false],"topics":["t"]}]}`)

	id := replica.registry.State()
	var tombstone uint64
	id.Held(func(h fsm.Held) bool {
		tombstone = max(tombstone, h.Tombstone)
		return true
	})
	row := func(n uint64, tombstoned string) string {
		switch n {
		case a:
			return fmt.Sprintf(`{"broadcast_address":"a","hostname":"h\u003ca\u003e","http_port":4151,"id":"10.0.0.1:5000","last_update":%d,"tcp_port":4150,%s,"version":"1.3.0"}`, 1700000000000000000+n, tombstoned)
		default:
			return fmt.Sprintf(`{"broadcast_address":"b","hostname":"hb","http_port":4151,"id":"10.0.0.2:5000","last_update":%d,"tcp_port":4150,%s,"topology_region":"r","topology_zone":"z","version":"1.4.0"}`, 1700000000000000000+n, tombstoned)
		}
	}
	const alive = `"tombstoned":false,"tombstoned_at":-6795364578871345152`
	dead := fmt.Sprintf(`"tombstoned":true,"tombstoned_at":%d`, 1600000000000000000+tombstone)
	// "topic:t-u:" sorts before "topic:t:", as the keys of nsqlookupd's map do.
	expectDebug := `{"channel:t:c":[` + row(a, alive) + `],"client::":[` + row(a, alive) + `,` + row(b, alive) +
		`],"topic:t-u:":[` + row(a, alive) + `],"topic:t:":[` + row(a, dead) + `,` + row(b, alive) + `]}`
	if got := unchunk(t, exchange(t, s.addr, "GET /debug", "")); got != expectDebug {
		t.Errorf("/debug\ngot  %s\nwant %s", got, expectDebug)
	}
}

// nsqlookupdRoutes are nsqlookupd's (nsqio/nsq, nsqlookupd/http.go).
var nsqlookupdRoutes = map[string][]string{
	"GET": {"/ping", "/info", "/debug", "/lookup", "/topics", "/channels", "/nodes", "/debug/pprof",
		"/debug/pprof/cmdline", "/debug/pprof/symbol", "/debug/pprof/profile", "/debug/pprof/heap",
		"/debug/pprof/goroutine", "/debug/pprof/block", "/debug/pprof/threadcreate"},
	"POST": {"/topic/create", "/topic/delete", "/channel/create", "/channel/delete", "/topic/tombstone",
		"/debug/pprof/symbol"},
}

// The routes that are not nsqlookupd's share a tree with those that are; they must not change
// where any other path leads.
func TestRoutingIsNsqlookupds(t *testing.T) {
	theirs := httprouter.New()
	theirs.NotFound = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	theirs.MethodNotAllowed = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(405) })
	var paths []string
	for method, routes := range nsqlookupdRoutes {
		for _, path := range routes {
			theirs.Handle(method, path, func(http.ResponseWriter, *http.Request, httprouter.Params) {})
			paths = append(paths, path)
		}
	}
	ours := New(Config{Replica: newFakeReplica(t), Times: fakeTimes{}}).newRouter()
	isOurs := func(path string) bool {
		path = strings.ToLower(strings.TrimSuffix(httprouter.CleanPath(path), "/"))
		for _, r := range clusterEntries() {
			if path == r.Path {
				return true
			}
		}
		return false
	}
	for _, r := range clusterEntries() {
		paths = append(paths, r.Path)
	}
	methods := []string{"GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE"}
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.SampledFrom(paths).Draw(t, "path")
		cut := rapid.IntRange(0, len(path)).Draw(t, "cut")
		path = path[:cut] + rapid.SampledFrom([]string{"", "/", "//", "/..", "s", "x", "/.", "/create"}).Draw(t, "middle") +
			path[rapid.IntRange(cut, len(path)).Draw(t, "resume"):]
		if rapid.Bool().Draw(t, "upper") {
			path = strings.ToUpper(path)
		}
		method := rapid.SampledFrom(methods).Draw(t, "method")
		if !strings.HasPrefix(path, "/") || isOurs(path) {
			t.Skip()
		}
		handle, _, _ := theirs.Lookup(method, path)
		mine, _, _ := ours.Lookup(method, path)
		if (handle == nil) != (mine == nil) {
			t.Fatalf("%s %s: a handler here and none there", method, path)
		}
		if handle != nil {
			return
		}
		want, got := route(theirs, method, path), route(ours, method, path)
		if got != want {
			t.Fatalf("%s %s: got %s, want %s", method, path, got, want)
		}
	})
}

func route(h http.Handler, method, path string) string {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, "/", nil)
	r.URL.Path = path
	h.ServeHTTP(w, r)
	return fmt.Sprintf("%d, Location %q, Allow %q", w.Code, w.Header()["Location"], w.Header()["Allow"])
}
