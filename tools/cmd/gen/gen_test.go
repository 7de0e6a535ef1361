package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/perigee-go/nats/tools/internal/report"
)

func sampleIndex(t *testing.T) *index {
	t.Helper()
	x := newIndex()
	if err := x.add("testdata", "core", true); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestIndex(t *testing.T) {
	x := sampleIndex(t)
	wantSymbols := []string{
		"nats.Conn", "nats.Conn.Publish", "nats.Connect", "nats.DefaultURL", "nats.Dialer", "nats.Dialer.DialContext",
		"nats.ErrClosed", "nats.ErrOther", "nats.Msg", "nats.Msg.Reply", "nats.Msg.Subject", "nats.Seq", "nats.Seq.All",
	}
	if got := slices.Sorted(maps.Keys(x.symbols)); !slices.Equal(got, wantSymbols) {
		t.Errorf("symbols\n%q, want\n%q", got, wantSymbols)
	}
	wantTests := []string{"core/ExampleConnect", "core/internal/wire/FuzzParse", "core/test/basic/TestPublish"}
	if got := slices.Sorted(maps.Keys(x.tests)); !slices.Equal(got, wantTests) {
		t.Errorf("tests\n%q, want\n%q", got, wantTests)
	}
	unpublished := newIndex()
	if err := unpublished.add("testdata", "core", false); err != nil {
		t.Fatal(err)
	}
	if len(unpublished.symbols) != 0 || len(unpublished.tests) != 3 {
		t.Errorf("of an unpublished module %d symbols and %d tests count", len(unpublished.symbols), len(unpublished.tests))
	}
}

// check parses and checks rows that are written with | for tabs.
func check(t *testing.T, lines ...string) ([]row, report.List) {
	t.Helper()
	text := header + "\n" + strings.ReplaceAll(strings.Join(lines, "\n"), "|", "\t") + "\n"
	rows, problems := parseTable("p.tsv", text)
	checkRows(&problems, sampleIndex(t), rows)
	return rows, problems
}

func TestCheckRows(t *testing.T) {
	for _, tt := range []struct {
		name string
		line string
		want string
	}{
		{"built", "A|a|f|nats.Connect, nats.Msg.Reply|core/test/basic/TestPublish, core/internal/wire/FuzzParse|built|", ""},
		{"open", "A|a|f|nats.Planned||open|", ""},
		{"left out", "A|a|f|||n/a|has no use in Go", ""},
		{"left out without reason", "A|a|f|||n/a|", "without a reason"},
		{"unknown symbol", "A|a|f|nats.connect|core/test/basic/TestPublish|built|", "nats.connect, which no published package exports"},
		{"unexported", "A|a|f|nats.Conn.flush|core/test/basic/TestPublish|built|", "nats.Conn.flush, which"},
		{"unknown test", "A|a|f|nats.Connect|core/test/TestPublish|built|", "core/test/TestPublish, which does not exist"},
		{"built without symbol", "A|a|f||core/test/basic/TestPublish|built|", "has no symbol"},
		{"built without test", "A|a|f|nats.Connect||built|", "has no test"},
		{"unknown state", "A|a|f|||done|", `unknown state "done"`},
		{"no id", "|a|f|||open|", "no id"},
		{"no feature", "A|a||||open|", "no feature"},
		{"columns", "A|a|f|open", "4 columns instead of 7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := check(t, tt.line)
			switch {
			case tt.want == "" && len(problems) > 0:
				t.Errorf("problems %v", problems)
			case tt.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].What, tt.want)):
				t.Errorf("problems %v, want %q", problems, tt.want)
			case tt.want != "" && (problems[0].Where != "p.tsv:2" || problems[0].Fix == ""):
				t.Errorf("problem %v lacks place or advice", problems[0])
			}
		})
	}
}

func TestDuplicateAndHeader(t *testing.T) {
	_, problems := check(t, "A|a|f|||open|", "A|a|g|||open|")
	if len(problems) != 1 || !strings.Contains(problems[0].What, "already used at p.tsv:2") {
		t.Errorf("problems %v", problems)
	}
	if _, problems := parseTable("p.tsv", "id\tstate\n"); len(problems) != 1 || problems[0].Where != "p.tsv:1" {
		t.Errorf("problems %v", problems)
	}
}

func TestNear(t *testing.T) {
	_, problems := check(t, "A|a|f|nats.Publish|core/test/basic/TestPublish|built|")
	if len(problems) != 1 || !strings.Contains(problems[0].Fix, "there is nats.Conn.Publish") {
		t.Errorf("problems %v do not help with a symbol that lacks its type", problems)
	}
}

func TestPage(t *testing.T) {
	rows, problems := check(t,
		"A1|First, area|does it|nats.Connect|core/test/basic/TestPublish|built|",
		"B1|Second|waits < 1 s|nats.X||open|later",
		"A2|First, area|does not|||n/a|no use",
	)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	got := page(rows)
	for _, want := range []string{
		"In all: 3 rows, 1 built, 1 open, 1 n/a.\n",
		"| [First, area](#first-area) | 2 | 1 | 0 | 1 |\n| [Second](#second) | 1 | 0 | 1 | 0 |\n",
		"## First, area\n",
		"| A1 | does it | `nats.Connect` | built |  |\n| A2 | does not |  | n/a | no use |\n",
		"| B1 | waits &lt; 1 s | `nats.X` | open | later |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
}

func TestSettle(t *testing.T) {
	dir := t.TempDir()
	page := generated{"parity.md", "new", "p.tsv makes", "make parity"}
	var problems report.List
	if err := settle(&problems, dir, page, true); err != nil || len(problems) != 1 || !strings.Contains(problems[0].Fix, "make parity") {
		t.Errorf("check without a file: %v %v", problems, err)
	}
	if err := settle(&problems, dir, page, false); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "parity.md")); err != nil || string(data) != "new" {
		t.Errorf("wrote %q, %v", data, err)
	}
	problems = nil
	if err := settle(&problems, dir, page, true); err != nil || len(problems) != 0 {
		t.Errorf("check: %v %v", problems, err)
	}
}
