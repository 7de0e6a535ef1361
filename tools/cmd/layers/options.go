package main

import (
	"go/ast"
	"go/token"
	"strings"

	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/source"
)

// checkOptions keeps the rules for options: an option is a function with a
// bare name that returns a sealed role of its own package, and its name is
// that of no type, not even in other letters' case.
func checkOptions(problems *report.List, p *source.Package) {
	types, roles := exportedTypes(p), sealedRoles(p)
	for _, f := range p.Files {
		if f.Test {
			continue
		}
		for _, decl := range f.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !fn.Name.IsExported() {
				continue
			}
			checkOption(problems, f, fn, types, roles)
		}
	}
}

func checkOption(problems *report.List, f *source.File, fn *ast.FuncDecl, types map[string]string, roles map[string]bool) {
	where, name := f.At(fn.Pos()), fn.Name.Name
	for _, result := range resultTypes(fn) {
		switch t := result.(type) {
		case *ast.SelectorExpr:
			if strings.HasSuffix(t.Sel.Name, "Option") {
				problems.Add(where, name+" returns an option of another package",
					"roles do not cross packages: make one door that takes the other package's options, as micro.SubOptions does")
			}
		case *ast.Ident:
			if !roles[t.Name] {
				continue
			}
			if other, clash := types[strings.ToLower(name)]; clash {
				problems.Add(where, "option "+name+" is named like the type "+other,
					"keep the noun for the type; call an option that takes this interface Use"+other+", else qualify it")
			}
			if rest, with := strings.CutPrefix(name, "With"); with && rest != "" && token.IsExported(rest) {
				problems.Add(where, "option "+name+" has the prefix With", "options are bare names: "+rest)
			}
		}
	}
}

func resultTypes(fn *ast.FuncDecl) []ast.Expr {
	if fn.Type.Results == nil {
		return nil
	}
	var types []ast.Expr
	for _, field := range fn.Type.Results.List {
		types = append(types, field.Type)
	}
	return types
}

// exportedTypes maps the lower-case name of each exported type to its name.
func exportedTypes(p *source.Package) map[string]string {
	types := make(map[string]string)
	eachType(p, func(spec *ast.TypeSpec) {
		if spec.Name.IsExported() {
			types[strings.ToLower(spec.Name.Name)] = spec.Name.Name
		}
	})
	return types
}

// sealedRoles finds the exported interfaces called …Option that no other
// package can implement: those with an unexported method, and unions of them.
func sealedRoles(p *source.Package) map[string]bool {
	roles := make(map[string]bool)
	for more := true; more; {
		more = false
		eachType(p, func(spec *ast.TypeSpec) {
			name := spec.Name.Name
			iface, ok := spec.Type.(*ast.InterfaceType)
			if !ok || roles[name] || !strings.HasSuffix(name, "Option") {
				return
			}
			if isSealed(iface, roles) {
				roles[name], more = true, true
			}
		})
	}
	return roles
}

func isSealed(iface *ast.InterfaceType, roles map[string]bool) bool {
	for _, field := range iface.Methods.List {
		if embedded, ok := field.Type.(*ast.Ident); ok && roles[embedded.Name] {
			return true
		}
		for _, name := range field.Names {
			if !name.IsExported() {
				return true
			}
		}
	}
	return false
}

func eachType(p *source.Package, visit func(*ast.TypeSpec)) {
	for _, f := range p.Files {
		if f.Test {
			continue
		}
		for _, decl := range f.AST.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range gen.Specs {
				if t, ok := spec.(*ast.TypeSpec); ok {
					visit(t)
				}
			}
		}
	}
}
