package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// nodesEvery is how many questions for /lookup go with one for /nodes, which is dearer.
const nodesEvery = 5

// Watcher asks every replica for /lookup of the common topic each Interval, and now and then for /nodes, which shows
// the topics of each nsqd, and keeps book of when an nsqd is missing that should be listed. An answer other than 200
// and 404, or none, says nothing: consumers ask the next replica then.
type Watcher struct {
	fleet *Fleet
	start time.Time
	stop  func()

	mu       sync.Mutex
	since    map[*Nsqd]time.Time // it has to be listed since then
	ended    map[*Nsqd]time.Time // it need not be listed since then
	seen     map[*Nsqd]time.Time // last, anywhere
	gaps     map[place]*gap
	absences []Absence
	polls    int // answers of 200 and 404
}

// place is where an nsqd may be missing: at a replica, from /lookup or from /nodes with the nsqd's own topic.
type place struct {
	nsqd    *Nsqd
	replica *Replica
	listing string
}

// gap is an absence that has not ended.
type gap struct{ first, last time.Time }

// Absence is a time for which a replica did not list an nsqd that it should have.
type Absence struct {
	Nsqd, Replica, Listing string
	After                  time.Duration // since the watcher started
	Length                 time.Duration // from the first answer without it to the first answer with it
}

func (a Absence) String() string {
	return fmt.Sprintf("%s missing from %s of %s for %.2f s, from %.2f s on",
		a.Nsqd, a.Listing, a.Replica, a.Length.Seconds(), a.After.Seconds())
}

// Watch starts a watcher. Nothing is expected yet.
func (f *Fleet) Watch(ctx context.Context) *Watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watcher{fleet: f, start: time.Now(), since: map[*Nsqd]time.Time{}, ended: map[*Nsqd]time.Time{},
		seen: map[*Nsqd]time.Time{}, gaps: map[place]*gap{}}
	var all sync.WaitGroup
	for _, r := range f.Replicas {
		all.Go(func() { w.follow(ctx, r) })
	}
	w.stop = func() { cancel(); all.Wait() }
	return w
}

// Expect says that the nsqds have to be listed everywhere from now on. Until they are, it waits.
func (w *Watcher) Expect(ctx context.Context, nsqds ...*Nsqd) error {
	for _, n := range nsqds {
		if _, err := Until(ctx, formPatience, func() error { return w.fleet.listedEverywhere(ctx, n) }); err != nil {
			return err
		}
		w.mu.Lock()
		w.since[n] = time.Now()
		w.mu.Unlock()
	}
	return nil
}

// Release says that an nsqd need not be listed any more.
func (w *Watcher) Release(n *Nsqd) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[n] = time.Now()
}

// LastSeen returns when a replica last listed the nsqd.
func (w *Watcher) LastSeen(n *Nsqd) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[n]
}

func (w *Watcher) follow(ctx context.Context, r *Replica) {
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for i := 0; ; i++ {
		w.look(ctx, r, "/lookup", "/lookup?topic="+Common)
		if i%nodesEvery == 0 {
			w.look(ctx, r, "/nodes", "/nodes")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look asks once.
func (w *Watcher) look(ctx context.Context, r *Replica, listing, path string) {
	asked := time.Now()
	a, err := r.Get(ctx, path)
	if err != nil || a.Status != http.StatusOK && a.Status != http.StatusNotFound {
		return
	}
	var rows listed
	if a.Status == http.StatusOK && json.Unmarshal(a.Body, &rows) != nil {
		return
	}
	w.note(r, listing, rows, asked, time.Now())
}

// listed is the body of /lookup and of /nodes.
type listed struct {
	Producers []struct {
		BroadcastAddress string   `json:"broadcast_address"`
		TCPPort          int      `json:"tcp_port"`
		Topics           []string `json:"topics"`
	} `json:"producers"`
}

// has tells whether the nsqd is there, in /nodes with all its topics.
func (l listed) has(n *Nsqd, listing string) bool {
	for _, p := range l.Producers {
		if fmt.Sprintf("%s:%d", p.BroadcastAddress, p.TCPPort) == n.Key() {
			return listing != "/nodes" || slices.Contains(p.Topics, n.Own()) && slices.Contains(p.Topics, Common)
		}
	}
	return false
}

// note keeps book of one answer, to a question that was asked at one time and answered by another.
func (w *Watcher) note(r *Replica, listing string, rows listed, asked, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.polls++
	for n, since := range w.since {
		at, there := place{n, r, listing}, rows.has(n, listing)
		if there {
			w.seen[n] = now
		}
		if ended, over := w.ended[n]; asked.Before(since) || over && now.After(ended) {
			continue
		}
		open := w.gaps[at]
		switch {
		case there && open != nil:
			w.close(at, now)
		case !there && open == nil:
			w.gaps[at] = &gap{first: now, last: now}
		case !there:
			open.last = now
		}
	}
}

func (w *Watcher) close(at place, end time.Time) {
	first := w.gaps[at].first
	delete(w.gaps, at)
	w.absences = append(w.absences, Absence{Nsqd: at.nsqd.Node.Name, Replica: at.replica.Name(), Listing: at.listing,
		After: first.Sub(w.start), Length: end.Sub(first)})
}

// Sightings is what a watcher has seen.
type Sightings struct {
	Absences []Absence // the longest first
	Polls    int       // answers that say something
}

// Longest is the longest absence.
func (s Sightings) Longest() time.Duration {
	if len(s.Absences) == 0 {
		return 0
	}
	return s.Absences[0].Length
}

// Missing counts the nsqds that were missing at any time.
func (s Sightings) Missing() int {
	names := map[string]bool{}
	for _, a := range s.Absences {
		names[a.Nsqd] = true
	}
	return len(names)
}

// Stop ends the watcher and returns what it has seen. An absence that has not ended counts up to its last answer.
func (w *Watcher) Stop() Sightings {
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, open := range w.gaps {
		w.close(at, open.last)
	}
	slices.SortFunc(w.absences, func(a, b Absence) int { return int(b.Length - a.Length) })
	return Sightings{Absences: w.absences, Polls: w.polls}
}

// listedEverywhere returns nil when every replica lists the nsqd with its topics.
func (f *Fleet) listedEverywhere(ctx context.Context, n *Nsqd) error {
	for _, r := range f.Replicas {
		for _, path := range []string{"/lookup?topic=" + Common, "/nodes"} {
			var rows listed
			if err := f.succeed(ctx, http.MethodGet, r.http(), path, &rows); err != nil {
				return err
			}
			if listing, _, _ := strings.Cut(path, "?"); !rows.has(n, listing) {
				return fmt.Errorf("%s does not list %s in %s", r.Name(), n.Node.Name, path)
			}
		}
	}
	return nil
}
