package reference

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/raftlookupd/raftlookupd/httpapi"
)

const httpHead = "Every replica serves all of it, on `-http-address`. The paths of nsqlookupd have nsqlookupd's methods, status codes, bodies and\n" +
	"headers. Answers are JSON unless it is said otherwise, and carry `X-NSQ-Content-Type: nsq; version=1.0`. A change\n" +
	"of the registry is answered 200 with an empty body once it is committed and applied on the replica that was asked.\n" +
	"Parameters are taken from the query, also with POST; what is not known there is ignored.\n\n" +
	"/lookup, /topics, /channels and /nodes say how fresh they are: `X-Raftlookup-Index` (since when the answer is as it is; give it\n" +
	"as `index` to wait for the next change), `X-Raftlookup-Applied-Index` (how far this replica is), `X-Raftlookup-Leader` (a name),\n" +
	"`X-Raftlookup-Last-Contact` (milliseconds; what was committed longer ago is in the answer; 0 on the leader, -1 when nothing is\n" +
	"known), `X-Raftlookup-Consistency` (the level that the answer has), `X-Raftlookup-Unconfirmed: true` (/channels that no majority has\n" +
	"confirmed), and `ETag`, for `If-None-Match`; it is the same on all replicas. docs/reads.md explains the levels.\n\n" +
	"An error is answered `{\"message\":\"…\"}` with a word that programs may compare; what the cluster refuses has a `reason` beside\n" +
	"it, a sentence for operators. Any route may answer 404 NOT_FOUND for a path that there is not, 405\n" +
	"METHOD_NOT_ALLOWED, 500 INTERNAL_ERROR, and a redirect (301, with POST 307) when there is a slash too many at the path's end."

// kinds says what the kinds of routes are for, in the order of the page.
func kinds() []httpapi.Kind {
	return []httpapi.Kind{httpapi.Reads, httpapi.Changes, httpapi.Administers, httpapi.Diagnoses}
}

func kindMeaning(k httpapi.Kind) string {
	return map[httpapi.Kind]string{
		httpapi.Reads:       "These show the registry, or how the replica and the cluster are.",
		httpapi.Changes:     "These change the registry, through the log.",
		httpapi.Administers: "These change the cluster, or hand out or replace the registry as a whole.",
		httpapi.Diagnoses: "These show the inside of the process, at a cost. Those below /debug/pprof are Go's own profiles, for `go tool pprof`; " +
			"`debug=1` makes text of those that are profiles of a moment.",
	}[k]
}

func httpPage(src *sources) (string, error) {
	p := newPage("HTTP API")
	p.paragraph(httpHead)
	described := endpoints()
	routes := httpapi.Routes()
	if err := errors.Join(checkEndpoints(routes, described), checkMessages(src, answers(described), described)); err != nil {
		return "", err
	}
	rows := [][]string{{"method", "path", "kind", "what"}}
	for _, r := range routes {
		path := r.Path
		if !isProfile(r) {
			path = "[" + path + "](#" + anchor(r) + ")"
		}
		rows = append(rows, []string{r.Method, path, r.Kind.String(), r.Doc})
	}
	p.table(rows)
	for _, k := range kinds() {
		word := k.String()
		p.line("## %s%s\n", strings.ToUpper(word[:1]), word[1:])
		p.paragraph(kindMeaning(k))
		for _, r := range routes {
			if r.Kind == k && !isProfile(r) {
				if err := writeRoute(p, src, r, described[r.Method+" "+r.Path]); err != nil {
					return "", err
				}
			}
		}
	}
	writeMessages(p)
	writeLimits(p)
	return strings.TrimRight(p.String(), "\n") + "\n", nil
}

// isProfile reports whether a route is one of net/http/pprof's, which are described together.
func isProfile(r httpapi.Route) bool { return strings.HasPrefix(r.Path, "/debug/pprof") }

// anchor is that of a route's heading, as GitHub makes it.
func anchor(r httpapi.Route) string {
	return strings.ToLower(r.Method) + "-" + strings.ReplaceAll(strings.TrimPrefix(r.Path, "/"), "/", "")
}

func answers(described map[string]endpoint) string {
	var all []string
	for _, e := range described {
		all = append(all, e.answer)
	}
	return strings.Join(all, "\n")
}

var quoted = regexp.MustCompile("`([a-z_]+)`")

// checkEndpoints finds routes that are not described, parameters that a route's own sentence names and
// the description does not, and descriptions of no route.
func checkEndpoints(routes []httpapi.Route, described map[string]endpoint) error {
	var problems []error
	rest := maps.Clone(described)
	for _, r := range routes {
		if isProfile(r) {
			continue
		}
		name := r.Method + " " + r.Path
		e, ok := rest[name]
		if !ok {
			problems = append(problems, fmt.Errorf("describe %s in endpoints()", name))
			continue
		}
		delete(rest, name)
		if !slices.Contains(kinds(), r.Kind) {
			problems = append(problems, fmt.Errorf("%s %s: add that to kinds()", name, r.Kind))
		}
		for _, found := range quoted.FindAllStringSubmatch(r.Doc, -1) {
			if !slices.ContainsFunc(e.params, func(p param) bool { return p.name == found[1] }) {
				problems = append(problems, fmt.Errorf("say in endpoints() what %s of %s means", found[1], name))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		problems = append(problems, fmt.Errorf("%s is in endpoints(), but not in the API", name))
	}
	return errors.Join(problems...)
}

func writeRoute(p *page, src *sources, r httpapi.Route, e endpoint) error {
	p.line("### %s %s\n", r.Method, r.Path)
	p.paragraph(r.Doc)
	if len(e.params) > 0 {
		rows := [][]string{{"parameter", "", "meaning"}}
		for _, a := range e.params {
			need := map[bool]string{true: "required", false: "optional"}[a.required]
			rows = append(rows, []string{code(a.name), need, a.means})
		}
		p.table(rows)
	}
	switch {
	case strings.HasPrefix(e.answer, "{"):
		p.line("Answers 200:\n")
		p.block(e.answer)
	case e.answer != "":
		p.line("Answers 200: %s.\n", e.answer)
	}
	if err := writeDetails(p, src, r); err != nil {
		return err
	}
	if len(e.fails) > 0 {
		var list []string
		for _, m := range messages() {
			if slices.Contains(e.fails, m.word) {
				list = append(list, m.shown())
			}
		}
		p.line("Or: %s.\n", strings.Join(list, ", "))
	}
	return nil
}

// writeDetails adds the tables of those routes that have one.
func writeDetails(p *page, src *sources, r httpapi.Route) error {
	switch r.Path {
	case "/cluster/status":
		rows, err := statusRows(src.cluster)
		if err != nil {
			return err
		}
		p.line("It does not wait for anybody but the members, and works without a leader. Answers 200:\n")
		p.table(append([][]string{{"field", "type", "meaning"}}, rows...))
	case "/readyz":
		rows, err := unreadyRows(src.cluster)
		if err != nil {
			return err
		}
		p.line("Otherwise 503, and the message is one of these:\n")
		p.table(append([][]string{{"message", "what to do"}}, rows...))
	}
	return nil
}

func writeMessages(p *page) {
	p.line("## Messages\n")
	rows := [][]string{{"code", "message", "meaning", "what to do"}}
	for _, m := range messages() {
		rows = append(rows, []string{fmt.Sprint(m.code), code(m.word), m.means, m.advice})
	}
	p.table(rows)
}

func writeLimits(p *page) {
	c := httpapi.DefaultConfig()
	p.line("## Limits\n")
	p.table([][]string{
		{"what", "limit", "beyond it"},
		{"request line and header", fmt.Sprintf("%d KiB, %v to arrive", c.MaxHeaderBytes>>10, c.ReadHeaderTimeout), "431, or the connection is closed"},
		{"body", fmt.Sprintf("%d MiB, %v to arrive", c.MaxBodyBytes>>20, c.BodyTimeout), "400 INVALID_REQUEST"},
		{"body of /cluster/restore", fmt.Sprintf("%d GiB, %v for each 64 KiB of it", c.MaxSnapshotBytes>>30, c.BodyTimeout), "413 TOO_LARGE, 400 INVALID_REQUEST"},
		{"answer", fmt.Sprintf("%v to be taken by the client", c.WriteTimeout), "the connection is closed"},
		{"connection at rest", c.IdleTimeout.String(), "the connection is closed"},
	})
}
