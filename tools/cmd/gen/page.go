package main

import (
	"fmt"
	"strings"
)

const intro = `<!-- Written by "make parity" from docs/parity.tsv. Do not edit. -->

# What is there and what is not

This list is the union of what the official NATS clients offer for Core NATS,
told as what a user looks for. Each row says how it is spelled here, and
whether it is finished. The first column is a name to point to: it stays when
rows come and go.

* **built**: it is there, and the tests named in docs/parity.tsv prove it.
* **open**: not finished. The names are the plan.
* **n/a**: not carried over; the last column says why, or what to use instead.

`

// page makes docs/parity.md.
func page(rows []row) string {
	var b strings.Builder
	b.WriteString(intro)
	fmt.Fprintf(&b, "In all: %s.\n\n", countStates(rows))
	b.WriteString("| Area | Rows | Built | Open | N/A |\n|---|---:|---:|---:|---:|\n")
	for _, area := range areas(rows) {
		n := make(map[string]int)
		for _, r := range rowsOf(rows, area) {
			n[r.state]++
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %d | %d | %d | %d |\n", cell(area), anchor(area),
			n[stateBuilt]+n[stateOpen]+n[stateNone], n[stateBuilt], n[stateOpen], n[stateNone])
	}
	for _, area := range areas(rows) {
		fmt.Fprintf(&b, "\n## %s\n\n| Row | Feature | Here | State | Note |\n|---|---|---|---|---|\n", area)
		for _, r := range rowsOf(rows, area) {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n",
				cell(r.id), cell(r.feature), symbols(r.symbols), r.state, cell(r.note))
		}
	}
	return b.String()
}

func rowsOf(rows []row, area string) []row {
	var of []row
	for _, r := range rows {
		if r.area == area {
			of = append(of, r)
		}
	}
	return of
}

func symbols(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = "`" + s + "`"
	}
	return strings.Join(quoted, " ")
}

// cell makes a text safe to stand in a table.
func cell(text string) string {
	text = strings.ReplaceAll(text, "|", `\|`)
	return strings.ReplaceAll(text, "<", "&lt;")
}

// anchor is the link target that a heading gets.
func anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ' || r == '-':
			b.WriteByte('-')
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		}
	}
	return b.String()
}
