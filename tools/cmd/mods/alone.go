package main

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

// A copy of a go.mod with which the go command can look at one module outside
// the workspace, although siblings that it requires are not published yet.
type aloneMod struct {
	module workspace.Module
	env    []string
	file   string // the copy; its go.sum stands beside it
	added  []workspace.Replace
}

// alone copies the go.mod and go.sum of m into dir and lets the checkout stand
// in for every sibling version that has no tag.
func alone(ws *workspace.Workspace, m workspace.Module, tags []string, dir string) (*aloneMod, error) {
	a := &aloneMod{module: m, file: filepath.Join(dir, "go.mod"), env: offline(ws)}
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(m.Dir, name))
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return nil, err
		}
	}
	args := []string{"mod", "edit"}
	for _, sibling := range ws.Modules {
		if sibling.Name == m.Name {
			continue
		}
		versions := ws.Siblings()[sibling.Path]
		if len(versions) == 0 {
			versions = []string{ws.NextVersion(sibling)}
		}
		for _, version := range versions {
			if slices.Contains(tags, sibling.Name+"/"+version) {
				continue
			}
			args = append(args, "-replace="+at(sibling.Path, version)+"="+sibling.Dir)
			a.added = append(a.added, workspace.Replace{Path: sibling.Path, Version: version})
		}
	}
	if len(a.added) == 0 {
		return a, nil
	}
	_, err := gocmd.Go(dir, a.env, append(args, a.file)...)
	return a, err
}

// run runs the go command in the module's directory with the copy.
func (a *aloneMod) run(args ...string) ([]byte, error) {
	return gocmd.Go(a.module.Dir, append(a.env, "GOFLAGS=-modfile="+a.file), args...)
}

// finish takes the stand-ins out again and returns the two files.
func (a *aloneMod) finish() (mod, sum string, err error) {
	if len(a.added) > 0 {
		args := []string{"mod", "edit"}
		for _, r := range a.added {
			args = append(args, "-dropreplace="+at(r.Path, r.Version))
		}
		if _, err := gocmd.Go(filepath.Dir(a.file), a.env, append(args, a.file)...); err != nil {
			return "", "", err
		}
	}
	modText, err := os.ReadFile(a.file)
	if err != nil {
		return "", "", err
	}
	sumText, err := os.ReadFile(filepath.Join(filepath.Dir(a.file), "go.sum"))
	if err != nil && !os.IsNotExist(err) {
		return "", "", err
	}
	return string(modText), string(sumText), nil
}

// offline is the environment of a look from outside the workspace: siblings
// are taken from .proxy when "mods proxy" has made it, and no checksum
// database is asked for them.
func offline(ws *workspace.Workspace) []string {
	env := []string{"GOWORK=off", "GONOSUMDB=" + ws.Prefix + "/*"}
	tree := filepath.Join(ws.Root, proxyTree)
	if _, err := os.Stat(tree); err != nil {
		return env
	}
	upstream, err := gocmd.Go(ws.Root, nil, "env", "GOPROXY")
	if err != nil {
		return env
	}
	return append(env, "GOPROXY="+fileURL(tree)+","+gocmd.Lines(upstream)[0])
}
