// Package source reads the Go files of a module, whatever system or build tag
// they are for. It only parses: it works while the code does not compile yet.
package source

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Package is the Go files of one directory.
type Package struct {
	Dir   string // below the root, with slashes: "core/internal/wire"
	Name  string // of its files that are not tests; else without "_test"
	Files []*File
}

// File is one parsed file.
type File struct {
	Name      string // below the root, with slashes
	Test      bool   // _test.go
	Generated bool
	Lines     int
	AST       *ast.File
	Fset      *token.FileSet
}

// Load parses all packages of the module in directory name below root. Nested
// modules, testdata and directories that the go command ignores are left out.
func Load(root, name string) ([]*Package, error) {
	var packages []*Package
	top := filepath.Join(root, filepath.FromSlash(name))
	err := filepath.WalkDir(top, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if dir != top && skipped(dir) {
			return filepath.SkipDir
		}
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			return err
		}
		p, err := loadDir(root, filepath.ToSlash(rel))
		if err != nil || len(p.Files) == 0 {
			return err
		}
		packages = append(packages, p)
		return nil
	})
	return packages, err
}

func skipped(dir string) bool {
	base := filepath.Base(dir)
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func loadDir(root, dir string) (*Package, error) {
	entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(dir)))
	if err != nil {
		return nil, err
	}
	p := &Package{Dir: dir}
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
			continue
		}
		f, err := loadFile(root, path.Join(dir, name))
		if err != nil {
			return nil, err
		}
		p.Files = append(p.Files, f)
		if !f.Test || p.Name == "" {
			p.Name = strings.TrimSuffix(f.AST.Name.Name, "_test")
		}
	}
	return p, nil
}

func loadFile(root, name string) (*File, error) {
	src, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &File{
		Name:      name,
		Test:      strings.HasSuffix(name, "_test.go"),
		Generated: ast.IsGenerated(file),
		Lines:     strings.Count(string(src), "\n"),
		AST:       file,
		Fset:      fset,
	}, nil
}

// Main reports whether the package is a program.
func (p *Package) Main() bool { return p.Name == "main" }

// Internal reports whether only packages of its own tree can import it.
func (p *Package) Internal() bool { return strings.Contains("/"+p.Dir+"/", "/internal/") }

// At says where a node of the file stands, as file:line.
func (f *File) At(pos token.Pos) string {
	return f.Name + ":" + strconv.Itoa(f.Line(pos))
}

// Line returns the line that pos is in.
func (f *File) Line(pos token.Pos) int { return f.Fset.Position(pos).Line }

// Imports returns the import paths of the file with where they stand.
func (f *File) Imports() map[string]token.Pos {
	imports := make(map[string]token.Pos)
	for _, spec := range f.AST.Imports {
		if importPath, err := strconv.Unquote(spec.Path.Value); err == nil {
			imports[importPath] = spec.Pos()
		}
	}
	return imports
}

// ImportName returns the name by which the file calls a package of the
// standard library, or "" when it does not import it.
func (f *File) ImportName(importPath string) string {
	for _, spec := range f.AST.Imports {
		if spec.Path.Value != strconv.Quote(importPath) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}
