package compare

import (
	"context"
	"slices"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/scenario"
	"github.com/perigee-go/nats/tools/bench/internal/stats"
)

// Plan is a comparison. The first client is the reference.
type Plan struct {
	Scenarios  []scenario.Spec
	Clients    []scenario.Client
	Rounds     int
	Scale      float64
	BallastMiB int
}

// Step is where a comparison stands, before a run.
type Step struct {
	Scenario    scenario.Spec
	Client      string
	Round       int // from 1
	Done, Total int // runs
}

// Observer is told how a comparison goes on. Either function may be nil.
type Observer struct {
	Step     func(Step)
	Finished func(spec scenario.Spec, perClient []stats.Summary)
}

// pause lets the processes of the last run go before the next one.
const pause = 50 * time.Millisecond

// Run runs the plan and returns all runs. Within a round the clients take turns,
// in reverse order in every second one. If ctx ends, what was finished is
// returned with its error.
func (p Plan) Run(ctx context.Context, observe Observer) ([]scenario.Result, error) {
	around, err := StartSurroundings(p.Scenarios)
	if err != nil {
		return nil, err
	}
	defer around.Stop()
	env := around.Env
	env.Scale = p.Scale
	var all []scenario.Result
	step := Step{Total: p.runs()}
	for _, spec := range p.Scenarios {
		clients := p.clientsFor(spec)
		runs := map[string][]scenario.Result{}
		for round := range p.Rounds {
			for _, c := range inOrder(clients, round) {
				step.Scenario, step.Client, step.Round = spec, c.Name, round+1
				if observe.Step != nil {
					observe.Step(step)
				}
				r := runInChild(ctx, task{Client: c.Name, Scenario: spec.Name, BallastMiB: p.BallastMiB, Env: env})
				if ctx.Err() != nil {
					return all, ctx.Err()
				}
				r.Round = round + 1
				runs[c.Name] = append(runs[c.Name], r)
				step.Done++
				time.Sleep(pause)
			}
		}
		var sums []stats.Summary
		for _, c := range clients {
			all = append(all, runs[c.Name]...)
			sums = append(sums, stats.Summarize(runs[c.Name], runs[p.Clients[0].Name]))
		}
		if observe.Finished != nil {
			observe.Finished(spec, sums)
		}
	}
	return all, nil
}

func (p Plan) clientsFor(spec scenario.Spec) []scenario.Client {
	return slices.DeleteFunc(slices.Clone(p.Clients), func(c scenario.Client) bool { return !c.Does(spec) })
}

func (p Plan) runs() int {
	n := 0
	for _, spec := range p.Scenarios {
		n += len(p.clientsFor(spec)) * p.Rounds
	}
	return n
}

// inOrder turns the order of the clients round in every second round.
func inOrder(clients []scenario.Client, round int) []scenario.Client {
	order := slices.Clone(clients)
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}
