package tcpproto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/raftlookupd/raftlookupd/fsm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout only ends a test that hangs; no test waits for it.
const testTimeout = 20 * time.Second

const identifyBody = `{"broadcast_address":"10.0.0.1","hostname":"h1","http_port":4151,"tcp_port":4150,"version":"1.3.0"}`

var (
	testGreeting     = Greeting{BroadcastAddress: "b<1>", Hostname: "host", HTTPPort: 4161, TCPPort: 4160, Version: "0.1.0"}
	testGreetingJSON = `{"broadcast_address":"b\u003c1\u003e","hostname":"host","http_port":4161,"tcp_port":4160,"version":"0.1.0"}`
	errFake          = errors.New("fake failure")
)

// fakeReplica opens sessions that record what is done to them.
type fakeReplica struct {
	openErr error
	change  func(call string) (pending bool, err error) // nil: all goes well
	opened  chan *fakeSession                           // nil: not told

	mu       sync.Mutex
	sessions []*fakeSession
}

type fakeSession struct {
	replica *fakeReplica
	info    fsm.ProducerInfo
	evict   func()
	closed  chan struct{}

	mu    sync.Mutex
	calls []string
}

func (r *fakeReplica) open(info fsm.ProducerInfo, evict func()) (Session, error) {
	if r.openErr != nil {
		return nil, r.openErr
	}
	s := &fakeSession{replica: r, info: info, evict: evict, closed: make(chan struct{})}
	r.mu.Lock()
	r.sessions = append(r.sessions, s)
	r.mu.Unlock()
	if r.opened != nil {
		r.opened <- s
	}
	return s, nil
}

// only returns the one session, or fails.
func (r *fakeReplica) only(t *testing.T) *fakeSession {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.sessions) != 1 {
		t.Fatalf("%d sessions opened, want 1", len(r.sessions))
	}
	return r.sessions[0]
}

func (r *fakeReplica) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions)
}

func (s *fakeSession) record(call string) (bool, error) {
	s.mu.Lock()
	s.calls = append(s.calls, call)
	s.mu.Unlock()
	if s.replica.change != nil {
		return s.replica.change(call)
	}
	return false, nil
}

func (s *fakeSession) Register(topic, channel string) (bool, error) {
	return s.record("REGISTER " + topic + "|" + channel)
}

func (s *fakeSession) Unregister(topic, channel string) (bool, error) {
	return s.record("UNREGISTER " + topic + "|" + channel)
}

func (s *fakeSession) Ping() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, "PING")
}

// Close and Detach panic when the session has ended already.
func (s *fakeSession) Close() { s.end("CLOSE") }

func (s *fakeSession) Detach() { s.end("DETACH") }

func (s *fakeSession) end(how string) {
	s.mu.Lock()
	s.calls = append(s.calls, how)
	s.mu.Unlock()
	close(s.closed)
}

// ends waits until the session has ended, and checks how.
func ends(t testing.TB, s *fakeSession, how string) {
	t.Helper()
	wait(t, s.closed, "the session ends")
	if did := s.did(); did[len(did)-1] != how {
		t.Errorf("calls %q, want %s at the end", did, how)
	}
}

func (s *fakeSession) did() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.calls...)
}

// start serves on loopback until the test ends.
func start(t testing.TB, cfg Config) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, cfg, l), l.Addr().String()
}

func serve(t testing.TB, cfg Config, l net.Listener) *Server {
	t.Helper()
	cfg.Greeting = testGreeting
	if cfg.lateAnswer == 0 { // a busy machine makes no answer late
		cfg.lateAnswer = time.Hour
	}
	s := New(cfg)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	return nc.(*net.TCPConn)
}

// dialIdentified returns a client that has identified itself.
func dialIdentified(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	nc := dial(t, addr)
	send(t, nc, magicV1+identify(identifyBody))
	expect(t, nc, testGreetingJSON)
	return nc
}

// talk sends a whole conversation, ends it, and returns all answers.
func talk(t testing.TB, addr, conversation string) []string {
	t.Helper()
	nc := dial(t, addr)
	send(t, nc, conversation)
	if err := nc.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(nc)
	if err != nil {
		t.Fatalf("read answers: %v after %q", err, b)
	}
	answers, err := frames(b)
	if err != nil {
		t.Fatal(err)
	}
	return answers
}

func send(t testing.TB, w io.Writer, data string) {
	t.Helper()
	if _, err := io.WriteString(w, data); err != nil {
		t.Fatal(err)
	}
}

// expect reads one answer.
func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		t.Fatalf("read answer %q: %v", want, err)
	}
	got := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(r, got); err != nil {
		t.Fatalf("read answer %q: %v", want, err)
	}
	if string(got) != want {
		t.Fatalf("answer %q, want %q", got, want)
	}
}

// expectEnd fails unless the connection ends without another byte.
func expectEnd(t testing.TB, r io.Reader) {
	t.Helper()
	b, err := io.ReadAll(r)
	var timeout net.Error
	if len(b) > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("got %q, %v; want the end of the connection", b, err)
	}
}

func frames(b []byte) ([]string, error) {
	var out []string
	for len(b) > 0 {
		if len(b) < 4 || uint64(len(b)) < 4+uint64(binary.BigEndian.Uint32(b)) {
			return out, fmt.Errorf("half an answer at the end: %q", b)
		}
		n := 4 + binary.BigEndian.Uint32(b)
		out = append(out, string(b[4:n]))
		b = b[n:]
	}
	return out, nil
}

func identify(body string) string { return sized(int64(len(body)), body) }

// sized is an IDENTIFY that announces a size, true or not.
func sized(size int64, body string) string {
	head := binary.BigEndian.AppendUint32(nil, uint32(int32(size)))
	return "IDENTIFY\n" + string(head) + body
}

func wait(t testing.TB, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(testTimeout):
		t.Fatalf("timed out: %s", what)
	}
}
