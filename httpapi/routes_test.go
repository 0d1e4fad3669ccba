package httpapi

import (
	"strings"
	"testing"
	"time"
)

func TestEveryRouteIsDescribed(t *testing.T) {
	seen := make(map[string]bool)
	for _, e := range table() {
		name := e.Method + " " + e.Path
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
		if strings.HasPrefix(e.Kind.String(), "Kind(") {
			t.Errorf("%s has no kind", name)
		}
		if len(e.Doc) < 2 || !strings.HasSuffix(e.Doc, ".") {
			t.Errorf("%s has no documentation: %q", name, e.Doc)
		}
		if (e.answer == nil) == (e.raw == nil) {
			t.Errorf("%s needs one handler", name)
		}
		if e.Method == "GET" && (e.Kind == Changes || e.Kind == Administers && e.Path != snapshotPath) {
			t.Errorf("%s %s, with GET", name, e.Kind)
		}
	}
	if got := Routes(); len(got) != len(seen) {
		t.Errorf("Routes has %d of %d", len(got), len(seen))
	}
	for method, paths := range nsqlookupdRoutes {
		for _, path := range paths {
			if !seen[method+" "+path] {
				t.Errorf("nsqlookupd's %s %s is missing", method, path)
			}
		}
	}
}

func TestKindsOfRoutes(t *testing.T) {
	want := map[Kind][]string{
		Reads: {"GET /ping", "GET /info", "GET /lookup", "GET /topics", "GET /channels", "GET /nodes",
			"GET /watch", "GET /livez", "GET /readyz", "GET /cluster/status", "GET /cluster/fingerprint"},
		Changes: {"POST /topic/create", "POST /topic/delete", "POST /topic/tombstone",
			"POST /channel/create", "POST /channel/delete"},
		Administers: {"POST /cluster/join", "POST /cluster/leave", "POST /cluster/remove", "POST /cluster/transfer",
			"GET /cluster/snapshot", "POST /cluster/restore"},
	}
	kinds := make(map[string]Kind)
	for kind, routes := range want {
		for _, r := range routes {
			kinds[r] = kind
		}
	}
	for _, r := range Routes() {
		kind, ok := kinds[r.Method+" "+r.Path]
		if !ok && strings.HasPrefix(r.Path, "/debug") {
			kind = Diagnoses
		}
		if r.Kind != kind {
			t.Errorf("%s %s %s, want %s", r.Method, r.Path, r.Kind, kind)
		}
	}
}

func TestProfiles(t *testing.T) {
	s := start(t, Config{Replica: newFakeReplica(t)})
	expectProfile(t, s, "/debug/pprof", "goroutine")
	expectProfile(t, s, "/debug/pprof/cmdline", "httpapi")
	expectProfile(t, s, "/debug/pprof/symbol?0x0", "num_symbols: 1")
	expectProfile(t, s, "/debug/pprof/goroutine?debug=1", "goroutine profile:")
	expectProfile(t, s, "/debug/pprof/block?debug=1", "contention")
	expectProfile(t, s, "/debug/pprof/threadcreate?debug=1", "threadcreate profile:")
	expectProfile(t, s, "/debug/pprof/heap?debug=1", "heap profile:")
	if got := exchange(t, s.addr, "POST /debug/pprof/symbol", "3\r\n0x1\r\n0\r\n\r\n"); !strings.Contains(got, "num_symbols: 1") {
		t.Errorf("symbol: %q", got)
	}
}

// A profile that runs for longer than the WriteTimeout must arrive all the same.
func TestLongProfiles(t *testing.T) {
	s := start(t, Config{Replica: newFakeReplica(t), WriteTimeout: 900 * time.Millisecond})
	const gzip = "\x1f\x8b"
	expectProfile(t, s, "/debug/pprof/profile?seconds=1", gzip)
	expectProfile(t, s, "/debug/pprof/goroutine?seconds=1", gzip)
}

func expectProfile(t *testing.T, s *running, path, want string) {
	t.Helper()
	got := exchange(t, s.addr, "GET "+path, "")
	if !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || !strings.Contains(unchunk(t, got), want) {
		t.Errorf("%s: no %q in %.300q", path, want, got)
	}
}
