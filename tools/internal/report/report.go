// Package report collects what a check has found. Every finding says where it
// is, what is wrong, and what to do about it.
package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
)

// Problem is one finding.
type Problem struct {
	Where string // file, module or package; file:line where known
	What  string // what is wrong
	Fix   string // what to do about it; may be empty
}

func (p Problem) String() string {
	s := p.Where + ": " + p.What
	if p.Fix != "" {
		s += "\n\t" + p.Fix
	}
	return s
}

// List is what one run has found.
type List []Problem

// Add appends a finding.
func (l *List) Add(where, what, fix string) {
	*l = append(*l, Problem{Where: where, What: what, Fix: fix})
}

// Print writes the findings, sorted by place. Those of one place keep their order.
func (l List) Print(w io.Writer) {
	sorted := slices.Clone(l)
	slices.SortStableFunc(sorted, func(a, b Problem) int { return cmp.Compare(a.Where, b.Where) })
	for _, p := range sorted {
		fmt.Fprintln(w, p)
	}
}
