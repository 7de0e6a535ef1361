package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

// verify does what a stranger would do: in an empty directory, with an empty
// module cache, "go get" each published module of the last commit, build a
// program that imports its packages, and look at what came along.
func verify(e env) (report.List, error) {
	tmp, err := os.MkdirTemp("", "verify")
	if err != nil {
		return nil, err
	}
	cache := filepath.Join(tmp, "cache")
	served := filepath.Join(tmp, "served")
	defer os.RemoveAll(tmp)
	defer removeCache(cache)
	defer removeCache(served)
	modules, err := makeProxy(e.ws, e.table, served)
	if err != nil {
		return nil, err
	}
	env, err := strangerEnv(e.ws, filepath.Join(served, "cache", "download"), cache)
	if err != nil {
		return nil, err
	}
	var problems report.List
	for _, p := range modules {
		packages, err := importable(e.ws, p.module)
		if err != nil {
			return problems, err
		}
		if len(packages) == 0 {
			fmt.Println(p.module.Name, "has no packages yet")
			continue
		}
		paths, err := asStranger(tmp, env, p, packages)
		if err != nil {
			return problems, err
		}
		if rule, _ := e.table.Find(p.module.Name); !rule.MayRequireOther(serverModule) {
			checkBuildList(&problems, e.ws, p.module, e.table, paths)
		}
		fmt.Printf("go get %s: builds, brings %s\n", at(p.module.Path, p.version), strings.Join(paths, " "))
	}
	return problems, nil
}

// strangerEnv: our modules come from the served tree, others from what this
// machine has already downloaded and checked, then from the usual place.
func strangerEnv(ws *workspace.Workspace, tree, cache string) ([]string, error) {
	out, err := gocmd.Go(ws.Root, nil, "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return nil, err
	}
	usual := gocmd.Lines(out)
	if len(usual) != 2 {
		return nil, fmt.Errorf("go env GOMODCACHE GOPROXY printed %q", out)
	}
	here := filepath.Join(usual[0], "cache", "download")
	return []string{
		"GOWORK=off", "GOFLAGS=", "GOSUMDB=off", "GOMODCACHE=" + cache,
		"GOPROXY=" + fileURL(tree) + "," + fileURL(here) + "," + usual[1],
	}, nil
}

// importable lists the packages of a module that a user can import.
func importable(ws *workspace.Workspace, m workspace.Module) ([]string, error) {
	out, err := gocmd.Go(m.Dir, nil, "list", "-f", "{{.Name}} {{.ImportPath}}", "./...")
	if err != nil {
		return nil, err
	}
	var packages []string
	for _, line := range gocmd.Lines(out) {
		name, importPath, _ := strings.Cut(line, " ")
		if name == "main" || strings.Contains(importPath+"/", "/internal/") {
			continue
		}
		packages = append(packages, importPath)
	}
	return packages, nil
}

// asStranger gets and builds one module and returns the build list.
func asStranger(tmp string, env []string, p published, packages []string) ([]string, error) {
	dir := filepath.Join(tmp, "user", path.Base(p.module.Name))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var program strings.Builder
	program.WriteString("package main\n\nimport (\n")
	for _, importPath := range packages {
		fmt.Fprintf(&program, "\t_ %q\n", importPath)
	}
	program.WriteString(")\n\nfunc main() {}\n")
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program.String()), 0o644); err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"mod", "init", "example.com/stranger"},
		{"get", at(p.module.Path, p.version)},
		{"build", "-o", os.DevNull, "."},
	} {
		if _, err := gocmd.Go(dir, env, args...); err != nil {
			return nil, err
		}
	}
	out, err := gocmd.Go(dir, env, "list", "-m", "-f", "{{if not .Main}}{{.Path}}{{end}}", "all")
	if err != nil {
		return nil, err
	}
	var others []string
	for _, modulePath := range gocmd.Lines(out) {
		if modulePath != p.module.Path {
			others = append(others, modulePath)
		}
	}
	return others, nil
}
