package main

import (
	"fmt"
	"io"

	"github.com/perigee-go/nats/tools/internal/report"
	"github.com/perigee-go/nats/tools/internal/source"
)

// Lines at which a product file is looked at, and at which it is too long.
const (
	longFile    = 500
	tooLongFile = 800
)

// checkSizes fails for files that nobody can read in one sitting and names
// those on their way there.
func checkSizes(problems *report.List, notes io.Writer, p *source.Package) {
	for _, f := range p.Files {
		switch {
		case f.Test || f.Generated:
		case f.Lines > tooLongFile:
			problems.Add(f.Name, fmt.Sprintf("%d lines, more than %d", f.Lines, tooLongFile),
				"find the wall in it and make two files")
		case f.Lines > longFile:
			fmt.Fprintf(notes, "note: %s has %d lines; %d is the limit\n", f.Name, f.Lines, tooLongFile)
		}
	}
}
