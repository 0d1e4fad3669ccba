package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
	"github.com/raftlookupd/raftlookupd/internal/eventually"
)

// topicsOf reads "t[c d] e" as two topics that exist; one in brackets does not.
func topicsOf(text string) []topicContents {
	var all []topicContents
	for field := range strings.SplitSeq(text, ";") {
		name, channels, _ := strings.Cut(strings.TrimSuffix(strings.TrimSpace(field), "]"), "[")
		if name == "" {
			continue
		}
		bare := strings.Trim(name, "()")
		all = append(all, topicContents{bare, bare == name, strings.Fields(channels)})
	}
	return all
}

func TestChangesToContents(t *testing.T) {
	for _, c := range []struct{ now, wanted, changes string }{
		{"", "", ""},
		{"t[c]; u", "t[c]; u", ""},
		{"", "t[c d]; u", "+t +t/c +t/d +u"},
		{"t[c]", "t[d]", "+t/d -t/c"},
		{"t[c d]; u", "", "-t/c -t/d -t -u"},
		{"a; c", "b", "+b -a -c"},
		{"", "e#ephemeral[c x#ephemeral]", ""},
		{"e#ephemeral", "e#ephemeral[c x#ephemeral]", "+e#ephemeral/c"},
		{"e#ephemeral[c x#ephemeral]", "e#ephemeral", "-e#ephemeral/c -e#ephemeral/x#ephemeral"},
		{"e#ephemeral[c]", "", "-e#ephemeral/c -e#ephemeral"},
		{"", "t[x#ephemeral]", "+t"},
		{"(e#ephemeral)[c]", "(e#ephemeral)[c]", ""},
		{"(e#ephemeral)[c]", "e#ephemeral[c d]", ""},
		{"e#ephemeral", "(e#ephemeral)[c]", "+e#ephemeral/c"},
		{"", "(e#ephemeral)[c]", ""},
		{"(e#ephemeral)[c]", "", "-e#ephemeral/c -e#ephemeral"},
	} {
		var got []string
		for change := range changesTo(topicsOf(c.now), topicsOf(c.wanted)) {
			sign := "+"
			if change.Kind == fsm.KindPrune {
				sign = "-"
			}
			got = append(got, sign+strings.TrimSuffix(change.Topic+"/"+change.Channel, "/"))
		}
		if text := strings.Join(got, " "); text != c.changes {
			t.Errorf("from %q to %q: %q, want %q", c.now, c.wanted, text, c.changes)
		}
		for n := range got {
			left := n
			for range changesTo(topicsOf(c.now), topicsOf(c.wanted)) {
				if left--; left < 0 {
					break // must end the iteration, or it panics
				}
			}
		}
	}
}

// A backup of one replica, restored by another: every replica has the topics and channels of the file,
// and what nsqds have.
func TestRestoreThroughAnotherReplica(t *testing.T) {
	c := newTrio(t, 3, nil)
	register(t, session(t, c.replicas[0], 0), "live", "channel")
	gone := session(t, c.replicas[1], 1)
	register(t, gone, "left", "channel")
	change(t, c.replicas[0], fsm.CreateChannel("made", "channel"))
	change(t, c.replicas[2], fsm.CreateTopic("bare"))
	c.agree()
	file := backup(t, c.leader())
	want := fileContents(t, file)

	hangUp(gone)
	change(t, c.replicas[0], fsm.DeleteTopic("made"))
	change(t, c.replicas[1], fsm.DeleteTopic("left"))
	change(t, c.replicas[2], fsm.CreateChannel("live", "later"))
	change(t, c.replicas[2], fsm.CreateChannel("new", "a"))
	change(t, c.replicas[2], fsm.CreateChannel("new", "b"))
	late := session(t, c.replicas[2], 2)
	register(t, late, "held", "held")
	change(t, c.replicas[2], fsm.CreateChannel("held", "free"))
	c.agree()

	done := mustRestore(t, c.follower(), file, false)
	expect := Restored{TopicsCreated: 2, ChannelsCreated: 2, TopicsRemoved: 1, ChannelsRemoved: 4, TopicsKept: 1, ChannelsKept: 1,
		Index: done.Index}
	if done != expect {
		t.Errorf("restored %+v, want %+v", done, expect)
	}
	c.agree()
	state := c.replicas[0].registry.State()
	if got := contents(state); !sameTopics(got, want+"held(true)[held] ") {
		t.Errorf("contents %s\nthe file's and what is held: %s", got, want)
	}
	if !lists(state, "live", 0) || !lists(state, "held", 2) || lists(state, "left", 1) || state.Counts().Sessions != 2 {
		t.Errorf("registry has %s, %+v", listings(state), state.Counts())
	}
	if done.Index > state.Index() || done.Index <= header(t, file).Index {
		t.Errorf("done at index %d, the registry is at %d", done.Index, state.Index())
	}
	again := mustRestore(t, c.leader(), file, false)
	if again != (Restored{TopicsKept: 1, ChannelsKept: 1, Index: again.Index}) {
		t.Errorf("restored again: %+v", again)
	}
	hangUp(late)
	if last := mustRestore(t, c.follower(), file, false); last.TopicsRemoved != 1 || last.ChannelsRemoved != 1 {
		t.Errorf("when nobody holds it: %+v", last)
	}
	c.agree()
	if got := contents(c.replicas[0].registry.State()); got != want {
		t.Errorf("contents %s\nthe file's are %s", got, want)
	}
}

// sameTopics compares contents in whatever order.
func sameTopics(a, b string) bool {
	split := func(s string) []string {
		parts := strings.Split(s, "] ")
		slices.Sort(parts)
		return parts
	}
	return slices.Equal(split(a), split(b))
}

// Producers, orphans and tombstones are not the file's to say.
func TestRestoreLeavesSessionsAlone(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	populate(t, r)
	file := backup(t, r)
	for n := range 5 {
		register(t, session(t, r, 10+n), "topic", "")
	}
	change(t, r, fsm.Tombstone("topic", "nsqd-4:4151"))
	settle(t, r)
	before := r.registry.State()
	mustRestore(t, r, file, false)
	if after := r.registry.State(); listings(after) != listings(before) || after.Counts() != before.Counts() {
		t.Errorf("registry has %s\nbefore %s", listings(after), listings(before))
	}
}

// An ephemeral topic comes back with its nsqds, not with a file.
func TestRestoreOfEphemeralNames(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	s := session(t, r, 1)
	register(t, s, "e#ephemeral", "channel")
	register(t, s, "topic", "x#ephemeral")
	settle(t, r)
	file := backup(t, r)
	if done := mustRestore(t, r, file, false); done != (Restored{Index: done.Index}) {
		t.Errorf("of what is there: %+v", done)
	}
	hangUp(s)
	change(t, r, fsm.DeleteTopic(fsm.AllTopics))
	done := mustRestore(t, r, file, false)
	if got := contents(r.registry.State()); got != "topic(true)[] " || done.TopicsCreated != 1 || done.ChannelsCreated != 0 {
		t.Errorf("contents %s, %+v", got, done)
	}
}

// manyTopics is a file of so many topics, of no cluster.
func manyTopics(t testing.TB, n int) []byte {
	t.Helper()
	r := openReady(t, testConfig(t.TempDir()))
	for i := range n {
		if _, err := r.journal.append(fsm.CreateChannel(fmt.Sprintf("topic-%06d", i), "channel"), nil); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, r)
	defer mustClose(t, r)
	return backup(t, r)
}

// What is registered and created while a restore goes on is neither lost nor in its way.
func TestRestoreWhileChangesStreamIn(t *testing.T) {
	file := manyTopics(t, 3000)
	c := newTrio(t, 3, nil)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var storm sync.WaitGroup
	said := make([]int, len(c.replicas)) // how many topics each producer has
	for i, r := range c.replicas {
		s := session(t, r, i)
		storm.Go(func() {
			for ; ctx.Err() == nil; said[i]++ {
				if _, err := s.Register(fmt.Sprintf("live-%d-%d", i, said[i]), "channel"); err != nil {
					t.Error(err)
					return
				}
				pause(ctx, time.Millisecond)
			}
		})
	}
	for range 3 {
		mustRestore(t, c.follower(), file, true)
	}
	stop()
	storm.Wait()
	c.agree()
	state := c.replicas[0].registry.State()
	for i, n := range said {
		for k := range n {
			if topic := fmt.Sprintf("live-%d-%d", i, k); !lists(state, topic, i) {
				t.Errorf("%s is missing", topic)
			}
		}
	}
	if got, want := state.Counts().Topics, 3000+said[0]+said[1]+said[2]; got != want {
		t.Errorf("%d topics, want %d", got, want)
	}
}

// A restore that cannot commit ends with its context, never has more in the journal than its window,
// and is repeated.
func TestRestoreThatCannotCommit(t *testing.T) {
	file := manyTopics(t, 2*restoreWindow)
	cfg := testConfig(t.TempDir())
	g := gated(t, &cfg)
	defer g.open()
	r := openReady(t, cfg)
	settle(t, r)
	levelled(t, r)
	g.hang(r.raft.LastIndex() + 2) // the first of the restore's entries goes through
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := r.RestoreBackup(ctx, bytes.NewReader(file), true)
		ended <- err
	}()
	eventually.True(t, soon, "a full window", func() error {
		if n := r.journal.length(); n < restoreWindow {
			return fmt.Errorf("%d changes wait", n)
		}
		return nil
	})
	cancel()
	if err := <-ended; !errors.Is(err, ErrNotCommitted) {
		t.Errorf("error %v, want ErrNotCommitted", err)
	}
	if n := r.journal.length(); n != restoreWindow {
		t.Errorf("%d changes wait, want %d", n, restoreWindow)
	}
	g.open()
	mustRestore(t, r, file, true)
	if got := contents(r.registry.State()); got != fileContents(t, file) {
		t.Errorf("%d bytes of contents differ from the file's", len(got))
	}
}

func TestOneRestoreAtATime(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	change(t, r, fsm.CreateTopic("topic"))
	file := backup(t, r)
	body, feed := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := r.RestoreBackup(context.Background(), body, false)
		ended <- err
	}()
	if _, err := feed.Write(file[:10]); err != nil { // it reads: so it has begun
		t.Fatal(err)
	}
	if _, err := restore(r, file, false); !errors.Is(err, ErrRestoring) {
		t.Errorf("a second one: %v", err)
	}
	_, err := feed.Write(file[10:])
	if err := errors.Join(err, feed.Close(), <-ended); err != nil {
		t.Error(err)
	}
	mustRestore(t, r, file, false)
	if _, err := restore(r, file[:10], false); !errors.Is(err, ErrBadBackup) {
		t.Error(err)
	}
	mustRestore(t, r, file, false)
}

func TestRestoreWithoutALeader(t *testing.T) {
	r := openReady(t, testConfig(t.TempDir()))
	file := backup(t, r)
	if err := r.raft.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.RestoreBackup(ctx, bytes.NewReader(file), false); !errors.Is(err, ErrNoLeader) {
		t.Errorf("error %v, want ErrNoLeader", err)
	}
}
