package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	headingWidth = 56 // number and title, before the time
	labelWidth   = 14
)

// A screen prints headings, aligned lines and tables; in colour on a terminal,
// unless NO_COLOR is set.
type screen struct {
	w      io.Writer
	colour bool
	lines  []string // of the act under way: they follow its heading
}

func newScreen(f *os.File) *screen {
	info, err := f.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return &screen{w: f, colour: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

const (
	bold  = "1"
	faint = "2"
	green = "32"
	red   = "31"
)

// paint wraps s in the escape sequence of a colour.
func (s *screen) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// title prints a line that stands out.
func (s *screen) title(format string, args ...any) {
	fmt.Fprintf(s.w, "\n%s\n", s.paint(bold, fmt.Sprintf(format, args...)))
}

// note prints a line of little weight.
func (s *screen) note(format string, args ...any) {
	fmt.Fprintln(s.w, s.paint(faint, fmt.Sprintf(format, args...)))
}

// begin prints the heading of an act, which is left open for its time.
func (s *screen) begin(n int, title string) {
	s.lines = nil
	number := fmt.Sprintf("%2d  ", n)
	gap := strings.Repeat(" ", headingWidth-len(number)-len(title))
	fmt.Fprintf(s.w, "\n%s%s%s", s.paint(faint, number), s.paint(bold, title), gap)
}

// end completes the heading with the act's time or fate and prints its lines.
func (s *screen) end(fate string) {
	colour := green
	if fate == "FAILED" {
		colour = red
	}
	fmt.Fprintln(s.w, s.paint(colour, fmt.Sprintf("%9s", fate)))
	for _, line := range s.lines {
		fmt.Fprintln(s.w, line)
	}
}

// line adds one finding to the act under way: a label and what there is to say.
func (s *screen) line(label, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.lines = append(s.lines, "    "+s.paint(faint, fmt.Sprintf("%-*s", labelWidth, label))+text)
}

// bar is a line with a bar of n out of max.
func (s *screen) bar(label string, n, max int) {
	s.line(label, "%7s  %s", count(n), s.paint(green, strings.Repeat("=", n*30/max)))
}

// sum adds a row of the ledger: a total, and what it is made of.
func (s *screen) sum(total part, parts []part) {
	s.lines = append(s.lines, fmt.Sprintf("    %-22s %9s", total.name, count(total.n)))
	for i, p := range parts {
		sign := "+"
		if i == 0 {
			sign = "="
		}
		row := fmt.Sprintf("      %s %-18s %9s", sign, p.name, count(p.n))
		if p.n == 0 {
			row = s.paint(faint, row)
		}
		s.lines = append(s.lines, row)
	}
}

// serving tells what to do with a server that keeps running.
func (s *screen) serving(url string) {
	s.title("the server goes on at %s", url)
	fmt.Fprintf(s.w, `
From Go:

    nc, err := nats.Connect(ctx, %q)
    ...
    reply, err := nc.Request(ctx, "greet.joe", []byte("hello"))

With the nats command line tool:

    nats --server %s reply 'greet.*' 'hello from {{.Request}}'
    nats --server %s request greet.joe hello
    nats --server %s bench pub demo --msgs 1000000

Ctrl-C ends it.
`, url, url, url, url)
}

// duration prints d with three digits that mean something.
func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond))
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	default:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
}

// count prints n with a comma between thousands.
func count[T int | uint64](n T) string {
	digits := strconv.FormatUint(uint64(n), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
