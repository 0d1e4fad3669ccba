package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// fakeBackups hands out a text, and takes whatever comes.
type fakeBackups struct {
	// Set before serving.
	text                  string
	backupErr, restoreErr error
	breaks                error         // of write, after the text
	lasts                 time.Duration // how long a restore takes once it has the body

	got     chan string // the body of each restore
	foreign bool        // of the last restore
}

func newFakeBackups() *fakeBackups { return &fakeBackups{got: make(chan string, 10)} }

func (f *fakeBackups) Backup(context.Context) (uint64, func(io.Writer) error, error) {
	return 42, func(w io.Writer) error {
		if n, err := io.WriteString(w, f.text); err != nil || n != len(f.text) {
			return errors.Join(err, fmt.Errorf("wrote %d of %d", n, len(f.text)))
		}
		return f.breaks
	}, f.backupErr
}

func (f *fakeBackups) RestoreBackup(ctx context.Context, body io.Reader, foreign bool) (Restored, error) {
	if f.restoreErr != nil {
		return Restored{}, f.restoreErr
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return Restored{}, fmt.Errorf("read backup: %w", err)
	}
	if n, err := body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return Restored{}, fmt.Errorf("after the end: %d %w", n, err)
	}
	if f.lasts > 0 {
		select {
		case <-ctx.Done():
			return Restored{}, ctx.Err()
		case <-time.After(f.lasts):
		}
	}
	f.foreign = foreign
	f.got <- string(b)
	return Restored{1, 2, 3, 4, 5, 6, 7}, nil
}

func startBackups(t *testing.T, f *fakeBackups, alter func(*Config)) *running {
	t.Helper()
	cfg := Config{Replica: newFakeReplica(t), Backups: f}
	if alter != nil {
		alter(&cfg)
	}
	return start(t, cfg)
}

// get asks for a snapshot as any client does, and reads what comes.
func getSnapshot(t *testing.T, s *running) (*http.Response, string, error) {
	t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Timeout: patience, Transport: transport}
	response, err := client.Get("http://" + s.addr + "/cluster/snapshot")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	return response, string(b), err
}

func TestSnapshot(t *testing.T) {
	f := newFakeBackups()
	f.text = strings.Repeat("0123456789", 100_000)
	log, logged := newLog(slog.LevelInfo)
	s := startBackups(t, f, func(c *Config) { c.Logger = log })
	response, body, err := getSnapshot(t, s)
	if err != nil || response.StatusCode != http.StatusOK || body != f.text {
		t.Fatalf("%d, %d bytes, %v", response.StatusCode, len(body), err)
	}
	for name, want := range map[string]string{
		"Content-Type":        "application/octet-stream",
		"Content-Disposition": `attachment; filename="raftlookupd-42.snapshot"`,
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	eventually.True(t, patience, "the log line", func() error {
		if !strings.Contains(logged.String(), "200 GET /cluster/snapshot") {
			return errors.New(logged.String())
		}
		return nil
	})
}

// A snapshot that ends too early must not look like one that is whole.
func TestSnapshotThatBreaks(t *testing.T) {
	for _, size := range []int{0, 100, 100_000} {
		f := newFakeBackups()
		f.text, f.breaks = strings.Repeat("x", size), errors.New("broken")
		log, logged := newLog(slog.LevelWarn)
		s := startBackups(t, f, func(c *Config) { c.Logger = log })
		c := dial(t, s.addr)
		c.send("GET /cluster/snapshot HTTP/1.1\r\nHost: h\r\n\r\n")
		if got := c.receive(); strings.HasSuffix(got, "0\r\n\r\n") || strings.Contains(got, "Content-Length") {
			t.Errorf("size %d: the answer ends as if it were whole: %.300q", size, got)
		}
		if !strings.Contains(logged.String(), "broken") {
			t.Errorf("size %d: the log has %q", size, logged)
		}
	}
}

func TestSnapshotIsRefused(t *testing.T) {
	f := newFakeBackups()
	f.backupErr = refusal{503, "NOT_READY", "wait"}
	s := startBackups(t, f, nil)
	if got, want := exchange(t, s.addr, "GET /cluster/snapshot", ""), jsonAnswer("503 Service Unavailable", `{"message":"NOT_READY","reason":"wait"}`); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Each piece has the whole WriteTimeout, and no more than that.
func TestSnapshotOfASlowClient(t *testing.T) {
	f := newFakeBackups()
	f.text = bigStatus + bigStatus
	s := startBackups(t, f, func(c *Config) { c.WriteTimeout = ample })
	c := dial(t, s.addr)
	if tcp, ok := c.Conn.(*net.TCPConn); !ok || tcp.SetReadBuffer(64<<10) != nil {
		t.Fatalf("cannot make the buffer of a %T small", c.Conn)
	}
	c.send("GET /cluster/snapshot HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	got := 0
	for b := make([]byte, 1<<20); ; {
		n, err := io.ReadFull(c, b)
		got += n
		if err != nil {
			break
		}
		busyFor(ample / 8) // twice as long in all as one piece may take
	}
	if got < len(f.text) {
		t.Errorf("%d of %d bytes came", got, len(f.text))
	}
	stuck := dial(t, s.addr)
	stuck.keepLittle()
	stuck.send("GET /cluster/snapshot HTTP/1.1\r\nHost: h\r\n\r\n")
	eventually.True(t, patience, "the server hangs up", func() error {
		if n := s.open(); n != 0 {
			return fmt.Errorf("%d connections are open", n)
		}
		return nil
	})
}

func chunked(text string) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(text), text) }

const restored = `{"message":"RESTORED","topics_created":1,"channels_created":2,"topics_removed":3,"channels_removed":4,` +
	`"topics_kept":5,"channels_kept":6,"index":7}`

func TestRestore(t *testing.T) {
	f := newFakeBackups()
	s := startBackups(t, f, func(c *Config) { c.MaxBodyBytes = 4 })
	large := strings.Repeat("x", 2<<20)
	for query, foreign := range map[string]bool{"": false, "?force=false": false, "?force=true": true} {
		if got := exchange(t, s.addr, "POST /cluster/restore"+query, chunked(large)); got != okJSON(restored) {
			t.Fatalf("%q: got %q", query, got)
		}
		if got := await(t, f.got, "the body"); got != large || f.foreign != foreign {
			t.Errorf("%q: %d bytes, foreign %v", query, len(got), f.foreign)
		}
	}
	// The bodies of all other requests stay small.
	for _, line := range []string{"POST /topic/create?topic=t", "GET /cluster/snapshot"} {
		if got := exchange(t, s.addr, line, chunked("12345")); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("%s: got %q", line, got)
		}
	}
}

func TestRestoreWithoutABody(t *testing.T) {
	f := newFakeBackups()
	s := startBackups(t, f, nil)
	if got := exchange(t, s.addr, "POST /cluster/restore", ""); got != okJSON(restored) {
		t.Errorf("got %q", got)
	}
	if got := await(t, f.got, "the body"); got != "" {
		t.Errorf("body %q", got)
	}
}

func TestRestoreIsRefused(t *testing.T) {
	for _, c := range []struct {
		err          error
		query        string
		status, body string
	}{
		{refusal{400, "BAD_SNAPSHOT", "damaged"}, "", "400 Bad Request", `{"message":"BAD_SNAPSHOT","reason":"damaged"}`},
		{refusal{409, "FOREIGN_SNAPSHOT", "whose"}, "", "409 Conflict", `{"message":"FOREIGN_SNAPSHOT","reason":"whose"}`},
		{errors.New("x"), "", "500 Internal Server Error", `{"message":"INTERNAL_ERROR"}`},
		{nil, "?force=maybe", "400 Bad Request", `{"message":"INVALID_ARG_FORCE"}`},
		{nil, "?force=%zz", "400 Bad Request", `{"message":"INVALID_REQUEST"}`},
	} {
		f := newFakeBackups()
		f.restoreErr = c.err
		s := startBackups(t, f, nil)
		if got, want := exchange(t, s.addr, "POST /cluster/restore"+c.query, chunked("text")), jsonAnswer(c.status, c.body); got != want {
			t.Errorf("%v %s: got %q, want %q", c.err, c.query, got, want)
		}
	}
}

func TestRestoreOfTooMuch(t *testing.T) {
	f := newFakeBackups()
	s := startBackups(t, f, func(c *Config) { c.MaxSnapshotBytes = 1000 })
	if got := exchange(t, s.addr, "POST /cluster/restore", chunked(strings.Repeat("x", 1000))); got != okJSON(restored) {
		t.Errorf("at the limit: got %q", got)
	}
	got := exchange(t, s.addr, "POST /cluster/restore", chunked(strings.Repeat("x", 1001)))
	if !strings.HasPrefix(got, "HTTP/1.1 413 ") || !strings.Contains(got, `{"message":"TOO_LARGE","reason":"nothing was restored: a file may have 1000 bytes"}`) {
		t.Errorf("above the limit: got %q", got)
	}
}

// Each piece of a body has the whole BodyTimeout, and no more than that.
func TestRestoreOfASlowClient(t *testing.T) {
	f := newFakeBackups()
	s := startBackups(t, f, func(c *Config) { c.BodyTimeout = ample })
	c := dial(t, s.addr)
	const pieces = 16
	c.send(fmt.Sprintf("POST /cluster/restore HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", pieces*pieceBytes))
	for range pieces {
		c.send(strings.Repeat("x", pieceBytes))
		busyFor(ample / 8) // twice as long as one piece may take
	}
	if got := ownLines.ReplaceAllString(c.receive(), ""); got != okJSON(restored) {
		t.Errorf("got %q", got)
	}
	slow := dial(t, s.addr)
	slow.send("POST /cluster/restore HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range tick.C { // a byte now and then must not extend the time
			if _, err := io.WriteString(slow, "x"); err != nil {
				return
			}
		}
	}()
	got := slow.receive()
	if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, `{"message":"INVALID_REQUEST","reason":"`) {
		t.Errorf("got %q", got)
	}
	_ = slow.Close()
	await(t, stopped, "the writer")
}

// The deadlines of the body and of the answer must not cut a restore that takes its time.
func TestRestoreThatTakesItsTime(t *testing.T) {
	f := newFakeBackups()
	f.lasts = ample + short
	s := startBackups(t, f, func(c *Config) { c.BodyTimeout, c.WriteTimeout = ample, ample })
	if got := exchange(t, s.addr, "POST /cluster/restore", chunked(strings.Repeat("x", 3*pieceBytes))); got != okJSON(restored) {
		t.Errorf("got %q", got)
	}
}

// deadlines counts the read deadlines that are set.
type deadlines struct {
	http.ResponseWriter
	set int
}

func (d *deadlines) SetReadDeadline(time.Time) error {
	d.set++
	return nil
}

// endsAtOnce says io.EOF with its last bytes.
type endsAtOnce struct{ bytes.Reader }

func (r *endsAtOnce) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	if r.Len() == 0 {
		err = io.EOF
	}
	return n, err
}

// A deadline for each piece but the first, and none when the body has ended: its end may come with its
// last bytes, as it does with a Content-Length.
func TestPieceReader(t *testing.T) {
	text := bytes.Repeat([]byte("x"), 3*pieceBytes)
	for want, body := range map[int]io.Reader{3: bytes.NewReader(text), 2: &endsAtOnce{*bytes.NewReader(text)}} {
		d := &deadlines{}
		p := &pieceReader{body: body, control: http.NewResponseController(d), left: pieceBytes}
		buffer := make([]byte, pieceBytes)
		for before := range 3 {
			if n, _ := p.Read(buffer); n != pieceBytes || d.set != before {
				t.Fatalf("read %d, %d deadlines; want %d", n, d.set, before)
			}
		}
		for range 3 {
			if n, err := p.Read(buffer); n != 0 || !errors.Is(err, io.EOF) || d.set != want {
				t.Fatalf("at the end: read %d, %v, %d deadlines, want %d", n, err, d.set, want)
			}
		}
	}
}
