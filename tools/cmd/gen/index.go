package main

import (
	"go/ast"
	"slices"
	"strings"

	"github.com/perigee-go/nats/tools/internal/source"
)

// index knows the names that rows may use.
type index struct {
	symbols map[string]bool // "nats.Connect", "nats.Conn.Publish", "nats.Msg.Data"
	tests   map[string]bool // "core/test/basic/TestPublish"
}

func newIndex() *index {
	return &index{symbols: make(map[string]bool), tests: make(map[string]bool)}
}

// add reads one module. Its symbols count only when users can get them.
func (x *index) add(root, module string, published bool) error {
	packages, err := source.Load(root, module)
	if err != nil {
		return err
	}
	for _, p := range packages {
		for _, f := range p.Files {
			for _, decl := range f.AST.Decls {
				switch {
				case f.Test:
					x.addTest(p.Dir, decl)
				case published && !p.Internal() && !p.Main():
					x.addSymbols(p.Name, decl)
				}
			}
		}
	}
	return nil
}

func (x *index) addTest(dir string, decl ast.Decl) {
	fn, ok := decl.(*ast.FuncDecl)
	if !ok || fn.Recv != nil {
		return
	}
	for _, kind := range []string{"Test", "Fuzz", "Example", "Benchmark"} {
		if strings.HasPrefix(fn.Name.Name, kind) {
			x.tests[dir+"/"+fn.Name.Name] = true
		}
	}
}

func (x *index) addSymbols(pkg string, decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if receiver := receiverName(decl); receiver != "" {
			x.addName(pkg+"."+receiver, decl.Name)
		} else {
			x.addName(pkg, decl.Name)
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					x.addName(pkg, name)
				}
			case *ast.TypeSpec:
				x.addType(pkg, spec)
			}
		}
	}
}

// addType adds a type with its fields or the methods of its interface.
func (x *index) addType(pkg string, spec *ast.TypeSpec) {
	if !spec.Name.IsExported() {
		return
	}
	x.addName(pkg, spec.Name)
	var fields *ast.FieldList
	switch t := spec.Type.(type) {
	case *ast.StructType:
		fields = t.Fields
	case *ast.InterfaceType:
		fields = t.Methods
	default:
		return
	}
	for _, field := range fields.List {
		for _, name := range field.Names {
			x.addName(pkg+"."+spec.Name.Name, name)
		}
	}
}

func (x *index) addName(prefix string, name *ast.Ident) {
	if name.IsExported() {
		x.symbols[prefix+"."+name.Name] = true
	}
}

// receiverName is the type that a method belongs to.
func receiverName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return ""
	}
	t := fn.Recv.List[0].Type
	for {
		switch e := t.(type) {
		case *ast.StarExpr:
			t = e.X
		case *ast.IndexExpr:
			t = e.X
		case *ast.IndexListExpr:
			t = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}

// near helps with a typing error: a symbol that differs in case only, or one
// that ends in the same name.
func (x *index) near(symbol string) string {
	last := symbol[strings.LastIndex(symbol, ".")+1:]
	var found []string
	for known := range x.symbols {
		if strings.EqualFold(known, symbol) || strings.HasSuffix(known, "."+last) {
			found = append(found, known)
		}
	}
	if len(found) == 0 {
		return ""
	}
	slices.Sort(found)
	return "; there is " + strings.Join(found[:min(3, len(found))], ", ")
}
