package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/perigee-go/nats/tools/internal/report"
)

const modAPI = `
mod/sub: method (*Thing) Touch()
mod/sub: type Thing struct
mod/sub: type Thing struct, ID int
mod: const High Level = 1
mod: const Low Level = 0
mod: const Version untyped string = "0.1.0"
mod: func Collect[T any](seq func(yield func(T, error) bool)) []T
mod: func Connect(ctx context.Context, opts ...Option) (*Conn, error)
mod: method (*Conn) Close() error
mod: method (*Conn) Touch()
mod: method (Conn) N() int
mod: method (Pair) Swap(f func(V) K) K
mod: type Alias = sub.Thing
mod: type Conn struct, Name string
mod: type Conn struct, embedded Thing sub.Thing
mod: type Conn struct, unexported fields
mod: type Dialer interface
mod: type Dialer interface, Close() error
mod: type Dialer interface, Dial(ctx context.Context, address string) (io.Reader, error)
mod: type Handler func(*Conn, sub.Thing)
mod: type Level int
mod: type Number interface{~int | ~string}
mod: type Option interface, sealed
mod: type Pair[K comparable, V any] struct
mod: type Pair[K comparable, V any] struct, Key K
mod: type Pair[K comparable, V any] struct, Value V
mod: var ErrGone error
`

func TestModuleAPI(t *testing.T) {
	t.Setenv("GOWORK", "off")
	lines, err := moduleAPI(filepath.Join("testdata", "mod"), "example.com/x")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(lines, "\n") + "\n"
	if diff := report.Diff(got, strings.TrimPrefix(modAPI, "\n")); diff != "" {
		t.Errorf("- not expected, + missing:\n%s", diff)
	}
}

func TestSettle(t *testing.T) {
	root := t.TempDir()
	var problems report.List
	if err := settle(&problems, root, "orbit/natstest", "# h\na\n", false); err != nil || len(problems) != 1 {
		t.Errorf("without a file: %v %v", problems, err)
	}
	if err := settle(&problems, root, "orbit/natstest", "# h\na\n", true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "docs", "api", "orbit-natstest.txt")); err != nil {
		t.Error(err)
	}
	problems = nil
	if err := settle(&problems, root, "orbit/natstest", "# h\na\n", false); err != nil || len(problems) != 0 {
		t.Errorf("with the same: %v %v", problems, err)
	}
	if err := settle(&problems, root, "orbit/natstest", "# h\nb\n", false); err != nil || len(problems) != 1 ||
		!strings.Contains(problems[0].What, "- a\n+ b\n") || problems[0].Fix == "" {
		t.Errorf("with another: %v %v", problems, err)
	}
}
