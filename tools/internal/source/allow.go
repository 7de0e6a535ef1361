package source

import (
	"go/ast"
	"strings"
)

// allowMark lifts a rule where there is a reason to. It counts for its own
// line and for what stands below it: a statement, a function, or, above the
// package clause, the whole file.
//
//	//perigee:allow reason
const allowMark = "//perigee:allow"

// Allowed is the set of lines of a file for which rules are lifted.
type Allowed struct {
	file  bool
	lines map[int]bool
	// Bare holds the lines of marks that give no reason. They lift nothing.
	Bare []int
}

// Line reports whether the rules are lifted for a line.
func (a Allowed) Line(n int) bool { return a.file || a.lines[n] }

// Allowed finds the marks of the file.
func (f *File) Allowed() Allowed {
	a := Allowed{lines: make(map[int]bool)}
	for _, group := range f.AST.Comments {
		for _, c := range group.List {
			reason, ok := strings.CutPrefix(c.Text, allowMark)
			if !ok {
				continue
			}
			if strings.TrimSpace(reason) == "" {
				a.Bare = append(a.Bare, f.Line(c.Pos()))
				continue
			}
			f.allow(&a, c, group)
		}
	}
	return a
}

func (f *File) allow(a *Allowed, c *ast.Comment, group *ast.CommentGroup) {
	own, next := f.Line(c.Pos()), f.Line(group.End())+1
	if group.End() < f.AST.Package {
		a.file = true
		return
	}
	a.lines[own] = true
	a.lines[next] = true
	for _, decl := range f.AST.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || f.Line(fn.Name.Pos()) != next {
			continue
		}
		for n := next; n <= f.Line(fn.End()); n++ {
			a.lines[n] = true
		}
	}
}
