// Package figure prints the measured figures that docs/reliability.md promises.
//
// It is imported by test files only, and needs nothing but the standard
// library. A test that prints a figure is named TestFigureNN and what it shows,
// so that "make figures" and "make soak" find it.
package figure

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// The environment variables by which "make figures" and "make soak" speak to
// the tests.
const (
	fileEnv = "PERIGEE_FIGURES" // a file that each printed line is appended to
	soakEnv = "PERIGEE_SOAK"    // not empty: tests take their size for a soak
	seedEnv = "PERIGEE_SEED"    // the seed of tests that play with chance
)

// TB is what a figure needs of a testing.TB.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
}

// Print writes one line about figure number n: what was measured and, after it,
// what is promised.
func Print(t TB, n int, promise, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf("figure %d: %s (promised: %s)", n, fmt.Sprintf(format, args...), promise)
	t.Logf("%s", line)
	path := os.Getenv(fileEnv)
	if path == "" {
		return
	}
	if err := appendLine(path, line); err != nil {
		t.Errorf("%v", err)
	}
}

func appendLine(path, line string) error {
	f, err := os.OpenFile(filepath.Clean(path), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n") // one write: other test binaries append, too
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// Soak reports whether the tests run as a soak.
func Soak() bool { return os.Getenv(soakEnv) != "" }

// Size is how much a test does: change for each change, soak in a soak.
func Size(change, soak int) int {
	if Soak() {
		return soak
	}
	return change
}

// Sizes is Size for what takes too long for every run of the tests: figures is how
// much "make figures" does, which is the size of a change.
func Sizes(test, figures, soak int) int {
	if os.Getenv(fileEnv) != "" {
		test = figures
	}
	return Size(test, soak)
}

// Seed is the seed of the run: that of the environment, else def.
func Seed(def uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(seedEnv), 10, 64); err == nil {
		return n
	}
	return def
}
