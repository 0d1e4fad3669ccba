package fsm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// journalEntry encodes one batch of a replica's journal.
func journalEntry(h Header, changes ...Change) []byte {
	var b []byte
	for _, c := range changes {
		b = AppendChange(b, c)
	}
	return h.AppendEntry(nil, len(changes), b)
}

// seal puts the checksum on the bytes of an entry.
func seal(body []byte) []byte { return appendCRC(slices.Clone(body), 0) }

// tape feeds entries to a registry, one index after the other.
type tape struct {
	t     testing.TB
	r     *Registry
	index uint64
}

func newTape(t testing.TB) *tape { return &tape{t: t, r: New()} }

// apply feeds an entry that this version can read.
func (l *tape) apply(data []byte) *Outcome {
	l.t.Helper()
	l.index++
	o, err := l.r.Apply(l.index, data)
	if err != nil {
		l.t.Fatalf("entry %d: %v", l.index, err)
	}
	return o
}

// decide feeds decisions of the leader and returns the events.
func (l *tape) decide(changes ...Change) []Event {
	l.t.Helper()
	o := l.apply(EncodeDecisions(changes...))
	if o.Err != nil {
		l.t.Fatalf("entry %d: refused: %v", l.index, o.Err)
	}
	return slices.Clone(o.Events)
}

// journal is one replica's stream of changes.
type journal struct {
	*tape
	Header
}

// journal opens a replica's first incarnation.
func (l *tape) journal(id string) *journal {
	l.t.Helper()
	j := &journal{tape: l, Header: Header{Replica: id}}
	j.restart()
	return j
}

// restart begins the replica's next incarnation and returns the events.
func (j *journal) restart() []Event {
	j.t.Helper()
	j.Incarnation++
	j.First = 1
	return slices.Clone(j.send(OpenReplica("name of " + j.Replica)).Events)
}

// send feeds the next changes of the journal; none may be refused.
func (j *journal) send(changes ...Change) *Outcome {
	j.t.Helper()
	o := j.apply(journalEntry(j.Header, changes...))
	if o.Err != nil || o.Results != nil {
		j.t.Fatalf("entry %d: refused: %v, results %v", j.index, o.Err, o.Results)
	}
	j.First += uint64(len(changes))
	return o
}

// result feeds one change and returns what became of it.
func (j *journal) result(c Change) error {
	j.t.Helper()
	o := j.apply(journalEntry(j.Header, c))
	if o.Err != nil {
		j.t.Fatalf("entry %d: refused: %v", j.index, o.Err)
	}
	j.First++
	return o.Result(o.Last)
}

// identify opens a session and returns its number.
func (j *journal) identify(info ProducerInfo) uint64 {
	j.t.Helper()
	number := j.First
	j.send(OpenSession(info))
	return number
}

func (j *journal) key(session uint64) SessionKey {
	return SessionKey{Replica: j.Replica, Incarnation: j.Incarnation, Number: session}
}

// nsqd is an nsqd on that host with nsqd's own ports.
func nsqd(host string) ProducerInfo {
	return ProducerInfo{RemoteAddress: host + ":40000", Hostname: host, BroadcastAddress: host,
		TCPPort: 4150, HTTPPort: 4151, Version: "1.3.0"}
}

// producers returns the broadcast addresses that a lookup shows, "-" when there is no such topic.
func producers(t testing.TB, r *Registry, topic string) string {
	t.Helper()
	body, ok := r.State().Lookup(topic)
	if !ok {
		return "-"
	}
	var answer struct{ Producers []ProducerInfo }
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatalf("lookup %s: %v in %s", topic, err, body)
	}
	var names []string
	for _, p := range answer.Producers {
		names = append(names, p.BroadcastAddress)
	}
	return strings.Join(names, " ")
}

func wantProducers(t testing.TB, r *Registry, topic, want string) {
	t.Helper()
	if got := producers(t, r, topic); got != want {
		t.Fatalf("lookup of %s shows %q, want %q", topic, got, want)
	}
}

func wantBody(t testing.TB, got []byte, want string) {
	t.Helper()
	if string(got) != want {
		t.Fatalf("body\n got %s\nwant %s", got, want)
	}
}

func wantEvents(t testing.TB, got []Event, want ...Event) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("events\n got %+v\nwant %+v", got, want)
	}
}

func wantCounts(t testing.TB, r *Registry, want Counts) {
	t.Helper()
	if got := r.State().Counts(); got != want {
		t.Fatalf("counts\n got %+v\nwant %+v", got, want)
	}
}

// snapshot returns a state's snapshot.
func snapshot(t interface{ Fatalf(string, ...any) }, s *State) []byte {
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("write snapshot: %d of %d bytes, %v", n, b.Len(), err)
	}
	return b.Bytes()
}

// restored returns a new registry made from a snapshot.
func restored(t interface{ Fatalf(string, ...any) }, snap []byte) *Registry {
	r := New()
	if err := r.Restore(bytes.NewReader(snap)); err != nil {
		t.Fatalf("restore: %v", err)
	}
	return r
}

// answers is everything that a state tells, by what was asked.
type answers map[string]string

// diff says in what a and want differ, "" when in nothing.
func (a answers) diff(want answers) string {
	for _, asked := range sortedKeys(want) {
		if a[asked] != want[asked] {
			return fmt.Sprintf("%s\n got %s\nwant %s", asked, a[asked], want[asked])
		}
	}
	for _, asked := range sortedKeys(a) {
		if _, ok := want[asked]; !ok {
			return fmt.Sprintf("%s\n got %s\nwant nothing", asked, a[asked])
		}
	}
	return ""
}

// ask asks a state for everything; topics are the names to look up.
func ask(s *State, topics []string) answers {
	a := answers{
		"topics":  string(s.Topics()),
		"nodes":   string(s.Nodes()),
		"counts":  fmt.Sprintf("%+v", s.Counts()),
		"orphans": groupTexts(s.Orphans()),
		"level":   fmt.Sprint(s.Level()),
	}
	for _, name := range append([]string{AllTopics}, topics...) {
		body, ok := s.Lookup(name)
		a["lookup "+name] = fmt.Sprintf("%v %s", ok, body)
		a["channels "+name] = string(s.Channels(name))
	}
	var b strings.Builder
	s.Held(func(h Held) bool { fmt.Fprintf(&b, "%+v\n", h); return true })
	a["held"] = b.String()
	b.Reset()
	s.Tombstones(func(e Event) bool { fmt.Fprintf(&b, "%s %s %d\n", e.Topic, e.Producer, e.ID); return true })
	a["tombstones"] = b.String()
	b.Reset()
	for _, id := range replicaIDs {
		if r, ok := s.Replica(id); ok {
			fmt.Fprintf(&b, "%+v\n", r)
		}
	}
	a["replicas"] = b.String()
	return a
}

// groupTexts lists groups as they come.
func groupTexts(groups []OrphanGroup) string {
	var texts []string
	for _, g := range groups {
		texts = append(texts, fmt.Sprintf("%s/%d@%d", g.Replica, g.Incarnation, g.Since))
	}
	return strings.Join(texts, " ")
}

// isRefusal reports whether an error refuses a journal's batch for its place in the journal.
func isRefusal(err error) bool {
	var gap *GapError
	var old *IncarnationError
	return errors.Is(err, ErrNotOpen) || errors.As(err, &gap) || errors.As(err, &old)
}
