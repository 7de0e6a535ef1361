// Package workspace reads go.work and the go.mod of every module it uses.
package workspace

import (
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/perigee-go/nats/tools/internal/gocmd"
)

// Workspace is the repository as go.work describes it.
type Workspace struct {
	Root      string // absolute directory of go.work
	Prefix    string // what the path of every module starts with
	Go        string // go line of go.work
	Toolchain string // toolchain line of go.work; should be empty
	Replace   []Replace
	Modules   []Module // in the order of go.work
}

// Module is one go.mod.
type Module struct {
	Path      string // as in the module line
	Name      string // directory below the root, with slashes: "orbit/natstest"
	Dir       string // the same, absolute
	Go        string
	Toolchain string
	Require   []Require
	Replace   []Replace
}

// Require is one require line.
type Require struct {
	Path     string
	Version  string
	Indirect bool
}

// Replace is one replace line.
type Replace struct {
	Path, Version string
	NewPath       string
	NewVersion    string
}

// Load reads the workspace whose go.work stands in root.
func Load(root string) (*Workspace, error) {
	var work workFile
	if err := edit(root, &work, "work", "go.work"); err != nil {
		return nil, err
	}
	w := &Workspace{Root: root, Go: work.Go, Toolchain: work.Toolchain, Replace: replaces(work.Replace)}
	for _, use := range work.Use {
		m, err := loadModule(root, path.Clean(filepath.ToSlash(use.DiskPath)))
		if err != nil {
			return nil, err
		}
		w.Modules = append(w.Modules, m)
	}
	if len(w.Modules) == 0 {
		return nil, fmt.Errorf("%s: go.work uses no module", root)
	}
	w.Prefix = prefix(w.Modules)
	return w, nil
}

func loadModule(root, name string) (Module, error) {
	m := Module{Name: name, Dir: filepath.Join(root, filepath.FromSlash(name))}
	var mod modFile
	if err := edit(m.Dir, &mod, "mod", "go.mod"); err != nil {
		return m, err
	}
	m.Path, m.Go, m.Toolchain = mod.Module.Path, mod.Go, mod.Toolchain
	m.Replace = replaces(mod.Replace)
	for _, r := range mod.Require {
		m.Require = append(m.Require, Require(r))
	}
	return m, nil
}

// Module returns the module with this name.
func (w *Workspace) Module(name string) (Module, bool) {
	i := slices.IndexFunc(w.Modules, func(m Module) bool { return m.Name == name })
	if i < 0 {
		return Module{}, false
	}
	return w.Modules[i], true
}

// ByPath returns the module with this module path.
func (w *Workspace) ByPath(modulePath string) (Module, bool) {
	i := slices.IndexFunc(w.Modules, func(m Module) bool { return m.Path == modulePath })
	if i < 0 {
		return Module{}, false
	}
	return w.Modules[i], true
}

// Siblings returns, for every module of the workspace that another one
// requires, the versions required, in ascending order of the text.
func (w *Workspace) Siblings() map[string][]string {
	versions := make(map[string][]string)
	for _, m := range w.Modules {
		for _, r := range m.Require {
			if _, ours := w.ByPath(r.Path); ours && !slices.Contains(versions[r.Path], r.Version) {
				versions[r.Path] = append(versions[r.Path], r.Version)
			}
		}
	}
	for _, v := range versions {
		slices.Sort(v)
	}
	return versions
}

// FirstVersion is what a module is called before its first tag.
const FirstVersion = "v0.1.0"

// NextVersion is the version that siblings mean when they import m: the
// highest required, or the first one when nobody requires it.
func (w *Workspace) NextVersion(m Module) string {
	if v := w.Siblings()[m.Path]; len(v) > 0 {
		return v[len(v)-1]
	}
	return FirstVersion
}

var majorSuffix = regexp.MustCompile(`/v[0-9]+$`)

// PathOf returns the module path that belongs to a directory, before any
// major version suffix.
func (w *Workspace) PathOf(name string) string { return w.Prefix + "/" + name }

// SamePath reports whether modulePath is the path of the directory name,
// with or without a major version suffix.
func (w *Workspace) SamePath(modulePath, name string) bool {
	return majorSuffix.ReplaceAllString(modulePath, "") == w.PathOf(name)
}

// prefix finds the part that module paths and directories do not share. The
// shortest answer wins: one misnamed module does not spoil it.
func prefix(modules []Module) string {
	best := ""
	for _, m := range modules {
		p, ok := strings.CutSuffix(majorSuffix.ReplaceAllString(m.Path, ""), "/"+m.Name)
		if ok && (best == "" || len(p) < len(best)) {
			best = p
		}
	}
	return best
}

// The shapes that "go work edit -json" and "go mod edit -json" print.
type (
	workFile struct {
		Go        string
		Toolchain string
		Use       []struct{ DiskPath string }
		Replace   []jsonReplace
	}
	modFile struct {
		Module    struct{ Path string }
		Go        string
		Toolchain string
		Require   []struct {
			Path, Version string
			Indirect      bool
		}
		Replace []jsonReplace
	}
	jsonReplace struct {
		Old, New struct{ Path, Version string }
	}
)

func replaces(in []jsonReplace) []Replace {
	var out []Replace
	for _, r := range in {
		out = append(out, Replace{Path: r.Old.Path, Version: r.Old.Version, NewPath: r.New.Path, NewVersion: r.New.Version})
	}
	return out
}

// edit reads a file of which GOWORK in the environment may know nothing, so it
// is named.
func edit(dir string, into any, kind, file string) error {
	out, err := gocmd.Go(dir, nil, kind, "edit", "-json", file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("go %s edit -json (in %s): %w", kind, dir, err)
	}
	return nil
}
