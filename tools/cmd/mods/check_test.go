package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perigee-go/nats/tools/internal/policy"
	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

// expect compares findings by the part of each that is given.
func expect(t *testing.T, problems report.List, want ...string) {
	t.Helper()
	if len(problems) != len(want) {
		t.Errorf("%d problems, want %d:", len(problems), len(want))
		problems.Print(t.Output())
		return
	}
	for i, p := range problems {
		if !strings.Contains(p.String(), want[i]) {
			t.Errorf("problem %q, want %q in it", p, want[i])
		}
		if p.Fix == "" {
			t.Errorf("problem %q does not say what to do", p)
		}
	}
}

// sample is a workspace with two modules and nothing wrong with it.
func sample() *workspace.Workspace {
	return &workspace.Workspace{
		Prefix: "example.com/x", Go: goLine,
		Replace: []workspace.Replace{{Path: "example.com/x/core", Version: "v0.1.0", NewPath: "./core"}},
		Modules: []workspace.Module{
			{Path: "example.com/x/core", Name: "core", Go: goLine},
			{Path: "example.com/x/core/test", Name: "core/test", Go: goLine,
				Require: []workspace.Require{{Path: "example.com/x/core", Version: "v0.1.0"}}},
		},
	}
}

func TestCheckTop(t *testing.T) {
	var problems report.List
	checkTop(&problems, []string{".ci/run", "core/go.mod", "go.work", "notes.txt", "extra/a.go", "extra/b.go"})
	expect(t, problems, "notes.txt: does not belong", "extra: does not belong")
}

func TestCheckUse(t *testing.T) {
	var problems report.List
	checkUse(&problems, sample(), []string{
		"core/go.mod", "core/test/go.mod", "orbit/go.mod", "core/testdata/x/go.mod",
	})
	expect(t, problems, "orbit/go.mod: module is not in go.work")
}

func TestCheckMod(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*workspace.Module)
		want   []string
	}{
		{"nothing wrong", func(*workspace.Module) {}, nil},
		{"second major version", func(m *workspace.Module) { m.Path += "/v2" }, nil},
		{"replace", func(m *workspace.Module) {
			m.Replace = []workspace.Replace{{Path: "example.com/y", NewPath: "../y"}}
		}, []string{"core/go.mod: replaces example.com/y"}},
		{"go line", func(m *workspace.Module) { m.Go = "1.26" }, []string{`go line is "1.26"`}},
		{"toolchain", func(m *workspace.Module) { m.Toolchain = "go1.26.8" }, []string{"toolchain line"}},
		{"path", func(m *workspace.Module) { m.Path = "example.com/x/kern" }, []string{"does not fit the directory"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ws := sample()
			tt.change(&ws.Modules[0])
			var problems report.List
			checkMod(&problems, ws, ws.Modules[0])
			expect(t, problems, tt.want...)
		})
	}
}

func TestCheckWork(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*workspace.Workspace)
		want   []string
	}{
		{"nothing wrong", func(*workspace.Workspace) {}, nil},
		{"replace missing", func(ws *workspace.Workspace) { ws.Replace = nil },
			[]string{"lacks the line example.com/x/core v0.1.0 => ./core"}},
		{"another version required", func(ws *workspace.Workspace) { ws.Modules[1].Require[0].Version = "v0.2.0" },
			[]string{"lacks the line example.com/x/core v0.2.0", "nothing requires the line example.com/x/core v0.1.0"}},
		{"go line", func(ws *workspace.Workspace) { ws.Go = "1.27.0" }, []string{"go.work: go line"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ws := sample()
			tt.change(ws)
			var problems report.List
			checkWork(&problems, ws)
			expect(t, problems, tt.want...)
		})
	}
}

const sampleTable = `
core      | yes | -       | example.com/nkeys
core/test | no  | .. core | *
`

func TestCheckPolicy(t *testing.T) {
	table, err := policy.Parse(sampleTable)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		module   string
		requires workspace.Require
		want     []string
	}{
		{"allowed", "core", workspace.Require{Path: "example.com/nkeys"}, nil},
		{"not allowed", "core", workspace.Require{Path: "example.com/cmp"}, []string{"may not require example.com/cmp"}},
		{"indirect", "core", workspace.Require{Path: "example.com/cmp", Indirect: true}, nil},
		{"sibling", "core/test", workspace.Require{Path: "example.com/x/core"}, nil},
		{"sibling below", "core", workspace.Require{Path: "example.com/x/core/test"}, []string{"may not require"}},
		{"indirect sibling", "core", workspace.Require{Path: "example.com/x/core/test", Indirect: true}, []string{"may not require"}},
		{"unknown module", "orbit", workspace.Require{}, []string{"not in the table"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var problems report.List
			m := workspace.Module{Name: tt.module, Require: []workspace.Require{tt.requires}}
			checkPolicy(&problems, sample(), m, table)
			expect(t, problems, tt.want...)
		})
	}
}

func TestCheckPapers(t *testing.T) {
	table, err := policy.Parse(sampleTable)
	if err != nil {
		t.Fatal(err)
	}
	var problems report.List
	for _, m := range sample().Modules {
		checkPapers(&problems, m, table, []string{"core/README.md"})
	}
	expect(t, problems, "core: published module without CHANGELOG.md")
}

func TestCheckSums(t *testing.T) {
	ws := sample()
	ws.Modules[1].Dir = t.TempDir()
	sums := "example.com/x/core v0.1.0 h1:aaa=\nexample.com/x/core v0.1.0/go.mod h1:bbb=\nexample.com/other v1.0.0 h1:ccc=\n"
	if err := os.WriteFile(filepath.Join(ws.Modules[1].Dir, "go.sum"), []byte(sums), 0o644); err != nil {
		t.Fatal(err)
	}
	var problems report.List
	if err := checkSums(&problems, ws, ws.Modules[1], nil); err != nil {
		t.Fatal(err)
	}
	expect(t, problems, "unpublished core v0.1.0", "unpublished core v0.1.0")
	problems = nil
	if err := checkSums(&problems, ws, ws.Modules[1], []string{"core/v0.1.0"}); err != nil {
		t.Fatal(err)
	}
	expect(t, problems)
}

func TestCheckHosts(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"good": "GOPROXY=direct\n", "bad": "one\nGOPROXY=https://" + hosts[0] + "\n"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var problems report.List
	checkHosts(&problems, root, []string{"good", "bad", "gone"})
	expect(t, problems, "bad:2: names the registry host")
}

func TestCheckBuildList(t *testing.T) {
	table, err := policy.Parse(sampleTable + "orbit | yes | core | example.com/sync")
	if err != nil {
		t.Fatal(err)
	}
	ws := sample()
	orbit := workspace.Module{Path: "example.com/x/orbit", Name: "orbit"}
	ws.Modules = append(ws.Modules, orbit)
	var problems report.List
	checkBuildList(&problems, ws, orbit, table, []string{
		"example.com/x/core", "example.com/nkeys", "example.com/sync", "golang.org/x/sys",
		"example.com/surprise", "example.com/x/core/test",
	})
	expect(t, problems, "brings example.com/surprise", "brings example.com/x/core/test")
}

func TestFigure38(t *testing.T) {
	got := figure38([]string{"github.com/a/b", "golang.org/x/crypto", "golang.org/xy/z", "golang.org/x/sys"})
	if got != "figure 38: core brings 2 modules besides parts of golang.org/x (promised: at most 3)" {
		t.Error(got)
	}
}
