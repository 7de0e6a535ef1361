// Layers keeps the house rules that a compiler does not know: who may import
// whom (policy.txt), how options are named, that product packages neither
// panic nor print, that tests do not sleep, and that files stay readable.
package main

import (
	"fmt"
	"os"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/policy"
	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/source"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

func main() {
	problems, err := run()
	problems.Print(os.Stderr)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "layers:", err)
		os.Exit(2)
	case len(problems) > 0:
		os.Exit(1)
	}
	fmt.Println("layers: ok")
}

func run() (report.List, error) {
	root, err := gocmd.Root()
	if err != nil {
		return nil, err
	}
	ws, err := workspace.Load(root)
	if err != nil {
		return nil, err
	}
	modules, err := policy.Modules()
	if err != nil {
		return nil, err
	}
	l, err := parseLayers(policyText)
	if err != nil {
		return nil, err
	}
	var problems report.List
	for _, m := range ws.Modules {
		packages, err := source.Load(root, m.Name)
		if err != nil {
			return problems, err
		}
		for _, p := range packages {
			product := modules.Published(m.Name) && !l.isTestOnly(p.Dir)
			checkPackage(&problems, ws, l, p, product)
		}
	}
	return problems, nil
}

func checkPackage(problems *report.List, ws *workspace.Workspace, l *layers, p *source.Package, product bool) {
	checkImports(problems, ws, l, p)
	checkCalls(problems, p, product)
	checkSizes(problems, os.Stdout, p)
	if product {
		checkOptions(problems, p)
	}
}
