package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"

	"github.com/perigee-go/nats/tools/bench/internal/compare"
	"github.com/perigee-go/nats/tools/bench/internal/report"
	"github.com/perigee-go/nats/tools/bench/internal/scenario"
	"github.com/perigee-go/nats/tools/bench/internal/stats"
)

type profileCommand struct {
	Scenario string  `arg:"" help:"The scenario, such as cb/128/s1/msg."`
	Driver   string  `default:"perigee" help:"The client."`
	Scale    float64 `default:"2" help:"Factor on the number of messages."`
	Ballast  int     `default:"64" help:"MiB of live heap."`
	Dir      string  `default:"." help:"Where to write the profiles." type:"path"`
	Block    bool    `help:"Also profile where goroutines block, which costs speed."`
}

// Run profiles the measured part of the run alone.
func (c *profileCommand) Run(context.Context) error {
	spec, err := scenario.Parse(c.Scenario)
	if err != nil {
		return err
	}
	chosen, err := chooseClients([]string{c.Driver})
	if err != nil {
		return err
	}
	if !chosen[0].Does(spec) {
		return fmt.Errorf("%s does not do %s", c.Driver, c.Scenario)
	}
	around, err := compare.StartSurroundings([]scenario.Spec{spec})
	if err != nil {
		return err
	}
	defer around.Stop()
	p := &profiles{prefix: filepath.Join(c.Dir, strings.ReplaceAll(c.Driver+"-"+c.Scenario, "/", "-")), block: c.Block}
	env := around.Env
	env.Scale = c.Scale
	env.Hooks = scenario.Hooks{Begin: p.begin, End: p.end}
	release := compare.Ballast(c.Ballast)
	defer release()
	result := scenario.Run(chosen[0], spec, env)
	table := report.Table{W: os.Stdout}
	table.Print(spec, []stats.Summary{stats.Summarize([]scenario.Result{result}, nil)})
	for _, file := range p.files {
		fmt.Printf("go tool pprof -top %s\n", file)
	}
	if result.Err != "" {
		return errors.New(result.Err)
	}
	return p.err
}

// profiles writes profiles of what happens between begin and end. Allocations
// are sampled from the start, so the warm-up is in that one too.
type profiles struct {
	prefix string
	block  bool
	cpu    *os.File
	files  []string
	err    error
}

func (p *profiles) begin() {
	runtime.SetMutexProfileFraction(5)
	if p.block {
		runtime.SetBlockProfileRate(1000)
	}
	if p.cpu = p.create("cpu"); p.cpu != nil {
		p.err = errors.Join(p.err, pprof.StartCPUProfile(p.cpu))
	}
}

func (p *profiles) end() {
	pprof.StopCPUProfile()
	if p.cpu != nil {
		p.err = errors.Join(p.err, p.cpu.Close())
	}
	p.write("allocs")
	p.write("mutex")
	if p.block {
		p.write("block")
	}
	runtime.SetMutexProfileFraction(0)
	runtime.SetBlockProfileRate(0)
}

func (p *profiles) write(name string) {
	if f := p.create(name); f != nil {
		p.err = errors.Join(p.err, pprof.Lookup(name).WriteTo(f, 0), f.Close())
	}
}

func (p *profiles) create(name string) *os.File {
	path := p.prefix + "." + name + ".prof"
	f, err := os.Create(path)
	if err != nil {
		p.err = errors.Join(p.err, err)
		return nil
	}
	p.files = append(p.files, path)
	return f
}
