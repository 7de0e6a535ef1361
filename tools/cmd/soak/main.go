// Soak runs the tests that print a figure, at larger sizes and with new seeds,
// round after round, for hours.
//
//	soak [-time 2h] [-dir .tmp/soak] [-new]
//
// Rounds that are done are kept in the directory: a soak that was interrupted
// goes on where it was. A round that fails ends it, with the line that repeats
// that round. At the end, and after each round, a table tells each figure.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/perigee-go/nats/tools/internal/gocmd"
)

func main() {
	total := flag.Duration("time", 2*time.Hour, "how long, rounds before an interruption included")
	dir := flag.String("dir", filepath.Join(".tmp", "soak"), "where the rounds are kept, below the root")
	fresh := flag.Bool("new", false, "forget earlier rounds")
	flag.Parse()
	if flag.NArg() > 0 || *total <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := soak(*total, *dir, *fresh); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func soak(total time.Duration, dir string, fresh bool) error {
	root, err := gocmd.Root()
	if err != nil {
		return err
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(root, dir)
	}
	if fresh {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	l, err := openLog(dir)
	if err != nil {
		return err
	}
	r := &runner{root: root, dir: dir, out: os.Stdout, run: gocmd.To}
	for l.elapsed() < total {
		done := r.round(l.next(), total-l.elapsed())
		if err := l.append(done); err != nil {
			return err
		}
		table(os.Stdout, l.rounds)
		if done.Failed != "" {
			return fmt.Errorf("round %d failed; again: %s", done.Number, done.Failed)
		}
	}
	return nil
}
