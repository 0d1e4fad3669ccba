package cluster

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// Each legal state of DESIGN.md's table is taken, and each damage is refused.
func TestLogState(t *testing.T) {
	spans := func(s ...span) []span { return s }
	snapshot := func(index, term uint64) entryMark { return entryMark{index, term} }
	for name, c := range map[string]struct {
		state    logState
		damage   string // part of the error, "" for a legal state
		obsolete uint64
	}{
		"new":                            {state: logState{}},
		"term of a bootstrap, no entry":  {state: logState{term: 1}},
		"first entry, not noted yet":     {state: logState{spans: spans(span{1, 1, 1}), term: 1}},
		"no snapshot":                    {state: logState{spans: spans(span{1, 9, 2}), term: 2, bootstrapped: true}},
		"voted in a newer term":          {state: logState{spans: spans(span{1, 9, 2}), term: 7, bootstrapped: true}},
		"several terms":                  {state: logState{spans: spans(span{1, 4, 1}, span{5, 9, 3}), term: 3, bootstrapped: true}},
		"own snapshot":                   {state: logState{spans: spans(span{1, 9, 2}), snapshot: snapshot(6, 2), term: 2, bootstrapped: true}},
		"own snapshot at the end":        {state: logState{spans: spans(span{1, 9, 2}), snapshot: snapshot(9, 2), term: 2, bootstrapped: true}},
		"begins before the snapshot":     {state: logState{spans: spans(span{4, 9, 2}), snapshot: snapshot(6, 2), term: 2, bootstrapped: true}},
		"begins right after it":          {state: logState{spans: spans(span{7, 9, 2}), snapshot: snapshot(6, 2), term: 2, bootstrapped: true}},
		"begins after it in a new term":  {state: logState{spans: spans(span{7, 9, 3}), snapshot: snapshot(6, 2), term: 3, bootstrapped: true}},
		"empty log, snapshot":            {state: logState{snapshot: snapshot(6, 2), term: 2, bootstrapped: true}},
		"first is a snapshot, not noted": {state: logState{snapshot: snapshot(6, 2), term: 2}},
		"snapshot newer than the log":    {state: logState{spans: spans(span{1, 9, 2}), snapshot: snapshot(30, 2), term: 2, bootstrapped: true}, obsolete: 9},
		"newer by one entry":             {state: logState{spans: spans(span{1, 9, 2}), snapshot: snapshot(10, 2), term: 2, bootstrapped: true}, obsolete: 9},
		"hole below the snapshot":        {state: logState{spans: spans(span{1, 9, 2}, span{31, 40, 2}), snapshot: snapshot(30, 2), term: 2, bootstrapped: true}, obsolete: 30},
		"hole, not noted":                {state: logState{spans: spans(span{1, 9, 2}, span{31, 40, 2}), snapshot: snapshot(30, 2), term: 2}, obsolete: 30},
		"hole below a later snapshot":    {state: logState{spans: spans(span{1, 9, 2}, span{31, 40, 2}), snapshot: snapshot(35, 2), term: 2, bootstrapped: true}, obsolete: 30},
		"two holes": {state: logState{spans: spans(span{1, 9, 1}, span{12, 20, 2}, span{31, 33, 2}, span{34, 40, 3}), snapshot: snapshot(30, 2),
			term: 3, bootstrapped: true}, obsolete: 30},
		"all below it, with a hole":  {state: logState{spans: spans(span{1, 9, 2}, span{12, 20, 2}), snapshot: snapshot(30, 2), term: 2, bootstrapped: true}, obsolete: 20},
		"a deposed term below a gap": {state: logState{spans: spans(span{1, 9, 8}, span{31, 40, 5}), snapshot: snapshot(30, 5), term: 9, bootstrapped: true}, obsolete: 30},
		"deposed: other term at it":  {state: logState{spans: spans(span{1, 9, 2}), snapshot: snapshot(6, 3), term: 3, bootstrapped: true}, obsolete: 9},
		"deposed: ends at it":        {state: logState{spans: spans(span{1, 6, 2}), snapshot: snapshot(6, 3), term: 3, bootstrapped: true}, obsolete: 6},
		"deposed: only the rest":     {state: logState{spans: spans(span{7, 9, 2}), snapshot: snapshot(6, 3), term: 3, bootstrapped: true}, obsolete: 9},

		"lost all":                         {state: logState{term: 2, bootstrapped: true}, damage: "lost all entries"},
		"lost the first":                   {state: logState{spans: spans(span{2, 9, 2}), term: 2, bootstrapped: true}, damage: "entries 1 to 1 are missing"},
		"lost some":                        {state: logState{spans: spans(span{1, 4, 2}, span{7, 9, 2}), term: 2, bootstrapped: true}, damage: "entries 5 to 6 are missing"},
		"lost some, not noted":             {state: logState{spans: spans(span{1, 4, 2}, span{7, 9, 2}), term: 2}, damage: "entries 5 to 6 are missing"},
		"hole across the snapshot's end":   {state: logState{spans: spans(span{1, 4, 2}, span{9, 9, 2}), snapshot: snapshot(7, 2), term: 2, bootstrapped: true}, damage: "entries 8 to 8 are missing"},
		"hole above the snapshot":          {state: logState{spans: spans(span{1, 7, 2}, span{9, 9, 2}), snapshot: snapshot(4, 2), term: 2, bootstrapped: true}, damage: "entries 8 to 8 are missing"},
		"begins too late":                  {state: logState{spans: spans(span{9, 12, 2}), snapshot: snapshot(7, 2), term: 2, bootstrapped: true}, damage: "entries 8 to 8 are missing"},
		"lost the newest snapshot":         {state: logState{spans: spans(span{9, 12, 2}), term: 2, bootstrapped: true}, damage: "entries 1 to 8 are missing"},
		"hole whose snapshot is lost":      {state: logState{spans: spans(span{1, 9, 2}, span{31, 40, 2}), snapshot: snapshot(5, 2), term: 2, bootstrapped: true}, damage: "entries 10 to 30 are missing"},
		"a term that falls":                {state: logState{spans: spans(span{1, 4, 2}, span{5, 9, 1}), term: 2, bootstrapped: true}, damage: "entry 5: its term is 1, after 2"},
		"a term that falls below it":       {state: logState{spans: spans(span{1, 4, 2}, span{5, 9, 1}), snapshot: snapshot(9, 1), term: 2, bootstrapped: true}, damage: "entry 5: its term is 1"},
		"lost its term":                    {state: logState{spans: spans(span{1, 9, 2}), bootstrapped: true}, damage: "lost its term and votes"},
		"made anew beside the snapshot":    {state: logState{snapshot: snapshot(6, 2), bootstrapped: true}, damage: "lost its term and votes"},
		"an older copy beside a snapshot":  {state: logState{spans: spans(span{1, 4, 1}), snapshot: snapshot(6, 2), term: 1, bootstrapped: true}, damage: "lost its term and votes"},
		"an entry of a term not heard yet": {state: logState{spans: spans(span{1, 4, 1}, span{5, 5, 9}), term: 2, bootstrapped: true}, damage: "lost its term and votes"},
	} {
		err := c.state.check()
		if got := err == nil; got != (c.damage == "") || err != nil && !strings.Contains(err.Error(), c.damage) {
			t.Errorf("%s: error %v, want %q", name, err, c.damage)
		}
		if got := c.state.obsolete(); err == nil && got != c.obsolete {
			t.Errorf("%s: obsolete up to %d, want %d", name, got, c.obsolete)
		}
	}
}

// Whatever is legal stays so when what is obsolete is removed, and has no hole and nothing obsolete then.
// What is removed is in the snapshot, unless the log contradicts it.
func TestObsoleteLeavesALegalState(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	legal := 0
	for range 200_000 {
		s := logState{term: 4, bootstrapped: true}
		if random.IntN(4) > 0 {
			s.snapshot = entryMark{1 + random.Uint64N(9), 1 + random.Uint64N(3)}
		}
		next := entryMark{1 + random.Uint64N(3), 1 + random.Uint64N(2)}
		for range random.IntN(8) {
			s.spans = appendEntry(s.spans, next)
			next.index++
			if random.IntN(4) == 0 {
				next.index += random.Uint64N(5)
			}
			if random.IntN(3) == 0 {
				next.term = 1 + random.Uint64N(3)
			}
		}
		if s.check() != nil {
			continue
		}
		legal++
		upTo := s.obsolete()
		if upTo > s.snapshot.index && !s.contradicts() {
			t.Fatalf("%+v: %d is to be removed", s, upTo)
		}
		after := s
		after.spans = nil
		for _, p := range s.spans {
			if p.last > upTo {
				after.spans = append(after.spans, span{max(p.first, upTo+1), p.last, p.term})
			}
		}
		if err := after.check(); err != nil || after.obsolete() != 0 || after.gap() != 0 {
			t.Fatalf("%+v without those up to %d: error %v, obsolete %d, gap %d", s, upTo, err, after.obsolete(), after.gap())
		}
	}
	if legal < 1000 {
		t.Errorf("only %d states were legal", legal)
	}
}
