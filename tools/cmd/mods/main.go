// Mods looks after the modules of the repository and how they require each
// other.
//
//	mods check          go.mod files, go.work, the top level, what must not be committed
//	mods graph          what each published module brings into a user's build
//	mods work           rewrite the use and replace lines of go.work
//	mods tidy [-diff]   "go mod tidy" for every module; -diff only shows what it would change
//	mods proxy          make a file tree that serves the modules as a module proxy does
//	mods verify         "go get" every published module from an empty machine
//	mods rename PATH    give all modules another path root
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/perigee-go/nats/tools/internal/gocmd"
	"github.com/perigee-go/nats/tools/internal/policy"
	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

// env is what every command works on.
type env struct {
	ws    *workspace.Workspace
	table policy.Table
	args  []string
}

// commands return findings, or an error when they could not look.
var commands = map[string]func(env) (report.List, error){
	"check":  check,
	"graph":  graph,
	"work":   work,
	"tidy":   tidy,
	"proxy":  proxy,
	"verify": verify,
	"rename": rename,
}

func main() {
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: mods check | graph | work | tidy [-diff] | proxy | verify | rename PATH")
		os.Exit(2)
	}
	flag.Parse()
	command, ok := commands[flag.Arg(0)]
	if !ok {
		flag.Usage()
	}
	problems, err := run(command, flag.Args()[1:])
	problems.Print(os.Stderr)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "mods %s: %v\n", flag.Arg(0), err)
		os.Exit(2)
	case len(problems) > 0:
		os.Exit(1)
	}
	fmt.Printf("mods %s: ok\n", flag.Arg(0))
}

func run(command func(env) (report.List, error), args []string) (report.List, error) {
	root, err := gocmd.Root()
	if err != nil {
		return nil, err
	}
	ws, err := workspace.Load(root)
	if err != nil {
		return nil, err
	}
	table, err := policy.Modules()
	if err != nil {
		return nil, err
	}
	return command(env{ws: ws, table: table, args: args})
}
