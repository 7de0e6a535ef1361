package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/scenario"
	"github.com/perigee-go/nats/tools/bench/internal/stats"
)

// Table prints a comparison on a terminal, scenario by scenario.
type Table struct {
	W    io.Writer
	head bool
}

const tableLine = "%-20s %-17s %9s %8s %8s %8s %7s %8s %17s %17s %8s %8s %8s\n"

// Print prints one scenario.
func (t *Table) Print(spec scenario.Spec, sums []stats.Summary) {
	if !t.head {
		t.head = true
		fmt.Fprintf(t.W, tableLine, "scenario", "client", "msg/s", "MB/s", "ns/msg", "cpu-ns", "allocs", "B/msg",
			"x-wall (min-max)", "x-cpu (min-max)", "p50", "p99", "p99.9")
	}
	name := spec.Name
	for _, s := range sums {
		if s.Err != "" {
			fmt.Fprintf(t.W, "%-20s %-17s failed: %s\n", name, s.Client, s.Err)
		} else {
			fmt.Fprintf(t.W, tableLine, name, s.Client, short(s.Rate.Median), short(s.MBps.Median), short(s.WallNS.Median),
				short(s.CPUNS.Median), fmt.Sprintf("%.2f", s.Allocs.Median), short(s.Bytes.Median),
				ratio(s.XWall), ratio(s.XCPU), latency(s.P50NS), latency(s.P99NS), latency(s.P999NS))
		}
		name = ""
	}
	t.printLatencyRatios(sums)
	for _, m := range metricNames(sums) {
		fmt.Fprintf(t.W, "  %s:%s\n", m, metricLine(sums, m))
	}
}

// printLatencyRatios prints how much shorter latencies are, for all but the
// reference, which comes first.
func (t *Table) printLatencyRatios(sums []stats.Summary) {
	for _, s := range sums[min(1, len(sums)):] {
		if s.XP50.Median > 0 {
			fmt.Fprintf(t.W, "  x-p50 %s, x-p99 %s  %s\n", ratio(s.XP50), ratio(s.XP99), s.Client)
		}
	}
}

func metricNames(sums []stats.Summary) []string {
	names := map[string]bool{}
	for _, s := range sums {
		for name := range s.Metrics {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func metricLine(sums []stats.Summary, name string) string {
	var b strings.Builder
	for _, s := range sums {
		if m, ok := s.Metrics[name]; ok {
			fmt.Fprintf(&b, "  %s %s (%s-%s)", s.Client, short(m.Median), short(m.Min), short(m.Max))
		}
	}
	return b.String()
}

// PlainLine is one line for programs: name, x-wall, x-cpu, allocations.
func PlainLine(spec scenario.Spec, s stats.Summary) string {
	return fmt.Sprintf("%s %.2f %.2f %.2f", spec.Name, s.XWall.Median, s.XCPU.Median, s.Allocs.Median)
}

// ratio shows a ratio with its spread.
func ratio(r stats.Range) string {
	if r.Median == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f)", r.Median, r.Min, r.Max)
}

// short writes a number with three digits and a letter for thousands.
func short(v float64) string {
	switch {
	case v >= 999.5e6:
		return digits(v/1e9) + "G"
	case v >= 999.5e3:
		return digits(v/1e6) + "M"
	case v >= 9995:
		return digits(v/1e3) + "k"
	default:
		return digits(v)
	}
}

func digits(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 9.995:
		return fmt.Sprintf("%.2f", v)
	case v < 99.95:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// latency shows the median of a percentile.
func latency(r stats.Range) string {
	if r.Median == 0 {
		return "-"
	}
	d := time.Duration(r.Median)
	switch {
	case d >= time.Second:
		return digits(d.Seconds()) + "s"
	case d >= time.Millisecond:
		return digits(float64(d)/1e6) + "ms"
	case d >= time.Microsecond:
		return digits(float64(d)/1e3) + "us"
	default:
		return fmt.Sprintf("%dns", d.Nanoseconds())
	}
}
