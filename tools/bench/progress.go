package main

import (
	"fmt"
	"os"
	"time"

	"github.com/perigee-go/nats/tools/bench/internal/compare"
)

// progress shows what is running: one changing line on a terminal, and a line
// for each scenario elsewhere, such as in a log.
type progress struct {
	to       *os.File
	off      bool
	terminal bool
	start    time.Time
	last     string // the scenario of the last line in a log
}

func newProgress(to *os.File, off bool) *progress {
	info, err := to.Stat()
	return &progress{to: to, off: off, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, start: time.Now()}
}

const clearLine = "\r\x1b[K"

func (p *progress) step(s compare.Step) {
	switch {
	case p.off:
	case p.terminal:
		fmt.Fprintf(p.to, "%s%s  round %d  %s  (%d of %d runs%s)", clearLine, s.Scenario.Name, s.Round, s.Client, s.Done, s.Total, p.left(s))
	case s.Scenario.Name != p.last:
		p.last = s.Scenario.Name
		fmt.Fprintf(p.to, "%s (%d of %d runs%s)\n", s.Scenario.Name, s.Done, s.Total, p.left(s))
	}
}

// left guesses how much longer it takes.
func (p *progress) left(s compare.Step) string {
	if s.Done == 0 {
		return ""
	}
	took := time.Since(p.start)
	left := took * time.Duration(s.Total-s.Done) / time.Duration(s.Done)
	return fmt.Sprintf(", about %s left", left.Round(time.Second))
}

func (p *progress) clear() {
	if p.terminal && !p.off {
		fmt.Fprint(p.to, clearLine)
	}
}
