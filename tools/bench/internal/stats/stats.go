// Package stats turns the runs of a comparison into figures.
package stats

import (
	"slices"

	"github.com/perigee-go/nats/tools/bench/internal/scenario"
)

// Range is a median and the spread around it.
type Range struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// RangeOf is the range of the values; zero if there are none.
func RangeOf(values []float64) Range {
	if len(values) == 0 {
		return Range{}
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Range{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1]}
}

// Summary is what one client showed in one scenario. Figures are per message
// where their name does not say otherwise.
type Summary struct {
	Client, Scenario string
	Runs             int
	Rate             Range // messages a second
	MBps             Range // payload
	WallNS           Range
	CPUNS, SysNS     Range
	Allocs, Bytes    Range
	P50NS, P99NS     Range // of single messages or requests; zero if not measured
	P999NS           Range
	// XWall and XCPU are how many times faster than the reference, and how many
	// times less CPU: of the ratios round by round. Zero without a reference.
	XWall, XCPU Range
	XP50, XP99  Range // of the latencies likewise
	Metrics     map[string]Range
	Err         string // of the first run that failed
}

// Summarize sums up the runs of one client in one scenario against those of the
// reference, round by round.
func Summarize(runs, reference []scenario.Result) Summary {
	var s Summary
	var c columns
	for _, r := range runs {
		s.Client, s.Scenario = r.Client, r.Scenario
		if r.Err == "" && r.Msgs == 0 {
			r.Err = "nothing measured"
		}
		if r.Err != "" {
			if s.Err == "" {
				s.Err = r.Err
			}
			continue
		}
		s.Runs++
		c.add(r)
		if q, ok := sameRound(reference, r.Round); ok {
			c.addRatios(r, q)
		}
	}
	c.fill(&s)
	return s
}

func sameRound(runs []scenario.Result, round int) (scenario.Result, bool) {
	i := slices.IndexFunc(runs, func(r scenario.Result) bool {
		return r.Round == round && r.Err == "" && r.Msgs > 0
	})
	if i < 0 {
		return scenario.Result{}, false
	}
	return runs[i], true
}

// columns collects one figure of all rounds in each slice.
type columns struct {
	rate, mbps, wall, cpu, sys, allocs, bytes, p50, p99, p999, xwall, xcpu, xp50, xp99 []float64
	metrics                                                                            map[string][]float64
}

func (c *columns) add(r scenario.Result) {
	n, wall := float64(r.Msgs), float64(r.WallNS)
	c.rate = append(c.rate, n/wall*1e9)
	c.mbps = append(c.mbps, float64(r.Bytes)/wall*1e3)
	c.wall = append(c.wall, wall/n)
	c.cpu = append(c.cpu, cpu(r))
	c.sys = append(c.sys, float64(r.SysNS)/n)
	c.allocs = append(c.allocs, float64(r.Mallocs)/n)
	c.bytes = append(c.bytes, float64(r.AllocB)/n)
	c.p50 = append(c.p50, float64(r.P50NS))
	c.p99 = append(c.p99, float64(r.P99NS))
	c.p999 = append(c.p999, float64(r.P999NS))
	for name, v := range r.Metrics {
		if c.metrics == nil {
			c.metrics = map[string][]float64{}
		}
		c.metrics[name] = append(c.metrics[name], v)
	}
}

func (c *columns) addRatios(r, reference scenario.Result) {
	wall := func(r scenario.Result) float64 { return float64(r.WallNS) / float64(r.Msgs) }
	c.xwall = append(c.xwall, wall(reference)/wall(r))
	if cpu(r) > 0 { // a very short run may have used no measurable time
		c.xcpu = append(c.xcpu, cpu(reference)/cpu(r))
	}
	if r.P50NS > 0 && r.P99NS > 0 {
		c.xp50 = append(c.xp50, float64(reference.P50NS)/float64(r.P50NS))
		c.xp99 = append(c.xp99, float64(reference.P99NS)/float64(r.P99NS))
	}
}

// cpu is the CPU time per message.
func cpu(r scenario.Result) float64 { return float64(r.UserNS+r.SysNS) / float64(r.Msgs) }

func (c *columns) fill(s *Summary) {
	for _, p := range []struct {
		to   *Range
		from []float64
	}{
		{&s.Rate, c.rate}, {&s.MBps, c.mbps}, {&s.WallNS, c.wall}, {&s.CPUNS, c.cpu}, {&s.SysNS, c.sys},
		{&s.Allocs, c.allocs}, {&s.Bytes, c.bytes}, {&s.P50NS, c.p50}, {&s.P99NS, c.p99}, {&s.P999NS, c.p999},
		{&s.XWall, c.xwall}, {&s.XCPU, c.xcpu}, {&s.XP50, c.xp50}, {&s.XP99, c.xp99},
	} {
		*p.to = RangeOf(p.from)
	}
	for name, values := range c.metrics {
		if s.Metrics == nil {
			s.Metrics = map[string]Range{}
		}
		s.Metrics[name] = RangeOf(values)
	}
}
