package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// step is one command of a round, in a directory of the repository.
type step struct {
	name, dir string
	command   []string
	soak      bool // the tests take their size for a soak
}

// steps are what a round does: figures first, then all tests with the race
// detector in an order of the seed's, then a while of fuzzing.
func steps(seed uint64) []step {
	shuffle := "-shuffle=" + strconv.FormatUint(seed, 10)
	return []step{
		{"figures of core", "core", []string{"go", "test", "-count=1", "-timeout=60m", "-run", "^Test(Figure|Soak)", "./..."}, true},
		{"figures with real servers", "core/test", []string{"go", "test", "-count=1", "-timeout=60m", "-run", "^Test(Figure|Soak)", "./..."}, true},
		{"races in core", "core", []string{"go", "test", "-count=1", "-race", shuffle, "./..."}, false},
		{"races with real servers", "core/test", []string{"go", "test", "-count=1", "-race", shuffle, "./..."}, false},
		{"fuzzing", ".", []string{"make", "-s", "fuzz", "TIME=10s"}, false},
	}
}

// runner runs rounds.
type runner struct {
	root, dir string
	out       io.Writer
	run       func(log io.Writer, dir string, env, command []string) error
}

// round runs one round, or as many of its steps as begin within limit. What the
// steps print is kept beside the log.
func (r *runner) round(next round, limit time.Duration) round {
	begin := time.Now()
	figures := filepath.Join(r.dir, "figures.txt")
	_ = os.Remove(figures)
	_, _ = fmt.Fprintf(r.out, "== round %d, seed %d\n", next.Number, next.Seed)
	for _, s := range steps(next.Seed) {
		if time.Since(begin) > limit {
			break
		}
		env := []string{"PERIGEE_SEED=" + strconv.FormatUint(next.Seed, 10)}
		if s.soak {
			env = append(env, "PERIGEE_SOAK=1", "PERIGEE_FIGURES="+figures)
		}
		var log bytes.Buffer
		stepBegin := time.Now()
		err := r.run(&log, filepath.Join(r.root, s.dir), env, s.command)
		_ = os.WriteFile(filepath.Join(r.dir, strings.ReplaceAll(s.name, " ", "-")+".log"), log.Bytes(), 0o644)
		if err != nil {
			_, _ = fmt.Fprintf(r.out, "%s\n%s: %v\n", tail(log.Bytes(), 100), s.name, err)
			next.Failed = repeat(s, env)
			break
		}
		next.Steps = append(next.Steps, s.name)
		next.Figures = append(next.Figures, figure13.FindAllString(log.String(), -1)...)
		_, _ = fmt.Fprintf(r.out, "   %s: %v\n", s.name, time.Since(stepBegin).Round(time.Second))
	}
	if b, err := os.ReadFile(figures); err == nil {
		next.Figures = append(next.Figures, strings.Split(strings.TrimSpace(string(b)), "\n")...)
	}
	next.Took = time.Since(begin)
	return next
}

// figure13 is what "make fuzz" prints itself.
var figure13 = regexp.MustCompile(`(?m)^figure 13: .*$`)

// repeat is what to type to run a step again.
func repeat(s step, env []string) string {
	words := []string{"cd", s.dir, "&&"}
	for _, e := range env {
		if !strings.HasPrefix(e, "PERIGEE_FIGURES=") {
			words = append(words, e)
		}
	}
	for _, w := range s.command {
		if strings.ContainsAny(w, "^$ ") {
			w = "'" + w + "'"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// tail is the last lines of b.
func tail(b []byte, lines int) []byte {
	all := bytes.SplitAfter(b, []byte("\n"))
	return bytes.Join(all[max(len(all)-lines, 0):], nil)
}
