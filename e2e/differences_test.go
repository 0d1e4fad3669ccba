package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDeliberateDifferences holds what DIFFERENCES.md lists: what raftlookupd does, and that nsqlookupd
// does otherwise, for else there would be nothing to list.
func TestDeliberateDifferences(t *testing.T) {
	oursOnly(t)
	t.Parallel()
	w := startTwins(t)
	t.Run("one producer is listed once", func(t *testing.T) { testListedOnce(t, w) })
	t.Run("listings are sorted", func(t *testing.T) { testSorted(t, w.ours) })
	t.Run("names survive a restart", testNamesSurvive)
	t.Run("negative size of IDENTIFY", testNegativeSize)
	t.Run("size of IDENTIFY", func(t *testing.T) { testIdentifySize(t, w) })
	t.Run("length of a line", func(t *testing.T) { testLineLength(t, w) })
	t.Run("tombstone of all topics", func(t *testing.T) { testTombstoneAll(t, w.ours) })
	t.Run("silence before the magic", func(t *testing.T) {
		testSilence(t, w.ours, 5*time.Second, "")
	})
	t.Run("silence before IDENTIFY", func(t *testing.T) {
		testSilence(t, w.ours, 15*time.Second, magic)
	})
}

func testListedOnce(t *testing.T, w twins) {
	const topic, key = "listed-once", "nsqd-once:4150"
	theirs := []*conn{mustConnect(t, w.oracle, "nsqd-once", topic), mustConnect(t, w.oracle, "nsqd-once", topic)}
	if err := errors.Join(w.oracle.hasProducers(topic, key, key), w.oracle.hasNodes(key, key)); err != nil {
		t.Errorf("no difference left: %v", err)
	}
	ours := []*conn{mustConnect(t, w.ours, "nsqd-once", topic), mustConnect(t, w.ours, "nsqd-once", topic)}
	once := func() error { return errors.Join(w.ours.hasProducers(topic, key), w.ours.hasNodes(key)) }
	if err := once(); err != nil {
		t.Error(err)
	}
	newest := ours[1].LocalAddr().String()
	if a, err := w.ours.lookup(topic); err != nil || a.Producers[0].RemoteAddress != newest {
		t.Errorf("listed %+v, %v; want the newest connection, %s", a.Producers, err, newest)
	}
	ours[1].Close()
	oldest := ours[0].LocalAddr().String()
	eventually(t, patience, func() error {
		a, err := w.ours.lookup(topic)
		if err == nil && (len(a.Producers) != 1 || a.Producers[0].RemoteAddress != oldest) {
			err = fmt.Errorf("listed %+v, want the connection that is left, %s", a.Producers, oldest)
		}
		return err
	})
	if err := once(); err != nil {
		t.Error(err)
	}
	for _, c := range []*conn{ours[0], theirs[0], theirs[1]} {
		c.Close()
	}
	eventually(t, patience, func() error {
		return w.both(func(l *lookupd) error { return errors.Join(l.hasProducers(topic), l.forgot(key)) })
	})
}

func testSorted(t *testing.T, l *lookupd) {
	addresses := []string{"nsqd-3", "nsqd-1", "nsqd-10", "nsqd-2"}
	names := []string{"s-b", "s-a#ephemeral", "s-c", "s-A", "s-10", "s-9"}
	for i, address := range addresses {
		for j := range names {
			name := names[(i+j)%len(names)]
			mustConnect(t, l, address, name+" "+names[(i*j)%len(names)], "sorted "+name)
		}
	}
	topics, err := l.topics()
	if err != nil || len(topics) <= len(names) || !slices.IsSorted(topics) {
		t.Errorf("topics %v, %v", topics, err)
	}
	channels, err := l.channels("sorted")
	if err != nil || len(channels) != len(names) || !slices.IsSorted(channels) {
		t.Errorf("channels %v, %v", channels, err)
	}
	a, err := l.lookup("sorted")
	if err != nil || len(a.Producers) != len(addresses) || !byProducer(a.Producers) || !slices.IsSorted(a.Channels) {
		t.Errorf("lookup %+v, %v", a, err)
	}
	nodes, err := l.nodes()
	if err != nil || len(nodes) != len(addresses) || !byProducer(nodes) {
		t.Errorf("nodes %v, %v", keys(nodes), err)
	}
	for _, n := range nodes {
		if !slices.IsSorted(n.Topics) {
			t.Errorf("topics of %s are %v", n.key(), n.Topics)
		}
	}
}

// byProducer reports whether producers are sorted by address, then port.
func byProducer(producers []producer) bool {
	return slices.IsSortedFunc(producers, func(a, b producer) int {
		return cmp.Or(cmp.Compare(a.BroadcastAddress, b.BroadcastAddress), cmp.Compare(a.TCPPort, b.TCPPort))
	})
}

func testNamesSurvive(t *testing.T) {
	t.Parallel()
	restarted := func(l *lookupd) []string {
		if err := l.post("/channel/create?topic=kept&channel=too"); err != nil {
			t.Fatal(err)
		}
		l.stop(t, syscall.SIGTERM)
		l.start(t)
		topics, err := l.topics()
		if err != nil {
			t.Fatal(err)
		}
		return topics
	}
	if got := restarted(startNsqlookupd(t)); len(got) != 0 {
		t.Errorf("no difference left: nsqlookupd has %v", got)
	}
	ours := startRaftlookupd(t)
	if got := restarted(ours); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("topics are %v, want [kept]", got)
	}
	if got, err := ours.channels("kept"); err != nil || !slices.Equal(got, []string{"too"}) {
		t.Errorf("channels are %v, %v, want [too]", got, err)
	}
}

// negativeSizes are IDENTIFY commands whose body's size is -1 and the least there is.
var negativeSizes = []string{"IDENTIFY\n\xff\xff\xff\xff", "IDENTIFY\n\x80\x00\x00\x00"}

func testNegativeSize(t *testing.T) {
	t.Parallel()
	theirs := startNsqlookupd(t)
	sendHostile(t, theirs, negativeSizes[0])
	if code := theirs.exitCode(t); code == 0 {
		t.Error("no difference left: nsqlookupd has exited well")
	}
	ours := startRaftlookupd(t)
	for _, hostile := range negativeSizes {
		c := sendHostile(t, ours, hostile)
		expectRefusal(t, c, "E_BAD_BODY")
		if err := ours.serves(); err != nil {
			t.Errorf("after %q: %v", hostile, err)
		}
	}
}

func sendHostile(t *testing.T, l *lookupd, text string) *conn {
	t.Helper()
	c, err := open(l.tcp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.send(text); err != nil {
		t.Fatal(err)
	}
	return c
}

// expectRefusal expects an error with that code, and then the end of the connection.
func expectRefusal(t *testing.T, c *conn, code string) {
	t.Helper()
	a, err := c.answer()
	if err != nil || !strings.HasPrefix(a, code) {
		t.Errorf("answered %q, %v; want %s", a, err, code)
	}
	if closed, err := c.isClosed(closeWithin); !closed {
		t.Errorf("the connection is open, %v", err)
	}
}

// maxBody is the largest body of IDENTIFY.
const maxBody = 64 << 10

// bodyOf returns a good body of IDENTIFY of that size.
func bodyOf(size int) string {
	body := identity("nsqd-size", 4150, 4151)
	return body + strings.Repeat(" ", size-len(body))
}

func testIdentifySize(t *testing.T, w twins) {
	tooLarge := identifyBytes(bodyOf(maxBody + 1))
	if a, err := sendHostile(t, w.oracle, tooLarge).answer(); err != nil || !strings.HasPrefix(a, "{") {
		t.Errorf("no difference left: nsqlookupd answered %q, %v", a, err)
	}
	largest := sendHostile(t, w.ours, identifyBytes(bodyOf(maxBody)))
	if a, err := largest.answer(); err != nil || !strings.HasPrefix(a, "{") {
		t.Errorf("%d bytes: answered %q, %v", maxBody, a, err)
	}
	// The size alone is enough to refuse it: the rest may never come.
	expectRefusal(t, sendHostile(t, w.ours, tooLarge[:len("IDENTIFY\n")+4]), "E_BAD_BODY")
	expectRefusal(t, sendHostile(t, w.ours, "IDENTIFY\n\x7f\xff\xff\xff"), "E_BAD_BODY")
}

// maxLine is the longest line, its end included.
const maxLine = 4 << 10

func testLineLength(t *testing.T, w twins) {
	tooLong := "PING " + strings.Repeat("x", maxLine-len("PING ")) + "\n"
	if a, err := sendHostile(t, w.oracle, tooLong).answer(); err != nil || a != "OK" {
		t.Errorf("no difference left: nsqlookupd answered %q, %v", a, err)
	}
	longest := tooLong[:maxLine-1] + "\n"
	if a, err := sendHostile(t, w.ours, longest).answer(); err != nil || a != "OK" {
		t.Errorf("%d bytes: answered %q, %v", len(longest), a, err)
	}
	expectRefusal(t, sendHostile(t, w.ours, tooLong), "E_INVALID")
	// A line that has no end is refused as well, and not kept.
	expectRefusal(t, sendHostile(t, w.ours, strings.Repeat("x", 2*maxLine)), "E_INVALID")
}

// nsqlookupd tombstones a producer for one of its topics, which chance picks.
func testTombstoneAll(t *testing.T, l *lookupd) {
	topics := []string{"stone-1", "stone-2", "stone-3"}
	mustConnect(t, l, "nsqd-stone", topics...)
	if err := l.post("/topic/tombstone?topic=*&node=nsqd-stone:4151"); err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		if err := l.hasProducers(topic); err != nil {
			t.Error(err)
		}
	}
}

// testSilence expects a connection on which nothing comes any more to be closed after a time.
func testSilence(t *testing.T, l *lookupd, after time.Duration, said string) {
	t.Parallel()
	c, err := dial(l.tcp)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	start := time.Now()
	if err := c.send(said); err != nil {
		t.Fatal(err)
	}
	closed, err := c.isClosed(after + 3*time.Second)
	if took := time.Since(start); !closed || took < after-time.Second {
		t.Errorf("closed %v after %v, %v; want it after %v", closed, took, err, after)
	}
}
