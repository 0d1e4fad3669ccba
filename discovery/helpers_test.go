package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errAlready = errors.New("already connected")
	errRefused = errors.New("connection refused")
	errUnknown = errors.New("not connected")
)

// fakeConsumer behaves as an nsq.Consumer does.
type fakeConsumer struct {
	t         *testing.T
	mu        sync.Mutex
	connected map[string]bool
	busy      map[string]bool          // calls under way
	refuses   map[string]bool          // nsqds that cannot be reached
	hangs     map[string]chan struct{} // nsqds that answer when this is closed
	attempts  map[string]int           // that were no news included
	calls     []string                 // that made a difference
}

func newFakeConsumer(t *testing.T) *fakeConsumer {
	return &fakeConsumer{t: t, connected: map[string]bool{}, busy: map[string]bool{}, refuses: map[string]bool{},
		hangs: map[string]chan struct{}{}, attempts: map[string]int{}}
}

func (c *fakeConsumer) enter(address string) (hang chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[address] {
		c.t.Errorf("%s: called while a call is under way", address)
	}
	c.busy[address] = true
	return c.hangs[address]
}

func (c *fakeConsumer) ConnectToNSQD(address string) error {
	if hang := c.enter(address); hang != nil {
		<-hang
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, address)
	c.attempts[address]++
	switch {
	case c.refuses[address]:
		return fmt.Errorf("dial: %w", errRefused)
	case c.connected[address]:
		return errAlready
	}
	c.connected[address] = true
	c.calls = append(c.calls, "+"+address)
	return nil
}

func (c *fakeConsumer) DisconnectFromNSQD(address string) error {
	c.enter(address)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, address)
	if !c.connected[address] {
		return errUnknown
	}
	delete(c.connected, address)
	c.calls = append(c.calls, "-"+address)
	return nil
}

// set changes what the consumer meets.
func (c *fakeConsumer) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// expect holds what was done since the last call to what should have been, in any order.
func (c *fakeConsumer) expect(want ...string) {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.calls)
	slices.Sort(want)
	if !slices.Equal(c.calls, want) {
		c.t.Errorf("the consumer was told %v, want %v", c.calls, want)
	}
	c.calls = nil
}

func (c *fakeConsumer) attemptsAt(address string) int {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attempts[address]
}

// fakeNet is where the replicas are; it is the consumers' http.RoundTripper.
type fakeNet struct {
	t        *testing.T
	mu       sync.Mutex
	replicas map[string]*fakeReplica
	requests []string
	header   http.Header // of the last request
}

// fakeReplica is one replica, or a stock nsqlookupd. Its stream beats every 10 s, as long as it is not mute.
type fakeReplica struct {
	net       *fakeNet
	down      bool // nobody answers
	stock     bool // no /watch
	mute      bool
	hasty     bool // its streams end at once
	status    int  // of every answer, 0 for the right one
	producers []string
	streams   map[*io.PipeWriter]bool
}

// newNet has replicas of these names.
func newNet(t *testing.T, names ...string) *fakeNet {
	n := &fakeNet{t: t, replicas: map[string]*fakeReplica{}}
	for _, name := range names {
		n.replicas[name] = &fakeReplica{net: n, streams: map[*io.PipeWriter]bool{}}
	}
	return n
}

func (n *fakeNet) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.requests = append(n.requests, r.URL.Host+r.URL.Path)
	n.header = r.Header.Clone()
	if got := r.URL.RawQuery; got != "topic=t%23ephemeral" {
		n.t.Errorf("query %q", got)
	}
	replica := n.replicas[r.URL.Hostname()]
	switch {
	case replica.down:
		return nil, errRefused
	case replica.status != 0:
		return respond(r, replica.status, "text/plain", io.NopCloser(strings.NewReader("sorry"))), nil
	case r.URL.Path == "/lookup" && replica.producers == nil,
		r.URL.Path == "/watch" && replica.stock:
		return respond(r, http.StatusNotFound, "application/json", io.NopCloser(strings.NewReader(`{"message":"X"}`))), nil
	case r.URL.Path == "/lookup":
		return respond(r, http.StatusOK, "application/json", io.NopCloser(strings.NewReader(replica.answer("{")))), nil
	}
	return respond(r, http.StatusOK, "text/event-stream; charset=utf-8", replica.stream(r.Context())), nil
}

func respond(r *http.Request, status int, kind string, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Request: r,
		Header: http.Header{"Content-Type": {kind}}, Body: body}
}

// answer is a lookup, or what follows the index in an event.
func (r *fakeReplica) answer(begin string) string {
	var producers []string
	for _, address := range r.producers {
		host, port, _ := strings.Cut(address, ":")
		producers = append(producers, fmt.Sprintf(`{"broadcast_address":%q,"tcp_port":%s,"http_port":4151}`, host, port))
	}
	return begin + `"channels":[],"producers":[` + strings.Join(producers, ",") + `]}`
}

func (r *fakeReplica) event() string {
	if r.producers == nil {
		return "id: 7\nevent: gone\ndata: {\"topic\":\"t#ephemeral\",\"index\":7}\n\n"
	}
	return "id: 7\nevent: topic\ndata: " + r.answer(`{"topic":"t#ephemeral","index":7,`) + "\n\n"
}

// stream begins one, and owns a goroutine that ends with it. The lock is held.
func (r *fakeReplica) stream(ctx context.Context) io.ReadCloser {
	body, w := io.Pipe()
	r.streams[w] = true
	first := "retry: 1000\n\n" + r.event() + "id: 7\nevent: ready\ndata: {\"index\":7}\n\n"
	hasty := r.hasty
	closed, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		if _, err := io.WriteString(w, first); err != nil {
			return
		}
		if hasty {
			_ = w.Close()
			return
		}
		beat := time.NewTicker(10 * time.Second)
		defer beat.Stop()
		for {
			select {
			case <-beat.C:
			case <-closed:
				return
			}
			r.net.mu.Lock()
			mute := r.mute
			r.net.mu.Unlock()
			if mute {
				continue
			}
			if _, err := io.WriteString(w, ": heartbeat\n\n"); err != nil {
				return
			}
		}
	}()
	stop := context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) })
	return closer{body, func() {
		stop()
		r.forget(w)
		_ = body.Close()
		close(closed)
		<-done
	}}
}

type closer struct {
	io.Reader
	close func()
}

func (c closer) Close() error { c.close(); return nil }

func (r *fakeReplica) forget(w *io.PipeWriter) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	delete(r.streams, w)
}

// set changes a replica, tells those who follow it, and returns when they have heard of it.
func (n *fakeNet) set(name string, change func(*fakeReplica)) {
	n.mu.Lock()
	r := n.replicas[name]
	before := r.event()
	change(r)
	text, down := r.event(), r.down
	var streams []*io.PipeWriter
	for w := range r.streams {
		streams = append(streams, w)
	}
	n.mu.Unlock()
	for _, w := range streams {
		if down {
			_ = w.Close()
		} else if text != before {
			_, _ = io.WriteString(w, text)
		}
	}
	synctest.Wait()
}

// lists makes all replicas list these.
func (n *fakeNet) lists(producers ...string) {
	n.mu.Lock()
	var names []string
	for name := range n.replicas {
		names = append(names, name)
	}
	n.mu.Unlock()
	for _, name := range names {
		n.set(name, func(r *fakeReplica) { r.producers = producers })
	}
}

// followed is the one replica that is followed, "" for none.
func (n *fakeNet) followed() string {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	var names []string
	for name, r := range n.replicas {
		for range r.streams {
			names = append(names, name)
		}
	}
	if len(names) > 1 {
		n.t.Errorf("%v are followed", names)
	}
	return strings.Join(names, " ")
}

// takeRequests returns those since the last call, sorted.
func (n *fakeNet) takeRequests() []string {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := n.requests
	n.requests = nil
	slices.Sort(taken)
	return taken
}

// begin runs a Discovery of all replicas of the network, until the test ends.
func (n *fakeNet) begin(t *testing.T, change func(*Config)) (c *fakeConsumer, stop func() error) {
	t.Helper()
	cfg := Config{Topic: "t#ephemeral", AlreadyConnected: errAlready, Client: &http.Client{Transport: n}}
	for name := range n.replicas {
		cfg.Addresses = append(cfg.Addresses, "http://"+name+":4161")
	}
	if change != nil {
		change(&cfg)
	}
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c = newFakeConsumer(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, c) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	synctest.Wait()
	return c, stop
}

// logged is a logger and what it has written.
func logged() (*slog.Logger, func() string) {
	var mu sync.Mutex
	var b bytes.Buffer
	w := writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return b.Write(p)
	})
	return slog.New(slog.NewTextHandler(w, nil)), func() string {
		mu.Lock()
		defer mu.Unlock()
		return b.String()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
