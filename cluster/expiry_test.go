package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// Every replica measures how old a group of orphans is, but for those of level 0, which count only while
// it leads in one term.
func TestAges(t *testing.T) {
	const s = time.Second
	a, a2 := fsm.OrphanGroup{Replica: "a", Incarnation: 1, Since: 7}, fsm.OrphanGroup{Replica: "a", Incarnation: 1, Since: 9}
	old, oldB := fsm.OrphanGroup{Replica: "a", Incarnation: 1}, fsm.OrphanGroup{Replica: "b", Incarnation: 3}
	groups := func(g ...fsm.OrphanGroup) []fsm.OrphanGroup { return g }
	all := groups(old, a, a2, oldB)
	was := ages{a: 5 * s, a2: 3 * s, old: 5 * s, oldB: 3 * s}
	for name, tc := range map[string]struct {
		before ages
		tick   agesTick
		want   ages
	}{
		"nobody knows how long before": {nil, agesTick{step: time.Hour, groups: all, heard: true, led: true}, ages{a: 0, a2: 0, old: 0, oldB: 0}},
		"a leader":                     {was, agesTick{step: s, groups: all, heard: true, led: true}, ages{a: 6 * s, a2: 4 * s, old: 6 * s, oldB: 4 * s}},
		"a follower, or a new leader":  {was, agesTick{step: s, groups: all, heard: true}, ages{a: 6 * s, a2: 4 * s, old: 0, oldB: 0}},
		"no leader for a moment":       {was, agesTick{step: s, groups: all}, ages{a: 5 * s, a2: 3 * s, old: 0, oldB: 0}},
		"no leader for long":           {was, agesTick{step: s, groups: all, isolated: true}, ages{a: 0, a2: 0, old: 0, oldB: 0}},
		"a replica was found":          {was, agesTick{step: s, groups: all, heard: true, led: true, found: map[string]bool{"a": true}}, ages{a: 6 * s, a2: 4 * s, old: 0, oldB: 4 * s}},
		"a group has gone":             {was, agesTick{step: s, groups: groups(a2), heard: true, led: true}, ages{a2: 4 * s}},
		"a group comes again":          {ages{a2: 4 * s}, agesTick{step: s, groups: groups(a, a2), heard: true}, ages{a: 0, a2: 5 * s}},
		"none":                         {was, agesTick{step: s, heard: true, led: true}, ages{}},
	} {
		if got := tc.before.older(tc.tick); fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestDueOrphans(t *testing.T) {
	const grace = 10 * time.Second
	a, a2, b := fsm.OrphanGroup{Replica: "a", Incarnation: 1, Since: 7}, fsm.OrphanGroup{Replica: "a", Incarnation: 1, Since: 9}, fsm.OrphanGroup{Replica: "b", Incarnation: 7}
	seen := ages{a: grace, a2: grace - 1, b: 2 * grace}
	for name, tc := range map[string]struct {
		level  uint64
		groups []fsm.OrphanGroup
		want   []fsm.Change
	}{
		"nothing":           {1, nil, nil},
		"a moment too soon": {1, []fsm.OrphanGroup{a2}, nil},
		"by group":          {1, []fsm.OrphanGroup{a, a2, b}, []fsm.Change{fsm.ExpireOrphans(a), fsm.ExpireOrphans(b)}},
		"level 0":           {0, []fsm.OrphanGroup{b}, []fsm.Change{fsm.ExpireReplica("b", 7)}},
		"never seen":        {1, []fsm.OrphanGroup{{Replica: "c"}}, nil},
	} {
		if got := seen.due(grace, tc.level, tc.groups); fmt.Sprint(got) != fmt.Sprint(tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
