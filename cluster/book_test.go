package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

func gossipedAs(id string, incarnation uint64, port int) member {
	return member{meta: meta{ID: id, Name: "n-" + id, Incarnation: incarnation, ClusterHost: "10.0.0.1", ClusterPort: port},
		gossip: "10.0.0.1:4163"}
}

func TestBookOrdersAddresses(t *testing.T) {
	b := newBook()
	b.gossiped(gossipedAs("a", 5, 1))
	if got := b.addresses("a"); !slices.Equal(got, []string{"10.0.0.1:1"}) {
		t.Errorf("by gossip alone: %v", got)
	}
	b.reached("a", "h:1")
	b.reached("a", "h:2")
	if got := b.addresses("a"); !slices.Equal(got, []string{"10.0.0.1:1", "h:2", "h:1"}) {
		t.Errorf("gossip told of this incarnation first: %v", got)
	}
	b.gossiped(gossipedAs("a", 4, 9)) // an older life
	if got := b.addresses("a"); slices.Contains(got, "10.0.0.1:9") {
		t.Errorf("an older life's address: %v", got)
	}
	for n := range 9 {
		b.reached("a", fmt.Sprintf("h:%d", n))
	}
	if got := b.addresses("a"); len(got) != maxAddresses+1 {
		t.Errorf("%d addresses are kept", len(got))
	}
	if b.addresses("unknown") != nil || b.name("a") != "n-a" || b.name("unknown") != "" {
		t.Error("names and addresses of the unknown")
	}
}

func TestBookIsBounded(t *testing.T) {
	b := newBook()
	b.acked("kept", 7)
	for n := range 3 * maxRecords {
		b.gossiped(gossipedAs(fmt.Sprint(n), 1, 1))
		b.heard("kept")
	}
	if known := b.get("kept"); len(b.all()) > maxRecords || known.Acked != 7 {
		t.Errorf("%d records, %v", len(b.all()), known)
	}
}

func TestSignOfLife(t *testing.T) {
	b := newBook()
	waits := b.alive("a")
	b.heard("b")
	select {
	case <-waits:
		t.Fatal("woken by another")
	default:
	}
	b.heard("a")
	<-waits
	select {
	case <-b.alive("a"):
		t.Error("woken by an earlier sign")
	default:
	}
}

// The book outlives the process, is the cluster's, and neither a missing nor a damaged file is an error
// that stops anything.
func TestBookFile(t *testing.T) {
	r := open(t, testConfig(t.TempDir()))
	waitReady(t, r)
	r.book.gossiped(gossipedAs("a", 5, 1))
	r.book.reached("a", "h:2")
	r.book.acked("a", 12)
	want := r.book.get("a")
	if err := r.saveBook(); err != nil {
		t.Fatal(err)
	}
	cluster := r.whoami().cluster
	load := func(cluster string) peerRecord {
		b, err := r.data.loadBook(cluster)
		if err != nil {
			t.Error(err)
		}
		known := b.get("a")
		return known
	}
	got := load(cluster)
	if got.Acked != 12 || got.Name != want.Name || !slices.Contains(got.where(), "h:2") || !slices.Contains(got.where(), "10.0.0.1:1") {
		t.Errorf("read %+v, written %+v", got, want)
	}
	for _, other := range []string{"another", ""} {
		if known := load(other); known.ID != "" {
			t.Errorf("known in cluster %q: %v", other, known)
		}
	}
	path := filepath.Join(r.data.dir, bookFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := r.data.loadBook(cluster); err == nil || len(b.all()) > 0 {
		t.Errorf("a damaged file: error %v, %v", err, b.all())
	}
}

// In the file the replica that was heard of last comes last, so that what is forgotten after a start is what was
// heard of longest ago. A file that is too large is not read.
func TestBookFileKeepsTheOrder(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	for _, id := range []string{"a", "b", "c"} {
		r.book.gossiped(gossipedAs(id, 1, 1))
	}
	r.book.heard("a")
	if err := r.saveBook(); err != nil {
		t.Fatal(err)
	}
	cluster := r.whoami().cluster
	b, err := r.data.loadBook(cluster)
	if err != nil {
		t.Fatal(err)
	}
	for n := range maxRecords - 2 {
		b.gossiped(gossipedAs(fmt.Sprint(n), 1, 1))
	}
	if left := b.get("a").ID + b.get("b").ID + b.get("c").ID; left != "ac" {
		t.Errorf("of a, b and c %q is left", left)
	}
	path := filepath.Join(r.data.dir, bookFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newer := strings.Replace(string(whole), `"format": 1`, `"format": 2`, 1)
	if err := os.WriteFile(path, []byte(newer), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := r.data.loadBook(cluster); err != nil || len(b.all()) > 0 || newer == string(whole) {
		t.Errorf("of a newer version: error %v, %v", err, b.all())
	}
	if err := os.WriteFile(path, append(whole, make([]byte, maxBookBytes)...), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := r.data.loadBook(cluster); err == nil || len(b.all()) > 0 || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("too large: error %v, %v", err, b.all())
	}
}

// What could not be written is written the next time.
func TestBookFileThatCannotBeWritten(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	path := filepath.Join(r.data.dir, bookFile)
	if err := r.saveBook(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.book.acked("a", 12)
	if err := r.saveBook(); err == nil {
		t.Fatal("a folder was replaced")
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := r.saveBook(); err != nil {
		t.Fatal(err)
	}
	if b, err := r.data.loadBook(r.whoami().cluster); err != nil || b.get("a").Acked != 12 {
		t.Errorf("error %v, %+v", err, b.all())
	}
}

// What is acknowledged is written now and then, and when the replica closes.
func TestAcknowledgementsAreKept(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	cluster := r.whoami().cluster
	kept := func() uint64 {
		b, err := r.data.loadBook(cluster)
		if err != nil {
			t.Error(err)
		}
		return b.get("a").Acked
	}
	r.book.acked("a", 12)
	eventually.True(t, soon, "it is written", func() error {
		if got := kept(); got != 12 {
			return fmt.Errorf("%d is", got)
		}
		return nil
	})
	r.book.acked("a", 13)
	mustClose(t, r)
	if got := kept(); got != 13 {
		t.Errorf("%d was written at the end", got)
	}
}

func TestJoinBackoff(t *testing.T) {
	var f joinFacts
	var waits []time.Duration
	f.missing = true
	for range 9 {
		var w time.Duration
		w, f = f.next()
		waits = append(waits, w)
	}
	if waits[0] != joinFirst || waits[1] != 2*joinFirst || waits[8] != joinLast || !slices.IsSorted(waits) {
		t.Errorf("while a voter is missing: %v", waits)
	}
	f.missing, f.found = false, true
	if w, next := f.next(); w != joinAgain || next.tries != 0 {
		t.Errorf("when all are seen: %s, %+v", w, next)
	}
	if w, _ := (joinFacts{found: true, missing: true}).next(); w != joinFirst {
		t.Errorf("when a seed answers and a voter is missing: %s", w)
	}
	if w, _ := (joinFacts{}).next(); w != joinFirst {
		t.Errorf("before a seed has answered: %s", w)
	}
}
