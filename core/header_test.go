package nats

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

func header(t *testing.T, nameValues ...string) Header {
	t.Helper()
	h, err := NewHeader(nameValues...)
	must(t, err)
	return h
}

func fields(h Header) string {
	var out []string
	for n, v := range h.All() {
		out = append(out, n+"="+v)
	}
	return strings.Join(out, " ")
}

func TestHeader(t *testing.T) {
	h := header(t, "A", "1", "b", " 2\t", "A", "3", "empty", "")
	if got := fields(h); got != "A=1 b=2 A=3 empty=" {
		t.Errorf("fields %s", got)
	}
	if h.Get("A") != "1" || h.Get("a") != "" || h.Get("B") != "" || h.Len() != 4 {
		t.Errorf("Get: %q %q %q", h.Get("A"), h.Get("a"), h.Get("B"))
	}
	if v, ok := h.Lookup("empty"); v != "" || !ok {
		t.Errorf("Lookup: %q, %v", v, ok)
	}
	if _, ok := h.Lookup("none"); ok {
		t.Error("Lookup found what is not there")
	}
	if got := h.Values("A"); !slices.Equal(got, []string{"1", "3"}) || h.Values("none") != nil {
		t.Errorf("Values: %q", got)
	}
	if m := maps.Collect(h.All()); len(m) != 3 {
		t.Errorf("All: %v", m)
	}
	for range h.All() {
		break
	}
	var zero Header
	if zero.Len() != 0 || zero.Get("A") != "" || zero.Err() != nil || zero.Values("") != nil {
		t.Error("the zero value is not empty")
	}
	zero.Del("A")
	zero.Set("A", "1")
	zero.Add("A", "2")
	if fields(zero) != "A=1 A=2" {
		t.Errorf("fields %s", fields(zero))
	}
	if none := header(t); none.Len() != 0 || none != (Header{}) {
		t.Errorf("no pairs: %v", none)
	}
}

func TestHeaderEdits(t *testing.T) {
	start := header(t, "A", "1", "B", "2", "A", "3", "C", "4")
	for _, c := range []struct {
		do   func(h *Header)
		want string
	}{
		{func(h *Header) { h.Set("A", "x") }, "A=x B=2 C=4"},
		{func(h *Header) { h.Set("D", "x") }, "A=1 B=2 A=3 C=4 D=x"},
		{func(h *Header) { h.Set("B", "") }, "A=1 B= A=3 C=4"},
		{func(h *Header) { h.Add("A", "x") }, "A=1 B=2 A=3 C=4 A=x"},
		{func(h *Header) { h.Del("A") }, "B=2 C=4"},
		{func(h *Header) { h.Del("none") }, "A=1 B=2 A=3 C=4"},
		{func(h *Header) { h.Del("A"); h.Del("B"); h.Del("C") }, ""},
	} {
		h := start
		c.do(&h)
		if fields(h) != c.want || fields(start) != "A=1 B=2 A=3 C=4" {
			t.Errorf("%s, and the original %s; want %s", fields(h), fields(start), c.want)
		}
		if c.want == "" && h != (Header{}) {
			t.Errorf("without fields it is %+v", h)
		}
	}
}

// TestHeaderRefuses: what would break the framing, or another client's reading,
// is refused and kept for Err.
func TestHeaderRefuses(t *testing.T) {
	for _, bad := range [][2]string{
		{"", "v"}, {"A:", "v"}, {":", "v"}, {"A B", "v"}, {"A\r\nB", "v"}, {"A\n", "v"}, {"A\x00", "v"}, {"\x7f", "v"}, {"é", "v"}, {"\t", "v"},
		{"A", "v\r\nB: c"}, {"A", "\n"}, {"A", "\r"}, {"A", "\x00"}, {"A", "x\n y"},
	} {
		_, err := NewHeader("ok", "1", bad[0], bad[1])
		var he *HeaderError
		if !errors.As(err, &he) || he.Name != bad[0] || !errors.Is(err, ErrBadHeader) || !SafeToRetry(err) {
			t.Errorf("NewHeader(%q): %v", bad, err)
		}
		for name, put := range map[string]func(*Header){
			"Set": func(h *Header) { h.Set(bad[0], bad[1]) }, "Add": func(h *Header) { h.Add(bad[0], bad[1]) },
		} {
			h := header(t, "ok", "1")
			put(&h)
			if err := h.Err(); !errors.Is(err, ErrBadHeader) {
				t.Errorf("%s(%q): %v", name, bad, err)
			}
			if fields(h) != "ok=1" || h.Get("ok") != "1" {
				t.Errorf("after %s(%q) the fields are %s", name, bad, fields(h))
			}
			first := h.Err().Error()
			h.Set("more", "2")
			h.Del("ok")
			if h.Err().Error() != first || fields(h) != "ok=1" {
				t.Errorf("then %v, %s", h.Err(), fields(h))
			}
			if _, err := h.MarshalText(); !errors.Is(err, ErrBadHeader) {
				t.Errorf("MarshalText: %v", err)
			}
			if _, err := h.outgoing(); !errors.Is(err, ErrBadHeader) {
				t.Errorf("outgoing: %v", err)
			}
		}
	}
	if _, err := NewHeader("odd"); !errors.Is(err, ErrBadHeader) {
		t.Errorf("odd: %v", err)
	}
	var h Header
	h.Set("A\x00B", "x") // the NUL must not hide what was wrong
	if !strings.Contains(h.Err().Error(), "offset 1") || h.Len() != 0 {
		t.Errorf("error %v", h.Err())
	}
}

func TestHeaderText(t *testing.T) {
	h := header(t, "A", "1", "b", "2")
	text, err := h.MarshalText()
	must(t, err)
	if string(text) != "NATS/1.0\r\nA: 1\r\nb: 2\r\n\r\n" {
		t.Errorf("text %q", text)
	}
	var back Header
	must(t, back.UnmarshalText(text))
	if back != h {
		t.Errorf("back %q", back.wire)
	}
	text[10] = 'X'
	if fields(back) != "A=1 b=2" {
		t.Error("it shares memory with the text")
	}
	must(t, back.UnmarshalText(nil))
	if back != (Header{}) {
		t.Errorf("of nothing: %q", back.wire)
	}
	must(t, back.UnmarshalText([]byte("NATS/1.0 503\nA:1\nno field\n b\n\n")))
	if fields(back) != "A=1" {
		t.Errorf("loose text: %s", fields(back))
	}
	for _, bad := range []string{"HTTP/1.1\r\n\r\n", "x", "NATS/1.0\r\nA B: 1\r\n\r\n", "NATS/1.0\r\nA: \x00\r\n\r\n"} {
		if err := back.UnmarshalText([]byte(bad)); !errors.Is(err, ErrBadHeader) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestHeaderGoesOut: whatever block arrived, what is sent on is a whole block
// with fields of users only.
func TestHeaderGoesOut(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"NATS/1.0\r\n\r\n":                "",
		"NATS/1.0\r\nA: 1\r\n\r\n":        "NATS/1.0\r\nA: 1\r\n\r\n",
		"NATS/1.0 503\r\n\r\n":            "",
		"NATS/1.0 503 No\r\nA: 1\r\n\r\n": "NATS/1.0\r\nA: 1\r\n\r\n",
		"NATS/1.0\r\nA: 1\r\n":            "NATS/1.0\r\nA: 1\r\n\r\n",
		"NATS/1.0\r\nA: 1":                "NATS/1.0\r\nA: 1\r\n\r\n",
		"NATS/1.0\r\n":                    "",
		"NATS/1.0":                        "",
	} {
		if got, err := (Header{in}).outgoing(); got != want || err != nil {
			t.Errorf("%q goes out as %q, %v; want %q", in, got, err, want)
		}
	}
}

// TestHeaderConcurrency: a copy never sees another's changes, and reading is
// safe for many.
func TestHeaderConcurrency(t *testing.T) {
	h := header(t, "A", "1", "B", "2")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			mine := h
			for k := range 100 {
				mine.Set("A", fmt.Sprint(i, k))
				if h.Get("A") != "1" || mine.Get("A") != fmt.Sprint(i, k) || mine.Len() != 2 {
					t.Error("a change was seen elsewhere")
				}
			}
		})
	}
	wg.Wait()
}

func FuzzHeader(f *testing.F) {
	f.Add("A", "1", "B", "2")
	f.Add("A", "\t x ", "A", "")
	f.Add("A", "\r\n", ":", "\x00")
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2 string) {
		h, err := NewHeader(n1, v1, n2, v2)
		var set Header
		set.Add(n1, v1)
		set.Add(n2, v2)
		if (err == nil) != (set.Err() == nil) {
			t.Fatalf("NewHeader says %v, Add %v", err, set.Err())
		}
		if err != nil {
			return
		}
		if set != h {
			t.Fatalf("%q and %q", h.wire, set.wire)
		}
		want := fmt.Sprintf("%q %q %q %q", n1, strings.Trim(v1, " \t"), n2, strings.Trim(v2, " \t"))
		got := ""
		for n, v := range h.All() {
			got += fmt.Sprintf(" %q %q", n, v)
		}
		if got[1:] != want {
			t.Fatalf("fields %s, want %s", got[1:], want)
		}
	})
}

// TestHeaderJSON: a Header is a text in JSON, and comes back from it.
func TestHeaderJSON(t *testing.T) {
	type envelope struct{ Header Header }
	for _, h := range []Header{{}, header(t, "A", "1"), header(t, "$Odd!", "ü \"x\" <&>", "A", "1", "a", "2", "A", "", "last", "\t\xe2\x82\xac")} {
		doc, err := json.Marshal(envelope{h})
		must(t, err)
		var back envelope
		must(t, json.Unmarshal(doc, &back))
		if back.Header != h {
			t.Errorf("%q came back as %q by %s", h.wire, back.Header.wire, doc)
		}
	}
	var back envelope
	for _, doc := range []string{`{"Header":"nonsense"}`, `{"Header":"NATS/1.0\r\nA B: 1\r\n\r\n"}`, `{"Header":7}`} {
		if err := json.Unmarshal([]byte(doc), &back); err == nil {
			t.Errorf("%s is read as %q", doc, back.Header.wire)
		}
	}
	if _, err := json.Marshal(envelope{func() (h Header) { h.Set("A B", ""); return }()}); !errors.Is(err, ErrBadHeader) {
		t.Errorf("an illegal one: %v", err)
	}
}
