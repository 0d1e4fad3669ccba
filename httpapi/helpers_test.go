package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/consistency"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// fakeReplica is a cluster of one without a log: it applies what it is told.
type fakeReplica struct {
	mu       sync.Mutex
	registry *fsm.Registry
	index    uint64
	number   uint64
	proposed []fsm.Change

	// Set before serving.
	readErr, changeErr, fingerprintErr error
	notReady                           string
	statusValue                        any
	onRead, onChange                   func(context.Context) error
}

func newFakeReplica(t testing.TB) *fakeReplica {
	t.Helper()
	f := &fakeReplica{registry: fsm.New()}
	f.apply(t, fsm.OpenReplica("r1"))
	return f
}

// apply applies one change and returns its number.
func (f *fakeReplica) apply(t testing.TB, c fsm.Change) uint64 {
	t.Helper()
	number, err := f.applyChange(c)
	if err != nil {
		t.Fatalf("apply %+v: %v", c, err)
	}
	return number
}

func (f *fakeReplica) applyChange(c fsm.Change) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index++
	f.number++
	h := fsm.Header{Replica: "id1", Incarnation: 1, First: f.number}
	outcome, err := f.registry.Apply(f.index, h.AppendEntry(nil, 1, fsm.AppendChange(nil, c)))
	if err != nil {
		return 0, err
	}
	if outcome.Err != nil {
		return 0, outcome.Err
	}
	return f.number, outcome.Result(f.number)
}

func (f *fakeReplica) Read(ctx context.Context) (*fsm.State, error) {
	if f.onRead != nil {
		if err := f.onRead(ctx); err != nil {
			return nil, err
		}
	}
	return f.registry.State(), f.readErr
}

func (f *fakeReplica) Change(ctx context.Context, c fsm.Change) error {
	f.mu.Lock()
	f.proposed = append(f.proposed, c)
	f.mu.Unlock()
	if f.onChange != nil {
		if err := f.onChange(ctx); err != nil {
			return err
		}
	}
	if f.changeErr != nil {
		return f.changeErr
	}
	_, err := f.applyChange(c)
	return err
}

func (f *fakeReplica) Ready() (bool, string) { return f.notReady == "", f.notReady }

func (f *fakeReplica) Status() any { return f.statusValue }

func (f *fakeReplica) Fingerprint(_ context.Context, index uint64) (uint64, fsm.Fingerprint, error) {
	if f.fingerprintErr != nil {
		return 0, fsm.Fingerprint{}, f.fingerprintErr
	}
	state := f.registry.State()
	if index == 0 {
		return state.Index(), state.Fingerprint(), nil
	}
	fp, err := f.registry.FingerprintAt(index)
	return index, fp, err
}

// takeProposed returns what has been proposed since the last call.
func (f *fakeReplica) takeProposed() []fsm.Change {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.proposed
	f.proposed = nil
	return p
}

// fakeFresh is a leader, unless a test says otherwise.
type fakeFresh struct {
	*fakeReplica
	contact time.Duration
	leader  string
	fresh   func(context.Context, consistency.Level) error // may be nil
	taken   func()                                         // called when FreshAsOf is; may be nil
}

func (f *fakeFresh) ReadFresh(ctx context.Context, level consistency.Level) (*fsm.State, error) {
	if f.fresh != nil {
		if err := f.fresh(ctx, level); err != nil {
			return nil, err
		}
	}
	return f.Read(ctx)
}

func (f *fakeFresh) Position() (applied uint64, cluster, leader string, lastContact time.Duration) {
	return f.registry.State().Index(), "0123456789abcdef", f.leader, f.contact
}

func (f *fakeFresh) FreshAsOf() time.Time {
	switch {
	case f.contact < 0:
		return time.Time{}
	case f.taken != nil:
		f.taken()
	}
	return time.Now().Add(-f.contact)
}

func (f *fakeFresh) Watch(thing fsm.Thing) *fsm.Waiter { return f.registry.Watch(thing) }

type fakeTimes struct{}

func (fakeTimes) LastUpdate(k fsm.SessionKey) int64 {
	if k.Replica != "id1" {
		return 0
	}
	return 1700000000000000000 + int64(k.Number)
}

func (fakeTimes) TombstonedAt(id uint64) time.Time { return time.Unix(1600000000, int64(id)) }

// logBuffer is a log that a test can read.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newLog(level slog.Level) (*slog.Logger, *logBuffer) {
	b := &logBuffer{}
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level})), b
}

// running is a Server that serves on a port of its own and is closed with the test.
type running struct {
	*Server
	addr   string
	served chan error // what Serve returned
}

func start(t *testing.T, cfg Config) *running {
	t.Helper()
	s := startServer(t, cfg)
	t.Cleanup(s.shut)
	return s
}

// shut closes the server.
func (s *running) shut() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_ = s.Close(ctx)
}

// startServer is start for those who close it themselves.
func startServer(t testing.TB, cfg Config) *running {
	t.Helper()
	if cfg.Times == nil {
		cfg.Times = fakeTimes{}
	}
	if f, ok := cfg.Replica.(*fakeReplica); ok && cfg.Fresh == nil {
		cfg.Fresh = &fakeFresh{fakeReplica: f}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &running{Server: New(cfg), addr: l.Addr().String(), served: make(chan error, 1)}
	go func() { s.served <- s.Serve(l) }()
	return s
}

// client is a raw connection: what it sends and gets is under the test's eyes.
type client struct {
	t testing.TB
	net.Conn
}

func dial(t testing.TB, addr string) client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return client{t, conn}
}

func (c client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// receive returns all that comes until the server hangs up. A reset counts as that: it is what a
// client may see when it was still sending.
func (c client) receive() string {
	c.t.Helper()
	b, err := io.ReadAll(c)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("the server has not hung up; so far %q", b)
	}
	return string(b)
}

// ownLines are the header's lines that differ from one answer to the next, or that nsqlookupd has not.
var ownLines = regexp.MustCompile(`(Date|Etag|X-Raftlookup-[A-Za-z-]*): [^\r]*\r\n`)

// exchange sends one request, of which it is given the first line and perhaps a body, on a
// connection of its own, and returns the answer without ownLines.
func exchange(t testing.TB, addr, line, body string) string {
	t.Helper()
	c := dial(t, addr)
	request := line + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
	if body != "" {
		request += "Transfer-Encoding: chunked\r\n\r\n" + body
	} else {
		request += "\r\n"
	}
	c.send(request)
	return ownLines.ReplaceAllString(c.receive(), "")
}

// bodyOf cuts the body off an answer that is not chunked.
func bodyOf(t testing.TB, response string) string {
	t.Helper()
	_, body, ok := strings.Cut(response, "\r\n\r\n")
	if !ok {
		t.Fatalf("no end of header in %q", response)
	}
	return body
}

// eventually waits until check returns nil.
func await[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// unchunk returns the body of an answer, whether it came in chunks or not.
func unchunk(t testing.TB, response string) string {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(response)), nil)
	if err != nil {
		t.Fatalf("read response: %v in %q", err, response)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read body: %v", err)
	}
	return string(b)
}

// busyFor is a handler that takes its time: what it takes is the point of the test.
func busyFor(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	<-t.C
}
