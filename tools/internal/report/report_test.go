package report

import (
	"strings"
	"testing"
)

func TestPrint(t *testing.T) {
	var l List
	l.Add("b.go:2", "is late", "be early")
	l.Add("a.go:1", "is wrong", "")
	var b strings.Builder
	l.Print(&b)
	want := "a.go:1: is wrong\nb.go:2: is late\n\tbe early\n"
	if b.String() != want {
		t.Errorf("printed %q, want %q", b.String(), want)
	}
}

func TestDiff(t *testing.T) {
	for _, tt := range []struct{ name, have, want, diff string }{
		{"same", "a\nb\n", "a\nb\n", ""},
		{"order does not matter", "a\nb\n", "b\na\n", ""},
		{"gone and new", "a\nb\n", "b\nc\n", "- a\n+ c\n"},
		{"once too often", "a\na\n", "a\n", "- a\n"},
		{"from nothing", "", "a\n", "+ a\n"},
		{"line ends", "a\r\n", "a", ""},
	} {
		if got := Diff(tt.have, tt.want); got != tt.diff {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.diff)
		}
	}
}
