package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/perigee-go/nats/tools/internal/gocmd"
)

// listed is what "go list" says of a package.
type listed struct {
	ImportPath string
	Name       string
	Dir        string
	Export     string // file with the compiled description of what it exports
	GoFiles    []string
	DepOnly    bool
}

// moduleAPI returns the sorted lines for all packages of the module in dir
// that users can import. prefix is the path root that the lines leave out.
func moduleAPI(dir, prefix string) ([]string, error) {
	packages, err := list(dir)
	if err != nil {
		return nil, err
	}
	exports := make(map[string]string)
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	var lines []string
	for _, p := range packages {
		if p.DepOnly || p.Name == "main" || strings.Contains(p.ImportPath+"/", "/internal/") {
			continue
		}
		pkg, err := check(p, exports)
		if err != nil {
			return nil, err
		}
		lines = append(lines, describe(pkg, strings.TrimPrefix(p.ImportPath, prefix+"/"))...)
	}
	slices.Sort(lines)
	return lines, nil
}

func list(dir string) ([]listed, error) {
	out, err := gocmd.Go(dir, nil, "list", "-export", "-deps",
		"-json=ImportPath,Name,Dir,Export,GoFiles,DepOnly", "./...")
	if err != nil {
		return nil, err
	}
	var packages []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("what go list printed: %w", err)
		}
		packages = append(packages, p)
	}
}

// check type-checks the source of one package against what the compiler
// knows of the others.
func check(p listed, exports map[string]string) (*types.Package, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	lookup := func(importPath string) (io.ReadCloser, error) {
		if exports[importPath] == "" {
			return nil, fmt.Errorf("%s: not compiled", importPath)
		}
		return os.Open(exports[importPath])
	}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", lookup), FakeImportC: true}
	return conf.Check(p.ImportPath, fset, files, nil)
}
