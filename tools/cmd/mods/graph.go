package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/policy"
	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

// serverModule may bring what it wants: only tests ever get to see it.
const serverModule = "github.com/nats-io/nats-server/v2"

// graph: what a published module brings into the build of a user is no more
// than the table allows: its own requirements, those of the siblings it may
// require, and golang.org/x.
func graph(e env) (report.List, error) {
	tags, err := gocmd.Git(e.ws.Root, nil, "tag", "--list")
	if err != nil {
		return nil, err
	}
	var problems report.List
	for _, m := range e.ws.Modules {
		rule, ok := e.table.Find(m.Name)
		if !ok || !rule.Published || rule.MayRequireOther(serverModule) {
			continue
		}
		paths, err := buildList(e.ws, m, gocmd.Lines(tags))
		if err != nil {
			return problems, err
		}
		checkBuildList(&problems, e.ws, m, e.table, paths)
		if m.Name == "core" {
			fmt.Println(figure38(paths))
		}
	}
	return problems, nil
}

// figure38 is its part that needs no network; "make vuln" is the other.
func figure38(paths []string) string {
	n := 0
	for _, p := range paths {
		if !strings.HasPrefix(p, "golang.org/x/") {
			n++
		}
	}
	return fmt.Sprintf("figure 38: core brings %d modules besides parts of golang.org/x (promised: at most 3)", n)
}

// buildList is what "go list -m all" names, without the module itself.
func buildList(ws *workspace.Workspace, m workspace.Module, tags []string) ([]string, error) {
	dir, err := os.MkdirTemp("", "graph")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	a, err := alone(ws, m, tags, dir)
	if err != nil {
		return nil, err
	}
	out, err := a.run("list", "-mod=mod", "-m", "-f", "{{if not .Main}}{{.Path}}{{end}}", "all")
	return gocmd.Lines(out), err
}

func checkBuildList(problems *report.List, ws *workspace.Workspace, m workspace.Module, table policy.Table, paths []string) {
	rule, _ := table.Find(m.Name)
	for _, p := range paths {
		if !inBuildList(ws, rule, m.Name, table, p) {
			problems.Add(m.Name, "brings "+p+" into every user's build",
				"see which requirement does: cd "+m.Name+" && GOWORK=off go mod why -m "+p)
		}
	}
}

func inBuildList(ws *workspace.Workspace, rule policy.Rule, name string, table policy.Table, modulePath string) bool {
	if strings.HasPrefix(modulePath, "golang.org/x/") || rule.MayRequireOther(modulePath) {
		return true
	}
	if sibling, ours := ws.ByPath(modulePath); ours {
		return rule.MayRequireOurs(name, sibling.Name)
	}
	for _, sibling := range ws.Modules {
		if rule.MayRequireOurs(name, sibling.Name) {
			if theirs, ok := table.Find(sibling.Name); ok && theirs.MayRequireOther(modulePath) {
				return true
			}
		}
	}
	return false
}
