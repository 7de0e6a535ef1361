package nats

import (
	"fmt"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/internal/sim"
)

// simPullPlan is the plan of a seed for clients that pull.
func simPullPlan(seed uint64) sim.Plan { return sim.NewPullPlan(seed, 2*time.Hour, 12) }

// Hours of clients that pull from consumers, with trouble of links, servers and
// JetStream.
func TestFigure18HoursOfPulling(t *testing.T) {
	seeds, replay := simSeeds(20)
	if replay {
		simulate(simPullPlan(seeds[0]), simNoBug, func(line string) { fmt.Println(line) })
	}
	marks := make(map[string]int)
	steps, failed := 0, 0
	simAllOf(seeds, simPullPlan, func(plan sim.Plan, out simOutcome) {
		steps += out.steps
		for mark := range out.marks {
			marks[mark]++
		}
		if out.err == nil {
			return
		}
		t.Errorf("seed %d: %v", plan.Seed, out.err)
		if failed++; failed == 1 {
			_, text := simExplain(plan, simNoBug)
			t.Log(text)
		}
	})
	figure.Print(t, 18, "2 h a seed", "%d seeds of 2 simulated hours of pulling, %d events, %d violations", len(seeds), steps, failed)
	for m, n := range marks {
		t.Log(n, m)
	}
}
