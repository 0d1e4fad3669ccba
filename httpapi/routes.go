package httpapi

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"runtime/debug"

	"github.com/julienschmidt/httprouter"
)

// Kind says what a route does, which is what a client needs a permission for.
type Kind uint8

// The kinds of routes.
const (
	Reads       Kind = 1 + iota // shows the registry, or how the replica and the cluster are
	Changes                     // changes the registry
	Administers                 // changes the cluster, or hands out or replaces the registry whole
	Diagnoses                   // shows the inside of the process, at a cost
)

// String returns the kind's word in the documentation.
func (k Kind) String() string {
	switch k {
	case Reads:
		return "reads"
	case Changes:
		return "changes"
	case Administers:
		return "administers"
	case Diagnoses:
		return "diagnoses"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Route describes one route of the API.
type Route struct {
	Method string
	Path   string
	Kind   Kind
	Doc    string // what it answers, for the documentation
}

// handlerFunc makes the answer to a request. It uses w only to bound its time, unless the answer says
// that it is written already.
type handlerFunc func(s *Server, w http.ResponseWriter, r *http.Request) answer

// entry is a Route and what serves it: exactly one of answer and raw. Raw handlers write for
// themselves and are not logged.
type entry struct {
	Route
	answer handlerFunc
	raw    http.Handler
}

// Routes returns the table of all routes.
func Routes() []Route {
	var routes []Route
	for _, e := range table() {
		routes = append(routes, e.Route)
	}
	return routes
}

func table() []entry {
	var all []entry
	all = append(all, readEntries()...)
	all = append(all, changeEntries()...)
	all = append(all, clusterEntries()...)
	all = append(all, adminEntries()...)
	all = append(all, backupEntries()...)
	all = append(all, watchEntry())
	return append(all, diagnosisEntries()...)
}

// asReads ends the description of a read.
const asReads = " Takes `consistency`, `max_stale`, `index` and `wait`."

func readEntries() []entry {
	get := func(path, doc string, h handlerFunc) entry {
		return entry{Route: Route{http.MethodGet, path, Reads, doc}, answer: h}
	}
	return []entry{
		get("/ping", "OK, as plain text, while the process serves.", (*Server).ping),
		get("/info", "The version, and this replica's name and id.", (*Server).showInfo),
		get("/lookup", "The channels and the producers of `topic`; 404 TOPIC_NOT_FOUND when there is none."+asReads, (*Server).lookup),
		get("/topics", "All topics."+asReads, (*Server).topics),
		get("/channels", "The channels of `topic`; linearizable when that can be had in half a second."+asReads, (*Server).channels),
		get("/nodes", "All producers, with their topics and whether each is tombstoned."+asReads, (*Server).nodes),
	}
}

func changeEntries() []entry {
	post := func(path, doc string, h handlerFunc) entry {
		return entry{Route: Route{http.MethodPost, path, Changes, doc}, answer: h}
	}
	return []entry{
		post("/topic/create", "Creates `topic`.", (*Server).createTopic),
		post("/topic/delete", "Deletes `topic`, its channels and all registrations of them.", (*Server).deleteTopic),
		post("/topic/tombstone", "Hides the producer `node` (broadcast_address:http_port) of `topic` from lookups of that topic for a while.", (*Server).tombstone),
		post("/channel/create", "Creates `channel` of `topic`, and the topic.", (*Server).createChannel),
		post("/channel/delete", "Deletes `channel` of `topic`; 404 CHANNEL_NOT_FOUND when there is none.", (*Server).deleteChannel),
	}
}

func clusterEntries() []entry {
	get := func(path, doc string, h handlerFunc) entry {
		return entry{Route: Route{http.MethodGet, path, Reads, doc}, answer: h}
	}
	return []entry{
		get("/livez", "OK while the process serves.", (*Server).live),
		get("/readyz", "OK when this replica should get requests, else 503 with the reason; with `verbose` all that matters for that, as text.", (*Server).ready),
		get("/cluster/status", "This replica, its registry and the members of the cluster.", (*Server).status),
		get("/cluster/fingerprint", "The registry's fingerprint at the recent applied `index`, or at the newest without one; 410 when that is too old.", (*Server).fingerprint),
	}
}

// diagnosisEntries has the profiles that nsqlookupd has, and no other.
func diagnosisEntries() []entry {
	raw := func(method, path, doc string, h http.Handler) entry {
		return entry{Route: Route{method, path, Diagnoses, doc}, raw: h}
	}
	const seconds = " `seconds` makes it what changed in that time."
	return []entry{
		{
			Route:  Route{http.MethodGet, "/debug", Diagnoses, "Every registration with the sessions that hold it."},
			answer: (*Server).debug,
		},
		raw(http.MethodGet, "/debug/pprof", "An index of profiles.", http.HandlerFunc(pprof.Index)),
		raw(http.MethodGet, "/debug/pprof/cmdline", "The command line.", http.HandlerFunc(pprof.Cmdline)),
		raw(http.MethodGet, "/debug/pprof/symbol", "The functions at the program counters in the query.", http.HandlerFunc(pprof.Symbol)),
		raw(http.MethodPost, "/debug/pprof/symbol", "The functions at the program counters in the body.", http.HandlerFunc(pprof.Symbol)),
		raw(http.MethodGet, "/debug/pprof/profile", "A CPU profile of `seconds`, 30 by default.", http.HandlerFunc(pprof.Profile)),
		raw(http.MethodGet, "/debug/pprof/heap", "A profile of the heap."+seconds, pprof.Handler("heap")),
		raw(http.MethodGet, "/debug/pprof/goroutine", "The stacks of all goroutines."+seconds, pprof.Handler("goroutine")),
		raw(http.MethodGet, "/debug/pprof/block", "Where goroutines block."+seconds, pprof.Handler("block")),
		raw(http.MethodGet, "/debug/pprof/threadcreate", "What made threads."+seconds, pprof.Handler("threadcreate")),
	}
}

// newRouter is set up as nsqlookupd's (nsqio/nsq, nsqlookupd/http.go), so that its redirects, its
// 404s, its 405s and its answers to OPTIONS are the same.
func (s *Server) newRouter() *httprouter.Router {
	router := httprouter.New()
	router.HandleMethodNotAllowed = true
	router.NotFound = s.always(answerNotFound)
	router.MethodNotAllowed = s.always(answerMethodNotAllowed)
	internalError := s.always(answerInternalError)
	router.PanicHandler = func(w http.ResponseWriter, r *http.Request, p any) {
		s.log.Error(fmt.Sprintf("HTTP: panic in a handler: %v", p),
			"method", r.Method, "path", r.URL.Path, "stack", string(debug.Stack()))
		internalError.ServeHTTP(w, r)
	}
	for _, e := range table() {
		if e.raw != nil {
			router.Handler(e.Method, e.Path, e.raw)
		} else {
			router.Handle(e.Method, e.Path, s.handle(e.answer))
		}
	}
	return router
}

func (s *Server) always(a answer) http.Handler {
	h := s.handle(func(*Server, http.ResponseWriter, *http.Request) answer { return a })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h(w, r, nil) })
}
