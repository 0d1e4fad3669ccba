package reference

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/raftlookupd/raftlookupd/httpapi"
)

// with is the sources with a package in the place of one of them.
func with(t *testing.T, replace func(*sources, *source), code string) *sources {
	t.Helper()
	src, err := readSources(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte("package p\n"+code), 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := parsePackage(dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	replace(src, other)
	return src
}

func wantError(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("no %q in %v", text, err)
		}
	}
}

func TestUndescribedMessagesAreFound(t *testing.T) {
	src := with(t, func(s *sources, o *source) { s.daemon = o }, `
var a = message(http.StatusTeapot, "NEW_WORD")
var b = asRefusal("DANCE", nil)
var c = asRefusal("JOIN", nil)`)
	err := checkMessages(src, answers(endpoints()), endpoints())
	wantError(t, err, "NEW_WORD is in the code", "DANCE_REFUSED is in the code", "LEAVE_REFUSED is in messages(), but not")
	if err != nil && (strings.Contains(err.Error(), "JOIN_REFUSED") || strings.Contains(err.Error(), "DANCE is")) {
		t.Errorf("blamed for nothing: %v", err)
	}
	src = with(t, func(s *sources, o *source) { s.httpapi = o }, `
var a = message(http.StatusGone, "MISSING_ARG_TOPIC")`)
	wantError(t, checkMessages(src, "", endpoints()), "MISSING_ARG_TOPIC is answered with 410, messages() says 400")
}

func TestUndescribedRoutesAndParametersAreFound(t *testing.T) {
	routes := append(httpapi.Routes(), httpapi.Route{Method: "GET", Path: "/new", Kind: httpapi.Reads, Doc: "New."})
	routes = slices.DeleteFunc(routes, func(r httpapi.Route) bool { return r.Path == "/ping" })
	for i := range routes {
		if routes[i].Path == "/topics" {
			routes[i].Doc = "All topics that have the `prefix`."
		}
	}
	wantError(t, checkEndpoints(routes, endpoints()), "describe GET /new", "GET /ping is in endpoints(), but not", "what prefix of GET /topics means")
}

func TestUndescribedFieldsAreFound(t *testing.T) {
	src := with(t, func(s *sources, o *source) { s.cluster = o }, "type Status struct {\nName string `json:\"name\"`\nMood string `json:\"mood\"`\n}\n"+
		`func isReady() (bool, string) { return false, "is sad" }`)
	_, err := statusRows(src.cluster)
	wantError(t, err, "what mood of /cluster/status means", "registry is in statusMeanings(), but not")
	_, err = unreadyRows(src.cluster)
	wantError(t, err, `a replica "is sad"`, `"is stopping" is in unready(), but not`)
}

func TestUndescribedEnvironmentIsFound(t *testing.T) {
	src := with(t, func(s *sources, o *source) { s.ctl = o }, `var a, b = p.getenv("TERM"), p.getenv("LOOKUPCTL_MOOD")`)
	_, err := environmentOf(src.ctl)
	wantError(t, err, "what LOOKUPCTL_MOOD means", "does not ask for NO_COLOR")
}

func TestMissingConstantsAreFound(t *testing.T) {
	src := with(t, func(s *sources, o *source) { s.raftlookup = o }, "const (\nexitFailed = 3 // more\nhealthURL = `u`)")
	if code, err := src.raftlookup.constant("exitFailed"); code != "3" || err != nil {
		t.Errorf("%q, %v", code, err)
	}
	_, err := flagsPage(src)
	wantError(t, err, "has no constant recoverHelp")
}
