package subject

import (
	"os"
	"strings"
	"testing"

	"github.com/perigee-go/nats/core/internal/leakcheck"
)

func TestMain(m *testing.M) { os.Exit(leakcheck.Main(m)) }

// legal is what a subject may be used for.
type legal struct{ publish, subscribe, queue bool }

var subjects = []struct {
	s string
	legal
}{
	{"a", legal{true, true, true}},
	{"a.b.c", legal{true, true, true}},
	{"$JS.API.INFO", legal{true, true, true}},
	{"_INBOX.abc-1", legal{true, true, true}},
	{"ü.日本", legal{true, true, true}},
	{"\xff", legal{true, true, true}},
	{"a*", legal{true, true, true}},
	{"*a.b", legal{true, true, true}},
	{"a>", legal{true, true, true}},
	{">a.b", legal{true, true, true}},
	{"a.>>", legal{true, true, true}},
	{"a.**.b", legal{true, true, true}},
	{"a.*>.b", legal{true, true, true}},
	{strings.Repeat("a.", 1000) + "a", legal{true, true, true}},
	{"*", legal{false, true, true}},
	{">", legal{false, true, true}},
	{"a.*", legal{false, true, true}},
	{"*.a", legal{false, true, true}},
	{"a.*.b", legal{false, true, true}},
	{"*.*.>", legal{false, true, true}},
	{"a.>", legal{false, true, true}},
	{">.a", legal{false, false, true}},
	{"a.>.b", legal{false, false, true}},
	{">.>", legal{false, false, true}},
	{"", legal{}},
	{".", legal{false, false, true}},
	{"..", legal{false, false, true}},
	{".a", legal{false, false, true}},
	{"a.", legal{false, false, true}},
	{"a..b", legal{false, false, true}},
	{"a.*.", legal{false, false, true}},
	{" ", legal{}}, {"a b", legal{}}, {" a", legal{}}, {"a ", legal{}}, {"a. .b", legal{}},
	{"a\tb", legal{}}, {"a\rb", legal{}}, {"a\nb", legal{}}, {"a\r\nPUB b 0\r\n\r\n", legal{}}, {"a\fb", legal{}},
	{"a\vb", legal{}}, {"a\x00b", legal{}}, {"\x01", legal{}}, {"a\x1f", legal{}}, {"a\x7f", legal{}},
}

// B12, B13.
func TestCheck(t *testing.T) {
	for _, c := range subjects {
		for _, f := range []struct {
			name  string
			check func(string) string
			legal bool
		}{
			{"CheckPublish", CheckPublish, c.publish},
			{"CheckSubscribe", CheckSubscribe, c.subscribe},
			{"CheckQueue", CheckQueue, c.queue},
		} {
			if p := f.check(c.s); (p == "") != f.legal {
				t.Errorf("%s(%.60q): %q", f.name, c.s, p)
			}
		}
	}
}

func TestProblemsNameTheOffset(t *testing.T) {
	for s, want := range map[string]string{
		"ab c": "at offset 2", "a..b": "at offset 2", ".a": "at offset 0", "a.*": "at offset 2", "a.>": "at offset 2",
		"*": "at offset 0", "a.": "ends in a dot", "": "empty",
	} {
		if p := CheckPublish(s); !strings.HasSuffix(p, want) {
			t.Errorf("CheckPublish(%q): %q, want %q", s, p, want)
		}
	}
	for s, want := range map[string]string{
		"ab\x00c": "at offset 2", "a..b": "at offset 2", "a.>.b": "at offset 2", "a.*.": "ends in a dot", "": "empty",
	} {
		if p := CheckSubscribe(s); !strings.HasSuffix(p, want) {
			t.Errorf("CheckSubscribe(%q): %q, want %q", s, p, want)
		}
	}
	if p := CheckQueue("q\n"); !strings.HasSuffix(p, "at offset 1") {
		t.Errorf("CheckQueue: %q", p)
	}
}

func TestCheckEveryByte(t *testing.T) {
	for b := range 256 {
		s := "a" + string([]byte{byte(b)}) + "b"
		ok := b > ' ' && b != 0x7f
		for _, p := range []string{CheckPublish(s), CheckSubscribe(s), CheckQueue(s)} {
			if (p == "") != ok {
				t.Errorf("byte %#x: %q", b, p)
			}
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a", "a.b", false}, {"a.b", "a", false}, {"a", "A", false},
		{"*", "a", true}, {"*", "a.b", false}, {"*.*", "a.b", true}, {"*.*", "a", false}, {"*.b", "a.b", true},
		{"*.b", "a.c", false}, {"a.*.c", "a.b.c", true}, {"a.*.c", "a.b.d", false}, {"a.*", "a.", false},
		{">", "a", true}, {">", "a.b.c", true}, {"a.>", "a", false}, {"a.>", "a.b", true}, {"a.>", "a.b.c", true},
		{"a.>", "b.a", false}, {"a.*.>", "a.b", false}, {"a.*.>", "a.b.c", true}, {"*.>", "a", false},
		{">", "", false}, {"*", "", false}, {"", "", false}, {"a", "", false}, {"", "a", false},
		{"a*", "a*", true}, {"a*", "ab", false}, {"a>", "ab", false},
	} {
		if got := Match(c.pattern, c.s); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.pattern, c.s, got)
		}
	}
}

// naiveMatch is the definition, token by token.
func naiveMatch(pattern, s string) bool {
	p, l := strings.Split(pattern, "."), strings.Split(s, ".")
	if last := len(p) - 1; p[last] == ">" {
		if len(l) <= last {
			return false
		}
		p, l = p[:last], l[:last]
	}
	if len(p) != len(l) {
		return false
	}
	for i := range p {
		if p[i] != "*" && p[i] != l[i] {
			return false
		}
	}
	return true
}

// All patterns against all subjects of up to four tokens.
func TestMatchExhaustively(t *testing.T) {
	words := func(alphabet ...string) (out []string) {
		level := []string{""}
		for range 4 {
			var next []string
			for _, w := range level {
				for _, a := range alphabet {
					next = append(next, strings.TrimPrefix(w+"."+a, "."))
				}
			}
			out = append(out, next...)
			level = next
		}
		return out
	}
	literals := words("a", "b")
	for _, p := range words("a", "b", "*", ">") {
		if CheckSubscribe(p) != "" {
			continue
		}
		for _, s := range literals {
			if got, want := Match(p, s), naiveMatch(p, s); got != want {
				t.Fatalf("Match(%q, %q) = %v", p, s, got)
			}
		}
	}
}

func TestHasWildcard(t *testing.T) {
	for s, want := range map[string]bool{
		"": false, "a": false, "*": true, ">": true, "a.*": true, "a.>": true, "*.a": true, "a.*.b": true,
		"a*": false, "a.b>": false, "**": false, "a.*b.c": false,
	} {
		if HasWildcard(s) != want {
			t.Errorf("HasWildcard(%q) = %v", s, !want)
		}
	}
}

func TestNothingAllocates(t *testing.T) {
	good := true
	n := testing.AllocsPerRun(100, func() {
		good = good && CheckPublish("orders.eu.created") == "" && CheckSubscribe("orders.*.>") == "" &&
			CheckQueue("workers") == "" && Match("orders.*.>", "orders.eu.created") && !HasWildcard("orders.eu")
	})
	if !good {
		t.Error("something legal was refused")
	}
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSubject: what is legal to publish to has no byte that could end a token
// or a line, and is legal to subscribe to; and a server's rules agree.
func FuzzSubject(f *testing.F) {
	for _, c := range subjects {
		f.Add(c.s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		publish, subscribe, queue := CheckPublish(s) == "", CheckSubscribe(s) == "", CheckQueue(s) == ""
		clean := s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
		tokens := strings.Split(s, ".")
		full, literal, last := true, true, true
		for i, tok := range tokens {
			full = full && tok != ""
			literal = literal && tok != "*" && tok != ">"
			last = last && (tok != ">" || i == len(tokens)-1)
		}
		if publish != (clean && full && literal) {
			t.Errorf("CheckPublish(%q) = %q", s, CheckPublish(s))
		}
		if subscribe != (clean && full && last) {
			t.Errorf("CheckSubscribe(%q) = %q", s, CheckSubscribe(s))
		}
		if queue != clean {
			t.Errorf("CheckQueue(%q) = %q", s, CheckQueue(s))
		}
		if subscribe && publish == HasWildcard(s) {
			t.Errorf("HasWildcard(%q) = %v", s, HasWildcard(s))
		}
	})
}

// FuzzMatch: as the definition says, for everything that is legal; anything
// else does no harm.
func FuzzMatch(f *testing.F) {
	for _, p := range []string{"a", "a.b", "*", ">", "a.*", "a.>", "*.b.>", "", ".", "a.>.b"} {
		for _, s := range []string{"a", "a.b", "a.b.c", "", ".", "a..b"} {
			f.Add(p, s)
		}
	}
	f.Fuzz(func(t *testing.T, p, s string) {
		got := Match(p, s)
		if CheckSubscribe(p) == "" && CheckPublish(s) == "" && got != naiveMatch(p, s) {
			t.Errorf("Match(%q, %q) = %v", p, s, got)
		}
		if CheckPublish(s) == "" && (!Match(s, s) || !Match(">", s)) {
			t.Errorf("%q does not match itself", s)
		}
	})
}

func BenchmarkCheckPublish(b *testing.B) {
	for b.Loop() {
		CheckPublish("orders.eu.created")
	}
}

func BenchmarkMatch(b *testing.B) {
	for b.Loop() {
		Match("orders.*.created", "orders.eu.created")
	}
}
