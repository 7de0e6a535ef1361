// Gen writes the files that are made from others.
//
//	gen parity          check docs/parity.tsv and write docs/parity.md from it
//	gen -check parity   check it, and that docs/parity.md is what it should be
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/policy"
	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

func main() {
	check := flag.Bool("check", false, "compare what would be written with what is there")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: gen [-check] parity")
		os.Exit(2)
	}
	flag.Parse()
	if flag.NArg() != 1 || flag.Arg(0) != "parity" {
		flag.Usage()
	}
	problems, err := parity(*check)
	problems.Print(os.Stderr)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "gen parity:", err)
		os.Exit(2)
	case len(problems) > 0:
		os.Exit(1)
	}
}

const (
	tableFile = "docs/parity.tsv"
	pageFile  = "docs/parity.md"
)

func parity(onlyCheck bool) (report.List, error) {
	root, err := gocmd.Root()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(root, tableFile))
	if err != nil {
		return nil, err
	}
	index, err := repositoryIndex(root)
	if err != nil {
		return nil, err
	}
	rows, problems := parseTable(tableFile, string(data))
	checkRows(&problems, index, rows)
	if len(problems) > 0 {
		return problems, nil
	}
	fmt.Printf("gen parity: %s\n", countStates(rows))
	err = settle(&problems, filepath.Join(root, pageFile), page(rows), onlyCheck)
	return problems, err
}

// repositoryIndex knows what the published modules export and what all
// modules test.
func repositoryIndex(root string) (*index, error) {
	ws, err := workspace.Load(root)
	if err != nil {
		return nil, err
	}
	modules, err := policy.Modules()
	if err != nil {
		return nil, err
	}
	x := newIndex()
	for _, m := range ws.Modules {
		if err := x.add(root, m.Name, modules.Published(m.Name)); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// settle writes a generated file, or reports that it is out of date.
func settle(problems *report.List, file, want string, onlyCheck bool) error {
	if !onlyCheck {
		return os.WriteFile(file, []byte(want), 0o644)
	}
	have, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if string(have) != want {
		problems.Add(pageFile, "is not what "+tableFile+" makes", `run "make parity" and commit it`)
	}
	return nil
}
