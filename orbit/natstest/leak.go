package natstest

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// This file needs nothing of the rest of the package, and nothing but the
// standard library.

// leakPatience is how long a goroutine may take to end after it was told to.
const leakPatience = time.Second

// Main runs the tests of a package and then looks for what they left behind:
// goroutines and, on Linux, open files and sockets that did not exist before.
// It gives them one second to end, prints the stacks of those that do not, and
// returns the exit code: that of the tests if they failed, otherwise 1 if
// something was left.
//
//	func TestMain(m *testing.M) { os.Exit(natstest.Main(m)) }
func Main(m interface{ Run() int }) int {
	return mainTo(os.Stderr, m)
}

func mainTo(w io.Writer, m interface{ Run() int }) int {
	files, before := openFiles(), goroutines()
	if code := m.Run(); code != 0 {
		return code // a failed test may well leave something: no second complaint
	}
	left := retry(func() []string {
		return newGoroutines(before, goroutines())
	})
	left = append(left, retry(func() []string { return newFiles(files) })...)
	if len(left) == 0 {
		return 0
	}
	_, _ = fmt.Fprintf(w, "natstest: the tests passed and left %d behind:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
	return 1
}

// CheckLeaks fails the test if goroutines that the test has started, directly
// or through others, are alive one second after its end; their stacks are
// reported. Call it first: what is registered with t.Cleanup later is cleaned
// up before the check.
//
// It may be used in parallel tests, because goroutines are told apart by a
// profiling label that they inherit (key "natstest.test"). It therefore does
// not see goroutines that set labels of their own, as those of a nats-server
// do; Main sees these, too.
func CheckLeaks(t testing.TB) {
	t.Helper()
	id := strconv.FormatUint(lastLeakID.Add(1), 10)
	labels := pprof.Labels(leakLabel, id)
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), labels))
	t.Cleanup(func() {
		t.Helper()
		pprof.SetGoroutineLabels(context.Background()) // this goroutine is not a leak
		if left := retry(func() []string { return labelledGoroutines(id) }); len(left) > 0 {
			t.Errorf("natstest: %d kinds of goroutines left behind:\n\n%s", len(left), strings.Join(left, "\n\n"))
		}
	})
}

// CheckFiles fails the test if files or sockets opened since are still open one
// second after its end. The count is the process's, so it panics in a parallel
// test, where it would blame one test for another's files. Call it first. It
// checks nothing where the system does not tell (all but Linux).
func CheckFiles(t testing.TB) {
	t.Helper()
	t.Setenv("NATSTEST_CHECK_FILES", "1") // which panics in parallel tests
	before := openFiles()
	t.Cleanup(func() {
		t.Helper()
		if left := retry(func() []string { return newFiles(before) }); len(left) > 0 {
			t.Errorf("natstest: %d files left open:\n%s", len(left), strings.Join(left, "\n"))
		}
	})
}

const leakLabel = "natstest.test"

var lastLeakID atomic.Uint64

// bystanders are functions of goroutines that live as long as the process and
// belong to nobody's test: the testing package's, the runtime's, and services
// of the standard library that start at first use and have no end.
var bystanders = []string{
	"testing.(*M).Run(",
	"testing.(*M).startAlarm",
	"testing.(*T).Run(",
	"testing.(*T).Parallel(",
	"testing.runFuzzing(",
	"testing.runFuzzTests(",
	"testing.(*F).Fuzz(",
	"os/signal.loop(",
	"os/signal.signal_recv(",
	"runtime.ensureSigM",
	"runtime.ReadTrace(",
	"runtime/pprof.profileWriter(",
	"runtime/trace.Start.",
}

func isBystander(stack string) bool {
	for _, f := range bystanders {
		if strings.Contains(stack, f) {
			return true
		}
	}
	return false
}

// retry calls leaks until it returns none or its patience is over, and returns
// the last answer.
func retry(leaks func() []string) []string {
	deadline := time.NewTimer(leakPatience)
	defer deadline.Stop()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		left := leaks()
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			return left
		}
	}
}

// goroutines returns the stacks of all goroutines but the caller's, by number.
func goroutines() map[string]string {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := strings.Split(strings.TrimSpace(string(buf)), "\n\n")
	all := make(map[string]string, len(stacks))
	for _, stack := range stacks[1:] { // the first one is this goroutine
		number, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		all[number] = stack
	}
	return all
}

func newGoroutines(before, now map[string]string) []string {
	var left []string
	for number, stack := range now {
		if _, old := before[number]; !old && !isBystander(stack) {
			left = append(left, stack)
		}
	}
	return left
}

// labelledGoroutines returns what the goroutines with this label are doing.
// Those that do the same are one entry.
func labelledGoroutines(id string) []string {
	var buf bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&buf, 1); err != nil {
		return []string{err.Error()}
	}
	label := fmt.Sprintf("%q:%q", leakLabel, id)
	var left []string
	for record := range strings.SplitSeq(buf.String(), "\n\n") {
		if strings.Contains(record, label) && !isBystander(callForm(record)) {
			left = append(left, record)
		}
	}
	return left
}

// callForm makes the names in a profile look like those in a stack:
// "f+0x1a" becomes "f(".
func callForm(record string) string { return strings.ReplaceAll(record, "+0x", "(0x") }

// newFiles returns what is open now and was not before.
func newFiles(before map[string]string) []string {
	var left []string
	for fd, name := range openFiles() {
		if before[fd] != name && !isTestOutput(name) {
			left = append(left, fd+" "+name)
		}
	}
	return left
}

// isTestOutput reports whether the testing package opened the file because of a
// flag such as -test.cpuprofile; it leaves some to the end of the process.
func isTestOutput(name string) bool {
	is := false
	flag.VisitAll(func(f *flag.Flag) {
		if value := f.Value.String(); strings.HasPrefix(f.Name, "test.") && value != "" {
			is = is || filepath.Base(value) == filepath.Base(name)
		}
	})
	return is
}
