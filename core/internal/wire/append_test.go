package wire

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestAppend(t *testing.T) {
	header := "NATS/1.0\r\nA: 1\r\n\r\n"
	for _, c := range []struct{ got, want string }{
		{string(AppendPub(nil, "a", "", "", nil)), "PUB a 0\r\n\r\n"},
		{string(AppendPub(nil, "a.b", "", "", []byte("hello"))), "PUB a.b 5\r\nhello\r\n"},
		{string(AppendPub(nil, "a.b", "r.1", "", []byte("hello"))), "PUB a.b r.1 5\r\nhello\r\n"},
		{string(AppendPub(nil, "a", "", header, nil)), "HPUB a 18 18\r\n" + header + "\r\n"},
		{string(AppendPub(nil, "a", "r", header, []byte("x"))), "HPUB a r 18 19\r\n" + header + "x\r\n"},
		{string(AppendSub(nil, "a.*", "", 1)), "SUB a.* 1\r\n"},
		{string(AppendSub(nil, "a.>", "q", math.MaxUint64)), "SUB a.> q 18446744073709551615\r\n"},
		{string(AppendUnsub(nil, 12, 0)), "UNSUB 12\r\n"},
		{string(AppendUnsub(nil, 12, 34)), "UNSUB 12 34\r\n"},
		{string(AppendConnect(nil, []byte("{}"))), "CONNECT {}\r\n"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// Every number of digits, at every fill of the buffer.
func TestAppendPubSizes(t *testing.T) {
	for _, size := range []int{0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 1001, 9999, 10000, 99999, 100000, 1 << 20, 1234567} {
		data := bytes.Repeat([]byte("x"), size)
		for _, header := range []string{"", "NATS/1.0\r\n" + strings.Repeat("A: b\r\n", size/60) + "\r\n"} {
			want := fmt.Sprintf("PUB s r %d\r\n%s\r\n", size, data)
			if header != "" {
				want = fmt.Sprintf("HPUB s r %d %d\r\n%s%s\r\n", len(header), len(header)+size, header, data)
			}
			got := AppendPub([]byte("before"), "s", "r", header, data)
			if string(got) != "before"+want {
				t.Fatalf("size %d, header %d: wrong", size, len(header))
			}
			if bound := PubSize("s", "r", header, data); len(want) > bound {
				t.Errorf("size %d, header %d: %d bytes, PubSize says %d", size, len(header), len(want), bound)
			}
		}
	}
	b := make([]byte, 32)
	for n := 0; n < 1<<20; n = n*3/2 + 1 {
		if e := putUint(b, 1, n); string(b[1:e]) != fmt.Sprint(n) {
			t.Errorf("%d is rendered as %q", n, b[1:e])
		}
	}
	if e := putUint(b, 0, math.MaxInt); string(b[:e]) != fmt.Sprint(math.MaxInt) {
		t.Errorf("MaxInt is rendered as %q", b[:e])
	}
}

func TestAppendPubStaysInRoom(t *testing.T) {
	data := make([]byte, 128)
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = AppendPub(buf[:0], "a.b.c", "r", EmptyHeader, data) }); n != 0 {
		t.Errorf("%v allocations with room", n)
	}
	// Exactly PubSize of room, and something behind it.
	need := PubSize("a.b.c", "r", EmptyHeader, data)
	whole := bytes.Repeat([]byte{0xee}, need+16)
	got := AppendPub(whole[:0:need], "a.b.c", "r", EmptyHeader, data)
	if &got[0] != &whole[0] {
		t.Error("moved although there was room")
	}
	if !bytes.Equal(whole[need:], bytes.Repeat([]byte{0xee}, 16)) {
		t.Error("wrote behind its capacity")
	}
}

func TestScanClient(t *testing.T) {
	header := "NATS/1.0\r\nA: 1\r\n\r\n"
	frames := []struct {
		b    []byte
		kind ClientKind
	}{
		{AppendPub(nil, "a", "", "", nil), ClientPub},
		{AppendPub(nil, "PUB", "r", "", []byte("PUB x 5\r\nPING\r\n")), ClientPub},
		{AppendPub(nil, "a", "r", header, []byte("\r\n\r\n")), ClientPub},
		{AppendPub(nil, "a", "", header, nil), ClientPub},
		{AppendSub(nil, "a", "q", 1), ClientOther},
		{AppendUnsub(nil, 1, 2), ClientOther},
		{AppendConnect(nil, []byte(`{"name":"PUB x 5"}`)), ClientOther},
		{[]byte(PingLine), ClientOther},
		{[]byte(PongLine), ClientOther},
	}
	for _, f := range frames {
		for n := range f.b {
			if kind, got := ScanClient(f.b[:n]); got != 0 {
				t.Errorf("%q: %v of %d bytes", f.b[:n], kind, got)
			}
		}
		for _, next := range frames {
			kind, n := ScanClient(append(f.b[:len(f.b):len(f.b)], next.b...))
			if kind != f.kind || n != len(f.b) {
				t.Errorf("%q: %v of %d bytes, want %v of %d", f.b, kind, n, f.kind, len(f.b))
			}
		}
	}
	for _, s := range []string{"", "\n", "PUB a\r\n", "PUB a x\r\nx\r\n", "PUB a -1\r\nx\r\n", "PUB a 999999999999999999999\r\nx\r\n"} {
		if kind, n := ScanClient([]byte(s)); n != 0 {
			t.Errorf("%q: %v of %d bytes", s, kind, n)
		}
	}
}
