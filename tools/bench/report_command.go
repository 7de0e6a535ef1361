package main

import (
	"fmt"

	"github.com/perigee-go/nats/tools/bench/internal/report"
)

type reportCommand struct {
	Document string `arg:"" type:"existingfile" help:"Markdown with marks; the files of the comparisons are in the directory of the same name without .md."`
}

// Run fills the document in and draws its charts.
func (c *reportCommand) Run() error {
	written, err := report.FillDocument(c.Document)
	for _, file := range written {
		fmt.Println("wrote", file)
	}
	return err
}
