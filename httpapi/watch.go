package httpapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/raftlookupd/raftlookupd/fsm"
)

// WatchConfig says how the streams of /watch behave. A zero means the default.
type WatchConfig struct {
	// Heartbeat is how often a stream shows that it lives, and ends when the replica is no longer
	// ready: 10 s.
	Heartbeat time.Duration
	// Interval is the shortest time from one look at the registry to the next, for one stream: 20 ms.
	// What changes meanwhile is told together, and what changes twice is told once.
	Interval time.Duration
}

func (c WatchConfig) withDefaults() WatchConfig {
	c.Heartbeat = cmp.Or(c.Heartbeat, 10*time.Second)
	c.Interval = cmp.Or(c.Interval, 20*time.Millisecond)
	return c
}

const (
	watchPath = "/watch"
	// maxWatched is how many topics a stream may name; one that wants more watches all.
	maxWatched = 1000
	// watchPage is how many topics are told from one state. Then the newest is taken: a slow client
	// would keep the memory of an old one.
	watchPage = 1000
	// catchUpWait is how long a stream that is resumed waits for an index that another replica has told.
	catchUpWait = time.Second
)

var (
	answerNotReady        = message(http.StatusServiceUnavailable, "NOT_READY")
	answerTooManyTopics   = message(http.StatusBadRequest, "TOO_MANY_TOPICS")
	answerInvalidLastSeen = message(http.StatusBadRequest, "INVALID_LAST_EVENT_ID")
)

func watchEntry() entry {
	return entry{
		Route: Route{http.MethodGet, watchPath, Reads, "The topics `topic` (up to 1,000; without one, all) and then each change of them, as server-sent events: " +
			"topic, gone, ready after everything was told, resync before it is told anew. The header Last-Event-ID resumes."},
		answer: (*Server).watch,
	}
}

func (s *Server) watch(w http.ResponseWriter, r *http.Request) answer {
	c := &watcher{s: s, out: sse{s: s, w: w}, gone: make(map[string]bool)}
	if problem := c.ask(r); problem != nil {
		return *problem
	}
	if ok, _ := s.cfg.Replica.Ready(); !ok {
		return answerNotReady
	}
	if _, err := s.cfg.Replica.Read(r.Context()); err != nil {
		return s.failure(r, err)
	}
	if err := c.run(r.Context()); err != nil {
		s.log.Debug("HTTP: a watch ends", "from", r.RemoteAddr, "reason", err)
	}
	return answer{code: http.StatusOK, form: formSent}
}

// watcher is one stream. It keeps no queue of events: when something has changed it looks at what is
// now, and tells that. So a client that falls behind costs no memory, and skips what is past; one
// that does not take an event within the WriteTimeout is cut off.
//
// An event's id is an index up to which its reader has been told everything, or that is older. Of
// several topics that are told together only the last may claim the index that they were looked up
// at; those before it have the id of before. Who resumes after any of them misses nothing.
type watcher struct {
	s      *Server
	out    sse
	topics []string        // sorted; none stands for all
	gone   map[string]bool // of topics: those that the client knows not to exist
	told   uint64          // the client knows everything up to this index
	anew   bool            // it knows nothing, and shall be told everything
}

// ask reads the request. When problem is not nil it is the answer.
func (c *watcher) ask(r *http.Request) (problem *answer) {
	if _, ok := params(r); !ok {
		return &answerInvalidRequest
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &answerInvalidRequest
	}
	c.topics = slices.Clone(values["topic"])
	slices.Sort(c.topics)
	c.topics = slices.Compact(c.topics)
	if len(c.topics) > maxWatched {
		return &answerTooManyTopics
	}
	if !allValid(c.topics) {
		return &answerInvalidTopic
	}
	last := r.Header.Get("Last-Event-ID")
	if c.anew = last == ""; c.anew {
		return nil
	}
	if c.told, err = strconv.ParseUint(last, 10, 64); err != nil {
		return &answerInvalidLastSeen
	}
	return nil
}

func allValid(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !fsm.ValidName(name) })
}

// thing is what to wait for. Of several topics that is any entry: after the Interval it costs a look
// at each of them.
func (c *watcher) thing() fsm.Thing {
	if len(c.topics) == 1 {
		return fsm.Thing{Topic: c.topics[0]}
	}
	return fsm.Thing{All: true}
}

// The reasons for which a stream ends, besides errors of the connection.
var (
	errStopping = errors.New("the server stops")
	errNotReady = errors.New("the replica is not ready any more")
)

// run tells what there is, and then what changes, until it cannot.
func (c *watcher) run(ctx context.Context) error {
	heartbeat := time.NewTicker(c.s.cfg.Watch.Heartbeat)
	defer heartbeat.Stop()
	if err := c.out.begin(); err != nil {
		return err
	}
	if err := c.catchUp(ctx); err != nil {
		return err
	}
	for first := true; ; first = false {
		change := c.s.cfg.Fresh.Watch(c.thing())
		err := c.tell(ctx, first)
		if err == nil {
			err = c.await(ctx, change, heartbeat.C)
		}
		change.Stop()
		if err != nil {
			return err
		}
	}
}

// await waits for the change, and for the Interval at least.
func (c *watcher) await(ctx context.Context, change *fsm.Waiter, heartbeat <-chan time.Time) error {
	interval := time.NewTimer(c.s.cfg.Watch.Interval)
	defer interval.Stop()
	changed, due := change.C, interval.C
	for changed != nil || due != nil {
		select {
		case <-changed:
			changed = nil
		case <-due:
			due = nil
		case <-heartbeat:
			if ok, _ := c.s.cfg.Replica.Ready(); !ok {
				return errNotReady // others know more
			}
			if err := c.out.comment("heartbeat"); err != nil {
				return err
			}
		case <-c.s.stopping:
			return errStopping
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// catchUp waits a moment for the registry to come as far as the client has been told elsewhere: else
// one that goes from one replica to another would be told everything anew.
func (c *watcher) catchUp(ctx context.Context) error {
	limit := time.NewTimer(catchUpWait)
	defer limit.Stop()
	for {
		change := c.s.cfg.Fresh.Watch(fsm.Thing{All: true})
		state, err := c.s.cfg.Replica.Read(ctx)
		if err != nil || state.Index() >= c.told {
			change.Stop()
			return err
		}
		select {
		case <-change.C:
			continue
		case <-limit.C:
		case <-c.s.stopping:
			err = errStopping
		case <-ctx.Done():
			err = ctx.Err()
		}
		change.Stop()
		return err
	}
}

// tell sends what the client does not know yet.
func (c *watcher) tell(ctx context.Context, first bool) error {
	state, err := c.s.cfg.Replica.Read(ctx)
	if err != nil {
		return err
	}
	index := state.Index()
	names, err := c.names(state)
	if err != nil {
		return err
	}
	ready := first || c.anew
	for i, name := range names {
		if i > 0 && i%watchPage == 0 {
			if state, err = c.s.cfg.Replica.Read(ctx); err != nil {
				return err
			}
		}
		id := c.told
		if i == len(names)-1 && !ready {
			id = index
		}
		if err := c.tellTopic(id, state, name); err != nil {
			return err
		}
	}
	if ready {
		if err := c.out.event(index, "ready", appendIndex([]byte("{"), index), []byte("}")); err != nil {
			return err
		}
	}
	c.told, c.anew = index, false
	if len(names) == 0 && !ready {
		return nil
	}
	return c.out.flush()
}

// names returns the topics to tell of.
func (c *watcher) names(state *fsm.State) ([]string, error) {
	if !c.anew {
		if names, known := c.news(state); known {
			return names, nil
		}
		if err := c.resync(); err != nil {
			return nil, err
		}
	}
	if len(c.topics) == 0 {
		return state.ModifiedSince(0), nil
	}
	return c.topics, nil
}

// news returns the topics that the client must be told of; it is not known which when the index that
// it knows is too long ago, or of another log.
func (c *watcher) news(state *fsm.State) (names []string, known bool) {
	if state.Index() < c.told {
		return nil, false
	}
	if len(c.topics) == 0 {
		names, known = state.ChangedSince(c.told)
		if !known && state.Modified(fsm.Thing{Topics: true}) <= c.told {
			return state.ModifiedSince(c.told), true // none has gone
		}
		return names, known
	}
	for _, name := range c.topics {
		if state.Modified(fsm.Thing{Topic: name}) > c.told {
			if _, ok := state.Lookup(name); ok || !c.gone[name] {
				names = append(names, name)
			}
		}
	}
	return names, true
}

// resync makes the client forget what it knows. From here on its id is 0, so that one who resumes
// before everything was told is told everything.
func (c *watcher) resync() error {
	c.told, c.anew = 0, true
	clear(c.gone)
	return c.out.event(0, "resync", []byte("{}"), nil)
}

func (c *watcher) tellTopic(id uint64, state *fsm.State, name string) error {
	select {
	case <-c.s.stopping:
		return errStopping
	default:
	}
	head := append([]byte(`{"topic":`), encodeKnown(name)...)
	head = appendIndex(append(head, ','), state.Modified(fsm.Thing{Topic: name}))
	body, ok := state.Lookup(name)
	if len(c.topics) > 0 {
		c.gone[name] = !ok
	}
	if !ok {
		return c.out.event(id, "gone", head, []byte("}"))
	}
	return c.out.event(id, "topic", append(head, ','), body[1:]) // body is an object with members
}

func appendIndex(b []byte, index uint64) []byte {
	return strconv.AppendUint(append(b, `"index":`...), index, 10)
}
