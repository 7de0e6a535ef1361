package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"

	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/source"
)

const allowAdvice = `or, where it is right, say why above it: "//perigee:allow reason"`

// checkCalls finds calls that have no place where they stand. product says
// whether the package is one that users import.
func checkCalls(problems *report.List, p *source.Package, product bool) {
	inBubble := bubbles(p.Files)
	for _, f := range p.Files {
		marks := f.Allowed()
		for _, line := range marks.Bare {
			problems.Add(fmt.Sprintf("%s:%d", f.Name, line), "//perigee:allow without a reason", "say why")
		}
		add := func(pos token.Pos, what, fix string) {
			if !marks.Line(f.Line(pos)) {
				problems.Add(f.At(pos), what, fix)
			}
		}
		switch {
		case f.Test:
			sleeps(f, inBubble, add)
		case product && !p.Main():
			outbursts(f, add)
		}
	}
}

// bubbles finds the helpers of a package's tests that run what they are given
// in synctest.Test.
func bubbles(files []*source.File) map[string]bool {
	names := make(map[string]bool)
	for _, f := range files {
		synctestPkg := f.ImportName("testing/synctest")
		if !f.Test || synctestPkg == "" {
			continue
		}
		for _, decl := range f.AST.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || strings.HasPrefix(fn.Name.Name, "Test") || fn.Body == nil {
				continue
			}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && calls(call, synctestPkg, "Test") {
					names[fn.Name.Name] = true
				}
				return true
			})
		}
	}
	return names
}

// sleeps finds time.Sleep in tests. Inside synctest.Test the clock is fake,
// so there it costs nothing and means what it says.
func sleeps(f *source.File, bubbles map[string]bool, add func(token.Pos, string, string)) {
	timePkg, synctestPkg := f.ImportName("time"), f.ImportName("testing/synctest")
	if timePkg == "" {
		return
	}
	ast.Inspect(f.AST, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if synctestPkg != "" && calls(call, synctestPkg, "Test") {
			return false
		}
		if id, ok := call.Fun.(*ast.Ident); ok && bubbles[id.Name] {
			return false
		}
		if calls(call, timePkg, "Sleep") {
			add(call.Pos(), "time.Sleep in a test",
				"wait for what you are waiting for, or run it in synctest.Test; "+allowAdvice)
		}
		return true
	})
}

// outbursts finds what a library must not do to the program it is part of:
// panic, or write to its output.
func outbursts(f *source.File, add func(token.Pos, string, string)) {
	fmtPkg, logPkg := f.ImportName("fmt"), f.ImportName("log")
	ast.Inspect(f.AST, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch fun := call.Fun.(type) {
		case *ast.Ident:
			if fun.Name == "panic" || fun.Name == "print" || fun.Name == "println" {
				add(call.Pos(), fun.Name+" in a product package", "return an error; "+allowAdvice)
			}
		case *ast.SelectorExpr:
			pkg, ok := fun.X.(*ast.Ident)
			if !ok {
				return true
			}
			if fmtPkg != "" && pkg.Name == fmtPkg && strings.HasPrefix(fun.Sel.Name, "Print") ||
				logPkg != "" && pkg.Name == logPkg && fun.Sel.Name != "New" {
				add(call.Pos(), pkg.Name+"."+fun.Sel.Name+" in a product package",
					"return an error, send an event, or use the user's slog.Logger; "+allowAdvice)
			}
		}
		return true
	})
}

// calls reports whether the call is pkg.name(…).
func calls(call *ast.CallExpr, pkg, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg
}
