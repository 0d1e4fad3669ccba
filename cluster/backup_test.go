package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/snapfile"
)

// backup is the file of a replica's registry.
func backup(t testing.TB, r *Replica) []byte {
	t.Helper()
	index, write, err := r.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	if h := header(t, b.Bytes()); h.Index != index {
		t.Fatalf("backup at index %d says %d", index, h.Index)
	}
	return b.Bytes()
}

func header(t testing.TB, file []byte) snapfile.Header {
	t.Helper()
	f, err := snapfile.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return f.Header
}

func restore(r *Replica, file []byte, foreign bool) (Restored, error) {
	return r.RestoreBackup(context.Background(), bytes.NewReader(file), foreign)
}

func mustRestore(t testing.TB, r *Replica, file []byte, foreign bool) Restored {
	t.Helper()
	done, err := restore(r, file, foreign)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// contents lists a state's topics with their channels.
func contents(s *fsm.State) string {
	var b strings.Builder
	for _, t := range contentsOf(s) {
		fmt.Fprintf(&b, "%s(%v)%v ", t.name, t.exists, t.channels)
	}
	return b.String()
}

// fileContents is contents of a file.
func fileContents(t testing.TB, file []byte) string {
	t.Helper()
	f, err := snapfile.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	registry := fsm.New()
	if err := registry.Restore(f); err != nil {
		t.Fatal(err)
	}
	return contents(registry.State())
}

// unchanged holds a restore that must be refused to that: not even the log grows.
func unchanged(t testing.TB, r *Replica, restore func() error) error {
	t.Helper()
	before := r.registry.State()
	err := restore()
	if after := r.registry.State(); err == nil || after != before {
		t.Errorf("restored with %v: %d %s, was %d %s", err, after.Index(), after.Fingerprint(), before.Index(), before.Fingerprint())
	}
	return err
}

func TestBackupSaysWhatItHolds(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	populate(t, r)
	before := time.Now().Truncate(time.Second)
	h := header(t, backup(t, r))
	s := r.registry.State()
	counts := s.Counts()
	want := snapfile.Header{Format: 1, ClusterID: r.whoami().cluster, Index: s.Index(), Fingerprint: s.Fingerprint().String(),
		TakenAt: h.TakenAt, TakenBy: "r1", Version: "0.0.0",
		Topics: counts.Topics, Channels: counts.Channels, Producers: counts.Producers, Sessions: counts.Sessions}
	if h != want || h.ClusterID == "" || h.TakenAt.Before(before) || h.TakenAt.After(time.Now()) {
		t.Errorf("header %+v, want %+v", h, want)
	}
}

// A client of a replica finds in the backup what it was told OK for.
func TestBackupHasWhatWasSaidOKTo(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	s := session(t, r, 1)
	for n := range 200 {
		topic := fmt.Sprintf("topic-%d", n)
		register(t, s, topic, "")
		if n%50 == 49 && !strings.Contains(fileContents(t, backup(t, r)), topic+"(true)") {
			t.Errorf("%s is missing", topic)
		}
	}
}

// A backup is of one moment, however long it takes to be written.
func TestBackupIsOfOneMoment(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	change(t, r, fsm.CreateChannel("topic", "channel"))
	_, write, err := r.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	change(t, r, fsm.DeleteTopic("topic"))
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	if got := fileContents(t, b.Bytes()); got != "topic(true)[channel] " {
		t.Errorf("the file has %q", got)
	}
}

func TestBackupThatCannotBeWritten(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	populate(t, r)
	whole := len(backup(t, r))
	_, write, err := r.Backup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for room := 0; room < whole; room += 100 {
		var b bytes.Buffer
		if err := write(&short{&b, room}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("room for %d: %v", room, err)
		}
		if _, _, err := readBackup(&b); !errors.Is(err, ErrBadBackup) {
			t.Errorf("what there is after %d bytes is taken: %v", room, err)
		}
	}
}

// short has room for so many bytes.
type short struct {
	to   io.Writer
	room int
}

func (s *short) Write(p []byte) (int, error) {
	n := min(len(p), s.room)
	s.room -= n
	if _, err := s.to.Write(p[:n]); err != nil || n == len(p) {
		return n, err
	}
	return n, io.ErrShortWrite
}

func TestDamagedBackupIsRefused(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	populate(t, r)
	file := backup(t, r)
	change(t, r, fsm.CreateTopic("later"))
	refuse := func(bad []byte, what string, at int) {
		t.Helper()
		err := unchanged(t, r, func() error { _, err := restore(r, bad, true); return err })
		known := errors.Is(err, snapfile.ErrDamaged) || errors.Is(err, snapfile.ErrNotSnapshot) || errors.Is(err, snapfile.ErrTooNew)
		if !errors.Is(err, ErrBadBackup) || !known {
			t.Errorf("%s %d: %v", what, at, err)
		}
	}
	for i := range file {
		file[i] ^= 1 << (i % 8)
		refuse(file, "flipped a bit of byte", i)
		file[i] ^= 1 << (i % 8)
	}
	for n := 0; n < len(file); n += 7 {
		refuse(file[:n], "cut to", n)
	}
	refuse(append(bytes.Clone(file), 0), "lengthened", len(file))
	mustRestore(t, r, file, false)
}

func TestBackupOfANewerFormatIsRefused(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	file := bytes.Replace(backup(t, r), []byte("snapshot 1\n"), []byte("snapshot 2\n"), 1)
	err := unchanged(t, r, func() error { _, err := restore(r, file, true); return err })
	if !errors.Is(err, ErrBadBackup) || !errors.Is(err, snapfile.ErrTooNew) {
		t.Error(err)
	}
}

// forged is a whole file of a header and a body that do not fit together.
func forged(t *testing.T, h snapfile.Header, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := snapfile.NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// registryOf has what these changes make.
func registryOf(t *testing.T, changes ...fsm.Change) *fsm.State {
	t.Helper()
	registry := fsm.New()
	encoded := fsm.AppendChange(nil, fsm.OpenReplica("x"))
	for _, c := range changes {
		encoded = fsm.AppendChange(encoded, c)
	}
	h := fsm.Header{Replica: "x", Incarnation: 1, First: 1}
	if o, err := registry.Apply(9, h.AppendEntry(nil, len(changes)+1, encoded)); err != nil || o.Err != nil {
		t.Fatal(err, o.Err)
	}
	return registry.State()
}

func bodyOf(t *testing.T, s *fsm.State) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func headerFor(s *fsm.State) snapfile.Header {
	counts := s.Counts()
	return snapfile.Header{ClusterID: "x", Index: s.Index(), Fingerprint: s.Fingerprint().String(),
		Topics: counts.Topics, Channels: counts.Channels, Producers: counts.Producers, Sessions: counts.Sessions}
}

// What was not written by a replica is refused although its checksum is right.
func TestForgedBackupIsRefused(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	good := registryOf(t, fsm.CreateChannel("t", "c"), fsm.OpenSession(nsqd(1)))
	body := bodyOf(t, good)
	claim := func(alter func(*snapfile.Header)) []byte {
		h := headerFor(good)
		alter(&h)
		return forged(t, h, body)
	}
	named := func(topic, channel string) []byte {
		s := registryOf(t, fsm.CreateChannel(topic, channel))
		return forged(t, headerFor(s), bodyOf(t, s))
	}
	for name, file := range map[string][]byte{
		"index":          claim(func(h *snapfile.Header) { h.Index++ }),
		"fingerprint":    claim(func(h *snapfile.Header) { h.Fingerprint = strings.Repeat("0", 32) }),
		"no fingerprint": claim(func(h *snapfile.Header) { h.Fingerprint = "" }),
		"topics":         claim(func(h *snapfile.Header) { h.Topics++ }),
		"channels":       claim(func(h *snapfile.Header) { h.Channels = -1 }),
		"producers":      claim(func(h *snapfile.Header) { h.Producers = 0 }),
		"sessions":       claim(func(h *snapfile.Header) { h.Sessions = 2 }),
		"no body":        forged(t, headerFor(good), nil),
		"body cut":       forged(t, headerFor(good), body[:len(body)-1]),
		"body longer":    forged(t, headerFor(good), append(bytes.Clone(body), 0)),
		"body of text":   forged(t, headerFor(good), []byte("not the registry")),
		"body too new":   forged(t, headerFor(good), bytes.Replace(body, []byte("RLKS\x01"), []byte("RLKS\x02"), 1)),
		"topic's name":   named("no name", "c"),
		"all topics":     named(fsm.AllTopics, "c"),
		"channel's name": named("t", ""),
	} {
		err := unchanged(t, r, func() error { _, err := restore(r, file, true); return err })
		if !errors.Is(err, ErrBadBackup) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mustRestore(t, r, forged(t, headerFor(good), body), true)
}

// An error of whoever brings the file says nothing about the file.
func TestBackupThatDoesNotCome(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	populate(t, r)
	file, broken := backup(t, r), errors.New("broken")
	for n := 0; n <= len(file); n += 50 {
		body := io.MultiReader(bytes.NewReader(file[:n]), iotest.ErrReader(broken))
		err := unchanged(t, r, func() error { _, err := r.RestoreBackup(t.Context(), body, true); return err })
		if !errors.Is(err, broken) || errors.Is(err, ErrBadBackup) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

func TestForeignBackup(t *testing.T) {
	a, b := openReady(t, testConfig(t.TempDir())), openReady(t, testConfig(t.TempDir()))
	populate(t, a)
	file := backup(t, a)
	err := unchanged(t, b, func() error { _, err := restore(b, file, false); return err })
	if !errors.Is(err, ErrForeignBackup) {
		t.Fatal(err)
	}
	for _, r := range []*Replica{a, b} {
		id := r.whoami().cluster
		if !strings.Contains(err.Error(), id[:8]) || strings.Contains(err.Error(), id[:9]) {
			t.Errorf("error does not name cluster %.8s: %v", id, err)
		}
	}
	done := mustRestore(t, b, file, true)
	if counts := b.registry.State().Counts(); done.TopicsCreated != 7 || counts.Topics != 7 || counts.Sessions != 0 {
		t.Errorf("restored %+v; counts %+v", done, counts)
	}
	// Damage is told before the foreign id, of which nothing is known then.
	file[bytes.Index(file, []byte(a.whoami().cluster))] ^= 1
	if _, err := restore(a, file, false); !errors.Is(err, ErrBadBackup) || errors.Is(err, ErrForeignBackup) {
		t.Error(err)
	}
}

func TestBackupOfAReplicaThatIsNotReady(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.BootstrapExpect = 2
	r := open(t, cfg)
	if _, _, err := r.Backup(t.Context()); !errors.Is(err, ErrNotReady) {
		t.Errorf("Backup: %v", err)
	}
	untouched := iotest.ErrReader(errors.New("the body was read"))
	if _, err := r.RestoreBackup(t.Context(), untouched, true); !errors.Is(err, ErrNotReady) {
		t.Errorf("RestoreBackup: %v", err)
	}
}
