package report

import (
	"fmt"
	"strings"
)

// Diff compares two texts in which the order of the lines says little (sorted
// listings, go.mod files): it names the lines that only one of them has, and
// returns "" when there are none.
func Diff(have, want string) string {
	var b strings.Builder
	for _, line := range surplus(have, want) {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	for _, line := range surplus(want, have) {
		fmt.Fprintf(&b, "+ %s\n", line)
	}
	return b.String()
}

// surplus returns the lines of a that b does not have, or not as often.
func surplus(a, b string) []string {
	left := make(map[string]int)
	for line := range strings.Lines(b) {
		left[strings.TrimRight(line, "\r\n")]++
	}
	var more []string
	for line := range strings.Lines(a) {
		line = strings.TrimRight(line, "\r\n")
		if left[line]--; left[line] < 0 {
			more = append(more, line)
		}
	}
	return more
}
