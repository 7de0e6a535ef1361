package main

import (
	"strings"

	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/source"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

// checkImports holds one package against its row of the policy.
func checkImports(problems *report.List, ws *workspace.Workspace, l *layers, p *source.Package) {
	r, ok := l.find(p.Dir)
	if !ok {
		problems.Add(p.Dir, "package has no place in the layers",
			"add a row to tools/cmd/layers/policy.txt, below everything it imports")
		return
	}
	for _, f := range p.Files {
		for importPath, pos := range f.Imports() {
			target, ours := strings.CutPrefix(importPath, ws.Prefix+"/")
			if l.mayImport(r, p.Dir, target, ours, f.Test) {
				continue
			}
			problems.Add(f.At(pos), p.Dir+" may not import "+target, importAdvice(l, target, ours, f.Test))
		}
	}
}

func importAdvice(l *layers, target string, ours, test bool) string {
	switch {
	case ours && l.isTestOnly(target) && !test:
		return "only _test.go files may"
	case !ours && isStd(target):
		return "this package is kept free of it, see its row in tools/cmd/layers/policy.txt"
	}
	return "tools/cmd/layers/policy.txt has the order; move what is needed down, or hand it in from above"
}
