package reference

import (
	"fmt"
	"go/ast"
	"reflect"
	"strconv"
	"strings"
)

// document is a type that is sent as JSON.
type document struct {
	name   string
	doc    string // its comment
	same   string // the type that it is declared as, when it is no struct of its own
	fields []field
}

// field is one member of a document.
type field struct {
	name    string // in JSON; "" when the fields of its type are taken in
	kind    string // text, number, true or false, time, counts; or the name of a document
	list    bool
	comment string
}

// documents are the struct types of a package with at least one JSON name, in the order of the source.
func (s *source) documents() []document {
	var all []document
	for _, file := range s.files {
		for _, d := range file.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range decl.Specs {
				t, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				if doc, ok := documentOf(t, decl); ok {
					all = append(all, doc)
				}
			}
		}
	}
	return all
}

func (s *source) document(name string) (document, error) {
	for _, d := range s.documents() {
		if d.name == name {
			return d, nil
		}
	}
	return document{}, fmt.Errorf("%s has no type %s that is sent as JSON", s.dir, name)
}

func documentOf(t *ast.TypeSpec, decl *ast.GenDecl) (document, bool) {
	d := document{name: t.Name.Name, doc: sentence(decl.Doc)}
	switch body := t.Type.(type) {
	case *ast.Ident:
		d.same = body.Name
		return d, t.Name.IsExported() && ast.IsExported(d.same)
	case *ast.StructType:
		named := false
		for _, f := range body.Fields.List {
			row := fieldOf(f)
			named = named || row.name != ""
			d.fields = append(d.fields, row)
		}
		return d, named
	}
	return d, false
}

func fieldOf(f *ast.Field) field {
	row := field{comment: sentence(f.Comment)}
	if row.comment == "" {
		row.comment = sentence(f.Doc)
	}
	if f.Tag != nil {
		tag, _ := strconv.Unquote(f.Tag.Value) // the compiler has checked it
		row.name, _, _ = strings.Cut(reflect.StructTag(tag).Get("json"), ",")
	}
	t := f.Type
	if array, ok := t.(*ast.ArrayType); ok {
		t, row.list = array.Elt, true
	}
	row.kind = kindOf(t)
	return row
}

func kindOf(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.Ident:
		switch t.Name {
		case "string":
			return "text"
		case "bool":
			return "true or false"
		case "int", "int64", "uint64":
			return "number"
		}
		return t.Name
	case *ast.SelectorExpr:
		if t.Sel.Name == "Time" {
			return "time"
		}
		return t.Sel.Name
	case *ast.MapType:
		return "counts"
	}
	return "?"
}

func (f field) String() string {
	if f.list {
		return "list of " + f.kind
	}
	return f.kind
}

// sentence is a comment on one line.
func sentence(c *ast.CommentGroup) string {
	if c == nil {
		return ""
	}
	return strings.Join(strings.Fields(c.Text()), " ")
}
