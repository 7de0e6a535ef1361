package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

// tidy does for every module what "go mod tidy" does for one. That command
// ignores go.work, so it cannot see siblings that are not published; here it
// works on a copy of go.mod in which the checkout stands in for them.
func tidy(e env) (report.List, error) {
	onlyDiff := len(e.args) > 0 && e.args[0] == "-diff"
	tags, err := gocmd.Git(e.ws.Root, nil, "tag", "--list")
	if err != nil {
		return nil, err
	}
	var problems report.List
	for _, m := range e.ws.Modules {
		mod, sum, err := tidied(e.ws, m, gocmd.Lines(tags))
		if err != nil {
			return problems, err
		}
		for name, want := range map[string]string{"go.mod": mod, "go.sum": sum} {
			if err := settle(&problems, m, name, want, onlyDiff); err != nil {
				return problems, err
			}
		}
	}
	return problems, nil
}

// tidied returns what go.mod and go.sum of m should be.
func tidied(ws *workspace.Workspace, m workspace.Module, tags []string) (mod, sum string, err error) {
	dir, err := os.MkdirTemp("", "tidy")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(dir)
	a, err := alone(ws, m, tags, dir)
	if err != nil {
		return "", "", err
	}
	if _, err := a.run("mod", "tidy"); err != nil {
		return "", "", err
	}
	return a.finish()
}

// settle makes a file what it should be, or reports that it is not.
func settle(problems *report.List, m workspace.Module, name, want string, onlyDiff bool) error {
	file := filepath.Join(m.Dir, name)
	have, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if string(have) == want {
		return nil
	}
	if onlyDiff {
		problems.Add(m.Name+"/"+name, "is not tidy; \"make tidy\" would change\n"+report.Diff(string(have), want), "")
		return nil
	}
	fmt.Println("tidied", m.Name+"/"+name)
	if want == "" {
		return os.Remove(file)
	}
	return os.WriteFile(file, []byte(want), 0o644)
}
