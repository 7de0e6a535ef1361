package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/perigee-go/nats/tools/internal/report"
)

// row is one line of docs/parity.tsv: one thing that users look for.
type row struct {
	where   string   // file:line
	id      string   // never changes, so that others can point to it
	area    string   // heading on the page
	feature string   // in a user's words
	symbols []string // how it is spelled in our API: nats.Conn.Publish
	tests   []string // what proves it: core/test/basic/TestPublish
	state   string
	note    string
}

// States of a row.
const (
	stateBuilt = "built" // there, and a test proves it
	stateOpen  = "open"  // not finished: symbols are plans
	stateNone  = "n/a"   // not carried over; the note says why
)

const header = "id\tarea\tfeature\tsymbol\ttest\tstate\tnote"

// parseTable reads the rows. A row of the wrong shape is a problem and left out.
func parseTable(name, text string) ([]row, report.List) {
	var rows []row
	var problems report.List
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, "\r\n")
		where := fmt.Sprintf("%s:%d", name, n)
		if n == 1 {
			if line != header {
				problems.Add(where, "the first line is not the header", "it must be, divided by tabs: "+header)
			}
			continue
		}
		cols := strings.Split(line, "\t")
		if len(cols) != 7 {
			problems.Add(where, fmt.Sprintf("%d columns instead of 7", len(cols)), "divide by one tab: "+header)
			continue
		}
		for i := range cols {
			cols[i] = strings.TrimSpace(cols[i])
		}
		rows = append(rows, row{
			where: where, id: cols[0], area: cols[1], feature: cols[2],
			symbols: items(cols[3]), tests: items(cols[4]), state: cols[5], note: cols[6],
		})
	}
	return rows, problems
}

func items(column string) []string {
	var list []string
	for item := range strings.SplitSeq(column, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// checkRows holds the rows against each other and against the source.
func checkRows(problems *report.List, x *index, rows []row) {
	seen := make(map[string]string)
	for _, r := range rows {
		if other, twice := seen[r.id]; twice && r.id != "" {
			problems.Add(r.where, "id "+r.id+" is already used at "+other, "an id names one row")
		}
		seen[r.id] = r.where
		checkRow(problems, x, r)
	}
}

func checkRow(problems *report.List, x *index, r row) {
	for name, value := range map[string]string{"id": r.id, "area": r.area, "feature": r.feature} {
		if value == "" {
			problems.Add(r.where, "no "+name, "every row needs one")
		}
	}
	switch r.state {
	case stateBuilt:
		checkBuilt(problems, x, r)
	case stateOpen:
	case stateNone:
		if r.note == "" {
			problems.Add(r.where, r.id+" is n/a without a reason", "say in note why it is not carried over")
		}
	default:
		states := []string{stateBuilt, stateOpen, stateNone}
		problems.Add(r.where, fmt.Sprintf("%s has the unknown state %q", r.id, r.state), "use "+strings.Join(states, ", "))
	}
}

// checkBuilt: what is called built can be called and is tested.
func checkBuilt(problems *report.List, x *index, r row) {
	if len(r.symbols) == 0 {
		problems.Add(r.where, r.id+" is built but has no symbol", "name what a user calls, or set the state to open")
	}
	if len(r.tests) == 0 {
		problems.Add(r.where, r.id+" is built but has no test", "name a test, or set the state to open")
	}
	for _, symbol := range r.symbols {
		if !x.symbols[symbol] {
			problems.Add(r.where, r.id+" names the symbol "+symbol+", which no published package exports",
				"write package.Name, package.Type.Method or package.Type.Field"+x.near(symbol))
		}
	}
	for _, test := range r.tests {
		if !x.tests[test] {
			problems.Add(r.where, r.id+" names the test "+test+", which does not exist",
				"write the package's folder and the function: core/test/basic/TestPublish")
		}
	}
}

// countStates says how many rows there are of each state.
func countStates(rows []row) string {
	n := make(map[string]int)
	for _, r := range rows {
		n[r.state]++
	}
	parts := []string{fmt.Sprintf("%d rows", len(rows))}
	for _, state := range []string{stateBuilt, stateOpen, stateNone} {
		parts = append(parts, fmt.Sprintf("%d %s", n[state], state))
	}
	return strings.Join(parts, ", ")
}

// areas lists the headings in the order in which they first appear.
func areas(rows []row) []string {
	var list []string
	for _, r := range rows {
		if !slices.Contains(list, r.area) {
			list = append(list, r.area)
		}
	}
	return list
}
