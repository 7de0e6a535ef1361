package scenario

import (
	"slices"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		want Spec
		text string
	}{
		{"pub/128/g1", Spec{Kind: "pub", Size: 128, Width: 1, Frame: "msg"}, "publish 128 B, 1 goroutine"},
		{"pub-tls/1048576/g64", Spec{Kind: "pub", TLS: true, Size: 1 << 20, Width: 64, Frame: "msg"}, "publish 1 MiB, 64 goroutines, TLS"},
		{"cb/16/s1000/hdrread", Spec{Kind: "cb", Size: 16, Width: 1000, Frame: "hdrread"}, "callback 16 B, 1,000 subscriptions, header read"},
		{"req/1024/c64", Spec{Kind: "req", Size: 1024, Width: 64, Frame: "msg"}, "request 1 KiB, 64 in flight"},
		{"jsasync/128/w4096", Spec{Kind: "jsasync", Size: 128, Width: 4096, Frame: "msg"}, "store 128 B, 4,096 receipts outstanding"},
		{"e2e/0", Spec{Kind: "e2e", Width: 1, Frame: "msg"}, "publish to subscription 0 B over a server"},
		{"resub/100000", Spec{Kind: "resub", Width: 100_000, Frame: "msg"}, "100,000 subscriptions, made again after a reconnect"},
		{"idle/1", Spec{Kind: "idle", Width: 1, Frame: "msg"}, "1 connection, idle"},
	} {
		got, err := Parse(c.name)
		c.want.Name = c.name
		if err != nil || got != c.want {
			t.Errorf("Parse(%q) = %+v, %v", c.name, got, err)
		}
		if got.String() != c.text {
			t.Errorf("%s is %q, want %q", c.name, got.String(), c.text)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, name := range []string{
		"", "pub", "pub/128", "pub/128/g1/x", "pub/128/s1", "pub/128/g0", "pub/-1/g1", "pub/x/g1",
		"cb/16/s1/none", "nothing/1", "fair-tls/0/s1", "-tls/1", "idle/0", "pub/128/g",
	} {
		if s, err := Parse(name); err == nil {
			t.Errorf("Parse(%q) = %+v", name, s)
		}
	}
}

func TestSetsHaveScenarios(t *testing.T) {
	for _, set := range SetNames() {
		names, ok := Set(set)
		if !ok || len(names) == 0 {
			t.Errorf("set %s is empty", set)
		}
		for _, name := range names {
			s, err := Parse(name)
			if err != nil {
				t.Errorf("set %s: %v", set, err)
			} else if !slices.Contains(Groups, s.Group()) {
				t.Errorf("%s has the group %q", name, s.Group())
			}
		}
	}
}

func TestSelect(t *testing.T) {
	specs, err := Select([]string{"pub/16/g1", "core", "e2e/5"}, "^(pub|e2e)/")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
	}
	if names[0] != "pub/16/g1" || names[len(names)-1] != "e2e/5" || slices.Index(names[1:], "pub/16/g1") >= 0 {
		t.Errorf("selected %v", names)
	}
	for _, bad := range [][2]string{{"core", "("}, {"core", "nothing"}, {"nothing", ""}} {
		if _, err := Select([]string{bad[0]}, bad[1]); err == nil {
			t.Errorf("Select(%v) succeeded", bad)
		}
	}
}

func TestCountAndWindow(t *testing.T) {
	if got := Count(16, 6, 1); got != 6_000_000 {
		t.Errorf("Count = %d", got)
	}
	for _, size := range []int{0, 16, 1 << 10, 64 << 10, 256 << 10, 1 << 20} {
		if Count(size, 1, 0) < 50 {
			t.Errorf("too few messages of %d B", size)
		}
		if w := Window(size); w < 16 || w*size > 16<<20 && w > 16 {
			t.Errorf("window of %d messages of %d B", w, size)
		}
	}
}

func TestLatencies(t *testing.T) {
	samples := make([]int64, 1000)
	for i := range samples {
		samples[i] = int64(i+1) * 1000
	}
	var r Result
	r.Latencies(samples)
	for _, c := range []struct{ got, want int64 }{{r.P50NS, 500_000}, {r.P99NS, 990_000}, {r.P999NS, 999_000}, {r.MaxNS, 1_000_000}} {
		if diff := c.got - c.want; diff < -1000 || diff > 1000 {
			t.Errorf("got %d, want about %d", c.got, c.want)
		}
	}
	r.Latencies([]int64{0, int64(time.Hour)}) // out of range on both sides
	if r.MaxNS > int64(2*patience) {
		t.Errorf("maximum %d", r.MaxNS)
	}
}
