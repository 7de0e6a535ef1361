// Package leakcheck fails a test binary that leaves goroutines behind.
//
// It is imported by test files only, and needs nothing but the standard
// library. The integration tests have natstest, which looks for files, too.
package leakcheck

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"
)

// patience is how long a goroutine may take to end after the last test.
const patience = time.Second

// Main runs the tests of a package and then looks for goroutines that did not
// exist before. It returns the exit code: that of the tests if they failed,
// else 1 if something was left.
//
//	func TestMain(m *testing.M) { os.Exit(leakcheck.Main(m)) }
func Main(m interface{ Run() int }) int { return run(os.Stderr, m) }

func run(w io.Writer, m interface{ Run() int }) int {
	before := ids(stacks())
	if code := m.Run(); code != 0 {
		return code // a failed test may well leave something: no second complaint
	}
	left := wait(before)
	if len(left) == 0 {
		return 0
	}
	_, _ = fmt.Fprintf(w, "leakcheck: the tests passed and left %d goroutines behind:\n\n%s\n",
		len(left), strings.Join(left, "\n\n"))
	return 1
}

// wait returns the goroutines that are new and do not end.
func wait(before map[string]bool) (left []string) {
	pause := time.Millisecond
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		left = left[:0]
		for _, s := range stacks() {
			if !before[id(s)] && !ours(s) {
				left = append(left, s)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}

// ours reports whether it is the goroutine that asks, or one of the testing
// machinery's that lives as long as the process.
func ours(stack string) bool {
	for _, s := range []string{
		"leakcheck.stacks(", "testing.(*M).", "testing.RunTests", "testing.runFuzzing(",
		"testing.(*F).Fuzz", "internal/fuzz.", "os/signal.", "runtime.ReadTrace",
	} {
		if strings.Contains(stack, s) {
			return true
		}
	}
	return false
}

// stacks returns the stack of each goroutine.
func stacks() []string {
	for n := 64 << 10; ; n *= 2 {
		b := make([]byte, n)
		if k := runtime.Stack(b, true); k < n {
			return strings.Split(strings.TrimSpace(string(b[:k])), "\n\n")
		}
	}
}

// id is "goroutine 17".
func id(stack string) string {
	s, _, _ := strings.Cut(stack, " [")
	return s
}

func ids(stacks []string) map[string]bool {
	m := make(map[string]bool, len(stacks))
	for _, s := range stacks {
		m[id(s)] = true
	}
	return m
}
