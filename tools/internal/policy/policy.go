// Package policy holds the table of modules: which ones are published and
// what each of them may require.
package policy

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed modules.txt
var modulesTable string

// Rule is one row of the table.
type Rule struct {
	Pattern   string
	Published bool
	Ours      []string
	Others    []string
}

// Table is the rows in order.
type Table []Rule

// Modules is the table of this repository.
func Modules() (Table, error) { return Parse(modulesTable) }

// Parse reads the text form: four columns divided by "|", # starts a comment.
func Parse(text string) (Table, error) {
	var t Table
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		rule, err := parseRow(line)
		if err != nil {
			return nil, fmt.Errorf("modules.txt:%d: %w", n, err)
		}
		t = append(t, rule)
	}
	return t, nil
}

func parseRow(line string) (Rule, error) {
	cols := strings.Split(line, "|")
	if len(cols) != 4 {
		return Rule{}, fmt.Errorf("%d columns instead of 4: module | published | ours | others", len(cols))
	}
	rule := Rule{Pattern: strings.TrimSpace(cols[0]), Ours: names(cols[2]), Others: names(cols[3])}
	switch published := strings.TrimSpace(cols[1]); published {
	case "yes":
		rule.Published = true
	case "no":
	default:
		return Rule{}, fmt.Errorf("published is %q, not yes or no", published)
	}
	if _, err := path.Match(rule.Pattern, ""); err != nil {
		return Rule{}, fmt.Errorf("module %q: %w", rule.Pattern, err)
	}
	return rule, nil
}

func names(column string) []string {
	return slices.DeleteFunc(strings.Fields(column), func(s string) bool { return s == "-" })
}

// Find returns the rule for a module, given by its directory.
func (t Table) Find(name string) (Rule, bool) {
	for _, rule := range t {
		if ok, _ := path.Match(rule.Pattern, name); ok {
			return rule, true
		}
	}
	return Rule{}, false
}

// Published reports whether the module in directory name is one that users
// can get.
func (t Table) Published(name string) bool {
	rule, ok := t.Find(name)
	return ok && rule.Published
}

// MayRequireOurs reports whether module name may require the module sibling
// of this repository. Both are directories.
func (r Rule) MayRequireOurs(name, sibling string) bool {
	for _, ours := range r.Ours {
		if ours == "*" || ours == sibling || ours == ".." && path.Dir(name) == sibling {
			return true
		}
	}
	return false
}

// MayRequireOther reports whether a module path from elsewhere is allowed.
func (r Rule) MayRequireOther(modulePath string) bool {
	for _, other := range r.Others {
		below, tree := strings.CutSuffix(other, "/*")
		if other == "*" || other == modulePath || tree && strings.HasPrefix(modulePath, below+"/") {
			return true
		}
	}
	return false
}
