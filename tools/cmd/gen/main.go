// Gen writes the files that are made from others.
//
//	gen parity          check docs/parity.tsv and write docs/parity.md from it
//	gen errors          write the error codes of JetStream from the pinned server's list
//	gen -check NAME     check the same, and that the file is what it should be
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
		fmt.Fprintln(os.Stderr, "usage: gen [-check] parity|errors")
		os.Exit(2)
	}
	flag.Parse()
	write, ok := map[string]func(bool) (report.List, error){"parity": parity, "errors": errorCodes}[flag.Arg(0)]
	if flag.NArg() != 1 || !ok {
		flag.Usage()
	}
	problems, err := write(*check)
	problems.Print(os.Stderr)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "gen", flag.Arg(0)+":", err)
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
	err = settle(&problems, root, generated{pageFile, page(rows), tableFile + " makes", "make parity"}, onlyCheck)
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

// generated is a file with what should be in it.
type generated struct{ file, want, origin, command string }

// settle writes a generated file, or reports that it is out of date.
func settle(problems *report.List, root string, g generated, onlyCheck bool) error {
	file := filepath.Join(root, filepath.FromSlash(g.file))
	if !onlyCheck {
		return os.WriteFile(file, []byte(g.want), 0o644)
	}
	have, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if string(have) != g.want {
		problems.Add(g.file, "is not what "+g.origin, `run "`+g.command+`" and commit it`)
	}
	return nil
}
