package report

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perigee-go/nats/tools/bench/internal/scenario"
	"github.com/perigee-go/nats/tools/bench/internal/stats"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test -update writes it. Got:\n%s", path, got)
	}
}

// sample is a comparison of two rounds with one scenario of each group.
func sample() File {
	f := File{
		Format: format, Date: "2026-01-02 03:04 UTC", Command: "natsbench compare",
		Machine:  Machine{CPU: "CPU", Cores: 2, Kernel: "Linux 6", GOOS: "linux", GOARCH: "amd64"},
		Versions: Versions{Clients: map[string]string{"nats.go": "1", "perigee": "0.1"}, Server: "2", Go: "go1", Commit: "abc"},
		Settings: Settings{Reference: "nats.go", Clients: []string{"nats.go", "perigee"}, Rounds: 2, Scale: 1, BallastMiB: 64, GOMAXPROCS: 2},
	}
	add := func(client, name string, wall, cpu, mallocs int64) {
		for round := range int64(2) {
			r := scenario.Result{
				Client: client, Scenario: name, Round: int(round) + 1, Msgs: 1000, Bytes: 16000,
				WallNS: wall * (10 + round), UserNS: cpu * 10, Mallocs: uint64(mallocs), AllocB: uint64(mallocs) * 16,
			}
			if strings.HasPrefix(name, "req") {
				r.P50NS, r.P99NS, r.P999NS = wall, 2*wall, 3*wall
			}
			if strings.HasPrefix(name, "retain") {
				r.Add("held-B/msg", float64(mallocs))
			}
			f.Runs = append(f.Runs, r)
		}
	}
	add("nats.go", "pub/16/g1", 9000, 9000, 0)
	add("perigee", "pub/16/g1", 4500, 3000, 0)
	add("rawwrite", "pub/16/g1", 1000, 1000, 0)
	add("nats.go", "cb/16/s1/msg", 30000, 40000, 3000)
	add("perigee", "cb/16/s1/msg", 10000, 10000, 10)
	add("perigee-onreader", "cb/16/s1/msg", 6000, 5000, 0)
	add("nats.go", "req/16/c1", 100_000, 60000, 6000)
	add("perigee", "req/16/c1", 90000, 50000, 4000)
	add("nats.go", "retain/16/s1/msg", 30000, 40000, 3000)
	add("perigee", "retain/16/s1/msg", 10000, 10000, 10)
	f.Runs[3].WallNS += 5000 // a spread
	return f
}

func TestFileIsReadAsWritten(t *testing.T) {
	f := sample()
	path := filepath.Join(t.TempDir(), "dir", "runs.json")
	if err := f.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Runs) != len(f.Runs) || got.Runs[3].WallNS != f.Runs[3].WallNS || got.Command != f.Command {
		t.Errorf("got %+v", got)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), "\n    {\"client\"") != len(f.Runs) {
		t.Errorf("not one run a line: %v", err)
	}
	f.Format++
	if err := f.Write(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil {
		t.Error("read a file of another format")
	}
}

func TestChart(t *testing.T) {
	for _, group := range []scenario.Group{scenario.Publish, scenario.Receive, scenario.Request} {
		c, err := sample().Chart(group)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, string(group)+"-light.svg", c.SVG(Light))
	}
	c, err := sample().Chart(scenario.Receive)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "receive-dark.svg", c.SVG(Dark))
	if _, err := sample().Chart(scenario.Other); err == nil {
		t.Error("a chart of everything else")
	}
}

func TestDocument(t *testing.T) {
	dir := t.TempDir()
	doc := filepath.Join(dir, "doc.md")
	if err := sample().Write(filepath.Join(dir, "doc", "standard.json")); err != nil {
		t.Fatal(err)
	}
	text := "# Title\n"
	for _, mark := range []string{
		"standard machine", "standard table publish", "standard chart receive", "standard table receive",
		"standard table request", "standard table other", "absent machine",
	} {
		text += "\n<!-- natsbench " + mark + " -->\nold\n<!-- natsbench end -->\n"
	}
	if err := os.WriteFile(doc, []byte(text+"\nThe end.\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{3, 2} { // the second time only the charts are written
		written, err := FillDocument(doc)
		if err != nil || len(written) != want {
			t.Fatalf("time %d: wrote %v, %v", i+1, written, err)
		}
	}
	got, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "doc.md", string(got))
}

func TestDocumentRefusesBadMarks(t *testing.T) {
	dir := t.TempDir()
	if err := sample().Write(filepath.Join(dir, "standard.json")); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"<!-- natsbench standard machine", "<!-- natsbench standard machine -->", "<!-- natsbench standard -->x<!-- natsbench end -->",
		"<!-- natsbench standard table -->x<!-- natsbench end -->", "<!-- natsbench standard chart other -->x<!-- natsbench end -->",
	} {
		d := &document{dir: dir, files: map[string]File{}}
		if got, err := d.fill(text); err == nil {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	table := Table{W: &b}
	f := sample()
	for _, group := range scenario.Groups {
		rows, err := f.rows(group)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			failed := stats.Summary{Client: "broken", Err: "it broke"}
			table.Print(r.spec, []stats.Summary{r.by["nats.go"], r.by["perigee"], failed})
		}
	}
	golden(t, "table.txt", b.String())
}

func TestPlainLine(t *testing.T) {
	rows, err := sample().rows(scenario.Publish)
	if err != nil {
		t.Fatal(err)
	}
	if got := PlainLine(rows[0].spec, rows[0].by["perigee"]); got != "pub/16/g1 1.91 3.00 0.00" {
		t.Errorf("got %q", got)
	}
}

func TestShort(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.123: "0.12", 9.99: "9.99", 12.34: "12.3", 999: "999", 1234: "1234", 9994: "9994", 12345: "12.3k",
		999_499: "999k", 999_600: "1.00M", 12.5e6: "12.5M", 3.2e9: "3.20G",
	} {
		if got := short(v); got != want {
			t.Errorf("short(%v) = %q, want %q", v, got, want)
		}
	}
	for ns, want := range map[float64]string{0: "-", 999: "999ns", 1500: "1.50us", 2.5e6: "2.50ms", 3e9: "3.00s"} {
		if got := latency(stats.Range{Median: ns}); got != want {
			t.Errorf("latency(%v) = %q, want %q", ns, got, want)
		}
	}
}
