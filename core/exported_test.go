package nats

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// exportedFunc is a function or method that users can call, as the source has
// it: reflection does not know the functions of a package.
type exportedFunc struct {
	name    string   // "Connect", "Conn.Publish"
	params  []string // their types
	results []string
}

// source parses the files of the package that are no tests.
func source(t *testing.T, dir string) (*gotoken.FileSet, []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	must(t, err)
	fset := gotoken.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		must(t, err)
		f, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		must(t, err)
		files = append(files, f)
	}
	if len(files) == 0 {
		t.Fatalf("no source in %q", dir)
	}
	return fset, files
}

// exportedFuncs lists what users can call.
func exportedFuncs(t *testing.T) []exportedFunc {
	t.Helper()
	var out []exportedFunc
	_, files := source(t, ".")
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() {
				continue
			}
			e := exportedFunc{name: fn.Name.Name, params: fieldTypes(fn.Type.Params), results: fieldTypes(fn.Type.Results)}
			if fn.Recv != nil {
				recv := strings.TrimPrefix(fieldTypes(fn.Recv)[0], "*")
				if !ast.IsExported(recv) {
					continue
				}
				e.name = recv + "." + e.name
			}
			out = append(out, e)
		}
	}
	return out
}

// exportedTypes lists the names of the exported types.
func exportedTypes(t *testing.T) []string {
	t.Helper()
	var out []string
	_, files := source(t, ".")
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
