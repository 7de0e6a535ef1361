package main

import (
	"strings"
	"testing"

	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/source"
	"github.com/perigee-go/nats/tools/internal/workspace"
)

func expect(t *testing.T, problems report.List, want ...string) {
	t.Helper()
	if len(problems) != len(want) {
		t.Errorf("%d problems, want %d:", len(problems), len(want))
		problems.Print(t.Output())
		return
	}
	for i, p := range problems {
		if !strings.Contains(p.String(), want[i]) {
			t.Errorf("problem %q, want %q in it", p, want[i])
		}
		if p.Fix == "" {
			t.Errorf("problem %q does not say what to do", p)
		}
	}
}

func load(t *testing.T, dir string) *source.Package {
	t.Helper()
	packages, err := source.Load("testdata", "core/"+dir)
	if err != nil {
		t.Fatal(err)
	}
	return packages[0]
}

// The policy of this repository says what the design says.
func TestPolicy(t *testing.T) {
	l, err := parseLayers(policyText)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		dir, target      string
		product, inTests bool
	}{
		{"core/internal/wire", "bytes", true, true},
		{"core/internal/wire", "net", false, true},
		{"core/internal/wire", "sync/atomic", false, true},
		{"core/internal/wire", "time", false, true},
		{"core/internal/wire", "core/internal/subject", false, false},
		{"core/internal/transport", "github.com/coder/websocket", true, true},
		{"core/internal/transport", "core/internal/wire", false, false},
		{"core/internal/link", "core/internal/wire", true, true},
		{"core/internal/link", "core", false, false},
		{"core/internal/link", "core/internal/fakeserver", false, true},
		{"core/internal/fakeserver", "core/internal/wire", true, true},
		{"core", "core/internal/link", true, true},
		{"core", "core", true, true}, // a test outside the package
		{"core", "core/internal/fakeserver", false, true},
		{"core", "core/jetstream", false, false},
		{"core", "github.com/google/go-cmp/cmp", false, false},
		{"core", "orbit/natstest", false, false},
		{"core/jetstream", "core", true, true},
		{"core/jetstream", "core/internal/queue", true, true},
		{"core/jetstream", "core/internal/link", false, false},
		{"core/kv", "core/jetstream", true, true},
		{"core/kv", "core/objectstore", false, false},
		{"core/micro", "core/jetstream", false, false},
		{"core/test/basic", "core/internal/wire", true, true},
		{"core/test/basic", "orbit/natstest", true, true},
		{"orbit/natstest", "github.com/nats-io/nats-server/v2/server", true, true},
		{"orbit/natstest", "core", false, false},
		{"orbit/requestmany", "core", true, true},
		{"orbit/batch", "core/jetstream", true, true},
		{"orbit-kvcodec", "core/kv", true, true},
		{"orbit-kvcodec/test", "orbit/natstest", true, true},
		{"tools/cmd/mods", "tools/internal/gocmd", true, true},
		{"tools/cmd/mods", "golang.org/x/mod/modfile", false, false},
		{"tools/bench", "github.com/nats-io/nats.go", true, true},
	} {
		r, ok := l.find(tt.dir)
		if !ok {
			t.Errorf("%s has no row", tt.dir)
			continue
		}
		first, _, _ := strings.Cut(tt.target, "/")
		ours := first == "core" || first == "orbit" || first == "tools"
		if got := l.mayImport(r, tt.dir, tt.target, ours, false); got != tt.product {
			t.Errorf("%s may import %s: %v", tt.dir, tt.target, got)
		}
		if got := l.mayImport(r, tt.dir, tt.target, ours, true); got != tt.inTests {
			t.Errorf("tests of %s may import %s: %v", tt.dir, tt.target, got)
		}
	}
}

func TestFits(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"core", "core", true},
		{"core", "core/kv", false},
		{"core/...", "core", true},
		{"core/...", "core/internal/wire", true},
		{"core/...", "corex", false},
		{"*/test/...", "orbit-kvcodec/test/basic", true},
		{"*/test/...", "core", false},
		{"net/...", "net/http", true},
	} {
		if got := fits(tt.pattern, tt.name); got != tt.want {
			t.Errorf("fits(%q, %q) = %v", tt.pattern, tt.name, got)
		}
	}
}

func TestParseFails(t *testing.T) {
	for _, text := range []string{"core", "core | @nobody |", "group x core", "a | b | c | d"} {
		if _, err := parseLayers(text); err == nil || !strings.HasPrefix(err.Error(), "policy.txt:1:") {
			t.Errorf("%q: error %v does not name the line", text, err)
		}
	}
}

func TestCheckImports(t *testing.T) {
	l, err := parseLayers("core/options | others |\ncore/calls | !log |\n")
	if err != nil {
		t.Fatal(err)
	}
	ws := &workspace.Workspace{Prefix: "example.com/x"}
	var problems report.List
	for _, dir := range []string{"options", "calls", "clean"} {
		checkImports(&problems, ws, l, load(t, dir))
	}
	expect(t, problems,
		"options.go:3: core/options may not import other",
		"calls.go:5: core/calls may not import log",
		"core/clean: package has no place",
	)
}

func TestCheckCalls(t *testing.T) {
	var problems report.List
	checkCalls(&problems, load(t, "calls"), true)
	expect(t, problems,
		"calls.go:26: //perigee:allow without a reason",
		"calls.go:10: panic in a product package",
		"calls.go:11: fmt.Println in a product package",
		"calls.go:12: stdlog.Printf in a product package",
		"calls.go:14: println",
		"calls.go:27: panic",
		"calls_test.go:10: time.Sleep in a test",
	)
	problems = nil
	checkCalls(&problems, load(t, "calls"), false)
	expect(t, problems, "calls.go:26:", "calls_test.go:10:")
}

func TestCheckOptions(t *testing.T) {
	var problems report.List
	checkOptions(&problems, load(t, "options"))
	expect(t, problems,
		"options.go:26: option DIALER is named like the type Dialer",
		"options.go:28: option WithTimeout has the prefix With",
		"options.go:32: Foreign returns an option of another package",
	)
}

func TestCheckSizes(t *testing.T) {
	p := &source.Package{Files: []*source.File{
		{Name: "short.go", Lines: 500}, {Name: "long.go", Lines: 501}, {Name: "toolong.go", Lines: 801},
		{Name: "long_test.go", Lines: 2000, Test: true}, {Name: "gen.go", Lines: 2000, Generated: true},
	}}
	var problems report.List
	var notes strings.Builder
	checkSizes(&problems, &notes, p)
	expect(t, problems, "toolong.go: 801 lines")
	if got := notes.String(); !strings.Contains(got, "note: long.go has 501 lines") || strings.Count(got, "\n") != 1 {
		t.Errorf("notes are %q", got)
	}
}
