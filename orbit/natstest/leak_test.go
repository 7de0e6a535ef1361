package natstest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// mainFunc is a run of tests made of one function.
type mainFunc func() int

func (f mainFunc) Run() int { return f() }

// recorder is a test whose failure can be looked at.
type recorder struct {
	testing.TB
	failed   string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.failed += fmt.Sprintf(format, args...)
}

func (r *recorder) Setenv(string, string) {}

func (r *recorder) cleanup() {
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
}

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestMainFindsAGoroutine(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	var out strings.Builder
	code := mainTo(&out, mainFunc(func() int { go forgotten(stop); return 0 }))
	if code != 1 || !strings.Contains(out.String(), "natstest.forgotten(") {
		t.Errorf("exit code %d, %s", code, out.String())
	}
}

func TestMainKeepsTheCodeOfFailedTests(t *testing.T) {
	var out strings.Builder
	if code := mainTo(&out, mainFunc(func() int { return 3 })); code != 3 || out.String() != "" {
		t.Errorf("exit code %d, %q", code, out.String())
	}
}

func TestMainWaitsForGoroutinesThatEnd(t *testing.T) {
	var out strings.Builder
	if code := mainTo(&out, mainFunc(func() int { go runtime.Gosched(); return 0 })); code != 0 {
		t.Errorf("exit code %d, %s", code, out.String())
	}
}

func TestCheckLeaksBlamesOnlyItsOwnTest(t *testing.T) {
	t.Parallel()
	stop, blamed := make(chan struct{}), &recorder{TB: t}
	started := make(chan struct{})
	go forgotten(stop) // somebody else's
	done := make(chan struct{})
	go func() {
		defer close(done)
		CheckLeaks(blamed)
		go func() { go forgotten(stop); close(started) }() // a grandchild
		<-started
		blamed.cleanup()
	}()
	<-done
	if !strings.Contains(blamed.failed, "natstest.forgotten") || !strings.Contains(blamed.failed, "1 @") {
		t.Errorf("reported %q", blamed.failed)
	}
	clean := &recorder{TB: t}
	CheckLeaks(clean)
	clean.cleanup()
	if clean.failed != "" {
		t.Errorf("a test without goroutines is blamed: %s", clean.failed)
	}
	close(stop)
}

func TestCheckFilesFindsASocket(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	r := &recorder{TB: t}
	CheckFiles(r)
	f, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r.cleanup()
	if !strings.Contains(r.failed, os.Args[0]) && !strings.Contains(r.failed, ".test") {
		t.Errorf("reported %q", r.failed)
	}
}

func forgotten(stop chan struct{}) { <-stop }
