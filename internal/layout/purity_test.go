package layout

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// orderless is what a loop over a map must say: Go's map order differs from run to run, so it may not
// reach the registry or an answer.
var orderless = regexp.MustCompile(`(?m)order does not matter: *\S`)

// impure are the packages that know the time, chance or the world outside.
func impure(path string) bool {
	switch path {
	case "time", "math/rand", "math/rand/v2", "crypto/rand", "hash/maphash", "log", "log/slog", "syscall":
		return true
	}
	return path == "net" || strings.HasPrefix(path, "net/") || path == "os" || strings.HasPrefix(path, "os/")
}

// purity checks one type-checked file of fsm.
type purity struct {
	*source
	info *types.Info
	fn   *ast.FuncDecl // around the node being checked
}

func (p *purity) check() []string {
	for _, spec := range p.file.Imports {
		if path, err := strconv.Unquote(spec.Path.Value); err != nil || impure(path) {
			p.complain(spec, "fsm must not import %s", spec.Path.Value)
		}
	}
	sorted := p.sortedCalls()
	for _, decl := range p.file.Decls {
		p.fn, _ = decl.(*ast.FuncDecl)
		ast.Inspect(decl, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				p.complain(n, "fsm must not start goroutines")
			case *ast.RangeStmt:
				if isMap(p.info.TypeOf(n.X)) && !p.excused(n) {
					p.complain(n, "loop over a map without `order does not matter: why`")
				}
			case *ast.CallExpr:
				if p.inMapOrder(n) && !sorted[n] && !p.excused(n) {
					p.complain(n, "walk of a map, neither sorted nor with `order does not matter: why`")
				}
			}
			return true
		})
	}
	return p.bad
}

// sortedCalls are the calls whose result goes straight to slices.Sorted or one of its kin.
func (p *purity) sortedCalls() map[ast.Node]bool {
	sorted := map[ast.Node]bool{}
	ast.Inspect(p.file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && len(call.Args) > 0 {
			switch p.called(call) {
			case "slices.Sorted", "slices.SortedFunc", "slices.SortedStableFunc":
				sorted[call.Args[0]] = true
			}
		}
		return true
	})
	return sorted
}

func (p *purity) inMapOrder(call *ast.CallExpr) bool {
	switch p.called(call) {
	case "maps.Keys", "maps.Values", "maps.All", "(*sync.Map).Range":
		return true
	}
	return false
}

// called is the full name of the function that a call names.
func (p *purity) called(call *ast.CallExpr) string {
	fun := call.Fun
	if generic, ok := fun.(*ast.IndexExpr); ok {
		fun = generic.X
	}
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if f, ok := p.info.Uses[sel.Sel].(*types.Func); ok {
		return f.FullName()
	}
	return ""
}

// excused: the statement's line, the comment just above it, or the function's comment says why.
func (p *purity) excused(n ast.Node) bool {
	if p.fn != nil && p.fn.Doc != nil && orderless.MatchString(p.fn.Doc.Text()) {
		return true
	}
	line := p.fset.Position(n.Pos()).Line
	for _, group := range p.file.Comments {
		starts, ends := p.fset.Position(group.Pos()).Line, p.fset.Position(group.End()).Line
		if (ends == line-1 || starts == line) && orderless.MatchString(group.Text()) {
			return true
		}
	}
	return false
}

func isMap(t types.Type) bool {
	if t == nil {
		return false
	}
	if parameter, ok := t.(*types.TypeParam); ok {
		return anyTermIsMap(parameter)
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

// anyTermIsMap: the constraint, such as ~map[K]V, lets a map in.
func anyTermIsMap(p *types.TypeParam) bool {
	constraint, ok := p.Constraint().Underlying().(*types.Interface)
	if !ok {
		return false
	}
	for embedded := range constraint.EmbeddedTypes() {
		union, ok := embedded.(*types.Union)
		if !ok {
			union = types.NewUnion([]*types.Term{types.NewTerm(false, embedded)})
		}
		for term := range union.Terms() {
			if _, ok := term.Type().Underlying().(*types.Map); ok {
				return true
			}
		}
	}
	return false
}

// checker type-checks against the export data that the go command has in its cache, so it needs
// neither a network nor the sources of what fsm imports.
type checker struct {
	packages []listed // of fsm
	exports  map[string]string
}

func newChecker(t *testing.T) *checker {
	t.Helper()
	c := &checker{exports: map[string]string{}}
	for _, p := range goList(t, "-export", "-deps", "./fsm/...", "maps", "slices", "sync") {
		c.exports[p.ImportPath] = p.Export
		if component(p.ImportPath) == "fsm" && strings.HasPrefix(p.ImportPath, module+"/") {
			c.packages = append(c.packages, p)
		}
	}
	return c
}

func (c *checker) lookup(path string) (io.ReadCloser, error) {
	if c.exports[path] == "" {
		return nil, fmt.Errorf("no export data for %s", path)
	}
	return os.Open(c.exports[path])
}

// check finds what is impure in one package, given as its files.
func (c *checker) check(sources []*source) ([]string, error) {
	fset := token.NewFileSet()
	files := make([]*ast.File, 0, len(sources))
	for _, s := range sources {
		fset = s.fset
		files = append(files, s.file)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", c.lookup)}
	if _, err := config.Check("fsm", fset, files, info); err != nil {
		return nil, err
	}
	var bad []string
	for _, s := range sources {
		bad = append(bad, (&purity{source: s, info: info}).check()...)
	}
	return bad, nil
}

func TestFSMIsPure(t *testing.T) {
	c := newChecker(t)
	if len(c.packages) == 0 {
		t.Fatal("go list finds no fsm")
	}
	for _, p := range c.packages {
		fset := token.NewFileSet()
		var sources []*source
		for _, name := range p.GoFiles {
			path := filepath.Join(p.Dir, name)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s, err := parseInto(fset, path, text)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, s)
		}
		bad, err := c.check(sources)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range bad {
			t.Error(b)
		}
	}
}

func TestImpurityIsFound(t *testing.T) {
	c := newChecker(t)
	const loop = "package fsm\nfunc f(m map[int]int) {\n%s\nfor range m {} %s\n}"
	for _, s := range []struct{ name, text, want string }{
		{"go", `package fsm; func f() { go f() }`, "goroutines"},
		{"map", fmt.Sprintf(loop, "", ""), "loop over a map"},
		{"named map", "package fsm; type m map[int]int; func f(m m) { for range m {} }", "loop over a map"},
		{"generic map", "package fsm; func f[M ~map[K]int, K comparable](m M) { for range m {} }", "loop over a map"},
		{"generic slice", "package fsm; func f[S ~[]int](s S) { for range s {} }", ""},
		{"in a literal", "package fsm; var f = func(m map[int]int) { for range m {} }", "loop over a map"},
		{"slice", "package fsm; func f(s []int) { for range s {} }", ""},
		{"excused above", fmt.Sprintf(loop, "// The order does not matter: it counts.", ""), ""},
		{"excused beside", fmt.Sprintf(loop, "", "// order does not matter: it counts"), ""},
		{"excused by the function", "package fsm\n// order does not matter: it counts.\nfunc f(m map[int]int) { for range m {} }", ""},
		{"no reason", fmt.Sprintf(loop, "// order does not matter:", ""), "loop over a map"},
		{"too far above", fmt.Sprintf(loop, "// order does not matter: x\n", ""), "loop over a map"},
		{"keys", `package fsm; import "maps"; func f(m map[int]int) { for range maps.Keys(m) {} }`, "walk of a map"},
		{"collected", `package fsm; import ("maps"; "slices"); func f(m map[int]int) []int { return slices.Collect(maps.Values(m)) }`, "walk of a map"},
		{"sorted", `package fsm; import ("maps"; "slices"); func f(m map[int]int) []int { return slices.Sorted(maps.Keys(m)) }`, ""},
		{"sync.Map", `package fsm; import "sync"; func f(m *sync.Map) { m.Range(nil) }`, "walk of a map"},
	} {
		parsed, err := parseSource("fsm/x.go", []byte(s.text))
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		bad, err := c.check([]*source{parsed})
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		if s.want == "" && len(bad) > 0 || s.want != "" && (len(bad) != 1 || !strings.Contains(bad[0], s.want)) {
			t.Errorf("%s: complaints %q, want %q", s.name, bad, s.want)
		}
	}
}

func TestImpureImportsAreFound(t *testing.T) {
	bad := []string{"time", "math/rand", "math/rand/v2", "net", "net/http", "net/netip", "os", "os/exec", "log", "log/slog",
		"crypto/rand", "hash/maphash", "syscall"}
	good := []string{"context", "sync", "sync/atomic", "math/bits", "network", "bytes", "github.com/hashicorp/raft"}
	for _, path := range slices.Concat(bad, good) {
		s, err := parseSource("fsm/x.go", []byte(fmt.Sprintf("package fsm; import _ %q", path)))
		if err != nil {
			t.Fatal(err)
		}
		found := len((&purity{source: s, info: &types.Info{}}).check()) == 1
		if found != slices.Contains(bad, path) {
			t.Errorf("import of %s: found %v", path, found)
		}
	}
}
