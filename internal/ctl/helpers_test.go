package ctl

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// routes are what a fake server answers, by "METHOD /path?query" or "METHOD /path".
type routes map[string]http.HandlerFunc

// fake is a server that answers as it is told.
type fake struct {
	*httptest.Server
	mu     sync.Mutex
	routes routes
	calls  []string
}

func serve(t *testing.T, r routes) *fake {
	t.Helper()
	f := &fake{routes: r}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	whole, path := r.Method+" "+r.URL.RequestURI(), r.Method+" "+r.URL.Path
	f.mu.Lock()
	f.calls = append(f.calls, whole)
	h := f.routes[whole]
	if h == nil {
		h = f.routes[path]
	}
	f.mu.Unlock()
	if h == nil {
		h = reply(http.StatusNotFound, `{"message":"NOT_FOUND"}`)
	}
	h(w, r)
}

// set changes what is answered.
func (f *fake) set(route string, h http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.routes[route] = h
}

// asked returns the calls of one method.
func (f *fake) asked(method string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var calls []string
	for _, c := range f.calls {
		if rest, ok := strings.CutPrefix(c, method+" "); ok {
			calls = append(calls, rest)
		}
	}
	return calls
}

func (f *fake) host() string { return strings.TrimPrefix(f.URL, "http://") }

func reply(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func ok(body string) http.HandlerFunc { return reply(http.StatusOK, body) }

// inOrder answers one after the other, and the last for ever.
func inOrder(all ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := all[0]
		if len(all) > 1 {
			all = all[1:]
		}
		mu.Unlock()
		h(w, r)
	}
}

// hang answers nothing until the client leaves, which a server notices once it has read the body.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// hangUp closes the connection.
func hangUp(w http.ResponseWriter, _ *http.Request) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

// dead returns a URL where nobody listens.
func dead(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return "http://" + l.Addr().String()
}

// text is a buffer that one goroutine writes and another reads.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// run is one run of lookupctl.
type run struct {
	ctx    context.Context
	env    []string
	stdin  io.Reader
	pace   func(*pace)
	names  []string // texts and what they are replaced with in the output, in turn
	stdout text
	stderr text
	code   int
}

// do runs lookupctl, quickly.
func (r *run) do(t *testing.T, args ...string) *run {
	t.Helper()
	if r.ctx == nil {
		r.ctx = t.Context()
	}
	if r.stdin == nil {
		r.stdin = strings.NewReader("")
	}
	p := newProgram(r.env, r.stdin, &r.stdout, &r.stderr)
	p.pollEvery = time.Millisecond
	p.clock = func() time.Time { return time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC) }
	if r.pace != nil {
		r.pace(&p.pace)
	}
	r.code = p.run(r.ctx, args)
	return r
}

// want compares the outcome.
func (r *run) want(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	names := strings.NewReplacer(r.names...)
	if got := names.Replace(r.stdout.String()); got != stdout {
		t.Errorf("stdout\n%s\nwant\n%s", got, stdout)
	}
	if got := names.Replace(r.stderr.String()); got != stderr {
		t.Errorf("stderr\n%s\nwant\n%s", got, stderr)
	}
	if r.code != code {
		t.Errorf("exit code %d, want %d", r.code, code)
	}
}

// lookupctl runs it against one fake, which is called a in the output.
func lookupctl(t *testing.T, a *fake, args ...string) *run {
	t.Helper()
	r := &run{names: []string{a.host(), "a"}}
	return r.do(t, append([]string{"--addr", a.URL}, args...)...)
}

// statusJSON is a cluster of three: r1 leads, r2 votes and is behind, r3 is gone.
const statusJSON = `{"name":"r1","id":"1","version":"0.1.0","cluster_id":"c1","role":"leader","leader":"r1","term":3,` +
	`"ready":true,"reason":"","waiting_for":"","commit_index":123,"applied_index":123,"last_contact_ms":0,` +
	`"addresses":{"tcp":"h1:4160","http":"h1:4161","cluster":"h1:4162","gossip":"h1:4163"},` +
	`"registry":{"index":120,"fingerprint":"f1","topics":1,"channels":2,"producers":1,"sessions":3,"orphans":0,"tombstones":0,"pending":0},` +
	`"members":[` +
	`{"name":"r3","id":"3","role":"voter","alive":false,"health":"gone","applied_index":0,"lag":0,"gone_ms":192000,"version":"0.1.0","addresses":{}},` +
	`{"name":"r1","id":"1","role":"leader","alive":true,"health":"healthy","applied_index":123,"lag":0,"version":"0.1.0","addresses":{"tcp":"h1:4160","http":"h1:4161"}},` +
	`{"name":"r2","id":"2","role":"voter","alive":true,"health":"healthy","applied_index":100,"lag":23,"version":"0.1.0","addresses":{"tcp":"h2:4160","http":"h2:4161"}}]}`
