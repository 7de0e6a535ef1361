package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/perigee-go/nats/tools/bench/internal/scenario"
	"github.com/perigee-go/nats/tools/bench/internal/stats"
)

// MachineText is what was measured with, as a Markdown list.
func (f File) MachineText() string {
	var clients []string
	for _, name := range slices.Sorted(maps.Keys(f.Versions.Clients)) {
		if name != onReader {
			clients = append(clients, name+" "+f.Versions.Clients[name])
		}
	}
	s := f.Settings
	var b strings.Builder
	fmt.Fprintf(&b, "* %s, %d cores, %s, %s/%s\n", f.Machine.CPU, f.Machine.Cores, f.Machine.Kernel, f.Machine.GOOS, f.Machine.GOARCH)
	fmt.Fprintf(&b, "* %s; nats-server %s; %s; commit %s\n", strings.Join(clients, ", "), f.Versions.Server, f.Versions.Go, f.Versions.Commit)
	fmt.Fprintf(&b, "* %d rounds, scale %g, ballast %d MiB, GOMAXPROCS %d, the same for all clients; %s\n", s.Rounds, s.Scale, s.BallastMiB, s.GOMAXPROCS, f.Date)
	fmt.Fprintf(&b, "* `%s`\n", f.Command)
	return b.String()
}

// TableText is the tables of a group in Markdown.
func (f File) TableText(group scenario.Group) (string, error) {
	rows, err := f.rows(group)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	withLatency := slices.ContainsFunc(rows, func(r row) bool { return r.by[f.Settings.Reference].P50NS.Median > 0 })
	withLimit := slices.ContainsFunc(rows, func(r row) bool { _, ok := limitOf(r); return ok })
	head := []string{"Scenario", f.Settings.Reference + " msg/s", "msg/s", "x-wall (min–max)", "x-cpu (min–max)", "allocs/msg", "B/msg"}
	if withLatency {
		head = append(head, "p50, p99, p99.9")
	}
	if withLimit {
		head = append(head, "of the limit")
	}
	writeRow(&b, head)
	writeRow(&b, slices.Repeat([]string{"---"}, len(head)))
	for _, r := range rows {
		for _, client := range []string{ours, onReader} {
			if cells, ok := f.cells(r, client, withLatency, withLimit); ok {
				writeRow(&b, cells)
			}
		}
	}
	f.writeMetrics(&b, rows)
	return b.String(), nil
}

func writeRow(b *strings.Builder, cells []string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// cells are one client's row; "a → b" is from the reference to the client.
func (f File) cells(r row, client string, withLatency, withLimit bool) ([]string, bool) {
	s, ok := r.by[client]
	ref, ok2 := r.by[f.Settings.Reference]
	if !ok || !ok2 {
		return nil, false
	}
	name := fmt.Sprintf("`%s`<br>%s", r.spec.Name, r.spec)
	if client != ours {
		name = fmt.Sprintf("`%s`<br>%s", r.spec.Name, clientTitles[client])
	}
	if s.Err != "" || ref.Err != "" {
		return []string{name, "failed"}, true
	}
	wall, cpu := ratio(s.XWall), ratio(s.XCPU)
	if r.spec.NeedsServer() {
		cpu = bold(cpu)
	} else {
		wall = bold(wall)
	}
	cells := []string{
		name, short(ref.Rate.Median), short(s.Rate.Median), wall, cpu,
		fmt.Sprintf("%.2f → %.2f", ref.Allocs.Median, s.Allocs.Median),
		short(ref.Bytes.Median) + " → " + short(s.Bytes.Median),
	}
	if withLatency {
		cells = append(cells, latencies(ref, s))
	}
	if withLimit {
		share := "-"
		if limit, ok := limitOf(r); ok {
			share = fmt.Sprintf("%.0f %%", 100*s.Rate.Median/limit)
		}
		cells = append(cells, share)
	}
	return cells, true
}

// bold makes the median bold: that is the figure that counts.
func bold(text string) string {
	figure, rest, _ := strings.Cut(text, " ")
	return strings.TrimSpace("**" + figure + "** " + rest)
}

func latencies(ref, s stats.Summary) string {
	if s.P50NS.Median == 0 {
		return "-"
	}
	three := func(s stats.Summary) string {
		return latency(s.P50NS) + ", " + latency(s.P99NS) + ", " + latency(s.P999NS)
	}
	return fmt.Sprintf("%s →<br>%s<br>x-p50 %s, x-p99 %s", three(ref), three(s), ratio(s.XP50), ratio(s.XP99))
}

// limitOf is the rate of the bare program that does what a client must at least
// do. rawread, which does not even look for messages, is no such program.
func limitOf(r row) (float64, bool) {
	for _, name := range []string{"rawwrite", "rawscan", "rawecho", "rawe2e"} {
		if s, ok := r.by[name]; ok && s.Err == "" && s.Rate.Median > 0 {
			return s.Rate.Median, true
		}
	}
	return 0, false
}

// writeMetrics adds a table of further figures, if there are any.
func (f File) writeMetrics(b *strings.Builder, rows []row) {
	head := false
	for _, r := range rows {
		ref, s := r.by[f.Settings.Reference], r.by[ours]
		for _, name := range slices.Sorted(maps.Keys(s.Metrics)) {
			if !head {
				head = true
				b.WriteString("\n")
				writeRow(b, []string{"Scenario", "Figure", f.Settings.Reference + " (min–max)", "Perigee (min–max)"})
				writeRow(b, []string{"---", "---", "---", "---"})
			}
			writeRow(b, []string{"`" + r.spec.Name + "`", metricTitle(name), metric(ref.Metrics[name]), metric(s.Metrics[name])})
		}
	}
}

// metricTitles explain the names in the files.
var metricTitles = map[string]string{
	"held-B/msg":          "heap that a kept message holds, B",
	"held-B/sub":          "heap of a subscription, B",
	"resub-ms":            "all subscriptions made again, ms",
	"resub-cpu-ms":        "CPU time of the reconnect, ms",
	"resub-writes":        "write system calls of the reconnect",
	"heap-KiB/conn":       "heap of a connection, KiB",
	"stack-KiB/conn":      "stacks of a connection, KiB",
	"goroutines/conn":     "goroutines of a connection",
	"idle-cpu-us/s/conn":  "CPU time of an idle connection, us a second",
	"idle-wakeups/s/conn": "wake-ups of the process a second, for each connection",
	"longest-publish-ms":  "longest Publish, ms",
	"longest-state-ms":    "longest call for status and statistics, ms",
}

func metricTitle(name string) string {
	if title, ok := metricTitles[name]; ok {
		return title
	}
	return name
}

func metric(r stats.Range) string {
	return fmt.Sprintf("%s (%s–%s)", short(r.Median), short(r.Min), short(r.Max))
}
