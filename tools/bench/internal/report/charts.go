package report

import (
	"fmt"
	"strings"

	"github.com/perigee-go/nats/tools/bench/internal/scenario"
	"github.com/perigee-go/nats/tools/bench/internal/stats"
)

// The clients that a document shows, by their names in the files.
const (
	ours     = "perigee"
	onReader = "perigee-onreader"
)

// clientTitles are how they are called there.
var clientTitles = map[string]string{ours: "Perigee", onReader: "Perigee, callback on the reader"}

// Chart draws a group of the file's scenarios.
func (f File) Chart(group scenario.Group) (Chart, error) {
	rows, err := f.rows(group)
	if err != nil {
		return Chart{}, err
	}
	switch group {
	case scenario.Publish:
		return f.speedChart("Publish", rows, ours), nil
	case scenario.Receive:
		return f.speedChart("Receive", rows, ours, onReader), nil
	case scenario.Request:
		return f.serverChart(rows), nil
	default:
		return Chart{}, fmt.Errorf("there is no chart of %q", group)
	}
}

// speedChart compares how fast clients are.
func (f File) speedChart(title string, rows []row, clients ...string) Chart {
	c := Chart{
		Title:  title + ": times as fast as " + f.Settings.Reference,
		Note:   fmt.Sprintf("median of %d rounds, the line is the slowest and the fastest one; %s", f.Settings.Rounds, f.setting()),
		Series: []string{f.Settings.Reference},
	}
	for _, client := range clients {
		c.Series = append(c.Series, clientTitles[client])
	}
	for _, r := range rows {
		reference, ok := r.by[f.Settings.Reference]
		if !ok || reference.Err != "" {
			continue
		}
		out := ChartRow{Label: label(r.spec), Bars: []Bar{{Value: 1, Text: rate(reference)}}}
		for i, client := range clients {
			if s, ok := r.by[client]; ok && s.Err == "" {
				out.Bars = append(out.Bars, bar(i+1, s.XWall, rate(s)))
			}
		}
		c.Rows = append(c.Rows, out)
	}
	return c
}

// serverChart compares speed and CPU time, because with a server on the same
// cores the clock alone measures the server.
func (f File) serverChart(rows []row) Chart {
	c := Chart{
		Title:  "Request and end to end through a server: times as fast, times less CPU than " + f.Settings.Reference,
		Note:   fmt.Sprintf("median of %d rounds, the line is the least and the greatest; client, server and peers share the cores; %s", f.Settings.Rounds, f.setting()),
		Series: []string{f.Settings.Reference, "Perigee, speed", "Perigee, CPU time of the client"},
	}
	for _, r := range rows {
		reference, ok := r.by[f.Settings.Reference]
		s, ok2 := r.by[ours]
		if !ok || !ok2 || reference.Err != "" || s.Err != "" {
			continue
		}
		cpu := fmt.Sprintf("%s/msg instead of %s", latency(s.CPUNS), latency(reference.CPUNS))
		c.Rows = append(c.Rows, ChartRow{Label: label(r.spec), Bars: []Bar{
			{Value: 1, Text: rate(reference)}, bar(1, s.XWall, rate(s)), bar(2, s.XCPU, cpu),
		}})
	}
	return c
}

func bar(series int, r stats.Range, text string) Bar {
	return Bar{Series: series, Value: r.Median, Low: r.Min, High: r.Max, Text: fmt.Sprintf("%.2f×, %s", r.Median, text)}
}

func rate(s stats.Summary) string { return short(s.Rate.Median) + " msg/s" }

func (f File) setting() string {
	return fmt.Sprintf("%d cores, %d MiB ballast", f.Machine.Cores, f.Settings.BallastMiB)
}

// label is a description that fits beside a bar.
func label(s scenario.Spec) string {
	text := s.String()
	for _, short := range [][2]string{
		{" with a header built per message", ", header built"}, {" with a ready header", ", header ready"},
		{", 1 goroutine", ""}, {", 1 subscription", ""}, {"publish to subscription ", "publish and receive "},
		{" over a server", ""}, {"latency at 10,000 messages a second", "10,000 messages a second"},
		{", answered by the same client", ", own responder"}, {" subscriptions", " subs"},
		{"publish 128 B to 1,000 subjects", "publish 128 B, 1,000 subjects"},
	} {
		text = strings.Replace(text, short[0], short[1], 1)
	}
	return text
}
