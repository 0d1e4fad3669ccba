package fsm

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestExactlyOnce: however often and in whatever pieces a journal is delivered, each change is
// applied once and in order, and its result told once.
func TestExactlyOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &life{incarnation: 2, changes: []Change{OpenReplica("a")}}
		w := newWorld()
		for range rapid.IntRange(1, 20).Draw(t, "length") {
			l.changes = append(l.changes, w.change(t, l))
		}
		clean := New()
		want := mustApply(t, clean, 1, journalEntry(Header{"a", 2, 1}, l.changes...))
		wantFirst, wantLast, wantResults := want.First, want.Last, slices.Clone(want.Results)

		r := New()
		mustApply(t, r, 1, journalEntry(Header{"a", 1, 1}, OpenReplica("a"))) // the life before
		var results []error
		done := 0
		for index := uint64(2); done < len(l.changes); index++ {
			from := rapid.IntRange(0, done+2).Draw(t, "from")
			to := min(len(l.changes), from+rapid.IntRange(0, 4).Draw(t, "length of the batch"))
			from = min(from, to)
			done = deliver(t, r, index, l.changes, from, to, done, &results)
		}
		if r.State().Fingerprint() != clean.State().Fingerprint() {
			t.Fatalf("content differs from one clean delivery")
		}
		if wantFirst != 1 || int(wantLast) != len(results) {
			t.Fatalf("%d results, clean delivery has %d to %d", len(results), wantFirst, wantLast)
		}
		for i, got := range results {
			if wantResults != nil && got != wantResults[i] || wantResults == nil && got != nil {
				t.Fatalf("result of %d is %v", i+1, got)
			}
		}
	})
}

// deliver delivers changes[from:to] when the first done are in, and returns how many are in then.
func deliver(t *rapid.T, r *Registry, index uint64, changes []Change, from, to, done int, results *[]error) int {
	before := r.State().Fingerprint()
	o := mustApply(t, r, index, journalEntry(Header{"a", 2, uint64(from + 1)}, changes[from:to]...))
	switch known := done > 0; {
	case !known && (from > 0 || to == 0):
		if !errors.Is(o.Err, ErrNotOpen) || r.State().Fingerprint() != before {
			t.Fatalf("an incarnation that has not begun: %v", o.Err)
		}
	case from > done:
		var gap *GapError
		if !errors.As(o.Err, &gap) || gap.Expected != uint64(done+1) || r.State().Fingerprint() != before {
			t.Fatalf("a gap after %d: %v", done, o.Err)
		}
	case o.Err != nil:
		t.Fatalf("changes %d to %d after %d: %v", from+1, to, done, o.Err)
	case to > done:
		if o.First != uint64(done+1) || o.Last != uint64(to) {
			t.Fatalf("new are %d to %d, want %d to %d", o.First, o.Last, done+1, to)
		}
		for n := o.First; n <= o.Last; n++ {
			*results = append(*results, o.Result(n))
		}
		return to
	case o.Last >= o.First || r.State().Fingerprint() != before:
		t.Fatalf("a repeat changed something: new are %d to %d", o.First, o.Last)
	}
	return done
}

func TestRefusals(t *testing.T) {
	topic := CreateTopic("never")
	tests := []struct {
		name    string
		header  Header
		changes []Change
		want    error
	}{
		{"gap", Header{"a", 5, 5}, []Change{topic}, &GapError{Expected: 4}},
		{"greatest gap", Header{"a", 5, 1<<64 - 1}, []Change{topic}, &GapError{Expected: 4}},
		{"gap without changes", Header{"a", 5, 5}, nil, &GapError{Expected: 4}},
		{"number 0", Header{"a", 5, 0}, []Change{topic}, &GapError{Expected: 4}},
		{"older incarnation", Header{"a", 4, 4}, []Change{topic}, &IncarnationError{Known: 5}},
		{"older incarnation opens", Header{"a", 4, 1}, []Change{OpenReplica("a")}, &IncarnationError{Known: 5}},
		{"newer incarnation not open", Header{"a", 6, 4}, []Change{topic}, ErrNotOpen},
		{"newer incarnation begins with another", Header{"a", 6, 1}, []Change{topic}, ErrNotOpen},
		{"newer incarnation without changes", Header{"a", 6, 1}, nil, ErrNotOpen},
		{"unknown replica", Header{"b", 1, 1}, []Change{topic}, ErrNotOpen},
		{"second OpenReplica", Header{"a", 6, 1}, []Change{OpenReplica("a"), OpenReplica("a")}, errMalformed},
		{"OpenReplica late", Header{"a", 5, 4}, []Change{topic, OpenReplica("a")}, errMalformed},
		{"OpenReplica at number 0", Header{"a", 6, 0}, []Change{OpenReplica("a")}, errMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newTape(t)
			a := l.journal("a")
			for range 4 {
				a.restart()
			}
			s := a.identify(nsqd("h"))
			a.send(Register(s, "t", "c"))
			l.decide(LoseReplica("a", 5))
			before := l.r.State()
			o := l.apply(journalEntry(test.header, test.changes...))
			if refusal(o.Err) != refusal(test.want) || len(o.Events) > 0 || o.Last >= o.First || o.Results != nil {
				t.Fatalf("outcome %+v, want refusal %v", o, test.want)
			}
			if o.Replica != test.header.Replica || o.Incarnation != test.header.Incarnation {
				t.Fatalf("refusal of %s/%d, want %s/%d", o.Replica, o.Incarnation, test.header.Replica, test.header.Incarnation)
			}
			after := l.r.State()
			if after.Fingerprint() != before.Fingerprint() || after.Index() != before.Index()+1 {
				t.Fatalf("refused entry changed %s to %s, index %d", before.Fingerprint(), after.Fingerprint(), after.Index())
			}
			if d := ask(after, []string{"t", "never"}).diff(ask(before, []string{"t", "never"})); d != "" {
				t.Fatalf("refused entry changed %s", d)
			}
		})
	}
}

// TestResults: each change of a batch has its own result, and one that fails stops none after it.
func TestResults(t *testing.T) {
	l := newTape(t)
	a := l.journal("a")
	o := l.apply(journalEntry(Header{"a", 1, 2}, CreateTopic("t"), DeleteChannel("t", "c"), Settle(77),
		CreateChannel("t", "c"), DeleteChannel("t", "c"), DeleteChannel("t2", "c")))
	want := []error{nil, ErrChannelNotFound, ErrSessionUnknown, nil, nil, ErrChannelNotFound}
	if o.Err != nil || o.First != 2 || o.Last != 7 {
		t.Fatalf("outcome %+v", o)
	}
	for i, err := range want {
		if got := o.Result(uint64(i) + 2); got != err {
			t.Errorf("result of %d is %v, want %v", i+2, got, err)
		}
	}
	// A repeat with one new change tells of that one only.
	o = l.apply(journalEntry(Header{"a", 1, 7}, DeleteChannel("t2", "c"), CreateTopic("t3")))
	if o.First != 8 || o.Last != 8 || o.Result(8) != nil || o.Replica != "a" || o.Incarnation != 1 {
		t.Fatalf("outcome %+v", o)
	}
	a.First = 9
	if err := a.result(DeleteTopic("none")); err != nil {
		t.Fatalf("delete of a topic that is not there: %v", err) // nsqlookupd says OK
	}
}

// TestOutcomeOfDecisions: Last < First, since decisions have no numbers.
func TestOutcomeOfDecisions(t *testing.T) {
	l := newTape(t)
	if o := l.apply(EncodeDecisions()); o.Last >= o.First || o.Replica != "" || o.Err != nil {
		t.Fatalf("outcome %+v", o)
	}
}
