package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Each must stay under its limit.
const (
	functionLines = 60
	fileLines     = 400
	structFields  = 20
)

// source is one parsed file and what is wrong with it.
type source struct {
	path string // from the root of the repository, with slashes
	fset *token.FileSet
	file *ast.File
	// selected holds the cases of select statements: there, time.After bounds a wait.
	selected map[ast.Stmt]bool
	bubbles  []ast.Node // calls of synctest.Test: there, sleeping turns a fake clock
	bad      []string
}

func parseSource(path string, text []byte) (*source, error) {
	return parseInto(token.NewFileSet(), path, text)
}

func parseInto(fset *token.FileSet, path string, text []byte) (*source, error) {
	file, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &source{path: path, fset: fset, file: file, selected: map[ast.Stmt]bool{}}, nil
}

func (s *source) complain(n ast.Node, format string, args ...any) {
	s.bad = append(s.bad, fmt.Sprintf("%s: %s", s.fset.Position(n.Pos()), fmt.Sprintf(format, args...)))
}

func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s *source) below(dir string) bool {
	return slices.Contains(strings.Split(filepath.ToSlash(filepath.Dir(s.path)), "/"), dir)
}

func (s *source) check() []string {
	if ast.IsGenerated(s.file) {
		return nil
	}
	s.checkFileLength()
	ast.Inspect(s.file, func(n ast.Node) bool {
		s.checkLength(n)
		if !s.isTest() && !s.below("cmd") {
			s.checkExit(n)
		}
		if s.isTest() && !strings.HasPrefix(s.path, "internal/eventually/") {
			s.checkSleep(n)
		}
		return true
	})
	return s.bad
}

func (s *source) lines(n ast.Node) int {
	return s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1
}

func (s *source) checkFileLength() {
	whole := s.fset.File(s.file.Pos())
	n := whole.LineCount()
	if whole.Size() > 0 && whole.LineStart(n) == token.Pos(whole.Base()+whole.Size()) {
		n-- // what follows the last newline is no line
	}
	if n >= fileLines {
		s.complain(s.file, "file of %d lines, must be under %d", n, fileLines)
	}
}

func (s *source) checkLength(n ast.Node) {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if l := s.lines(n); l >= functionLines {
			s.complain(n, "function %s of %d lines, must be under %d", n.Name.Name, l, functionLines)
		}
	case *ast.StructType:
		if c := n.Fields.NumFields(); c >= structFields {
			s.complain(n, "struct of %d fields, must be under %d", c, structFields)
		}
	}
}

// checkExit keeps the decision to end the process in cmd.
func (s *source) checkExit(n ast.Node) {
	switch n := n.(type) {
	case *ast.CallExpr:
		if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "panic" {
			s.complain(n, "panic outside cmd")
		}
	case *ast.SelectorExpr:
		if s.isPackage(n.X, "os") && n.Sel.Name == "Exit" {
			s.complain(n, "os.Exit outside cmd")
		}
		ends := strings.HasPrefix(n.Sel.Name, "Fatal") || strings.HasPrefix(n.Sel.Name, "Panic")
		if s.isPackage(n.X, "log") && ends {
			s.complain(n, "log.%s outside cmd", n.Sel.Name)
		}
	}
}

// checkSleep keeps tests from waiting for time to pass instead of for what they wait for.
func (s *source) checkSleep(n ast.Node) {
	switch n := n.(type) {
	case *ast.CallExpr:
		if s.isSelector(n.Fun, "testing/synctest", "Test") {
			s.bubbles = append(s.bubbles, n)
		}
	case *ast.SelectorExpr:
		if s.isPackage(n.X, "time") && n.Sel.Name == "Sleep" && !s.inBubble(n) {
			s.complain(n, "time.Sleep in a test: use internal/eventually")
		}
	case *ast.CommClause:
		s.selected[n.Comm] = true
	case *ast.ExprStmt:
		receive, ok := n.X.(*ast.UnaryExpr)
		if !ok || receive.Op != token.ARROW || s.selected[n] {
			return
		}
		if call, ok := receive.X.(*ast.CallExpr); ok && s.isSelector(call.Fun, "time", "After") && !s.inBubble(n) {
			s.complain(n, "waiting for time.After in a test: use internal/eventually")
		}
	}
}

func (s *source) inBubble(n ast.Node) bool {
	return slices.ContainsFunc(s.bubbles, func(b ast.Node) bool { return b.Pos() <= n.Pos() && n.End() <= b.End() })
}

func (s *source) isSelector(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == name && s.isPackage(sel.X, pkg)
}

// isPackage: e is the name under which the file imports the package of that path.
func (s *source) isPackage(e ast.Expr, path string) bool {
	name, ok := e.(*ast.Ident)
	if !ok {
		return false
	}
	for _, spec := range s.file.Imports {
		if imported, err := strconv.Unquote(spec.Path.Value); err != nil || imported != path {
			continue
		}
		local := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			local = spec.Name.Name
		}
		return name.Name == local
	}
	return false
}

// eachSource calls visit for every Go file of the repository, those of the nested modules too.
func eachSource(t *testing.T, visit func(path string, text []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "data") {
			return filepath.SkipDir
		}
		if entry.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		visit(filepath.ToSlash(relative), text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSourceRules(t *testing.T) {
	seen := 0
	eachSource(t, func(path string, text []byte) {
		seen++
		s, err := parseSource(path, text)
		if err != nil {
			t.Error(err)
			return
		}
		for _, bad := range s.check() {
			t.Error(bad)
		}
	})
	if seen < 10 {
		t.Errorf("only %d Go files found", seen)
	}
}

func TestBrokenSourceRulesAreFound(t *testing.T) {
	repeat := strings.Repeat
	for _, c := range []struct {
		name, path, text, want string
	}{
		{"longest file", "a/a.go", "package a" + repeat("\n", 399), ""},
		{"long file", "a/a.go", "package a" + repeat("\n", 400), "file of 400 lines"},
		{"long file without last newline", "a/a.go", "package a" + repeat("\n", 399) + "//", "file of 400 lines"},
		{"longest function", "a/a.go", "package a\nfunc f() {" + repeat("\n", 58) + "}", ""},
		{"long function", "a/a.go", "package a\nfunc f() {" + repeat("\n", 59) + "}", "function f of 60"},
		{"long test", "a/a_test.go", "package a\nfunc f() {" + repeat("\n", 59) + "}", "function f of 60"},
		{"long generated", "a/a.go", "// Code generated by x. DO NOT EDIT.\npackage a\nfunc f() {" + repeat("\n", 500) + "}", ""},
		{"widest struct", "a/a.go", "package a\ntype s struct {" + repeat("int;", 19) + "}", ""},
		{"wide struct", "a/a.go", "package a\ntype s struct { a, b int;" + repeat("int;", 18) + "}", "struct of 20 fields"},
		{"panic", "a/a.go", `package a; func f() { panic("x") }`, "panic outside cmd"},
		{"panic in cmd", "cmd/a/a.go", `package main; func f() { panic("x") }`, ""},
		{"panic in a nested cmd", "bench/cmd/a/a.go", `package main; func f() { panic("x") }`, ""},
		{"panic in a test", "a/a_test.go", `package a; func f() { panic("x") }`, ""},
		{"exit", "a/a.go", `package a; import "os"; var f = os.Exit`, "os.Exit outside cmd"},
		{"renamed exit", "cmdx/a.go", `package a; import x "os"; func f() { x.Exit(1) }`, "os.Exit outside cmd"},
		{"fatal", "a/a.go", `package a; import "log"; func f() { log.Fatalf("x") }`, "log.Fatalf outside cmd"},
		{"log panic", "a/a.go", `package a; import "log"; func f() { log.Panicln("x") }`, "log.Panicln outside cmd"},
		{"other log", "a/a.go", `package a; import "example.com/log"; func f() { log.Fatalf("x") }`, ""},
		{"sleep", "a/a_test.go", `package a; import "time"; func f() { time.Sleep(1) }`, "time.Sleep in a test"},
		{"renamed sleep", "a/a_test.go", `package a; import x "time"; var f = x.Sleep`, "time.Sleep in a test"},
		{"after", "a/a_test.go", `package a; import "time"; func f() { <-time.After(1) }`, "time.After in a test"},
		{"after in select", "a/a_test.go", `package a; import "time"; func f() { select { case <-time.After(1): } }`, ""},
		{"sleep in a bubble", "a/a_test.go", `package a; import ("time"; "testing/synctest"); func f() { synctest.Test(nil, func() { time.Sleep(1) }) }`, ""},
		{"sleep beside a bubble", "a/a_test.go", `package a; import ("time"; "testing/synctest"); func f() { synctest.Test(); time.Sleep(1) }`, "time.Sleep in a test"},
		{"sleep outside tests", "a/a.go", `package a; import "time"; func f() { time.Sleep(1) }`, ""},
		{"sleep of the helper", "internal/eventually/a_test.go", `package a; import "time"; var f = time.Sleep`, ""},
	} {
		s, err := parseSource(c.path, []byte(c.text))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		bad := s.check()
		if c.want == "" && len(bad) > 0 || c.want != "" && (len(bad) != 1 || !strings.Contains(bad[0], c.want)) {
			t.Errorf("%s: complaints %q, want %q", c.name, bad, c.want)
		}
	}
}
