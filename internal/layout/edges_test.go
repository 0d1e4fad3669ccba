package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/raftlookupd/raftlookupd"
	root   = "../.."
	helper = "internal/…" // any package below internal that allowed does not name
)

// allowed says for each component what it may import from the module. Code that is not named here
// needs a decision, and a line.
func allowed() map[string][]string {
	return map[string][]string{
		"cmd/raftlookupd":   {"internal/daemon", helper},
		"cmd/lookupctl":     {"internal/ctl", "internal/version"},
		"internal/ctl":      {"internal/snapfile", "internal/version"}, // it talks HTTP
		"internal/daemon":   {"httpapi", "tcpproto", "cluster", "fsm", helper},
		"httpapi":           {"fsm", helper},
		"tcpproto":          {"fsm", helper},
		"cluster":           {"fsm", "internal/snapfile", helper},
		"fsm":               {},
		"discovery":         {}, // it is for consumers, and knows replicas by their HTTP
		"internal/snapfile": {},
		// It writes documentation, and is part of no program.
		"internal/reference": {"httpapi", "internal/ctl", helper},
		helper:               {helper},
	}
}

// forTests says what a component's tests may import beyond that.
func forTests() map[string][]string {
	return map[string][]string{"fsm": {helper}, "internal/ctl": {helper}, "internal/reference": {"internal/daemon"}}
}

// listed is what `go list -json` says of a package.
type listed struct {
	ImportPath   string
	Dir          string
	Export       string
	GoFiles      []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	const fields = "-json=ImportPath,Dir,Export,GoFiles,Imports,TestImports,XTestImports"
	cmd := exec.Command("go", append([]string{"list", "-e", fields}, args...)...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, stderr.String())
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages
		case err != nil:
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// component is the part of the program that a package of the module belongs to.
func component(importPath string) string {
	parts := strings.Split(strings.TrimPrefix(importPath, module+"/"), "/")
	if len(parts) > 1 && (parts[0] == "cmd" || parts[0] == "internal") {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

func badEdges(p listed) []string {
	bad := badImports(p.ImportPath, p.Imports, allowed())
	tests := allowed()
	for from, more := range forTests() {
		tests[from] = append(tests[from], more...)
	}
	return append(bad, badImports(p.ImportPath, slices.Concat(p.TestImports, p.XTestImports), tests)...)
}

func badImports(from string, imports []string, rules map[string][]string) []string {
	var bad []string
	own := component(from)
	may, known := rules[own]
	if !known && strings.HasPrefix(own, "internal/") {
		may, known = rules[helper], true
	}
	if !known {
		bad = append(bad, fmt.Sprintf("%s: say in allowed() what %s may import", from, own))
	}
	for _, path := range imports {
		if strings.HasPrefix(path, "github.com/nsqio/") {
			bad = append(bad, fmt.Sprintf("%s imports %s: only the modules e2e and bench may", from, path))
		}
		if !strings.HasPrefix(path, module+"/") {
			continue
		}
		to := component(path)
		_, named := rules[to]
		isHelper := strings.HasPrefix(to, "internal/") && !named
		if to != own && !slices.Contains(may, to) && (!isHelper || !slices.Contains(may, helper)) {
			bad = append(bad, fmt.Sprintf("%s must not import %s", from, path))
		}
	}
	return bad
}

func TestImportsPointOneWay(t *testing.T) {
	packages := goList(t, "./...")
	if len(packages) < 5 {
		t.Fatalf("go list finds only %d packages", len(packages))
	}
	for _, p := range packages {
		for _, bad := range badEdges(p) {
			t.Error(bad)
		}
	}
}

func TestRootModuleIsFreeOfNSQ(t *testing.T) {
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("github.com/nsqio/")) {
			t.Errorf("%s mentions github.com/nsqio: only the modules e2e and bench may", name)
		}
	}
}

func TestBadEdgesAreFound(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
		inTest   bool
	}{
		{"cmd/raftlookupd", "internal/daemon", true, false},
		{"cmd/raftlookupd", "fsm", false, false},
		{"cmd/lookupctl", "internal/version", true, false},
		{"cmd/lookupctl", "internal/ctl", true, false},
		{"cmd/lookupctl", "internal/daemon", false, false},
		{"cmd/raftlookupd", "internal/ctl", false, false},
		{"internal/ctl", "internal/snapfile", true, false},
		{"internal/ctl", "internal/config", false, false},
		{"internal/ctl", "internal/eventually", true, true},
		{"internal/ctl", "fsm", false, true},
		{"cmd/other", "internal/version", false, false},
		{"internal/daemon", "cluster", true, false},
		{"internal/daemon/part", "internal/daemon", true, false},
		{"internal/config", "internal/version", true, false},
		{"internal/config", "fsm", false, false},
		{"internal/config", "internal/daemon", false, false},
		{"tcpproto", "fsm", true, false},
		{"tcpproto", "httpapi", false, false},
		{"tcpproto", "httpapi", false, true},
		{"httpapi", "cluster", false, false},
		{"cluster", "tcpproto", false, false},
		{"cluster", "cluster/journal", true, false},
		{"cluster", "internal/daemon", false, true},
		{"fsm", "internal/eventually", false, false},
		{"fsm", "internal/eventually", true, true},
		{"fsm", "cluster", false, true},
		{"cluster", "internal/snapfile", true, false},
		{"httpapi", "internal/snapfile", false, false},
		{"internal/snapfile", "fsm", false, true},
		{"internal/snapfile", "internal/version", false, false},
		{"util", "fsm", false, false},
	} {
		p := listed{ImportPath: module + "/" + c.from}
		if imports := []string{"fmt", module + "/" + c.to}; c.inTest {
			p.XTestImports = imports
		} else {
			p.Imports = imports
		}
		if bad := badEdges(p); (len(bad) == 0) != c.ok {
			t.Errorf("%s imports %s (in a test: %v): complaints %q", c.from, c.to, c.inTest, bad)
		}
	}
	if badEdges(listed{ImportPath: module + "/tcpproto", TestImports: []string{"github.com/nsqio/go-nsq"}}) == nil {
		t.Error("an import of NSQ's code is not found")
	}
}
