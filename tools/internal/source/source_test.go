package source

import (
	"slices"
	"testing"
)

func load(t *testing.T) map[string]*Package {
	t.Helper()
	list, err := Load("testdata", "mod")
	if err != nil {
		t.Fatal(err)
	}
	packages := make(map[string]*Package)
	for _, p := range list {
		packages[p.Dir] = p
	}
	return packages
}

func TestLoad(t *testing.T) {
	packages := load(t)
	if len(packages) != 3 {
		t.Errorf("%d packages, want mod, mod/sub, mod/internal/in", len(packages))
	}
	p := packages["mod"]
	if p == nil || p.Name != "mod" || len(p.Files) != 3 || p.Main() || p.Internal() {
		t.Fatalf("mod is %+v", p)
	}
	for _, f := range p.Files {
		if f.Test != (f.Name == "mod/mod_test.go") {
			t.Errorf("%s: test %v", f.Name, f.Test)
		}
	}
	if !packages["mod/internal/in"].Internal() {
		t.Error("mod/internal/in is not internal")
	}
	if f := file(t, packages["mod/sub"], "mod/sub/gen.go"); !f.Generated || f.Lines != 3 {
		t.Errorf("gen.go: generated %v, %d lines", f.Generated, f.Lines)
	}
}

func file(t *testing.T, p *Package, name string) *File {
	t.Helper()
	i := slices.IndexFunc(p.Files, func(f *File) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("no file %s", name)
	}
	return p.Files[i]
}

func TestImports(t *testing.T) {
	f := file(t, load(t)["mod"], "mod/mod.go")
	if got := f.ImportName("time"); got != "clock" {
		t.Errorf("time is called %q", got)
	}
	if got := f.ImportName("fmt"); got != "fmt" {
		t.Errorf("fmt is called %q", got)
	}
	if got := f.ImportName("os"); got != "" {
		t.Errorf("os is called %q", got)
	}
	if at := f.At(f.Imports()["fmt"]); at != "mod/mod.go:4" {
		t.Errorf("fmt stands at %s", at)
	}
}

func TestAllowed(t *testing.T) {
	sub := load(t)["mod/sub"]
	a := file(t, sub, "mod/sub/marks.go").Allowed()
	for line, want := range map[int]bool{3: false, 5: true, 6: false, 7: true, 9: false, 15: true, 16: true, 18: false} {
		if a.Line(line) != want {
			t.Errorf("line %d: allowed %v", line, !want)
		}
	}
	if !slices.Equal(a.Bare, []int{8}) {
		t.Errorf("marks without a reason at %v, want 8", a.Bare)
	}
	if !file(t, sub, "mod/sub/whole.go").Allowed().Line(100) {
		t.Error("a mark above the package clause does not count for the file")
	}
}
