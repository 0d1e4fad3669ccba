package reference

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// source is one package, parsed without its tests, in the order of its file names.
type source struct {
	dir   string
	files []*ast.File
}

func parsePackage(root, dir string) (*source, error) {
	paths, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*.go"))
	if err != nil {
		return nil, fmt.Errorf("find the sources of %s: %w", dir, err)
	}
	s := &source{dir: dir}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", dir, err)
		}
		s.files = append(s.files, file)
	}
	if len(s.files) == 0 {
		return nil, fmt.Errorf("no Go files in %s", dir)
	}
	return s, nil
}

func (s *source) inspect(visit func(ast.Node)) {
	for _, file := range s.files {
		ast.Inspect(file, func(n ast.Node) bool {
			visit(n)
			return true
		})
	}
}

// text is the value of a string literal.
func text(n ast.Expr) (string, bool) {
	lit, ok := n.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(lit.Value)
	return value, err == nil
}

// constant is the value of a constant that is a literal: a text, or a number as it is written.
func (s *source) constant(name string) (string, error) {
	var value string
	found := false
	s.inspect(func(n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 || spec.Names[0].Name != name {
			return
		}
		if value, found = text(spec.Values[0]); found {
			return
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
			value, found = lit.Value, true
		}
	})
	if !found {
		return "", fmt.Errorf("%s has no constant %s", s.dir, name)
	}
	return value, nil
}

// constants are the values of several constants.
func (s *source) constants(names ...string) ([]string, error) {
	var values []string
	for _, name := range names {
		value, err := s.constant(name)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// texts are the string literals below a node, in order.
func texts(node ast.Node) []string {
	var found []string
	ast.Inspect(node, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok {
			if value, ok := text(e); ok {
				found = append(found, value)
			}
		}
		return true
	})
	return found
}

// function is the declaration of that name, of a method or not; nil when there is none.
func (s *source) function(name string) *ast.FuncDecl {
	var found *ast.FuncDecl
	s.inspect(func(n ast.Node) {
		if f, ok := n.(*ast.FuncDecl); ok && f.Name.Name == name && f.Body != nil {
			found = f
		}
	})
	return found
}

// calls visits each call of a function or method of that name.
func (s *source) calls(name string, visit func(args []ast.Expr)) {
	s.inspect(func(n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return
		}
		switch f := call.Fun.(type) {
		case *ast.Ident:
			if f.Name == name {
				visit(call.Args)
			}
		case *ast.SelectorExpr:
			if f.Sel.Name == name {
				visit(call.Args)
			}
		}
	})
}
