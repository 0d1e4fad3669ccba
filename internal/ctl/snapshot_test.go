package ctl

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
	"github.com/raftlookupd/raftlookupd/internal/snapfile"
)

func snapshotBytes(t testing.TB, body string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := snapfile.NewWriter(&b, snapfile.Header{ClusterID: "c1", Index: 42, Fingerprint: "f1",
		TakenAt: time.Date(2024, 2, 28, 10, 30, 0, 0, time.UTC), TakenBy: "r1", Version: "0.1.0", Topics: 1, Channels: 2, Producers: 3, Sessions: 4})
	if err == nil {
		_, err = io.WriteString(w, body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// snapshotFile returns the path of a whole one.
func snapshotFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "whole.snap")
	if err := os.WriteFile(path, snapshotBytes(t, "body"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// saves serves a snapshot.
func saves(t *testing.T, h http.HandlerFunc) *fake {
	t.Helper()
	return serve(t, routes{"GET /cluster/snapshot": h})
}

// files are the names in a directory.
func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

const headerJSON = `{"format":1,"cluster_id":"c1","index":42,"fingerprint":"f1","taken_at":"2024-02-28T10:30:00Z","taken_by":"r1","version":"0.1.0","topics":1,"channels":2,"producers":3,"sessions":4}`

func TestSaveAndInspect(t *testing.T) {
	whole := snapshotBytes(t, strings.Repeat("0123456789", 20<<10))
	a := saves(t, ok(string(whole)))
	dir := t.TempDir()
	path := filepath.Join(dir, "x.snap")
	r := &run{names: []string{path, "FILE"}}
	r.do(t, "--addr", a.URL, "snapshot", "save", path).
		want(t, 0, "saved FILE: 200.2 KiB, 1 topic, 2 channels\nindex 42, fingerprint f1, of cluster c1\n", "")
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, whole) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if got := files(t, dir); got != "x.snap" {
		t.Errorf("the directory has %s", got)
	}
	size := strconv.Itoa(len(whole))
	r = &run{names: []string{path, "FILE", size, "SIZE"}}
	r.do(t, "--addr", a.URL, "-o", "json", "snapshot", "save", "--force", path).
		want(t, 0, `{"file":"FILE","bytes":SIZE,"snapshot":`+headerJSON+"}\n", "")
	r = &run{names: []string{path, "FILE", size, "SIZE"}}
	r.do(t, "-o", "json", "snapshot", "inspect", path).want(t, 0, `{"file":"FILE","bytes":SIZE,"snapshot":`+headerJSON+"}\n", "")
	(&run{stdin: bytes.NewReader(whole)}).do(t, "snapshot", "inspect", "-").want(t, 0, `File         -, 200.2 KiB, whole
Format       1
Cluster      c1
Index        42
Fingerprint  f1
Taken        2024-02-28T10:30:00Z, 1d01h ago, by r1 (version 0.1.0)
Holds        1 topic, 2 channels, 3 producers from 4 sessions
`, "")
	(&run{}).do(t, "--addr", a.URL, "snapshot", "save", "-").want(t, 0, string(whole), "saved 200.2 KiB at index 42\n")
}

func TestSaveThatFails(t *testing.T) {
	t.Parallel()
	whole := string(snapshotBytes(t, "body"))
	const bad = "lookupctl: save snapshot: what came is damaged or cut short; nothing is saved, try again\n"
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		want string
	}{
		"damaged":  {ok(whole[:len(whole)-1] + "x"), bad},
		"short":    {ok(whole[:len(whole)-1]), bad},
		"long":     {ok(whole + "x"), bad},
		"garbage":  {ok("<html>\n"), "lookupctl: save snapshot: what came is no snapshot; is it the HTTP address of a raftlookupd?\n"},
		"newer":    {ok("raftlookupd-snapshot 2\n"), "lookupctl: save snapshot: the replica's snapshots have a newer form; use the lookupctl of its version, see 'lookupctl members'\n"},
		"cut":      {cutAfter(whole, 100), "lookupctl: save snapshot: no answer: http://a: hangs up before its answer is complete" + nobody + "\n"},
		"refused":  {reply(503, `{"message":"NO_LEADER"}`), "lookupctl: save snapshot: http://a answers NO_LEADER: no leader is known; see who is up with 'lookupctl members', then try again\n"},
		"too slow": {stallAfter(whole, 100), "lookupctl: save snapshot: no answer: http://a: nothing has moved for 500ms" + nobody + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			lookupctl(t, saves(t, c.h), "--timeout", "500ms", "snapshot", "save", dir+"/x.snap").want(t, 1, "", c.want)
			if got := files(t, dir); got != "" {
				t.Errorf("the directory has %s", got)
			}
		})
	}
}

// A part of one replica's snapshot with another's behind it would be neither.
func TestSaveMixesNoReplicas(t *testing.T) {
	whole, dir := string(snapshotBytes(t, "body")), t.TempDir()
	a, b := saves(t, cutAfter(whole, 100)), saves(t, ok(whole))
	r := (&run{}).do(t, "--addr", a.URL, "--addr", b.URL, "snapshot", "save", dir+"/x.snap")
	if got := files(t, dir); r.code != 1 || got != "" || len(b.asked("GET")) != 0 {
		t.Errorf("exit code %d, files %q, %d calls of the second", r.code, got, len(b.asked("GET")))
	}
	a.set("GET /cluster/snapshot", reply(503, `{"message":"NOT_READY"}`))
	if r := (&run{}).do(t, "--addr", a.URL, "--addr", b.URL, "snapshot", "save", dir+"/x.snap"); r.code != 0 {
		t.Errorf("exit code %d, %s", r.code, r.stderr.String())
	}
}

// A transfer may take any time, but not stand still.
func TestTransferThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, moved, stop := watched(t.Context(), time.Second)
		defer stop()
		var n atomic.Int64
		body := &counted{Reader: iotest.OneByteReader(strings.NewReader(strings.Repeat("x", 100))), n: &n, moved: moved}
		for range 100 {
			time.Sleep(900 * time.Millisecond)
			if _, err := body.Read(make([]byte, 10)); err != nil || ctx.Err() != nil {
				t.Fatal(err, ctx.Err())
			}
		}
		time.Sleep(999 * time.Millisecond)
		if ctx.Err() != nil || n.Load() != 100 {
			t.Errorf("%v after %d", ctx.Err(), n.Load())
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if err := context.Cause(ctx); err == nil || err.Error() != "nothing has moved for 1s" {
			t.Error(err)
		}
	})
}

// cutAfter sends so many bytes and hangs up.
func cutAfter(body string, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = io.WriteString(w, body[:n])
	}
}

// stallAfter sends so many bytes and no more.
func stallAfter(body string, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, body[:n])
		_ = http.NewResponseController(w).Flush()
		hang(w, r)
	}
}

func TestSaveOverwritesNothing(t *testing.T) {
	a := saves(t, ok(string(snapshotBytes(t, "body"))))
	path := filepath.Join(t.TempDir(), "x.snap")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &run{names: []string{path, "FILE"}}
	r.do(t, "--addr", a.URL, "snapshot", "save", path).want(t, 1, "", "lookupctl: FILE exists already: name another file, or overwrite it with --force\n")
	if n := len(a.asked("GET")); n != 0 {
		t.Errorf("%d calls", n)
	}
	// Nor what appears meanwhile.
	other := path + "2"
	a.set("GET /cluster/snapshot", func(w http.ResponseWriter, _ *http.Request) {
		_ = os.WriteFile(other, []byte("precious"), 0o600)
		_, _ = w.Write(snapshotBytes(t, "body"))
	})
	(&run{}).do(t, "--addr", a.URL, "snapshot", "save", other)
	for _, f := range []string{path, other} {
		if got, err := os.ReadFile(f); string(got) != "precious" {
			t.Errorf("%s: %q, %v", f, got, err)
		}
	}
	if got := files(t, filepath.Dir(path)); got != "x.snap x.snap2" {
		t.Errorf("the directory has %s", got)
	}
	r = &run{names: []string{path, "FILE"}}
	r.do(t, "--addr", a.URL, "snapshot", "save", "/nowhere/x.snap")
	if r.code != 1 || !strings.HasSuffix(r.stderr.String(), "no such file or directory\n") {
		t.Errorf("exit code %d, %s", r.code, r.stderr.String())
	}
	var stderr bytes.Buffer
	if code := Run(t.Context(), []string{"--addr", a.URL, "snapshot", "save", "-"}, nil, nil, brokenPipe{}, &stderr); code != 1 ||
		stderr.String() != "lookupctl: save snapshot: file already closed\n" {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
}

func TestInspectOfWhatIsBad(t *testing.T) {
	whole := string(snapshotBytes(t, "body"))
	for text, want := range map[string]error{
		whole[:40]:                 snapfile.ErrDamaged,
		"#!/bin/sh\n":              snapfile.ErrNotSnapshot,
		"raftlookupd-snapshot 7\n": snapfile.ErrTooNew,
	} {
		r := (&run{stdin: strings.NewReader(text)}).do(t, "snapshot", "inspect", "-")
		if got := r.stderr.String(); r.code != 1 || !strings.HasPrefix(got, "lookupctl: read snapshot -: ") || !strings.Contains(got, want.Error()) || strings.Count(got, "\n") != 1 {
			t.Errorf("exit code %d, %s", r.code, got)
		}
	}
	(&run{}).do(t, "snapshot", "inspect", "/nowhere/x").want(t, 1, "", "lookupctl: read snapshot: open /nowhere/x: no such file or directory\n")
}

const restoredJSON = `{"message":"RESTORED","topics_created":1,"channels_created":2,"topics_removed":3,"channels_removed":4,"topics_kept":5,"channels_kept":6,"index":77}`

func TestRestore(t *testing.T) {
	path := snapshotFile(t)
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	takes := func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		if r.ContentLength != int64(len(want)) {
			t.Errorf("length %d", r.ContentLength)
		}
		_, _ = io.WriteString(w, restoredJSON)
	}
	a := serve(t, routes{"POST /cluster/restore": takes})
	r := &run{names: []string{path, "FILE"}}
	r.do(t, "--addr", dead(t), "--addr", a.URL, "snapshot", "restore", path).want(t, 0, `restored FILE, taken 2024-02-28T10:30:00Z by r1; the registry is at index 77
          CREATED  REMOVED  KEPT
topics    1        3        5
channels  2        4        6
kept: not in the file, but held by live nsqds
`, "")
	if !bytes.Equal(got, want) {
		t.Errorf("sent %d bytes of %d", len(got), len(want))
	}
	lookupctl(t, a, "-o", "json", "snapshot", "restore", "--force", path).
		want(t, 0, `{"index":77,"topics_created":1,"topics_removed":3,"topics_kept":5,"channels_created":2,"channels_removed":4,"channels_kept":6}`+"\n", "")
	if calls := a.asked("POST"); strings.Join(calls, " ") != "/cluster/restore /cluster/restore?force=true" {
		t.Errorf("posted %q", calls)
	}
	// It is sent whole to the next one when the first refuses it half-way.
	got = nil
	b := serve(t, routes{"POST /cluster/restore": func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 10)
		reply(503, `{"message":"NO_LEADER"}`)(w, r)
	}})
	if r := (&run{}).do(t, "--addr", b.URL+","+a.URL, "snapshot", "restore", path); r.code != 0 || !bytes.Equal(got, want) {
		t.Errorf("exit code %d, %s; sent %d bytes of %d", r.code, r.stderr.String(), len(got), len(want))
	}
}

func TestRestoreThatFails(t *testing.T) {
	path := snapshotFile(t)
	a := serve(t, routes{"POST /cluster/restore": reply(409, `{"message":"FOREIGN_SNAPSHOT","reason":"it is of cluster c1: force it if you mean it"}`)})
	lookupctl(t, a, "snapshot", "restore", path).want(t, 1, "", "lookupctl: restore snapshot: http://a answers FOREIGN_SNAPSHOT: it is of cluster c1: force it if you mean it\n")
	a.set("POST /cluster/restore", ok("{}"))
	lookupctl(t, a, "snapshot", "restore", path).want(t, 1, "", "lookupctl: restore snapshot: http://a answers \"{}\" without \"message\" to /cluster/restore; is it the HTTP address of a raftlookupd?\n")
	// A damaged file is not even sent.
	whole, err := os.ReadFile(path)
	if err == nil {
		whole[len(whole)-1] ^= 1
		err = os.WriteFile(path, whole, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	calls := len(a.asked("POST"))
	r := &run{names: []string{path, "FILE"}}
	r.do(t, "--addr", a.URL, "snapshot", "restore", path).want(t, 1, "", "lookupctl: read snapshot FILE: "+snapfile.ErrDamaged.Error()+": its checksum does not match\n")
	if n := len(a.asked("POST")); n != calls {
		t.Error("it was sent")
	}
}

func TestProgress(t *testing.T) {
	const line = "received 100 B\n"
	seen := make(chan struct{})
	whole := string(snapshotBytes(t, "body"))
	a := saves(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, whole[:100])
		_ = http.NewResponseController(w).Flush()
		<-seen
		_, _ = io.WriteString(w, whole[100:])
	})
	r := &run{pace: func(p *pace) { p.progressEvery = time.Millisecond }}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.do(t, "--addr", a.URL, "snapshot", "save", filepath.Join(t.TempDir(), "x"))
	}()
	eventually.True(t, patience, "the line", func() error {
		if !strings.Contains(r.stderr.String(), line) {
			return errors.New(r.stderr.String())
		}
		return nil
	})
	close(seen)
	<-done
	if r.code != 0 {
		t.Errorf("exit code %d, %s", r.code, r.stderr.String())
	}
	if got := restoreProgress(1<<20, 3<<20); got != "sent 1.0 MiB of 3.0 MiB" {
		t.Error(got)
	}
	if got := restoreProgress(3<<20, 3<<20); got != "sent, waiting until it is in the log" {
		t.Error(got)
	}
}
