package gocmd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestErrorsSayWhatWasRun(t *testing.T) {
	_, err := Go(t.TempDir(), []string{"GOWORK=off"}, "mod", "nonsense")
	if err == nil || !strings.Contains(err.Error(), "go mod nonsense") || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("error %v lacks the command or its complaint", err)
	}
}

func TestLines(t *testing.T) {
	got := Lines([]byte("a\r\n\nb c\nd"))
	if want := []string{"a", "b c", "d"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRoot(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "go.work"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(deep)
	if got, err := Root(); err != nil || got != root {
		t.Errorf("root %q, error %v; want %q", got, err, root)
	}
}

func TestFiles(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		".gitignore": "/hidden\n", "hidden": "", "committed": "", "new": "", "deleted": "",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "committed", "deleted"}} {
		if _, err := Git(root, nil, args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(root, "deleted")); err != nil {
		t.Fatal(err)
	}
	got, err := Files(root)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if want := []string{".gitignore", "committed", "new"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTo(t *testing.T) {
	var out strings.Builder
	if err := To(&out, t.TempDir(), []string{"GOFLAGS=-tags=told"}, []string{"go", "env", "GOFLAGS"}); err != nil || out.String() != "-tags=told\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
	if err := To(&out, t.TempDir(), nil, []string{"go", "no-such-command"}); err == nil || !strings.Contains(out.String(), "no-such-command") {
		t.Errorf("%q, %v", out.String(), err)
	}
}
