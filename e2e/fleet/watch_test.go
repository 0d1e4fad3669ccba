package fleet

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/e2e/netlab"
)

// TestWatcherNotes gives a watcher answers by hand.
func TestWatcherNotes(t *testing.T) {
	const with = `{"producers":[{"broadcast_address":"10.99.0.4","tcp_port":4150,"topics":["events","of-n1"]}]}`
	const without = `{"producers":[]}`
	const partly = `{"producers":[{"broadcast_address":"10.99.0.4","tcp_port":4150,"topics":["events"]}]}`
	type answer struct {
		at      int // second when it was asked and came
		listing string
		body    string
	}
	for _, c := range []struct {
		name     string
		release  int // second, 0 never
		answers  []answer
		absences []int // seconds, the longest first
	}{
		{"always there", 0, []answer{{10, "/lookup", with}, {11, "/nodes", with}}, nil},
		{"missing before it is expected", 0, []answer{{1, "/lookup", without}, {10, "/lookup", with}}, nil},
		{"missing twice", 0, []answer{{10, "/lookup", without}, {11, "/lookup", without}, {12, "/lookup", with},
			{13, "/lookup", without}, {14, "/lookup", with}}, []int{2, 1}},
		{"missing until the end", 0, []answer{{10, "/lookup", without}, {13, "/lookup", without}}, []int{3}},
		{"missing once at the end", 0, []answer{{10, "/lookup", without}}, []int{0}},
		{"a topic is missing", 0, []answer{{10, "/lookup", partly}, {11, "/nodes", partly}, {12, "/nodes", with}}, []int{1}},
		{"released", 20, []answer{{10, "/lookup", with}, {21, "/lookup", without}}, nil},
		{"missing before it is released", 20, []answer{{15, "/lookup", without}, {16, "/lookup", without}, {30, "/lookup", without}}, []int{1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
			n := &Nsqd{Node: &netlab.Node{Name: "n1", IP: "10.99.0.4"}}
			r := &Replica{Node: &netlab.Node{Name: "r1"}}
			w := &Watcher{start: start, stop: func() {}, since: map[*Nsqd]time.Time{n: second(5)}, ended: map[*Nsqd]time.Time{},
				seen: map[*Nsqd]time.Time{}, gaps: map[place]*gap{}}
			if c.release > 0 {
				w.ended[n] = second(c.release)
			}
			for _, a := range c.answers {
				var rows listed
				if err := json.Unmarshal([]byte(a.body), &rows); err != nil {
					t.Fatal(err)
				}
				w.note(r, a.listing, rows, second(a.at), second(a.at))
			}
			saw := w.Stop()
			if len(saw.Absences) != len(c.absences) {
				t.Fatalf("absences %v, want %v", saw.Absences, c.absences)
			}
			for i, want := range c.absences {
				if got := saw.Absences[i].Length; got != time.Duration(want)*time.Second {
					t.Errorf("absence %d: %v, want %d s", i, got, want)
				}
			}
		})
	}
}
