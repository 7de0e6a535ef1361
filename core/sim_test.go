package nats

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/internal/sim"
)

// simPlan is the plan of a seed: a day with some times of trouble.
func simPlan(seed uint64) sim.Plan { return sim.NewPlan(seed, 24*time.Hour, 16) }

// The environment variables by which "make sim" speaks to these tests.
const (
	simSeedEnv  = "PERIGEE_SIM_SEED"  // run this one, and print its trace
	simSeedsEnv = "PERIGEE_SIM_SEEDS" // run so many
)

// simSeeds are the seeds of this run: the one or the many that "make sim" asks
// for, or some. replay reports whether it is one, whose trace is wanted.
func simSeeds(some int) (seeds []uint64, replay bool) {
	if n, err := strconv.ParseUint(os.Getenv(simSeedEnv), 10, 64); err == nil {
		return []uint64{n}, true
	}
	if sim.Race {
		some /= 8
	}
	n := figure.Size(some, 1000)
	if v, err := strconv.Atoi(os.Getenv(simSeedsEnv)); err == nil {
		n = v
	}
	first := figure.Seed(1)
	for i := range n {
		seeds = append(seeds, first+uint64(i))
	}
	return seeds, false
}

// simAll runs the plans of all seeds, some at a time, and hands each to look.
func simAll(seeds []uint64, look func(plan sim.Plan, out simOutcome)) { simAllOf(seeds, simPlan, look) }

func simAllOf(seeds []uint64, planOf func(seed uint64) sim.Plan, look func(plan sim.Plan, out simOutcome)) {
	next := make(chan uint64, len(seeds))
	for _, s := range seeds {
		next <- s
	}
	close(next)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range min(4, len(seeds)) {
		wg.Go(func() {
			for seed := range next {
				plan := planOf(seed)
				out := simulate(plan, simNoBug, nil)
				mu.Lock()
				look(plan, out)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// simExplain makes a plan that fails short and says what happens in it.
func simExplain(plan sim.Plan, bug simBug) (short sim.Plan, explanation string) {
	short = sim.Shrink(plan, 1500, func(p sim.Plan) bool { return simulate(p, bug, nil).err != nil })
	var trace []string
	out := simulate(short, bug, func(line string) { trace = append(trace, line) })
	const most = 300
	trace = trace[max(0, len(trace)-most):]
	return short, fmt.Sprintf("%v\nreplay: make sim SEED=%d\nthe plan, made short:\n%v\nthe end of its trace:\n%s\n",
		out.err, plan.Seed, short, strings.Join(trace, "\n"))
}

// Days of clients and servers, with trouble of every kind: figure 18. All the
// rare branches that are listed are reached: figure 20.
//
// reliability A17, A19, A26, C1, C4, C5, C6, C7, C10, C11, C12, C13, C14, C19,
// D1, D2, D3, D4, D8, D11, D12, D16, E1, E2, L2, L6
func TestFigure18DaysOfTrouble(t *testing.T) {
	seeds, replay := simSeeds(20)
	if replay {
		simulate(simPlan(seeds[0]), simNoBug, func(line string) { fmt.Println(line) })
	}
	marks := make(map[string]int)
	steps, failed := 0, 0
	simAll(seeds, func(plan sim.Plan, out simOutcome) {
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
	figure.Print(t, 18, "24 h a seed, 200 seeds a change",
		"%d seeds of 24 simulated hours, %d events, %d violations", len(seeds), steps, failed)
	if replay {
		return
	}
	if sim.Race {
		return
	}
	want := simCommon
	if len(seeds) >= 200 {
		want = slices.Concat(simCommon, simRare)
	}
	reached := 0
	for _, mark := range want {
		if marks[mark] > 0 {
			reached++
		} else {
			t.Errorf("it never happened: %s", mark)
		}
		t.Logf("%4d seeds: %s", marks[mark], mark)
	}
	for mark := range marks {
		if !slices.Contains(simCommon, mark) && !slices.Contains(simRare, mark) {
			t.Errorf("not in the list: %s", mark)
		}
	}
	figure.Print(t, 20, "all that are listed", "%d of %d rare branches reached in %d seeds", reached, len(want), len(seeds))
}

// simCommon are rare branches that a few days reach, simRare those that many do.
var (
	simCommon = []string{
		"INFO between CONNECT and PONG",
		"a PONG was lost with its link",
		"a dial came too late",
		"a drain ended well",
		"a frame that had left in part is to be sent again",
		"a half-open link was found",
		"a link was given up as dead",
		"a machine was suspended",
		"a message was taken between the end of a link and its halt",
		"a publisher waited for room",
		"a request can be made again",
		"a request timed out",
		"a request was answered",
		"a request was refused",
		"a request was withdrawn unsent",
		"a round was over with all servers barred",
		"a server was left alone for a minute",
		"a slow consumer caught up",
		"a slow consumer",
		"a subscription was drained while disconnected",
		"a write came back late",
		"a write had to wait",
		"an UNSUB was lost with its link",
		"drain while disconnected",
		"lame duck",
		"messages became unknown",
		"messages stayed for the next link",
		"nobody answers",
		"the outcome of a request is unknown",
		"the reconnect buffer was full",
	}
	simRare = []string{
		"a drain flushed again on the next link",
		"a failed write is lost whole",
		"a link died while its writer was stuck",
		"a link that had ended came up",
		"a message was too large for the next server",
		"a write timed out",
		"bytes after the end of a link",
		"bytes of an old link",
		"lame duck while draining",
		"late bytes of an old connection",
		"no PONG after the subscriptions",
	}
)

// The same seed gives the same run.
func TestFigure19SameSeedSameRun(t *testing.T) {
	seeds, _ := simSeeds(8)
	seeds = seeds[:min(len(seeds), 50)]
	hashes := make(map[uint64]uint64)
	same := 0
	for _, planOf := range []func(uint64) sim.Plan{simPlan, simPullPlan} {
		clear(hashes)
		simAllOf(seeds, planOf, func(plan sim.Plan, out simOutcome) { hashes[plan.Seed] = out.hash })
		simAllOf(seeds, planOf, func(plan sim.Plan, out simOutcome) {
			if out.hash == hashes[plan.Seed] {
				same++
			} else {
				t.Errorf("seed %d: traces with the hashes %x and %x", plan.Seed, hashes[plan.Seed], out.hash)
			}
		})
	}
	figure.Print(t, 19, "the same seed, the same trace: 50 seeds twice", "%d of %d days and hours of pulling gave the same trace twice", same, 2*len(seeds))
}

// What is broken on purpose is found, and the plan that shows it is made short.
func TestSimFindsBugs(t *testing.T) {
	if sim.Race {
		t.Skip("many runs on one goroutine")
	}
	for bug, name := range map[simBug]string{
		simResumeBug: "what had left is sent again", simForgetBug: "a subscription is forgotten", simConfirmBug: "an INFO is a PONG",
		simStrandBug: "what was read ahead is not handed back",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var plan sim.Plan
			for seed := uint64(1); seed <= 50; seed++ {
				p := sim.NewPlan(seed, 2*time.Hour, 8)
				if bug == simStrandBug {
					p = sim.NewPullPlan(seed, 2*time.Hour, 8)
				}
				if simulate(p, bug, nil).err != nil {
					plan = p
					break
				}
			}
			if plan.Seed == 0 {
				t.Fatal("it was not found")
			}
			short, text := simExplain(plan, bug)
			t.Logf("%d ops made %d: %s", len(plan.Ops), len(short.Ops), text)
			if len(short.Ops) > 8 {
				t.Errorf("%d ops are left of %d", len(short.Ops), len(plan.Ops))
			}
			if err := simulate(short, bug, nil).err; err == nil {
				t.Error("the short plan does not fail")
			}
			if err := simulate(short, simNoBug, nil).err; err != nil {
				t.Errorf("without the bug: %v", err)
			}
		})
	}
}
