package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

func TestExpiryCountsFromWhenItSawThem(t *testing.T) {
	const grace = 10 * time.Second
	a, a2, b := fsm.OrphanGroup{Replica: "a", Incarnation: 1}, fsm.OrphanGroup{Replica: "a", Incarnation: 2}, fsm.OrphanGroup{Replica: "b", Incarnation: 7}
	expireA, expireB := fsm.ExpireReplica("a", 1), fsm.ExpireReplica("b", 7)
	var e expiry
	for i, s := range []struct {
		step   time.Duration
		groups []fsm.OrphanGroup
		want   []fsm.Change
	}{
		{time.Hour, []fsm.OrphanGroup{a}, nil}, // nobody knows how long before
		{6 * time.Second, []fsm.OrphanGroup{a, b}, nil},
		{4*time.Second - 1, []fsm.OrphanGroup{a, b}, nil},
		{1, []fsm.OrphanGroup{a, b}, []fsm.Change{expireA}},
		{time.Second, []fsm.OrphanGroup{a, b}, []fsm.Change{expireA}}, // until it is done
		{5 * time.Second, []fsm.OrphanGroup{b}, []fsm.Change{expireB}},
		{time.Second, nil, nil},
		{time.Hour, []fsm.OrphanGroup{a, b}, nil}, // they came again
		{9 * time.Second, []fsm.OrphanGroup{a, a2}, nil},
		{time.Second, []fsm.OrphanGroup{a, a2}, []fsm.Change{expireA}},
	} {
		if got := e.due(s.step, grace, s.groups); fmt.Sprint(got) != fmt.Sprint(s.want) {
			t.Errorf("step %d: %v, want %v", i, got, s.want)
		}
	}
}
