package exported

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestLists(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.go": `package a

type (
	T struct{ F func(U) }
	U = int
	v struct{}
)

func New(a, b string, more ...T) (*T, error) { return nil, nil }

func (t *T) Do(f func(int)) {}
func (v) Hidden(x int)      {}
func hidden(x int)          { type Local int }
`,
		"a_test.go": "package a\n\nfunc OfTests(x int) {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []Func{
		{"New", []string{"string", "string", "...T"}, []string{"*T", "error"}},
		{"T.Do", []string{"func(int)"}, nil},
	}
	if got := Funcs(t, dir); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := Types(t, dir); !reflect.DeepEqual(got, []string{"T", "U"}) {
		t.Errorf("%q", got)
	}
}
