package pause

import (
	"context"
	"sync"
	"time"
)

const (
	// Limit is the gap between two beats from which on it is a pause. nsqd waits for an answer for one
	// second, so pauses have to be seen well before that; on a busy machine (load 20 on 2 processors) a
	// goroutine waits for up to 400 ms.
	Limit = 600 * time.Millisecond
	// beat is how often a Watch looks at the clocks. A pause longer than Limit is always seen, one
	// shorter than Limit-beat never.
	beat = 100 * time.Millisecond
)

// Watch remembers when the last pause ended. Make it with New; a nil Watch sees no pause.
type Watch struct {
	read    func() reading
	noticed func(time.Duration)

	mu    sync.Mutex
	last  reading   // at the last beat
	ended time.Time // of the last pause; zero for none
}

// New returns a Watch that must be Run at once: without beats everything is a pause. noticed is told how
// long each pause was; it may be nil.
func New(noticed func(time.Duration)) *Watch {
	if noticed == nil {
		noticed = func(time.Duration) {}
	}
	w := &Watch{read: readClocks, noticed: noticed}
	w.last = w.read()
	return w
}

// Run beats until the context ends, and returns nil.
func (w *Watch) Run(ctx context.Context) error {
	t := time.NewTicker(beat)
	defer t.Stop()
	for {
		w.beat()
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

func (w *Watch) beat() {
	w.mu.Lock()
	now := w.read()
	gap := now.since(w.last)
	if gap > Limit {
		w.ended = now.at
	}
	w.last = now
	w.mu.Unlock()
	if gap > Limit {
		w.noticed(gap)
	}
}

// Since reports whether a pause overlapped the time from t until now. It also sees a pause that ends right
// now, before the next beat: after SIGCONT any goroutine may run first.
func (w *Watch) Since(t time.Time) bool {
	if w == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.read().since(w.last) > Limit || !w.ended.IsZero() && !w.ended.Before(t)
}

// reading is what the clocks say at one moment.
type reading struct {
	at   time.Time     // monotonic: goes on while the process is stopped, and in most paused virtual machines
	boot time.Duration // since the machine started: goes on also while the machine sleeps; 0 where unknown
	wall int64         // nanoseconds since 1970: set forward after the pause of a machine whose clocks stood still
}

func readClocks() reading {
	now := time.Now()
	return reading{at: now, boot: sinceBoot(), wall: now.UnixNano()}
}

// since returns the longest time that any clock says has gone by. A wall clock that is set forward for
// another reason looks like a pause, because nothing tells the two apart.
func (r reading) since(o reading) time.Duration {
	return max(r.at.Sub(o.at), r.boot-o.boot, time.Duration(r.wall-o.wall))
}
