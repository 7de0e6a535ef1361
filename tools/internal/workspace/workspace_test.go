package workspace

import (
	"path/filepath"
	"reflect"
	"testing"
)

func TestLoad(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("testdata", "two"))
	if err != nil {
		t.Fatal(err)
	}
	ws, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	if ws.Prefix != "example.com/x" || ws.Go != "1.26.0" || ws.Toolchain != "" {
		t.Errorf("prefix %q, go %q, toolchain %q", ws.Prefix, ws.Go, ws.Toolchain)
	}
	wantReplace := []Replace{{Path: "example.com/x/core", Version: "v0.2.0", NewPath: "./core"}}
	if !reflect.DeepEqual(ws.Replace, wantReplace) {
		t.Errorf("replaces %v, want %v", ws.Replace, wantReplace)
	}
	batch, ok := ws.Module("orbit/batch")
	if !ok {
		t.Fatal("orbit/batch not found")
	}
	wantRequire := []Require{
		{Path: "example.com/other", Version: "v1.0.0", Indirect: true},
		{Path: "example.com/x/core", Version: "v0.2.0"},
	}
	if !reflect.DeepEqual(batch.Require, wantRequire) {
		t.Errorf("requires %v, want %v", batch.Require, wantRequire)
	}
	if !ws.SamePath(batch.Path, batch.Name) {
		t.Errorf("%s is not taken for the path of %s", batch.Path, batch.Name)
	}
	wantSiblings := map[string][]string{"example.com/x/core": {"v0.2.0"}}
	if got := ws.Siblings(); !reflect.DeepEqual(got, wantSiblings) {
		t.Errorf("siblings %v, want %v", got, wantSiblings)
	}
	core, _ := ws.ByPath("example.com/x/core")
	if got := ws.NextVersion(core); got != "v0.2.0" {
		t.Errorf("next version of core %s, want what batch requires", got)
	}
	if got := ws.NextVersion(batch); got != FirstVersion {
		t.Errorf("next version of batch %s, want %s", got, FirstVersion)
	}
}

func TestLoadFails(t *testing.T) {
	if _, err := Load(t.TempDir()); err == nil {
		t.Error("no error without go.work")
	}
}
