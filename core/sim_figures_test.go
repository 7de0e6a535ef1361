package nats

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/internal/sim"
)

// A half-open link is found in time in whatever state it is: silent, publishing,
// with the writer stuck; a PING just sent or about to be.
//
// reliability C10
func TestFigure08HalfOpenLinkIsFound(t *testing.T) {
	n := figure.Size(2000, 100_000)
	if sim.Race {
		n /= 20
	}
	rng := rand.New(rand.NewPCG(figure.Seed(1), 8))
	var all []time.Duration
	for i := range n {
		at := 30*time.Second + time.Duration(rng.Int64N(int64(25*time.Second)))
		p := sim.Plan{Seed: uint64(i), Clients: 1, Servers: 1, Horizon: 3 * time.Minute}
		p.Ops = append(p.Ops, sim.Op{At: at, Kind: sim.HalfOpen})
		for range rng.IntN(6) {
			// Some before, some after; some that fill every buffer on the way.
			o := sim.Op{Kind: sim.Publish, N: 1 + rng.IntN(1<<rng.IntN(9)), Mode: rng.IntN(1 << 5)}
			o.At = at - 30*time.Second + time.Duration(rng.Int64N(int64(60*time.Second)))
			o.For = time.Duration(rng.Int64N(int64(20 * time.Second)))
			p.Ops = append(p.Ops, o)
		}
		slices.SortStableFunc(p.Ops, func(a, b sim.Op) int { return cmp.Compare(a.At, b.At) })
		out := simulate(p, simNoBug, nil)
		if out.err != nil || len(out.holes) != 1 {
			t.Fatalf("%v, found after %v in %v", out.err, out.holes, p)
		}
		all = append(all, out.holes[0])
	}
	slices.Sort(all)
	worst := all[n-1].Round(time.Millisecond)
	figure.Print(t, 8, "30 s with the default options", "%d half-open links found after %v to %v, half of them within %v",
		n, all[0].Round(time.Millisecond), worst, all[n/2].Round(time.Millisecond))
	if worst > simHoleFound {
		t.Errorf("one was found after %v", worst)
	}
}

// stormOf is a simulation of many clients of one server that is away for a minute.
func stormOf(seed uint64, clients int, back time.Duration) (r *simRun, out simOutcome) {
	p := sim.Plan{Seed: seed, Clients: clients, Servers: 1, Horizon: back + 20*time.Second}
	const gone = 10 * time.Second
	p.Ops = []sim.Op{{At: gone, Kind: sim.RestartAll, For: back - gone}}
	r = newSimRun(p, simNoBug, nil)
	for _, c := range r.clients {
		r.w.At(time.Second, func() {
			c.enter(func() {
				for i := range 3 {
					if _, err := c.nc.Subscribe(fmt.Sprintf("storm.%d.%d", c.id, i), func(Msg) {}); err != nil {
						r.w.Fail("%v", err)
					}
				}
			})
		})
	}
	return r, r.run()
}

// Many clients whose server comes back are all connected soon, with all their
// subscriptions, and do not come all at once.
//
// reliability A26
func TestFigure21ReconnectStorm(t *testing.T) {
	const (
		clients = 1000
		back    = 70 * time.Second
		window  = 100 * time.Millisecond
	)
	storms := figure.Size(3, 100)
	if sim.Race {
		storms = 1
	}
	var last time.Duration
	lost := 0
	var peaks []float64 // in % of the clients
	for i := range storms {
		r, out := stormOf(figure.Seed(1)+uint64(i), clients, back)
		if out.err != nil {
			t.Fatal(out.err)
		}
		for _, c := range r.clients {
			last = max(last, c.upAt-back)
			lost += max(0, 3-len(c.link.peer.Subs()))
		}
		peaks = append(peaks, 100*float64(peak(r.dials, back, window))/clients)
	}
	slices.Sort(peaks)
	middle, worst := peaks[storms/2], peaks[storms-1]
	figure.Print(t, 21, "all connected within 15 s, attempts of at most 5 % of the clients in any 100 ms, no subscription lost",
		"%d clients, %d times: all connected %v after the server is back, %.1f %% of them in the worst 100 ms (at most %.1f %%), %d subscriptions lost",
		clients, storms, last.Round(time.Millisecond), middle, worst, lost)
	if last > 15*time.Second || middle > 5 || worst > 7.5 || lost > 0 {
		t.Error("it is worse than promised")
	}
}

// peak is the most attempts in any window that begins at from or later.
func peak(dials []time.Duration, from, window time.Duration) (most int) {
	slices.Sort(dials)
	first, _ := slices.BinarySearch(dials, from)
	dials = dials[first:]
	for i, j := 0, 0; i < len(dials); i++ {
		for dials[j] <= dials[i]-window {
			j++
		}
		most = max(most, i-j+1)
	}
	return most
}

// An outage of a day is a day of attempts, at the rate of the longest back-off,
// and then all is well.
//
// reliability A20
func TestSimOutageOfADay(t *testing.T) {
	p := sim.Plan{Seed: 20, Clients: 3, Servers: 3, Horizon: 24*time.Hour + 2*time.Minute}
	p.Ops = []sim.Op{
		{At: 50 * time.Second, Kind: sim.Subscribe, Who: 0, N: 2},
		{At: time.Minute, Kind: sim.RestartAll, For: 24 * time.Hour},
		{At: 2 * time.Minute, Kind: sim.Publish, Who: 1, N: 20, For: time.Second},
		{At: 12 * time.Hour, Kind: sim.Request, Who: 2, N: 5, For: time.Second},
	}
	r := newSimRun(p, simNoBug, nil)
	if out := r.run(); out.err != nil {
		t.Fatal(out.err)
	}
	// Two servers are known by name and one from INFO; 3.75 s between rounds.
	rounds := float64(24*time.Hour) / float64(3750*time.Millisecond)
	if n, want := float64(len(r.dials)), 3*3*rounds; n < 0.95*want || n > 1.05*want {
		t.Errorf("%v attempts, want about %v", n, want)
	}
}
