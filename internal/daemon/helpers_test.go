package daemon

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/config"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// soon is how long a test waits for what should take milliseconds.
const soon = 15 * time.Second

var discard = slog.New(slog.DiscardHandler)

func testConfig(t testing.TB, name string) config.Config {
	t.Helper()
	c := config.Default(name)
	c.TCPAddress, c.HTTPAddress, c.BroadcastAddress = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"
	c.ClusterAddress, c.GossipAddress = "127.0.0.1:0", "127.0.0.1:0"
	c.ClusterAdvertiseAddress, c.GossipAdvertiseAddress = "127.0.0.1", "127.0.0.1"
	c.DataPath = t.TempDir()
	c.RaftTimeout = 50 * time.Millisecond
	return c
}

// running is a daemon that runs.
type running struct {
	*Daemon
	t     testing.TB
	stop  context.CancelFunc
	ended chan error
}

// start runs a daemon until the test ends or stops it, and waits until it is ready.
func start(t testing.TB, cfg config.Config) *running {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r := &running{New(cfg, discard), t, stop, make(chan error, 1)}
	go func() { r.ended <- r.Run(ctx) }()
	t.Cleanup(r.stopped)
	eventually.True(t, soon, "daemon ready", func() error {
		select {
		case err := <-r.ended:
			r.ended <- err
			t.Fatalf("ended: %v", err)
		default:
		}
		if r.Addresses().HTTP == "" {
			return errors.New("does not listen")
		}
		if code, body := r.get("/readyz"); code != http.StatusOK {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	})
	return r
}

// stopped stops the daemon, which must end well and in time. It may be called more than once.
func (r *running) stopped() {
	r.t.Helper()
	r.stop()
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("Run returned %v", err)
		}
		r.ended <- nil
	case <-time.After(soon):
		r.t.Fatal("Run does not return")
	}
}

var client = &http.Client{Timeout: soon, Transport: &http.Transport{DisableKeepAlives: true}}

func (r *running) get(path string) (code int, body string) {
	r.t.Helper()
	return answer(r.t, http.MethodGet, "http://"+r.Addresses().HTTP+path)
}

func (r *running) post(path string) {
	r.t.Helper()
	if code, body := answer(r.t, http.MethodPost, "http://"+r.Addresses().HTTP+path); code != http.StatusOK {
		r.t.Fatalf("POST %s: %d %s", path, code, body)
	}
}

func answer(t testing.TB, method, url string) (code int, body string) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	raw, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(raw)
}

// nsqd is a client of the TCP protocol.
type nsqd struct {
	net.Conn
	t testing.TB
}

func (r *running) dial() *nsqd {
	r.t.Helper()
	c, err := net.Dial("tcp", r.Addresses().TCP)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(soon)); err != nil {
		r.t.Fatal(err)
	}
	return &nsqd{c, r.t}
}

// identified is an nsqd that has sent IDENTIFY; it returns the answer as well.
func (r *running) identified(port int) (*nsqd, string) {
	r.t.Helper()
	n := r.dial()
	body := fmt.Sprintf(`{"broadcast_address":"nsqd","tcp_port":%d,"http_port":%d,"version":"1.3.0","hostname":"h"}`, port, port+1)
	return n, n.say("  V1IDENTIFY\n" + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)))) + body)
}

// say sends text and returns the one answer.
func (n *nsqd) say(text string) string {
	n.t.Helper()
	if _, err := io.WriteString(n, text); err != nil {
		n.t.Fatal(err)
	}
	var size [4]byte
	if _, err := io.ReadFull(n, size[:]); err != nil {
		n.t.Fatalf("after %q: %v", text, err)
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(n, body); err != nil {
		n.t.Fatal(err)
	}
	return string(body)
}

func (n *nsqd) ok(command string) {
	n.t.Helper()
	if got := n.say(command + "\n"); got != "OK" {
		n.t.Fatalf("%s: %s", command, got)
	}
}

// lists reports whether a lookup of the topic shows the nsqd of that TCP port.
func (r *running) lists(topic string, port int) bool {
	r.t.Helper()
	code, body := r.get("/lookup?topic=" + topic)
	return code == http.StatusOK && strings.Contains(body, fmt.Sprintf(`"tcp_port":%d,`, port))
}
