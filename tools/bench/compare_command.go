package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/perigee-go/nats/tools/bench/internal/compare"
	"github.com/perigee-go/nats/tools/bench/internal/report"
	"github.com/perigee-go/nats/tools/bench/internal/scenario"
	"github.com/perigee-go/nats/tools/bench/internal/stats"
)

type compareCommand struct {
	Scenarios  []string `default:"core" help:"Scenarios or sets of them (pub, sub, req, other, core, all, no-ballast, quick), comma separated; see list."`
	Match      string   `help:"Only the scenarios whose name matches this regular expression."`
	Drivers    []string `default:"nats.go,perigee" help:"Clients; the first is the reference. raw adds the bare limits."`
	Rounds     int      `default:"5" help:"How often each client runs each scenario."`
	Scale      float64  `default:"0.35" help:"Factor on the number of messages; 1 takes nats.go about a second a run."`
	Ballast    int      `default:"64" help:"MiB of live heap in each client process, as an application has; 0 makes the garbage collector run very often."`
	Output     string   `short:"o" help:"Write all runs to this JSON file." placeholder:"FILE"`
	NoProgress bool     `help:"Do not show what is running."`
}

func (c *compareCommand) plan() (compare.Plan, error) {
	specs, err := scenario.Select(c.Scenarios, c.Match)
	if err != nil {
		return compare.Plan{}, err
	}
	chosen, err := chooseClients(c.Drivers)
	if err != nil {
		return compare.Plan{}, err
	}
	if c.Rounds < 1 || c.Scale <= 0 || c.Ballast < 0 {
		return compare.Plan{}, fmt.Errorf("rounds and scale must be positive, ballast at least 0")
	}
	return compare.Plan{Scenarios: specs, Clients: chosen, Rounds: c.Rounds, Scale: c.Scale, BallastMiB: c.Ballast}, nil
}

// Run compares and prints a table; whatever failed makes it fail in the end.
func (c *compareCommand) Run(ctx context.Context) error {
	plan, err := c.plan()
	if err != nil {
		return err
	}
	settings := settingsOf(plan)
	machine, v := report.ThisMachine(), report.TheseVersions(versions(plan.Clients))
	fmt.Printf("%s, %d cores, %s; %s, nats-server %s; GOMAXPROCS %d\n", machine.CPU, machine.Cores, machine.Kernel, v.Go, v.Server, settings.GOMAXPROCS)
	fmt.Printf("The same for every client: %d rounds, scale %g, ballast %d MiB, default options, a new process for each run.\n", plan.Rounds, plan.Scale, plan.BallastMiB)
	fmt.Printf("x-wall, x-cpu: how many times faster and less CPU than %s, median of the ratios round by round.\n\n", settings.Reference)

	table := report.Table{W: os.Stdout}
	status := newProgress(os.Stderr, c.NoProgress)
	failures := 0
	runs, err := plan.Run(ctx, compare.Observer{
		Step: status.step,
		Finished: func(spec scenario.Spec, sums []stats.Summary) {
			status.clear()
			table.Print(spec, sums)
			failures += countFailures(sums)
		},
	})
	status.clear()
	if err != nil {
		return err
	}
	if c.Output != "" {
		if err := report.New(commandText(), settings, versions(plan.Clients), runs).Write(c.Output); err != nil {
			return err
		}
	}
	return failed(failures)
}

func settingsOf(p compare.Plan) report.Settings {
	s := report.Settings{
		Reference: p.Clients[0].Name, Rounds: p.Rounds, Scale: p.Scale, BallastMiB: p.BallastMiB,
		GOMAXPROCS: runtime.GOMAXPROCS(0), GOGC: os.Getenv("GOGC"),
	}
	for _, c := range p.Clients {
		s.Clients = append(s.Clients, c.Name)
	}
	return s
}

func countFailures(sums []stats.Summary) int {
	n := 0
	for _, s := range sums {
		if s.Err != "" {
			n++
		}
	}
	return n
}

func failed(n int) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d measurements failed", n)
}

// commandText is the command line of this process, to be repeated.
func commandText() string {
	words := append([]string{"natsbench"}, os.Args[1:]...)
	for i, w := range words {
		if strings.ContainsAny(w, " |()*?$^&;'\"\\") {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

type quickCommand struct {
	Scenarios []string `default:"quick" help:"Scenarios or sets of them, comma separated."`
	Rounds    int      `default:"5" help:"How often each client runs each scenario."`
	Scale     float64  `default:"0.15" help:"Factor on the number of messages."`
	Ballast   int      `default:"64" help:"MiB of live heap in each client process."`
}

// Run prints nothing but the lines, so that a program can read them.
func (c *quickCommand) Run(ctx context.Context) error {
	full := compareCommand{Scenarios: c.Scenarios, Drivers: []string{"nats.go", "perigee"}, Rounds: c.Rounds, Scale: c.Scale, Ballast: c.Ballast}
	plan, err := full.plan()
	if err != nil {
		return err
	}
	failures := 0
	_, err = plan.Run(ctx, compare.Observer{Finished: func(spec scenario.Spec, sums []stats.Summary) {
		if n := countFailures(sums); n > 0 {
			failures += n
			for _, s := range sums {
				fmt.Fprintln(os.Stderr, spec.Name, s.Client, s.Err)
			}
			return
		}
		fmt.Println(report.PlainLine(spec, sums[len(sums)-1]))
	}})
	if err != nil {
		return err
	}
	return failed(failures)
}

type listCommand struct{}

func (listCommand) Run() error {
	for _, name := range []string{"pub", "sub", "req", "other"} {
		fmt.Printf("set %s:\n", name)
		specs, err := scenario.Select([]string{name}, "")
		if err != nil {
			return err
		}
		for _, s := range specs {
			fmt.Printf("  %-20s %s\n", s.Name, s)
		}
	}
	fmt.Println("Sets of sets: core (pub and sub), all; no-ballast and quick are parts of all.")
	fmt.Println("Other numbers may stand in the names, such as pub/4096/g16 or cb/16/s100/hdr.")
	fmt.Println("Clients:", clientNames(clients()))
	return nil
}
