package nats

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/internal/sim"
)

// simPullPlan is the plan of a seed for clients that pull.
func simPullPlan(seed uint64) sim.Plan { return sim.NewPullPlan(seed, 2*time.Hour, 12) }

// Hours of clients that pull from consumers, with trouble of links, servers and
// JetStream, and programs that are slow, stop and drain.
//
// reliability G1, G2, G3, G4, G6, G9, G10, G11, G13, G17
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
	figure.Print(t, 18, "2 h of pulling a seed, 200 seeds a change",
		"%d seeds of 2 simulated hours of pulling, %d events, %d violations", len(seeds), steps, failed)
	if replay || sim.Race {
		return
	}
	want := simPullCommon
	if len(seeds) >= 200 {
		want = slices.Concat(simPullCommon, simPullRare)
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
	known := slices.Concat(simPullCommon, simPullRare, simCommon, simRare)
	for mark := range marks {
		if !slices.Contains(known, mark) {
			t.Errorf("not in the list: %s", mark)
		}
	}
	figure.Print(t, 20, "all that are listed", "%d of %d rare branches of pulling reached in %d seeds", reached, len(want), len(seeds))
}

// simPullCommon are rare branches that some hours of pulling reach, simPullRare
// those that many do.
var (
	simPullCommon = []string{
		"js: MaxAckPending was reached",
		"js: MaxDeliver was reached",
		"js: a message came again after AckWait",
		"js: a pull had nobody behind it",
		"js: a pull was lost in silence",
		"pull: a fetch ended",
		"pull: a message came soon in a quiet hour",
		"pull: a message was handed back",
		"pull: a session ended with nothing on its way",
		"pull: ended: consumer deleted",
		"pull: ended: consumer gone",
		"pull: ended: finished",
		"pull: ended: no heartbeat",
		"pull: ended: no responders",
		"pull: a session left", "pull: sessions were drained with their connection",
		"pull: something was forged",
		"pull: the consumer was looked for",
		"pull: the credit was looked at when it has to be exact",
		"pull: told: batch too large",
		"pull: told: leadership change",
		"pull: told: no heartbeat",
		"pull: told: no responders",
		"pull: told: server shutdown",
	}
	simPullRare = []string{
		"js: MaxWaiting was reached",
		"js: a consumer was not known yet",
		"js: a pull met a leader that was about to go",
		"pull: a request could not be published",
		"pull: a request waited for room",
		"pull: ended: disconnected",
		"pull: ended: leadership change",
		"pull: ended: max waiting",
		"pull: ended: message too large",
		"pull: ended: server shutdown",
		"pull: told: max waiting",
		"pull: told: message too large",
	}
)

// simPullRun is a run with one client and one consumer, and a session that takes
// everything and acknowledges it at once.
func simPullRun(p sim.Plan, cfg sim.ConsumerConfig) *simRun {
	p.Clients, p.Consumers = 1, 1
	slices.SortStableFunc(p.Ops, func(a, b sim.Op) int { return cmp.Compare(a.At, b.At) })
	r := newSimRun(p, simNoBug, nil)
	r.consumers[0].Config = cfg
	r.plain = true
	r.w.At(time.Second, func() { r.takeFrom(r.consumers[0]) })
	return r
}

// What was pulled is never dropped here: MaxDeliver is 1, so it would not come
// again.
//
// reliability G3
func TestFigure06PulledThroughTrouble(t *testing.T) {
	const faults = 100 // of a run
	runs := figure.Size(60, 600)
	if sim.Race {
		runs = 5
	}
	pulled, dropped, lost, missing, stepDowns := 0, 0, 0, 0, 0
	links := uint64(0)
	for i := range runs {
		p := sim.Plan{Seed: figure.Seed(1) + uint64(i), Servers: 3, Horizon: faults*2*time.Second + 10*time.Second}
		p.Ops = []sim.Op{{At: 2 * time.Second, Kind: sim.Store, N: 20 * faults, For: 2 * faults * time.Second, Mode: 5}}
		for k := range faults {
			// A cut comes with a message, at any of its bytes.
			o := sim.Op{At: time.Duration(2*k+3) * time.Second, Kind: sim.CutDownAt, N: 1 + k*97%1500, Mode: k % 4 / 2 * 2, For: time.Duration(k%10) * 20 * time.Millisecond}
			if k%2 == 0 {
				o.Kind = sim.StepDown
				o.Mode = k / 2
				stepDowns++
			}
			p.Ops = append(p.Ops, o)
		}
		r := simPullRun(p, sim.ConsumerConfig{Replicated: true, AckWait: time.Second, MaxDeliver: 1, MaxWaiting: 512})
		if out := r.run(); out.err != nil {
			t.Fatalf("run %d: %v", i, out.err)
		}
		c := r.clients[0]
		links += c.nc.Stats().Connects - 1
		for _, s := range c.work.sessions {
			b := &s.books
			pulled += b.sent
			lost += b.lost
			dropped += int(s.sub.Stats().Dropped)
			missing += b.sent - b.took - b.back - b.lost
		}
	}
	figure.Print(t, 6, "0", "simulated: %d of %d pulled messages dropped here and %d unaccounted for in %d reconnects and %d step-downs, MaxDeliver 1 (%d were lost with a link)",
		dropped, pulled, missing, links, stepDowns, lost)
	if dropped+missing > 0 || pulled < 10*runs*faults || int(links) < runs*faults/3 {
		t.Error("it is not as promised, or there was no trouble")
	}
}

// A message that waits comes soon when the link is up again after a restart.
//
// reliability G1
func TestFigure07ResumeAfterRestart(t *testing.T) {
	const restarts = 100 // of a run
	runs := figure.Size(100, 1000)
	if sim.Race {
		runs = 5
	}
	var all []time.Duration
	for i := range runs {
		p := sim.Plan{Seed: figure.Seed(1) + uint64(i), Servers: 1, Horizon: restarts*15*time.Second + 10*time.Second}
		for k := range restarts {
			at := time.Duration(15*k+5) * time.Second
			away := time.Duration(10+(k*37+i*11)%5000) * time.Millisecond
			p.Ops = append(p.Ops,
				sim.Op{At: at, Kind: sim.Restart, For: away},
				sim.Op{At: at + away/2, Kind: sim.Store, N: 1, Mode: 5})
		}
		r := simPullRun(p, sim.ConsumerConfig{AckWait: 30 * time.Second, MaxWaiting: 512})
		if out := r.run(); out.err != nil {
			t.Fatalf("run %d: %v", i, out.err)
		}
		all = append(all, r.resumes...)
	}
	slices.Sort(all)
	n := len(all)
	worst := all[n-1]
	p99 := all[n*99/100]
	figure.Print(t, 7, "p99 500 ms, worst 2 s", "simulated: %d restarts: the next message %v after the link was up in the median, p99 %v, worst %v",
		n, all[n/2].Round(time.Microsecond), p99.Round(time.Microsecond), worst.Round(time.Microsecond))
	if n < runs*restarts || p99 > 500*time.Millisecond || worst > 2*time.Second {
		t.Error("it is not as promised")
	}
}
