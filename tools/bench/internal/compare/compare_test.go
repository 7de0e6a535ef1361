package compare

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/perigee-go/nats/orbit/natstest"

	"github.com/perigee-go/nats/tools/bench/internal/driver"
	"github.com/perigee-go/nats/tools/bench/internal/scenario"
	"github.com/perigee-go/nats/tools/bench/internal/stats"
)

// testClients do nothing, fail, crash or hang.
func testClients() []scenario.Client {
	client := func(name string, measure func(scenario.Spec, scenario.Env, *scenario.Result) error) scenario.Client {
		return scenario.Client{Driver: driver.Driver{Name: name}, Measure: measure}
	}
	ok := client("ok", func(_ scenario.Spec, _ scenario.Env, r *scenario.Result) error {
		r.Msgs, r.WallNS, r.UserNS = 1, 100, 100
		return nil
	})
	onlyPub := client("only-pub", ok.Measure)
	onlyPub.Supports = func(s scenario.Spec) bool { return s.Kind == "pub" }
	return []scenario.Client{
		ok, onlyPub,
		client("fails", func(scenario.Spec, scenario.Env, *scenario.Result) error { return errors.New("it failed") }),
		client("crashes", func(scenario.Spec, scenario.Env, *scenario.Result) error {
			go panic("it crashed")
			select {}
		}),
		client("hangs", func(scenario.Spec, scenario.Env, *scenario.Result) error { select {} }),
	}
}

func TestMain(m *testing.M) {
	if IsChild() {
		var err error
		if os.Args[1] == PeersCommand {
			err = Peers(os.Stdin, os.Stdout)
		} else {
			err = Child(testClients(), os.Stdin, os.Stdout)
		}
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(natstest.Main(m))
}

func specs(t *testing.T, names ...string) []scenario.Spec {
	t.Helper()
	list, err := scenario.Select(names, "")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRunTakesTurnsAndReportsFailures(t *testing.T) {
	all := testClients()
	plan := Plan{Scenarios: specs(t, "pub/1/g1", "cb/1/s1/msg"), Clients: all[:4], Rounds: 2, Scale: 0.001}
	var order []string
	sums := map[string][]stats.Summary{}
	runs, err := plan.Run(t.Context(), Observer{
		Step:     func(s Step) { order = append(order, s.Client) },
		Finished: func(spec scenario.Spec, s []stats.Summary) { sums[spec.Name] = s },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ok", "only-pub", "fails", "crashes", "crashes", "fails", "only-pub", "ok",
		"ok", "fails", "crashes", "crashes", "fails", "ok",
	}
	if !slices.Equal(order, want) || len(runs) != len(want) {
		t.Errorf("%d runs in the order %v", len(runs), order)
	}
	for _, s := range sums["pub/1/g1"] {
		switch s.Client {
		case "ok", "only-pub":
			if s.Err != "" || s.XWall.Median != 1 {
				t.Errorf("%+v", s)
			}
		case "fails":
			if s.Err != "it failed" {
				t.Errorf("error %q", s.Err)
			}
		case "crashes":
			if !strings.Contains(s.Err, "it crashed") {
				t.Errorf("error %q", s.Err)
			}
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	plan := Plan{Scenarios: specs(t, "pub/1/g1"), Clients: testClients()[4:], Rounds: 1, Scale: 1}
	_, err := plan.Run(ctx, Observer{Step: func(Step) { time.AfterFunc(300*time.Millisecond, cancel) }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestChildrenEndWithTheirInput(t *testing.T) {
	for _, name := range []string{ChildCommand, PeersCommand} {
		cmd, err := command(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// One task does for both: it hangs.
		if err := send(stdin, task{Client: "hangs", Scenario: "pub/1/g1"}); err != nil {
			t.Fatal(err)
		}
		if name == PeersCommand { // it is there now
			if _, err := stdout.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		_ = stdin.Close()
		if _, err := io.Copy(io.Discard, stdout); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 3 {
			t.Errorf("%s ended with %v", name, err)
		}
	}
}

func TestReportIsFoundInOutput(t *testing.T) {
	var out strings.Builder
	out.WriteString("something else\n")
	if err := report(&out, map[string]int{"a": 1}); err != nil {
		t.Fatal(err)
	}
	out.WriteString("more\n")
	var got map[string]int
	if err := readReport([]byte(out.String()), &got); err != nil || got["a"] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	if readReport([]byte("nothing"), &got) == nil {
		t.Error("found a report where none is")
	}
}
