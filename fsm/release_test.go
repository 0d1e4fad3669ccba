package fsm

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// releaseFile holds logs of level 0, and what release 0.1.0 made of each entry. To make it again, put
// this file into the release's fsm and run `go test ./fsm -run TestRelease -record` there, never here.
const releaseFile = "testdata/release-0.1.0.txt"

const releaseLogs = 10

var record = flag.Bool("record", false, "write "+releaseFile+" anew: with the program of that release only")

// TestRelease replays the logs: a registry of level 0 leaves the bytes that the release left, because
// clusters of both versions compare fingerprints and exchange snapshots.
func TestRelease(t *testing.T) {
	if *record {
		var lines []string
		for seed := range uint64(releaseLogs) {
			lines = append(lines, recorded(t, releaseLog(seed))...)
		}
		if err := os.WriteFile(releaseFile, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(releaseFile)
	if err != nil {
		t.Fatal(err)
	}
	var steps []string // of the log
	var want []string
	logs := 0
	lines := bufio.NewScanner(strings.NewReader(string(file)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		want = append(want, lines.Text())
		if step, ok := strings.CutPrefix(lines.Text(), "> "); ok {
			steps = append(steps, step)
		}
		if lines.Text() != "end" {
			continue
		}
		for i, got := range recorded(t, steps) {
			if i >= len(want) || got != want[i] {
				t.Fatalf("log %d, line %d\n got %s\nwant %s", logs, i, got, want[i])
			}
		}
		logs++
		steps, want = nil, nil
	}
	if logs != releaseLogs || len(want) > 0 {
		t.Fatalf("%d logs, and %d lines after them", logs, len(want))
	}
}

// recorded returns the steps of a log, with what each left, and the last snapshot.
func recorded(t *testing.T, steps []string) []string {
	t.Helper()
	r := New()
	var lines []string
	for _, step := range steps {
		lines = append(lines, "> "+step)
		var index uint64
		var digits string
		if step == "restore" {
			r = restored(t, snapshot(t, r.State()))
			continue
		}
		if _, err := fmt.Sscanf(step, "%d %s", &index, &digits); err != nil {
			t.Fatal(err)
		}
		data, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		o, err := r.Apply(index, data)
		if err != nil {
			t.Fatalf("entry %d: %v", index, err)
		}
		f, err := r.FingerprintAt(index)
		if err != nil || f != r.State().Fingerprint() {
			t.Fatalf("entry %d: the ring has %v, %v", index, f, err)
		}
		lines = append(lines, "  "+releaseSaid(o), fmt.Sprintf("  %s snapshot %s answers %s", f,
			digest(snapshot(t, r.State())), digest([]byte(releaseAnswers(r.State())))))
	}
	return append(lines, fmt.Sprintf("%x", snapshot(t, r.State())), "end")
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// releaseSaid is an outcome with the fields that the release had.
func releaseSaid(o *Outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q/%d %d-%d %s %v", o.Replica, o.Incarnation, o.First, o.Last, refusal(o.Err), o.Results)
	for _, e := range o.Events {
		fmt.Fprintf(&b, " [%d %d %s %s %v %s/%d", e.Kind, e.ID, e.Topic, e.Producer, e.Session, e.Replica, e.Incarnation)
		if e.Kind == Diverged {
			fmt.Fprintf(&b, " %s %s", e.Have, e.Want)
		}
		b.WriteByte(']')
	}
	return b.String()
}

// releaseAnswers is everything that the release's states told.
func releaseAnswers(s *State) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n%+v\n%+v\n", s.Topics(), s.Nodes(), s.Counts(), s.Replicas())
	for _, name := range append([]string{AllTopics}, topicNames...) {
		body, ok := s.Lookup(name)
		fmt.Fprintf(&b, "%v %s\n%s\n%d\n", ok, body, s.Channels(name), s.Modified(Thing{Topic: name}))
	}
	fmt.Fprintln(&b, s.Modified(Thing{Topics: true}), s.Modified(Thing{Nodes: true}))
	var groups []OrphanGroup
	groups = append(groups, s.Orphans()...)
	texts := map[string]bool{}
	for _, g := range groups {
		texts[fmt.Sprintf("%s/%d", g.Replica, g.Incarnation)] = true
	}
	fmt.Fprintln(&b, len(groups), texts) // fmt prints a map sorted
	s.Held(func(h Held) bool {
		fmt.Fprintf(&b, "%s %s %s %v %+v %d\n", h.Category, h.Topic, h.Channel, h.Session, h.Info, h.Tombstone)
		return true
	})
	for _, id := range replicaIDs {
		for incarnation := range uint64(6) {
			fmt.Fprintln(&b, s.SessionsOf(id, incarnation))
		}
	}
	return b.String()
}

// releaseWriter makes the steps of a random log.
type releaseWriter struct {
	rnd   *rand.Rand
	steps []string
	index uint64
	lives map[string]*life
	sent  []batch
}

func releaseLog(seed uint64) []string {
	w := &releaseWriter{rnd: rand.New(rand.NewPCG(seed, 1)), lives: map[string]*life{}}
	for range 70 {
		w.step()
	}
	return w.steps
}

func (w *releaseWriter) entry(data []byte) {
	w.index += 1 + w.rnd.Uint64N(2)
	w.steps = append(w.steps, fmt.Sprintf("%d %x", w.index, data))
}

func (w *releaseWriter) send(b batch) {
	w.sent = append(w.sent, b)
	w.entry(journalEntry(b.Header, b.changes...))
}

func (w *releaseWriter) step() {
	id := replicaIDs[w.rnd.IntN(len(replicaIDs))]
	l := w.lives[id]
	n := w.rnd.IntN(20)
	switch {
	case l == nil || n == 0: // the next incarnation
		next := &life{incarnation: 1, changes: []Change{OpenReplica("name of " + id)}}
		if l != nil {
			next.incarnation = l.incarnation + 1
		}
		w.lives[id] = next
		w.send(batch{Header{id, next.incarnation, 1}, next.changes[:1:1]})
	case n < 12:
		first := len(l.changes)
		for range 1 + w.rnd.IntN(6) {
			l.changes = append(l.changes, w.change(l))
		}
		w.send(batch{Header{id, l.incarnation, uint64(first + 1)}, append([]Change(nil), l.changes[first:]...)})
	case n == 12:
		w.send(w.sent[w.rnd.IntN(len(w.sent))])
	case n == 13: // a gap, or an incarnation that has not begun
		w.send(batch{Header{id, l.incarnation + w.rnd.Uint64N(2), uint64(len(l.changes) + 2)}, []Change{CreateTopic("t")}})
	case n == 14:
		w.steps = append(w.steps, "restore")
	case n == 15: // malformed
		w.entry(journalEntry(Header{id, l.incarnation, uint64(len(l.changes) + 1)}, CreateTopic("t"), LoseReplica(id, 1)))
	default:
		w.entry(EncodeDecisions(w.decision(id, l), w.decision(id, l)))
	}
}

func (w *releaseWriter) decision(id string, l *life) Change {
	switch w.rnd.IntN(5) {
	case 0, 1:
		return LoseReplica(id, l.incarnation)
	case 2:
		return ExpireReplica(id, l.incarnation-w.rnd.Uint64N(2))
	case 3:
		return Checkpoint(w.index, Fingerprint{hi: 1, lo: 2}) // never right
	default:
		return ClearTombstone(w.topic(), w.info().Producer(), w.rnd.Uint64N(30))
	}
}

func (w *releaseWriter) topic() string { return topicNames[w.rnd.IntN(len(topicNames))] }

func (w *releaseWriter) channel() string { return channelNames[w.rnd.IntN(len(channelNames))] }

func (w *releaseWriter) info() ProducerInfo {
	info := nsqd([]string{"h1", "h2", "h3"}[w.rnd.IntN(3)])
	info.HTTPPort += w.rnd.IntN(2)
	info.TopologyZone = []string{"", "zone"}[w.rnd.IntN(2)]
	return info
}

func (w *releaseWriter) change(l *life) Change {
	var opened []uint64
	for i, c := range l.changes {
		if c.Kind == KindOpenSession {
			opened = append(opened, uint64(i+1))
		}
	}
	n := w.rnd.IntN(32)
	if len(opened) == 0 || n < 4 {
		return OpenSession(w.info())
	}
	s := opened[w.rnd.IntN(len(opened))]
	switch {
	case n < 16:
		return Register(s, w.topic(), []string{"", w.channel()}[w.rnd.IntN(2)])
	case n < 18:
		return Unregister(s, w.topic(), []string{"", w.channel()}[w.rnd.IntN(2)])
	case n < 20:
		return SetActive(s, w.rnd.IntN(2) == 0)
	case n < 22:
		return Settle(s)
	case n < 24:
		return CloseSession(s)
	case n == 24:
		return DeleteTopic(w.topic())
	case n == 25:
		return DeleteChannel(w.topic(), w.channel())
	case n == 26:
		return PruneChannel(w.topic(), []string{"", w.channel()}[w.rnd.IntN(2)])
	case n == 27:
		return CreateChannel(w.topic(), w.channel())
	case n == 28:
		return CreateTopic(w.topic())
	default:
		return Tombstone([]string{AllTopics, w.topic()}[w.rnd.IntN(2)], w.info().node())
	}
}
