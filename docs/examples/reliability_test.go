package examples_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReliabilityNamesItsTests holds the tables of docs/reliability.md against
// the tests that there are: each row has a test, or a reason, and each test that
// is named exists.
func TestReliabilityNamesItsTests(t *testing.T) {
	tests := allTests(t)
	row := regexp.MustCompile(`^\| ([A-Z][0-9]+) \| (.*) \| (.*) \| (.*) \|$`)
	name := regexp.MustCompile("`([a-z0-9]+\\.(?:Test|Fuzz)[A-Za-z0-9_]+)`")
	rows := make(map[string]int)
	for line := range strings.Lines(read(t, filepath.Join("..", "reliability.md"))) {
		for _, m := range name.FindAllStringSubmatch(line, -1) {
			if !tests[m[1]] {
				t.Errorf("there is no test %s", m[1])
			}
		}
		m := row.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		rows[m[1][:1]]++
		if !name.MatchString(m[4]) && !strings.Contains(m[3], "oes not apply") {
			t.Errorf("row %s names no test and no reason", m[1])
		}
	}
	for section, want := range map[string]int{"A": 31, "B": 20, "C": 20, "D": 16, "E": 6, "F": 12, "G": 17, "L": 7} {
		if rows[section] != want {
			t.Errorf("section %s has %d rows, want %d", section, rows[section], want)
		}
	}
}

// allTests are the test functions of the project, with their directory's name.
func allTests(t *testing.T) map[string]bool {
	t.Helper()
	found := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	for _, module := range []string{"core", "orbit", "tools", "docs"} {
		err := filepath.WalkDir(filepath.Join("..", "..", module), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			b, err := os.ReadFile(path)
			for _, m := range function.FindAllSubmatch(b, -1) {
				found[filepath.Base(filepath.Dir(path))+"."+string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 300 {
		t.Fatalf("only %d tests", len(found))
	}
	return found
}
