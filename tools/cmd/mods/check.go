package main

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/policy"
	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

// goLine is the go line of every go.mod and of go.work. One literal
// everywhere: "1.26" and "1.26.0" are different versions to the go command.
const goLine = "1.26.0"

// topLevel is everything that may stand at the top of the repository, besides
// files and folders whose name starts with a dot.
var topLevel = []string{
	"core", "orbit", "orbit-kvcodec", "orbit-counters", "orbit-context", "tools", "docs",
	"go.work", "go.work.sum", "Makefile", "README.md", "LICENSE",
}

// check finds what is wrong with the files that describe the modules. It
// needs no network.
func check(e env) (report.List, error) {
	files, err := gocmd.Files(e.ws.Root)
	if err != nil {
		return nil, err
	}
	tags, err := gocmd.Git(e.ws.Root, nil, "tag", "--list")
	if err != nil {
		return nil, err
	}
	var problems report.List
	checkTop(&problems, files)
	checkUse(&problems, e.ws, files)
	checkWork(&problems, e.ws)
	for _, m := range e.ws.Modules {
		checkMod(&problems, e.ws, m)
		checkPolicy(&problems, e.ws, m, e.table)
		checkPapers(&problems, m, e.table, files)
		if err := checkSums(&problems, e.ws, m, gocmd.Lines(tags)); err != nil {
			return nil, err
		}
	}
	checkHosts(&problems, e.ws.Root, files)
	return problems, nil
}

// checkTop: the top level is the first thing a visitor sees.
func checkTop(problems *report.List, files []string) {
	seen := make(map[string]bool)
	for _, file := range files {
		top, _, _ := strings.Cut(file, "/")
		if seen[top] || strings.HasPrefix(top, ".") || slices.Contains(topLevel, top) {
			continue
		}
		seen[top] = true
		problems.Add(top, "does not belong at the top level",
			"move it into a module or into docs, or add it to topLevel in tools/cmd/mods/check.go")
	}
}

// checkUse: every go.mod is in go.work.
func checkUse(problems *report.List, ws *workspace.Workspace, files []string) {
	for _, dir := range moduleDirs(files) {
		if _, ok := ws.Module(dir); !ok {
			problems.Add(dir+"/go.mod", "module is not in go.work", `run "make work"`)
		}
	}
}

// moduleDirs lists the directories that hold a go.mod, test data left out.
func moduleDirs(files []string) []string {
	var dirs []string
	for _, file := range files {
		if path.Base(file) == "go.mod" && !strings.Contains(file, "testdata/") {
			dirs = append(dirs, path.Dir(file))
		}
	}
	return dirs
}

// checkMod: the lines of one go.mod that are the same in all of them.
func checkMod(problems *report.List, ws *workspace.Workspace, m workspace.Module) {
	where := m.Name + "/go.mod"
	if !ws.SamePath(m.Path, m.Name) {
		problems.Add(where, "module path "+m.Path+" does not fit the directory", "it must be "+ws.PathOf(m.Name))
	}
	for _, r := range m.Replace {
		problems.Add(where, "replaces "+r.Path,
			`a replace is ignored in a user's build: take it out; go.work stands in for unpublished siblings ("make work")`)
	}
	checkGoLines(problems, where, m.Go, m.Toolchain)
}

func checkGoLines(problems *report.List, where, goVersion, toolchain string) {
	if goVersion != goLine {
		problems.Add(where, fmt.Sprintf("go line is %q", goVersion), "it must be: go "+goLine)
	}
	if toolchain != "" {
		problems.Add(where, "has a toolchain line", "take it out: the go line is enough")
	}
}

// checkPolicy: a module requires what the table allows, and nothing else.
func checkPolicy(problems *report.List, ws *workspace.Workspace, m workspace.Module, table policy.Table) {
	where := m.Name + "/go.mod"
	rule, ok := table.Find(m.Name)
	if !ok {
		problems.Add(where, "module is not in the table of modules", "add a row to tools/internal/policy/modules.txt")
		return
	}
	for _, r := range m.Require {
		allowed := r.Indirect || rule.MayRequireOther(r.Path)
		if sibling, ours := ws.ByPath(r.Path); ours {
			allowed = rule.MayRequireOurs(m.Name, sibling.Name)
		}
		if !allowed {
			problems.Add(where, "may not require "+r.Path,
				"tools/internal/policy/modules.txt says what it may; tests that need more belong in "+m.Name+"/test")
		}
	}
}

// checkPapers: a published module is a product of its own.
func checkPapers(problems *report.List, m workspace.Module, table policy.Table, files []string) {
	if !table.Published(m.Name) {
		return
	}
	for _, paper := range []string{"README.md", "CHANGELOG.md"} {
		if !slices.Contains(files, m.Name+"/"+paper) {
			problems.Add(m.Name, "published module without "+paper, "write "+m.Name+"/"+paper)
		}
	}
}

// checkSums: the checksum of a sibling's version is only known once its tag
// exists. Earlier it would be that of some checkout, and wrong for everybody.
func checkSums(problems *report.List, ws *workspace.Workspace, m workspace.Module, tags []string) error {
	sums, err := os.ReadFile(filepath.Join(m.Dir, "go.sum"))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, line := range gocmd.Lines(sums) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		sibling, ours := ws.ByPath(fields[0])
		version, _, _ := strings.Cut(fields[1], "/")
		if ours && !slices.Contains(tags, sibling.Name+"/"+version) {
			problems.Add(m.Name+"/go.sum", "has a line for the unpublished "+sibling.Name+" "+version,
				`take it out ("make tidy" does): it can be right only after the tag exists`)
		}
	}
	return nil
}

// hosts of module registries. Which one is used is the business of whoever
// runs the go command. They are put together here so as not to find this file.
var hosts = []string{"proxy." + "golang.org", "sum." + "golang.org"}

// checkHosts: no committed file names a registry.
func checkHosts(problems *report.List, root string, files []string) {
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
		if err != nil {
			continue // a link to nowhere, or a folder that is a repository
		}
		for _, host := range hosts {
			if i := bytes.Index(data, []byte(host)); i >= 0 {
				line := 1 + bytes.Count(data[:i], []byte("\n"))
				problems.Add(fmt.Sprintf("%s:%d", file, line), "names the registry host "+host,
					"leave the choice to GOPROXY and GOSUMDB of whoever runs it")
			}
		}
	}
}
