package wire

import (
	"strings"
	"testing"
)

func TestHeaderStatus(t *testing.T) {
	for _, c := range []struct {
		block string
		code  int
		text  string
	}{
		{EmptyHeader, 0, ""}, {"", 0, ""}, {"NATS/1.0", 0, ""}, {HeaderPrefix, 0, ""},
		{"NATS/1.0 503\r\n\r\n", 503, ""},
		{"NATS/1.0 503", 503, ""},
		{"NATS/1.0 503\n\n", 503, ""},
		{"NATS/1.0   503  \r\n\r\n", 503, ""},
		{"NATS/1.0\t503\r\n\r\n", 503, ""},
		{"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n", 100, "Idle Heartbeat"},
		{"NATS/1.0 409  Consumer  Deleted \r\n\r\n", 409, "Consumer  Deleted"},
		{"NATS/1.0 409\tx\r\n\r\n", 409, "x"},
		{"NATS/1.0\r\nStatus: 503\r\n\r\n", 0, ""},
		{"NATS/1.0 \r\n503\r\n\r\n", 0, ""},
		// B9, W-70: no status.
		{"NATS/1.0 5\r\n\r\n", 0, ""}, {"NATS/1.0 50\r\n\r\n", 0, ""}, {"NATS/1.0 5033\r\n\r\n", 0, ""},
		{"NATS/1.0 50x\r\n\r\n", 0, ""}, {"NATS/1.0 +50\r\n\r\n", 0, ""}, {"NATS/1.0 -50\r\n\r\n", 0, ""},
		{"NATS/1.0 099\r\n\r\n", 0, ""}, {"NATS/1.0 000\r\n\r\n", 0, ""}, {"NATS/1.0 x503\r\n\r\n", 0, ""},
		{"NATS/1.1 503\r\n\r\n", 0, ""}, {"NATS/2.0 503\r\n\r\n", 0, ""}, {"nats/1.0 503\r\n\r\n", 0, ""},
		{"HTTP/1.0 503\r\n\r\n", 0, ""}, {" NATS/1.0 503\r\n\r\n", 0, ""},
		{"NATS/1.0503\r\n\r\n", 0, ""}, {"NATS/1.01 503\r\n\r\n", 0, ""}, {"NATS/1.0503 503\r\n\r\n", 0, ""},
	} {
		code, text := HeaderStatus(c.block)
		if code != c.code || text != c.text {
			t.Errorf("%q: %d %q, want %d %q", c.block, code, text, c.code, c.text)
		}
	}
}

type field struct{ name, value string }

func fields(block string) (fs []field) {
	for pos := HeaderFields(block); ; {
		n, v, next, ok := NextField(block, pos)
		if !ok {
			return fs
		}
		fs = append(fs, field{n, v})
		pos = next
	}
}

func TestHeaderFields(t *testing.T) {
	for _, c := range []struct {
		body string // behind the first line
		want []field
	}{
		{"\r\n", nil}, {"", nil}, {"\r\nA: 1\r\n", nil},
		{"A: 1\r\n\r\n", []field{{"A", "1"}}},
		{"A:1\r\n\r\n", []field{{"A", "1"}}},
		{"A: \t 1 \t \r\n\r\n", []field{{"A", "1"}}},
		{"A:\r\nB: \r\n\r\n", []field{{"A", ""}, {"B", ""}}},
		{"A: 1\r\na: 2\r\nA: 3\r\n\r\n", []field{{"A", "1"}, {"a", "2"}, {"A", "3"}}},
		{"A: b: c\r\n\r\n", []field{{"A", "b: c"}}},
		{"A: in  side\r\n\r\n", []field{{"A", "in  side"}}},
		{"A: 1\n\n", []field{{"A", "1"}}},
		{"A: 1", []field{{"A", "1"}}},
		{"A: 1\r", []field{{"A", "1"}}},
		// What is no field is passed over.
		{"nonsense\r\nA: 1\r\n\r\n", []field{{"A", "1"}}},
		{": x\r\nA: 1\r\n\r\n", []field{{"A", "1"}}},
		{" x: y\r\nA: 1\r\n\r\n", []field{{"A", "1"}}},
		// Folded values (ADR-4 allows nobody to send them).
		{"A: 1\r\n 2\r\n\t3 \r\nB: 4\r\n\r\n", []field{{"A", "1 2 3"}, {"B", "4"}}},
		{"A: 1\r\n \r\n\r\n", []field{{"A", "1 "}}},
		// Nothing counts behind the blank line.
		{"A: 1\r\n\r\nB: 2\r\n\r\n", []field{{"A", "1"}}},
	} {
		got := fields("NATS/1.0\r\n" + c.body)
		if len(got) != len(c.want) {
			t.Errorf("%q: %q, want %q", c.body, got, c.want)
			continue
		}
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%q: %q, want %q", c.body, got, c.want)
			}
		}
	}
	for _, s := range []string{"", "x", "NATS/1.0", "A: 1"} {
		if got := fields(s); got != nil {
			t.Errorf("%q without a first line: %q", s, got)
		}
	}
}

func TestLookupField(t *testing.T) {
	block := "NATS/1.0 100 x\r\nA: 1\r\nB: 2\r\nA: 3\r\nEmpty:\r\n\r\n"
	for _, c := range []struct {
		name, value string
		ok          bool
	}{{"A", "1", true}, {"B", "2", true}, {"a", "", false}, {"Empty", "", true}, {"C", "", false}, {"", "", false}} {
		if v, ok := LookupField(block, c.name); v != c.value || ok != c.ok {
			t.Errorf("%q: %q %v", c.name, v, ok)
		}
	}
	if n := testing.AllocsPerRun(100, func() { LookupField(block, "B"); LookupField(block, "C") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { HeaderStatus(block) }); n != 0 {
		t.Errorf("HeaderStatus: %v allocations", n)
	}
}

func TestCheckNameAndValue(t *testing.T) {
	for _, s := range []string{"A", "a-b", "Nats-Msg-Id", "!#$%&'*+-.^_`|~", "\"(),/;<=>?@[\\]{}"} {
		if p := CheckName(s); p != "" {
			t.Errorf("name %q: %s", s, p)
		}
	}
	for s, at := range map[string]string{
		"": "empty", " ": "0", "a b": "1", "a:": "1", "ab\r\n": "2", "ab\n": "2", "\x00": "0", "a\x7f": "1", "ü": "0", "a\t": "1",
	} {
		if p := CheckName(s); !strings.Contains(p, at) {
			t.Errorf("name %q: %q does not say %q", s, p, at)
		}
	}
	for _, s := range []string{"", " ", "a b", "a:b", "ü", "\t", "\x01", "\x7f", "\xff"} {
		if p := CheckValue(s); p != "" {
			t.Errorf("value %q: %s", s, p)
		}
	}
	for s, at := range map[string]string{"\r": "0", "a\n": "1", "ab\r\nEvil: 1": "2", "abc\x00": "3"} {
		if p := CheckValue(s); !strings.HasSuffix(p, "offset "+at) {
			t.Errorf("value %q: %q does not name offset %s", s, p, at)
		}
	}
}

// What AppendField renders is FieldSize long and is read back, but for the
// white space around it.
func TestAppendField(t *testing.T) {
	for _, f := range []field{{"A", "1"}, {"A", ""}, {"A", " x\t"}, {"K", "a: b"}, {"\"", "\x01\x7f\xff"}} {
		b := AppendField([]byte(HeaderPrefix), f.name, f.value)
		if n := len(b) - len(HeaderPrefix); n != FieldSize(f.name, f.value) {
			t.Errorf("%q: %d bytes, FieldSize says %d", f, n, FieldSize(f.name, f.value))
		}
		got := fields(string(b) + "\r\n")
		if len(got) != 1 || got[0] != (field{f.name, strings.Trim(f.value, " \t")}) {
			t.Errorf("%q: read back as %q", f, got)
		}
	}
}
