package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/perigee-go/nats/orbit/natstest"

	"github.com/perigee-go/nats/tools/bench/internal/compare"
	"github.com/perigee-go/nats/tools/bench/internal/report"
	"github.com/perigee-go/nats/tools/bench/internal/scenario"
	"github.com/perigee-go/nats/tools/bench/internal/stats"
)

// TestMain makes this binary the program when a comparison starts it again.
func TestMain(m *testing.M) {
	if compare.IsChild() {
		main()
		os.Exit(0)
	}
	os.Exit(natstest.Main(m))
}

// TestComparison runs some scenarios of each kind with every client, as small as
// they go.
func TestComparison(t *testing.T) {
	c := compareCommand{
		Scenarios: []string{
			"pub/16/g2", "pubhdr/16/g1", "pubhdrready/16/g1", "pubmany/16/g1", "pub-tls/16/g1", "pub/1048576/g1",
			"cb/16/s1/msg", "cb/16/s3/hdrread", "sync/16/s1/msg", "chan/16/s2/js", "cb-tls/16/s2/hdr", "cb/262144/s1/msg",
			"req/16/c4", "echo/16/c1", "e2e/16", "e2e-tls/16", "e2elat/128", "retain/128/s1/msg", "jspub/16/c4", "jsasync/16/w32", "block/20", "resub/300", "idle/10",
		},
		Drivers: []string{"nats.go", "perigee", "perigee-onreader", "raw"},
		Rounds:  1, Scale: 0.001,
	}
	plan, err := c.plan()
	if err != nil {
		t.Fatal(err)
	}
	finished := 0
	runs, err := plan.Run(t.Context(), compare.Observer{Finished: func(spec scenario.Spec, sums []stats.Summary) {
		finished++
		for _, s := range sums {
			if s.Err != "" || s.Runs != 1 || s.Rate.Median <= 0 {
				t.Errorf("%s %s: %+v", spec.Name, s.Client, s)
			}
		}
	}})
	if err != nil || finished != len(plan.Scenarios) {
		t.Fatalf("%d scenarios finished, %v", finished, err)
	}
	fillDocument(t, plan, runs)
}

// fillDocument does with the runs what is done with those of a long comparison.
func fillDocument(t *testing.T, plan compare.Plan, runs []scenario.Result) {
	dir := t.TempDir()
	file := filepath.Join(dir, "doc", "smoke.json")
	if err := report.New("natsbench", settingsOf(plan), versions(plan.Clients), runs).Write(file); err != nil {
		t.Fatal(err)
	}
	doc := filepath.Join(dir, "doc.md")
	text := "<!-- natsbench smoke table receive --><!-- natsbench end --><!-- natsbench smoke chart request --><!-- natsbench end -->"
	if err := os.WriteFile(doc, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if written, err := report.FillDocument(doc); err != nil || len(written) != 3 {
		t.Errorf("wrote %v, %v", written, err)
	}
}

func TestProfile(t *testing.T) {
	c := profileCommand{Scenario: "cb/16/s1/msg", Driver: "perigee", Scale: 0.01, Dir: t.TempDir(), Block: true}
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(c.Dir, "perigee-cb-16-s1-msg.*.prof"))
	if err != nil || len(files) != 4 {
		t.Errorf("profiles %v, %v", files, err)
	}
}

func TestModes(t *testing.T) {
	srv := natstest.Run(t)
	for _, name := range []string{"perigee", "nats.go"} {
		conn := connection{Server: srv.URL(), Driver: name, Clients: 2}
		load := workload{Msgs: 100, Size: 16, NoProgress: true}

		subscribed := make(chan error, 1)
		sub := subCommand{connection: conn, workload: load, Subject: "bench"}
		go func() { subscribed <- sub.Run(t.Context()) }()
		waitForSubscriptions(t, srv, 2)
		pub := pubCommand{connection: conn, workload: load, Subject: "bench"}
		if err := pub.Run(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-subscribed; err != nil {
			t.Error(err)
		}
		waitForSubscriptions(t, srv, 0) // the old ones are gone

		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		serve := serveCommand{connection: conn, Subject: "service", Queue: "q"}
		go func() { served <- serve.Run(ctx) }()
		waitForSubscriptions(t, srv, 2)
		request := requestCommand{connection: conn, workload: load, Subject: "service"}
		request.JSON = true
		if err := request.Run(t.Context()); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		waitForSubscriptions(t, srv, 0) // or the next driver's would seem to be there
	}
}

func waitForSubscriptions(t *testing.T, srv *natstest.Server, n int) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for srv.NumSubscriptions() != n {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%d subscriptions, not %d", srv.NumSubscriptions(), n)
		}
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]byteSize{"0": 0, "128": 128, "128B": 128, "4KB": 4096, "2KiB": 2048, "1m": 1 << 20} {
		var got byteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "B", "-1", "1G", "KB4", "1BK"} {
		var got byteSize
		if got.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is %d", bad, got)
		}
	}
}

func TestShareIsFair(t *testing.T) {
	total := 0
	for i := range 3 {
		total += share(10, i, 3)
	}
	if total != 10 || share(10, 0, 3) != 4 || share(10, 2, 3) != 3 {
		t.Errorf("shares add up to %d", total)
	}
}

func TestChooseClients(t *testing.T) {
	chosen, err := chooseClients([]string{"nats.go", "raw"})
	if err != nil || chosen[0].Name != "nats.go" || len(chosen) != 6 {
		t.Errorf("chose %v, %v", clientNames(chosen), err)
	}
	if _, err := chooseClients([]string{"other"}); err == nil || !strings.Contains(err.Error(), "perigee") {
		t.Errorf("got %v", err)
	}
}
