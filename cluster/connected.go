package cluster

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A voter that the leader cannot reach is served by nobody, though another voter may reach it: its
// nsqds' changes do not get into the log, and it sends them elsewhere in the end. So a leader that gets
// no answer from a voter asks the others which voters they reach, and hands leadership over to one that
// reaches more. A voter that is down is reached by nobody, and so moves nothing.
const (
	reachPath = "/reach"
	// reachAskWait bounds the questions of a voter that is asked whom it reaches. It is shorter than the
	// question that it is asked by.
	reachAskWait = 300 * time.Millisecond
	// silentTimeouts is after how many Raft timeouts without an answer a voter counts as not reached.
	silentTimeouts = 10
	// moveAgainMin and moveAgainMax are for how long a replica hands leadership over for this reason no
	// more than once; the time doubles with each, so that links that come and go do not move it for ever.
	moveAgainMin = 10 * time.Second
	moveAgainMax = 10 * time.Minute
)

// reachAnswer is what a replica says of which others it reaches.
type reachAnswer struct {
	Reached   []string `json:"reached"`
	LastIndex uint64   `json:"last_index"`
}

// bestConnected returns the voter that is to lead instead of the leader: the one that reaches the most
// voters, of those the one whose log is longest. It must be one that the leader reaches, reach more
// voters than the leader, and lack at most healthyLag entries of those up to last.
func bestConnected(leader string, reached, voters []string, answers map[string]reachAnswer, last uint64) (best string, ok bool) {
	most := countReached(leader, reached, voters)
	var longest uint64
	for _, id := range slices.Sorted(slices.Values(voters)) {
		a, answered := answers[id]
		if id == leader || !answered || !slices.Contains(reached, id) || a.LastIndex+healthyLag < last {
			continue
		}
		if n := countReached(id, a.Reached, voters); n > most || n == most && ok && a.LastIndex > longest {
			best, ok, most, longest = id, true, n, a.LastIndex
		}
	}
	return best, ok
}

// countReached returns how many voters the replica of that id reaches, itself included when it votes.
func countReached(id string, reached, voters []string) (n int) {
	for _, v := range voters {
		if v == id || slices.Contains(reached, v) {
			n++
		}
	}
	return n
}

// movePace decides when leadership may move for the sake of connections.
type movePace struct {
	term    uint64    // in which this replica leads, 0 when it does not
	since   time.Time // it leads
	choice  string    // of the step before, "" for none
	moved   time.Time // last; zero for never
	settled time.Duration
	again   time.Duration
}

// step is told of each step's choice, "" for none, and reports whether to carry it out: not before the
// leader has led for a while, nor unless the choice was the same a step before, nor too soon again.
func (p *movePace) step(now time.Time, term uint64, choice string) bool {
	if term != p.term {
		p.term, p.since, p.choice = term, now, ""
	}
	twice := choice != "" && choice == p.choice
	p.choice = choice
	if !twice || term == 0 || now.Sub(p.since) < p.settled || !p.moved.IsZero() && now.Sub(p.moved) < p.again {
		return false
	}
	switch {
	case p.again == 0 || now.Sub(p.moved) > 2*moveAgainMax:
		p.again = moveAgainMin
	default:
		p.again = min(2*p.again, moveAgainMax)
	}
	p.moved, p.choice = now, ""
	return true
}

// watchConnections hands leadership over to a voter that is better connected, until the context ends.
func (r *Replica) watchConnections(ctx context.Context) error {
	silent := min(silentTimeouts*r.cfg.RaftTimeout, r.cfg.IsolationTimeout/3)
	p := movePace{settled: silent}
	pace(ctx, max(silent/3, freshPeriod), func(time.Duration) {
		var term uint64
		choice := ""
		if r.leads() {
			term = r.raft.CurrentTerm()
			if term == p.term && time.Since(p.since) >= silent {
				choice = r.betterConnected(ctx, term, silent)
			}
		}
		if !p.step(time.Now(), term, choice) {
			return
		}
		r.log.Warn("another voter reaches voters that this leader does not reach: handing leadership over", "to", r.nameOf(choice))
		ctx, cancel := context.WithTimeout(ctx, 2*transportTimeout)
		defer cancel()
		if err := r.transferTo(ctx, choice); err != nil {
			r.log.Warn("leadership was not handed over", "error", err)
		}
	})
	return nil
}

// betterConnected asks the voters, when one has not answered for that long, and returns the choice. A
// voter that is busy, as while it takes a snapshot, answers no heartbeats, but calls: it is reached.
func (r *Replica) betterConnected(ctx context.Context, term uint64, silent time.Duration) string {
	others := r.otherVoters()
	var reached, unheard []string
	for i, last := range r.transport.contacts.in(term, others) {
		if time.Since(last) < silent {
			reached = append(reached, others[i])
		} else {
			unheard = append(unheard, others[i])
		}
	}
	if len(unheard) > 0 {
		reached = slices.AppendSeq(reached, maps.Keys(r.standings(ctx, unheard)))
	}
	if len(reached) == len(others) {
		return ""
	}
	voters := append(others, r.data.ID)
	best, _ := bestConnected(r.data.ID, reached, voters, r.askReach(ctx, reached, voters), r.raft.LastIndex())
	return best
}

// askReach asks the replicas of those ids which of the voters they reach, all at once.
func (r *Replica) askReach(ctx context.Context, ids, voters []string) map[string]reachAnswer {
	var mu sync.Mutex
	var wg sync.WaitGroup
	answers := make(map[string]reachAnswer)
	path := reachPath + "?ids=" + url.QueryEscape(strings.Join(voters, ","))
	for _, id := range ids {
		wg.Go(func() {
			var a reachAnswer
			body, err := r.caller.get(ctx, id, path)
			if err != nil || json.Unmarshal(body, &a) != nil { // one of release 0.1.0 does not know the question
				return
			}
			mu.Lock()
			defer mu.Unlock()
			answers[id] = a
		})
	}
	wg.Wait()
	return answers
}

// answerReach answers which of the servers that are asked for this replica reaches now.
func (r *Replica) answerReach(w http.ResponseWriter, req *http.Request) {
	ctx, cancel := context.WithTimeout(req.Context(), reachAskWait)
	defer cancel()
	servers := r.servers()
	var ids []string
	for _, id := range strings.Split(req.URL.Query().Get("ids"), ",") {
		if s, in := servers[id]; in && s.Suffrage == raft.Voter && id != r.data.ID && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	a := reachAnswer{Reached: []string{}, LastIndex: r.raft.LastIndex()}
	for id := range r.standings(ctx, ids) {
		a.Reached = append(a.Reached, id)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a)
}
