// Api keeps docs/api: for each published module a text file with one line for
// everything that its packages export. A change of the API shows in review as
// a change of such a file.
//
//	api            compare the files with the source, fail when they differ
//	api -update    write the files
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/policy"
	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

func main() {
	update := flag.Bool("update", false, "write the files instead of comparing them")
	flag.Parse()
	problems, err := run(*update)
	problems.Print(os.Stderr)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "api:", err)
		os.Exit(2)
	case len(problems) > 0:
		os.Exit(1)
	}
	fmt.Println("api: ok")
}

func run(update bool) (report.List, error) {
	root, err := gocmd.Root()
	if err != nil {
		return nil, err
	}
	ws, err := workspace.Load(root)
	if err != nil {
		return nil, err
	}
	modules, err := policy.Modules()
	if err != nil {
		return nil, err
	}
	var problems report.List
	for _, m := range ws.Modules {
		if !modules.Published(m.Name) {
			continue
		}
		lines, err := moduleAPI(m.Dir, ws.Prefix)
		if err != nil {
			problems.Add(m.Name, err.Error(), "the API can be read only from code that compiles")
			continue
		}
		if len(lines) == 0 {
			continue
		}
		if err := settle(&problems, root, m.Name, text(m.Name, lines), update); err != nil {
			return problems, err
		}
	}
	return problems, nil
}

// fileName is where the API of a module is kept: orbit/natstest in
// docs/api/orbit-natstest.txt.
func fileName(module string) string {
	return "docs/api/" + strings.ReplaceAll(module, "/", "-") + ".txt"
}

func text(module string, lines []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# What module %s exports. Written by \"make api-update\"; do not edit.\n", module)
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// settle writes the file, or reports how it differs.
func settle(problems *report.List, root, module, want string, update bool) error {
	name := fileName(module)
	file := filepath.Join(root, filepath.FromSlash(name))
	if update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		return os.WriteFile(file, []byte(want), 0o644)
	}
	have, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if diff := report.Diff(string(have), want); diff != "" {
		problems.Add(name, "the API of "+module+" has changed (- gone, + new)\n"+diff,
			`if that is meant, run "make api-update" and commit the file`)
	}
	return nil
}
