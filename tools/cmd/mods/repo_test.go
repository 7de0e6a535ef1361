package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/policy"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

// A repository as small as one can be: core is published, core/test requires
// it, and neither has been released yet.
var small = map[string]string{
	"go.work":             "go 1.26.0\n\nuse ./core // comments stay\n",
	"core/go.mod":         "module github.com/example-owner/x/core\n\ngo 1.26.0\n",
	"core/core.go":        "// Package core is small.\npackage core\n\n// N is a number.\nconst N = 1\n",
	"core/test/go.mod":    "module github.com/example-owner/x/core/test\n\ngo 1.26.0\n",
	"core/test/x_test.go": "package x\n\nimport _ \"github.com/example-owner/x/core\"\n",
}

// repository makes a git repository of the files and loads it. Nothing in
// these tests needs a network, and none is asked.
func repository(t *testing.T, files map[string]string) env {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "")
	t.Setenv("GOWORK", "")
	commit(t, root)
	table, err := policy.Parse("core | yes | - | -\ncore/test | no | .. | *")
	if err != nil {
		t.Fatal(err)
	}
	return reload(t, env{ws: &workspace.Workspace{Root: root}, table: table})
}

func commit(t *testing.T, root string) {
	t.Helper()
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"add", "."},
		{"-c", "user.name=n", "-c", "user.email=n@example.com", "commit", "--quiet", "-m", "m"},
	} {
		if _, err := gocmd.Git(root, nil, args...); err != nil {
			t.Fatal(err)
		}
	}
}

func reload(t *testing.T, e env) env {
	t.Helper()
	ws, err := workspace.Load(e.ws.Root)
	if err != nil {
		t.Fatal(err)
	}
	e.ws = ws
	return e
}

func read(t *testing.T, e env, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(e.ws.Root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// work finds the module that go.work lacks; tidy writes the requirement that
// go.mod lacks, although the version exists nowhere yet; work then adds the
// replace that makes it resolvable, and everything builds.
func TestWorkAndTidy(t *testing.T) {
	e := repository(t, small)
	if _, err := work(e); err != nil {
		t.Fatal(err)
	}
	if text := read(t, e, "go.work"); !strings.Contains(text, "./core/test") || !strings.Contains(text, "comments stay") {
		t.Errorf("go.work is now:\n%s", text)
	}
	e = reload(t, e)

	e.args = []string{"-diff"}
	problems, err := tidy(e)
	if err != nil {
		t.Fatal(err)
	}
	if len(problems) != 1 || !strings.Contains(problems[0].What, "+ require github.com/example-owner/x/core v0.1.0") {
		t.Errorf("tidy -diff found %v", problems)
	}
	e.args = nil
	if _, err := tidy(e); err != nil {
		t.Fatal(err)
	}
	mod := read(t, e, "core/test/go.mod")
	if !strings.Contains(mod, "require github.com/example-owner/x/core v0.1.0") || strings.Contains(mod, "replace") {
		t.Errorf("core/test/go.mod is now:\n%s", mod)
	}

	e = reload(t, e)
	if _, err := work(e); err != nil {
		t.Fatal(err)
	}
	e = reload(t, e)
	if len(e.ws.Replace) != 1 || e.ws.Replace[0].NewPath != "./core" {
		t.Errorf("go.work replaces %v", e.ws.Replace)
	}
	dir := filepath.Join(e.ws.Root, "core", "test")
	if _, err := gocmd.Go(dir, nil, "vet", "./..."); err != nil {
		t.Errorf("does not build in the workspace: %v", err)
	}
	if problems, err := graph(e); err != nil || len(problems) > 0 {
		t.Errorf("graph: %v %v", problems, err)
	}
}

// A stranger can get the module of the last commit, and what is not
// committed or belongs to a nested module is not part of it.
func TestVerify(t *testing.T) {
	e := repository(t, small)
	if err := os.WriteFile(filepath.Join(e.ws.Root, "core", "broken.go"), []byte("package nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree := filepath.Join(t.TempDir(), "cache")
	defer func() {
		if err := removeCache(tree); err != nil {
			t.Error(err)
		}
	}()
	modules, err := makeProxy(e.ws, e.table, tree)
	if err != nil {
		t.Fatal(err)
	}
	if len(modules) != 1 || modules[0].module.Name != "core" || modules[0].version != workspace.FirstVersion {
		t.Errorf("serves %v", modules)
	}
	if err := os.Remove(filepath.Join(e.ws.Root, "core", "broken.go")); err != nil {
		t.Fatal(err)
	}
	problems, err := verify(e)
	if err != nil || len(problems) > 0 {
		t.Errorf("verify: %v %v", problems, err)
	}
}

func TestRename(t *testing.T) {
	e := repository(t, small)
	e.args = []string{"example.com/y/"}
	if _, err := rename(e); err != nil {
		t.Fatal(err)
	}
	e = reload(t, e)
	if e.ws.Prefix != "example.com/y" {
		t.Errorf("path root is %s", e.ws.Prefix)
	}
	if text := read(t, e, "core/test/x_test.go"); !strings.Contains(text, `"example.com/y/core"`) {
		t.Errorf("import not renamed: %s", text)
	}
	e.args = nil
	if _, err := rename(e); err == nil {
		t.Error("no error without a path")
	}
}
