package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/policy"
	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

// proxyDir is where "mods proxy" puts its module cache, below the root.
// proxyTree, the download folder of that cache, has the layout of a proxy.
const (
	proxyDir  = ".proxy"
	proxyTree = ".proxy/cache/download"
)

// published is one module at one version.
type published struct {
	module  workspace.Module
	version string
}

// proxy makes the tree and says how to use it.
func proxy(e env) (report.List, error) {
	dir := filepath.Join(e.ws.Root, proxyDir)
	if err := removeCache(dir); err != nil {
		return nil, err
	}
	modules, err := makeProxy(e.ws, e.table, dir)
	if err != nil {
		return nil, err
	}
	for _, p := range modules {
		fmt.Println(at(p.module.Path, p.version))
	}
	fmt.Printf("\nuse it with GOPROXY=%s,direct GONOSUMDB=%s/*\n"+
		"and a GOMODCACHE of its own: a version without a tag changes with every commit\n",
		fileURL(filepath.Join(e.ws.Root, proxyTree)), e.ws.Prefix)
	return nil, nil
}

// makeProxy lets the go command fetch every published module as it would from
// a public host, with all its rules for tags, nested modules and zip files,
// and keeps the module cache that this leaves in dir. The host is a clone of
// the last commit in which missing tags have been added.
func makeProxy(ws *workspace.Workspace, table policy.Table, dir string) ([]published, error) {
	tmp, err := os.MkdirTemp("", "proxy")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	clone := filepath.Join(tmp, "clone")
	if _, err := gocmd.Git(ws.Root, nil, "clone", "--quiet", ws.Root, clone); err != nil {
		return nil, err
	}
	modules, err := tagAll(ws, table, clone)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(tmp, "gitconfig")
	if err := os.WriteFile(config, []byte(insteadOf(clone, ws.Prefix)), 0o644); err != nil {
		return nil, err
	}
	env := []string{
		"GOWORK=off", "GOFLAGS=", "GOPROXY=direct", "GOMODCACHE=" + dir, "GONOSUMDB=" + ws.Prefix + "/*",
		"GIT_CONFIG_GLOBAL=" + config,
	}
	for _, p := range modules {
		if _, err := gocmd.Go(tmp, env, "mod", "download", at(p.module.Path, p.version)); err != nil {
			return nil, err
		}
	}
	return modules, nil
}

// tagAll gives every published module of the clone that has packages a tag
// for the version its siblings mean, unless there is one.
func tagAll(ws *workspace.Workspace, table policy.Table, clone string) ([]published, error) {
	out, err := gocmd.Git(clone, nil, "tag", "--list")
	if err != nil {
		return nil, err
	}
	tags := gocmd.Lines(out)
	var modules []published
	for _, m := range ws.Modules {
		if _, err := os.Stat(filepath.Join(clone, m.Name, "go.mod")); err != nil || !table.Published(m.Name) {
			continue
		}
		p := published{module: m, version: ws.NextVersion(m)}
		tag := m.Name + "/" + p.version
		if !slices.Contains(tags, tag) {
			if _, err := gocmd.Git(clone, nil, "tag", tag); err != nil {
				return nil, err
			}
		}
		modules = append(modules, p)
	}
	return modules, nil
}

// insteadOf is the git configuration that answers for the public host.
func insteadOf(clone, prefix string) string {
	return fmt.Sprintf("[url %q]\n\tinsteadOf = https://%s\n", fileURL(clone), prefix)
}

// fileURL turns an absolute path into a URL, on every system.
func fileURL(dir string) string {
	dir = filepath.ToSlash(dir)
	if !strings.HasPrefix(dir, "/") {
		dir = "/" + dir
	}
	return "file://" + dir
}

// removeCache deletes a module cache. Its files are read-only.
func removeCache(dir string) error {
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return nil
	}
	if _, err := gocmd.Go(os.TempDir(), []string{"GOMODCACHE=" + dir, "GOWORK=off"}, "clean", "-modcache"); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
