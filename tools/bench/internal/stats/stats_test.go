package stats

import (
	"testing"

	"github.com/perigee-go/nats/tools/bench/internal/scenario"
)

func TestRangeOf(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Range
	}{
		{nil, Range{}},
		{[]float64{3}, Range{3, 3, 3}},
		{[]float64{9, 1, 2}, Range{2, 1, 9}},
		{[]float64{4, 1, 2, 3}, Range{2.5, 1, 4}},
	} {
		if got := RangeOf(c.values); got != c.want {
			t.Errorf("RangeOf(%v) = %v, want %v", c.values, got, c.want)
		}
	}
	values := []float64{2, 1}
	RangeOf(values)
	if values[0] != 2 {
		t.Error("RangeOf sorted its argument")
	}
}

// runs makes runs of 10 messages from pairs of wall and CPU time.
func runs(client string, wallAndCPU ...[2]int64) []scenario.Result {
	var rs []scenario.Result
	for i, wc := range wallAndCPU {
		rs = append(rs, scenario.Result{
			Client: client, Scenario: "pub/1/g1", Round: i + 1, Msgs: 10, Bytes: 10,
			WallNS: wc[0], UserNS: wc[1] - 1, SysNS: 1, Mallocs: 20, AllocB: 640,
		})
	}
	return rs
}

func TestSummarizeTakesRatiosRoundByRound(t *testing.T) {
	// The machine is twice as slow in the second round and four times in the
	// third: ratios within a round do not see that.
	reference := runs("nats.go", [2]int64{1000, 100}, [2]int64{2000, 200}, [2]int64{4000, 400})
	ours := runs("perigee", [2]int64{500, 50}, [2]int64{1000, 100}, [2]int64{1000, 100})
	s := Summarize(ours, reference)
	if s.XWall != (Range{2, 2, 4}) || s.XCPU != (Range{2, 2, 4}) {
		t.Errorf("x-wall %v, x-cpu %v", s.XWall, s.XCPU)
	}
	if s.Runs != 3 || s.WallNS.Median != 100 || s.CPUNS.Median != 10 || s.Allocs.Median != 2 || s.Bytes.Median != 64 {
		t.Errorf("summary %+v", s)
	}
	if s.Rate.Median != 1e7 || s.MBps.Median != 10 {
		t.Errorf("rate %v, %v MB/s", s.Rate, s.MBps)
	}
}

func TestSummarizeLeavesOutWhatFailed(t *testing.T) {
	reference := runs("nats.go", [2]int64{1000, 100}, [2]int64{2000, 200})
	ours := runs("perigee", [2]int64{500, 50}, [2]int64{500, 50})
	reference[0].Err = "broken"
	s := Summarize(ours, reference)
	if s.Err != "" || s.XWall != (Range{4, 4, 4}) {
		t.Errorf("with a failed reference: %q, %v", s.Err, s.XWall)
	}
	ours[1].Err = "stuck"
	ours[0].Msgs = 0
	s = Summarize(ours, reference)
	if s.Runs != 0 || s.Err != "nothing measured" {
		t.Errorf("with failed runs: %d, %q", s.Runs, s.Err)
	}
}

func TestSummarizeWithoutMeasurableCPU(t *testing.T) {
	s := Summarize(runs("perigee", [2]int64{10, 0}), runs("nats.go", [2]int64{20, 5}))
	if s.XCPU != (Range{}) || s.XWall.Median != 2 {
		t.Errorf("x-cpu %v, x-wall %v", s.XCPU, s.XWall)
	}
}

func TestSummarizeLatencies(t *testing.T) {
	reference, ours := runs("nats.go", [2]int64{10, 1}), runs("perigee", [2]int64{10, 1})
	reference[0].P50NS, reference[0].P99NS = 100, 300
	ours[0].P50NS, ours[0].P99NS = 50, 600
	s := Summarize(ours, reference)
	if s.P50NS.Median != 50 || s.XP50.Median != 2 || s.XP99.Median != 0.5 {
		t.Errorf("p50 %v, x-p50 %v, x-p99 %v", s.P50NS, s.XP50, s.XP99)
	}
}

func TestSummarizeMetrics(t *testing.T) {
	rs := runs("perigee", [2]int64{10, 1}, [2]int64{10, 1})
	rs[0].Add("held-B/msg", 4)
	rs[1].Add("held-B/msg", 2)
	if got := Summarize(rs, nil).Metrics["held-B/msg"]; got != (Range{3, 2, 4}) {
		t.Errorf("got %v", got)
	}
}
