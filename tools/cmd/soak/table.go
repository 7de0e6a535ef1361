package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// line is one printed line of a figure; what follows a number may be several
// things, told apart by their words without numbers.
var line = regexp.MustCompile(`^figure (\d+): (.*) \(promised: (.*)\)$`)

var numbers = regexp.MustCompile(`[0-9][0-9a-z.,µ%+-]*`)

type figure struct {
	number         int
	kind, promised string
	last           string
	rounds         int
}

// figures gathers the lines of all rounds.
func figures(rounds []round) []*figure {
	byKind := make(map[string]*figure)
	var all []*figure
	for _, r := range rounds {
		for _, l := range r.Figures {
			m := line.FindStringSubmatch(l)
			if m == nil {
				continue
			}
			n, _ := strconv.Atoi(m[1])
			kind := m[1] + " " + numbers.ReplaceAllString(m[2], "#")
			f := byKind[kind]
			if f == nil {
				f = &figure{number: n, kind: kind}
				byKind[kind] = f
				all = append(all, f)
			}
			f.last, f.promised = m[2], m[3]
			f.rounds++
		}
	}
	slices.SortStableFunc(all, func(a, b *figure) int {
		return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.kind, b.kind))
	})
	return all
}

// table prints the state of a soak.
func table(w io.Writer, rounds []round) {
	var took time.Duration
	failed := 0
	for _, r := range rounds {
		took += r.Took
		if r.Failed != "" {
			failed++
		}
	}
	_, _ = fmt.Fprintf(w, "%d rounds in %v, %d failed; seeds %d to %d; hash %s\n",
		len(rounds), took.Round(time.Second), failed, rounds[0].Seed, rounds[len(rounds)-1].Seed, hash(rounds))
	for _, f := range figures(rounds) {
		_, _ = fmt.Fprintf(w, "%4d | %d times | %s | promised: %s\n", f.number, f.rounds, f.last, f.promised)
	}
}

// hash stands for what was run and how it ended: the same seeds give the same.
func hash(rounds []round) string {
	h := sha256.New()
	for _, r := range rounds {
		_, _ = fmt.Fprintln(h, r.Number, r.Seed, r.Steps, r.Failed)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}
