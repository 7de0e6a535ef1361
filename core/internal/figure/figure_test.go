package figure

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// recorder is a test that is only played.
type recorder struct{ lines, errors []string }

func (*recorder) Helper() {}
func (r *recorder) Logf(format string, args ...any) {
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestPrint(t *testing.T) {
	const want = "figure 4: 0 of 20 lost (promised: 0)"
	file := filepath.Join(t.TempDir(), "figures")
	t.Setenv(fileEnv, file)
	var r recorder
	for range 2 {
		Print(&r, 4, "0", "%d of %d lost", 0, 20)
	}
	if len(r.lines) != 2 || r.lines[0] != want || r.errors != nil {
		t.Errorf("%q, %q", r.lines, r.errors)
	}
	if b, err := os.ReadFile(file); string(b) != want+"\n"+want+"\n" {
		t.Errorf("%q, %v", b, err)
	}
	t.Setenv(fileEnv, t.TempDir())
	if Print(&r, 4, "0", ""); len(r.errors) != 1 {
		t.Errorf("a file that cannot be written is not told: %q", r.errors)
	}
}

func TestSizeAndSeed(t *testing.T) {
	t.Setenv(soakEnv, "")
	t.Setenv(seedEnv, "")
	t.Setenv(fileEnv, "")
	if Soak() || Size(1, 2) != 1 || Seed(7) != 7 || Sizes(1, 2, 3) != 1 {
		t.Error(Soak(), Size(1, 2), Seed(7), Sizes(1, 2, 3))
	}
	t.Setenv(fileEnv, "figures.txt")
	if Size(1, 2) != 1 || Sizes(1, 2, 3) != 2 {
		t.Error(Size(1, 2), Sizes(1, 2, 3))
	}
	t.Setenv(soakEnv, "1")
	t.Setenv(seedEnv, "18446744073709551615")
	if !Soak() || Size(1, 2) != 2 || Seed(7) != 1<<64-1 || Sizes(1, 2, 3) != 3 {
		t.Error(Soak(), Size(1, 2), Seed(7))
	}
}
