package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// A disk that hangs while the data path is opened does not keep a daemon that is told to stop, nor its
// ports: a process with a thread that waits for a disk may stay, and its sockets with it.
func TestStopWhileTheDataPathHangs(t *testing.T) {
	cfg := testConfig(t, "r1")
	identity := filepath.Join(cfg.DataPath, "replica.json")
	if err := unix.Mkfifo(identity, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, address := range []*string{&cfg.TCPAddress, &cfg.HTTPAddress, &cfg.ClusterAddress} {
		*address = freeAddress(t)
	}
	ctx, stop := context.WithCancel(context.Background())
	d := New(cfg, discard)
	d.openLimit = 100 * time.Millisecond
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	listening := func(address string) bool {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	}
	eventually.True(t, soon, "it listens", func() error {
		if !listening(cfg.ClusterAddress) {
			return errors.New("not yet")
		}
		return nil
	})
	stop()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), cfg.DataPath) || !strings.Contains(err.Error(), "check the disk") {
			t.Errorf("Run returned %v", err)
		}
	case <-time.After(soon):
		t.Error("Run does not return")
	}
	for _, address := range []string{cfg.TCPAddress, cfg.HTTPAddress, cfg.ClusterAddress} {
		if listening(address) {
			t.Errorf("%s is still listened on", address)
		}
	}
	f, err := os.OpenFile(identity, os.O_WRONLY, 0) // lets the disk go on
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// freeAddress is an address that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
