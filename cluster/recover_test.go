package cluster

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

var discard = slog.New(slog.DiscardHandler)

// Two of three are lost for good: the third makes a new cluster, newcomers join it, and an old one
// that comes back with its data is refused.
func TestRecover(t *testing.T) {
	c := newTrio(t, 3, nil)
	register(t, session(t, c.replicas[1], 1), "topic", "channel")
	c.agree()
	want := c.replicas[0].registry.State().Fingerprint()
	old := c.replicas[0].whoami()
	for i := range c.replicas {
		c.stop(i)
	}
	dir := filepath.Join(c.dir, "0")
	for _, dry := range []bool{true, true, false, false} { // the second time it is done again, as after a crash
		s, err := Recover(dir, dry, discard)
		if err != nil {
			t.Fatal(err)
		}
		if s.ID != old.id || s.Name != "r0" || s.Registry.Topics != 1 || s.Registry.Producers != 1 || s.LastIndex == 0 || s.LastTerm == 0 {
			t.Errorf("dry %v: %+v", dry, s)
		}
		if s.Registry.Fingerprint != want.String() {
			t.Errorf("fingerprint %s, want %s", s.Registry.Fingerprint, want)
		}
		if dry && (s.Cluster != old.cluster || len(s.Servers) != 3 || s.Servers[1].Name != "r1" || !s.Servers[1].Votes) {
			t.Errorf("a dry run has changed something: %+v", s)
		}
	}
	survivor := c.start(0)
	waitReady(t, survivor)
	if now := survivor.whoami(); now.cluster == old.cluster || now.id != old.id || len(survivor.servers()) != 1 {
		t.Errorf("after recovering: %+v, servers %v", now, survivor.servers())
	}
	if !lists(read(t, survivor), "topic", 1) {
		t.Error("the registration is lost")
	}

	said := new(logged)
	c.alter = func(_ int, cfg *Config) { cfg.Logger = said.logger() }
	ghost := c.start(1)
	said.says(t, "refused")
	if s := ghost.Status(); !strings.Contains(s.WaitingFor, "of another") {
		t.Errorf("it waits for %q", s.WaitingFor)
	}
	if ok, _ := ghost.Ready(); ok {
		t.Error("a replica of the old cluster is ready")
	}
	c.alter = nil
	c.stop(1)
	if err := os.Rename(filepath.Join(c.dir, "1"), filepath.Join(c.dir, "1.old")); err != nil {
		t.Fatal(err)
	}
	newcomer := c.start(1)
	c.hasRole(newcomer.ID(), "voter")
	c.ready()
	change(t, newcomer, fsm.CreateTopic("after"))
	c.agree()
}

// Recovering leaves alone what is to be forgotten: it may be the last copy.
func TestRecoverOfOneThatHasLeft(t *testing.T) {
	cfg := testConfig(t.TempDir())
	r := openReady(t, cfg)
	if err := r.startAnew(nil); err != nil {
		t.Fatal(err)
	}
	mustClose(t, r)
	for _, dry := range []bool{true, false} {
		if _, err := Recover(cfg.DataPath, dry, discard); err == nil || !strings.Contains(err.Error(), `take "reset" out`) {
			t.Errorf("dry %v: %v", dry, err)
		}
	}
	if got := identityOf(t, cfg.DataPath); got.ID != r.ID() || !got.Reset {
		t.Errorf("it is %+v", got)
	}
}

func TestRecoverWhatCannotBe(t *testing.T) {
	blank := t.TempDir()
	d, err := openDataPath(filepath.Join(blank, "data"), "r1", false)
	if err != nil {
		t.Fatal(err)
	}
	d.close()
	running := testConfig(t.TempDir())
	openReady(t, running)
	for dir, want := range map[string]string{
		filepath.Join(blank, "none"): "holds no replica",
		blank:                        "holds no replica",
		filepath.Join(blank, "data"): "never part of a cluster",
		running.DataPath:             "in use",
	} {
		if _, err := Recover(dir, false, discard); !errors.Is(err, ErrData) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", dir, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(blank, "none")); err == nil {
		t.Error("it made the folder")
	}
}

// What a snapshot holds is not in the log any more.
func TestRecoverFromASnapshot(t *testing.T) {
	cfg := testConfig(t.TempDir())
	r := openReady(t, cfg)
	change(t, r, fsm.CreateTopic("before"))
	if err := r.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	change(t, r, fsm.CreateTopic("after"))
	want := r.registry.State().Fingerprint()
	mustClose(t, r)
	for _, dry := range []bool{true, false, true} {
		s, err := Recover(cfg.DataPath, dry, discard)
		if err != nil {
			t.Fatal(err)
		}
		if s.Registry.Topics != 2 || s.Registry.Fingerprint != want.String() || len(s.Servers) != 1 {
			t.Errorf("dry %v: %+v", dry, s)
		}
	}
	r = openReady(t, cfg)
	eventually.True(t, soon, "both topics", func() error {
		if n := r.registry.State().Counts().Topics; n != 2 {
			return errors.New(listings(r.registry.State()))
		}
		return nil
	})
}
