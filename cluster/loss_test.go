package cluster

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// A replica is silent when its heartbeats go on failing, which one that fails does not tell.
func TestSilentReplicas(t *testing.T) {
	const limit = 600 * time.Millisecond
	failed := raft.Observation{Data: raft.FailedHeartbeatObservation{PeerID: "id"}}
	resumed := raft.Observation{Data: raft.ResumedHeartbeatObservation{PeerID: "id"}}
	leader := raft.Observation{Data: raft.LeaderObservation{}}
	type step struct {
		after time.Duration
		o     raft.Observation
	}
	for name, tc := range map[string]struct {
		steps  []step
		after  time.Duration
		paused bool
		want   bool
	}{
		"nothing":                      {nil, limit, false, false},
		"one failure":                  {[]step{{0, failed}}, limit, false, false},
		"one, and a loop that is late": {[]step{{0, failed}}, stillFailing - 1, false, false},
		"for a short time":             {[]step{{0, failed}, {limit - 1, failed}}, 0, false, false},
		"for as long":                  {[]step{{0, failed}, {limit, failed}}, 0, false, true},
		"for long, and late":           {[]step{{0, failed}, {limit, failed}}, stillFailing - 1, false, true},
		"for long, but long ago":       {[]step{{0, failed}, {limit, failed}}, stillFailing, false, false},
		"across a pause":               {[]step{{0, failed}, {limit, failed}}, 0, true, false},
		"resumed":                      {[]step{{0, failed}, {limit, failed}, {0, resumed}}, 0, false, false},
		"another leader":               {[]step{{0, failed}, {limit, failed}, {0, leader}}, 0, false, false},
		"two that have no connection":  {[]step{{0, failed}, {stillFailing + 1, failed}}, 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, first := newLosses(), time.Time{}
				for _, s := range tc.steps {
					time.Sleep(s.after)
					l.observe(s.o)
					if first.IsZero() {
						first = time.Now()
					}
				}
				time.Sleep(tc.after)
				got := l.silent(limit, func(since time.Time) bool { return tc.paused && !since.After(first) })
				if slices.Contains(got, "id") != tc.want {
					t.Errorf("silent: %v, want %v", got, tc.want)
				}
			})
		})
	}
}

// A replica that died before or in a pause of the leader is silent a while after the pause, however long
// the leader leads.
func TestSilentAfterAPause(t *testing.T) {
	const limit = 600 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		l := newLosses()
		fails := func(d time.Duration) {
			for end := time.Now().Add(d); !time.Now().After(end); time.Sleep(100 * time.Millisecond) {
				l.observe(raft.Observation{Data: raft.FailedHeartbeatObservation{PeerID: "id"}})
			}
		}
		fails(300 * time.Millisecond)
		ended := time.Now()
		paused := func(since time.Time) bool { return !ended.Before(since) }
		fails(limit / 2)
		if got := l.silent(limit, paused); len(got) > 0 {
			t.Fatalf("silent right after a pause: %v", got)
		}
		fails(limit / 2)
		if got := l.silent(limit, paused); len(got) > 0 {
			t.Fatalf("silent %s after a pause was noticed: %v", limit/2, got)
		}
		fails(limit)
		if got := l.silent(limit, paused); !slices.Contains(got, "id") {
			t.Errorf("silent %s after a pause: %v, want the replica that died before it", limit, got)
		}
	})
}
