package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// soon is how long a test waits for what should take milliseconds.
const soon = 30 * time.Second

// testConfig is that of a replica named r1 which elects itself quickly and expires nothing.
func testConfig(dir string) Config {
	return Config{
		Name: "r1", DataPath: dir, Version: "0.0.0", RegisterWindow: 256,
		CommitTimeout: soon, ReplicaGrace: time.Hour, IsolationTimeout: time.Hour,
		RaftTimeout: 50 * time.Millisecond, InactiveTimeout: time.Hour, TombstoneLifetime: time.Hour, DeadAfter: time.Hour,
		Network:         Network{Gossip: GossipConfig{Bind: "127.0.0.1:0", Advertise: "127.0.0.1"}, ClusterAdvertise: "127.0.0.1"},
		BootstrapExpect: 1, Logger: slog.New(slog.DiscardHandler),
		hooks: hooks{closeAge: time.Hour}, // a busy machine commits late
	}
}

// openListening is Open with a cluster port of its own.
func openListening(cfg Config) (*Replica, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	cfg.Listener = l
	return Open(cfg)
}

// open starts a replica, which the test's end closes unless the test has.
func open(t testing.TB, cfg Config) *Replica {
	t.Helper()
	r, err := openListening(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// openReady is open, and waits until the replica has caught up.
func openReady(t testing.TB, cfg Config) *Replica {
	t.Helper()
	r := open(t, cfg)
	waitReady(t, r)
	return r
}

func waitReady(t testing.TB, r *Replica) {
	t.Helper()
	eventually.True(t, soon, "replica ready", func() error {
		if ok, reason := r.Ready(); !ok {
			return errors.New(reason)
		}
		return nil
	})
}

// storesOf opens the stores of a data path, as a start does. The returned function closes both.
func storesOf(t testing.TB, dir string) (s *stores, closeStores func()) {
	t.Helper()
	d, err := openDataPath(dir, "", false)
	if err != nil {
		t.Fatal(err)
	}
	s, err = openStores(d, hclog.NewNullLogger())
	if err != nil {
		d.close()
		t.Fatal(err)
	}
	return s, func() {
		_ = s.bolt.Close()
		d.close()
	}
}

func mustClose(t testing.TB, r *Replica) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}

// levelled waits until the level of log kinds that this program knows is in force, which is an entry.
func levelled(t testing.TB, r *Replica) {
	t.Helper()
	eventually.True(t, soon, "the level is in force", func() error {
		if in := r.registry.State().Level(); in < knownLevel {
			return fmt.Errorf("level %d is", in)
		}
		return nil
	})
}

// settle waits until everything that was queued is applied.
func settle(t testing.TB, r *Replica) {
	t.Helper()
	eventually.True(t, soon, "journal empty", func() error {
		if n := r.journal.length(); n > 0 {
			return fmt.Errorf("%d changes wait", n)
		}
		return nil
	})
}

// nsqd is the info of the n-th nsqd.
func nsqd(n int) fsm.ProducerInfo {
	return fsm.ProducerInfo{
		RemoteAddress: fmt.Sprintf("10.0.0.1:%d", 50000+n), Hostname: "h", BroadcastAddress: fmt.Sprintf("nsqd-%d", n),
		TCPPort: 4150, HTTPPort: 4151, Version: "1.3.0",
	}
}

func session(t testing.TB, r *Replica, n int) *Session {
	t.Helper()
	s, err := r.OpenSession(nsqd(n), func() {})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hangUp ends the session as its nsqd does at a healthy replica.
func hangUp(s *Session) { s.end(fsm.KindCloseSession) }

func register(t testing.TB, s *Session, topic, channel string) {
	t.Helper()
	if pending, err := s.Register(topic, channel); pending || err != nil {
		t.Fatalf("REGISTER %s %s: pending %v, error %v", topic, channel, pending, err)
	}
}

func read(t testing.TB, r *Replica) *fsm.State {
	t.Helper()
	s, err := r.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lists reports whether a lookup of the topic shows the n-th nsqd.
func lists(s *fsm.State, topic string, n int) bool {
	body, ok := s.Lookup(topic)
	return ok && strings.Contains(string(body), fmt.Sprintf(`"nsqd-%d"`, n))
}

// tree is the content of a folder, by path; that of the lock file does not count.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			found[path] = "folder"
			return err
		}
		raw, err := os.ReadFile(path)
		found[path] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(found, filepath.Join(dir, lockFile))
	return found
}

// difference names the first path at which two trees differ, "" for none.
func difference(before, after map[string]string) string {
	for path, content := range before {
		if got, ok := after[path]; !ok || got != content {
			return path
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			return path
		}
	}
	return ""
}

// copyTree copies a data path, as a backup would.
func copyTree(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// refuses opens a data path that must be refused: with an ErrData of one line that says what to
// do, which is one of the advice, and with the folder as it was.
func refuses(t testing.TB, cfg Config, advice ...string) error {
	t.Helper()
	before := tree(t, cfg.DataPath)
	r, err := openListening(cfg)
	if err == nil {
		_ = r.Close()
		t.Fatal("Open took the data path")
	}
	checkDataError(t, err, cfg.DataPath, advice...)
	if path := difference(before, tree(t, cfg.DataPath)); path != "" {
		t.Errorf("Open changed %s; it said: %v", path, err)
	}
	return err
}

func checkDataError(t testing.TB, err error, dir string, advice ...string) {
	t.Helper()
	if !errors.Is(err, ErrData) {
		t.Fatalf("error is no ErrData: %v", err)
	}
	text := err.Error()
	if strings.Contains(text, "\n") {
		t.Errorf("error has more than one line: %q", text)
	}
	if !strings.Contains(text, dir) {
		t.Errorf("error does not name %s: %s", dir, text)
	}
	for _, a := range advice {
		if !strings.Contains(text, a) {
			t.Errorf("error does not say %q: %s", a, text)
		}
	}
}
