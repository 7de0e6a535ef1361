package leakcheck

import (
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

type runner func() int

func (r runner) Run() int { return r() }

func TestNothingLeft(t *testing.T) {
	done := make(chan struct{})
	var out strings.Builder
	code := run(&out, runner(func() int {
		go close(done)
		return 0
	}))
	<-done
	if code != 0 || out.Len() > 0 {
		t.Errorf("code %d, said %q", code, &out)
	}
}

func TestOneLeft(t *testing.T) {
	stop, gone := make(chan struct{}), make(chan struct{})
	var out strings.Builder
	code := run(&out, runner(func() int {
		go func() {
			defer close(gone)
			<-stop
		}()
		return 0
	}))
	close(stop)
	<-gone
	if code != 1 || !strings.Contains(out.String(), "left 1 goroutines") || !strings.Contains(out.String(), "TestOneLeft") {
		t.Errorf("code %d, said %q", code, &out)
	}
}

func TestFailedTestsNeedNoSecondComplaint(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	var out strings.Builder
	code := run(&out, runner(func() int {
		go func() { <-stop }()
		return 3
	}))
	if code != 3 || out.Len() > 0 {
		t.Errorf("code %d, said %q", code, &out)
	}
}
