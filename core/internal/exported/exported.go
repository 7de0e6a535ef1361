// Package exported lists what users of a package can call, from its source:
// reflection does not know the functions of a package. Tests hold against it
// that they have left nothing out.
//
// It is imported by test files only, and needs nothing but the standard library.
package exported

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// TB is what it needs of a testing.TB.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Func is a function or method that users can call.
type Func struct {
	Name    string   // "Connect", "Conn.Publish"
	Params  []string // their types
	Results []string
}

// Source parses the files of the package in dir that are no tests.
func Source(t TB, dir string) (*token.FileSet, []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Clean(name))
		if err != nil {
			t.Fatalf("%v", err)
		}
		f, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("%v", err)
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		t.Fatalf("no source in %q", dir)
	}
	return fset, files
}

// Funcs lists what users of the package in dir can call.
func Funcs(t TB, dir string) []Func {
	t.Helper()
	var out []Func
	_, files := Source(t, dir)
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() {
				continue
			}
			e := Func{Name: fn.Name.Name, Params: fieldTypes(fn.Type.Params), Results: fieldTypes(fn.Type.Results)}
			if fn.Recv != nil {
				recv := strings.TrimPrefix(fieldTypes(fn.Recv)[0], "*")
				if !ast.IsExported(recv) {
					continue
				}
				e.Name = recv + "." + e.Name
			}
			out = append(out, e)
		}
	}
	return out
}

// Types lists the names of the exported types of the package in dir.
func Types(t TB, dir string) []string {
	t.Helper()
	var out []string
	_, files := Source(t, dir)
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if _, ok := n.(*ast.FuncDecl); ok {
				return false
			}
			if s, ok := n.(*ast.TypeSpec); ok && s.Name.IsExported() {
				out = append(out, s.Name.Name)
			}
			return true
		})
	}
	slices.Sort(out)
	return out
}

func fieldTypes(l *ast.FieldList) []string {
	var out []string
	if l == nil {
		return nil
	}
	for _, f := range l.List {
		for range max(len(f.Names), 1) {
			out = append(out, types.ExprString(f.Type))
		}
	}
	return out
}
