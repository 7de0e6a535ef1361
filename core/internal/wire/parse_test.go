package wire

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/internal/leakcheck"
)

func TestMain(m *testing.M) { os.Exit(leakcheck.Main(m)) }

// op is a parsed operation with everything copied out of the buffer.
type op struct {
	kind                  Kind
	sid                   uint64
	subject, reply        string
	header, payload, text string
}

func (o op) String() string {
	return fmt.Sprintf("%v sid=%d subject=%q reply=%q header=%.40q payload=%.40q text=%.60q",
		o.kind, o.sid, o.subject, o.reply, o.header, o.payload, o.text)
}

func opOf(b []byte, f *Frame) op {
	o := op{kind: f.Kind, sid: f.SID}
	body := string(b[f.Body : f.Body+f.Size])
	if f.Kind != KindMsg {
		o.text = body
		return o
	}
	o.subject = string(b[f.Subject : f.Subject+f.SubjectLen])
	o.reply = string(b[f.Reply : f.Reply+f.ReplyLen])
	o.header, o.payload = body[:f.HeaderLen], body[f.HeaderLen:]
	return o
}

// feed plays a stream to a parser in pieces that end at the cuts, as a link
// does: what is not parsed stays in front.
func feed(p *Parser, stream []byte, cuts ...int) (ops []op, left int, err error) {
	var f Frame
	start, have := 0, 0
	for _, cut := range append(cuts, len(stream)) {
		if cut < have || cut > len(stream) {
			continue
		}
		have = cut
		for start < have {
			b := stream[start:have:have]
			ok, err := p.Parse(b, &f)
			if err != nil {
				return ops, have - start, err
			}
			if !ok {
				if f.Len != 0 && f.Len <= len(b) {
					return ops, 0, fmt.Errorf("unfinished, but Len is %d of %d", f.Len, len(b))
				}
				break
			}
			if f.Len < 1 || f.Len > len(b) {
				return ops, 0, fmt.Errorf("Len is %d of %d", f.Len, len(b))
			}
			ops = append(ops, opOf(b[:f.Len], &f))
			start += f.Len
		}
	}
	return ops, len(stream) - start, nil
}

// parseOne parses a stream of exactly one operation.
func parseOne(t *testing.T, s string) op {
	t.Helper()
	ops, left, err := feed(new(Parser), []byte(s))
	if err != nil || len(ops) != 1 || left != 0 {
		t.Fatalf("%.80q: %d operations, %d bytes left, error %v", s, len(ops), left, err)
	}
	return ops[0]
}

const statusBlock = "NATS/1.0 503\r\n\r\n"

// legal are operations and what they say.
var legal = []struct {
	in   string
	want op
}{
	{"PING\r\n", op{kind: KindPing}},
	{"PONG\r\n", op{kind: KindPong}},
	{"+OK\r\n", op{kind: KindOK}},
	{"ping\r\n", op{kind: KindPing}},
	{"PoNg\r\n", op{kind: KindPong}},
	{"+ok\r\n", op{kind: KindOK}},
	{"PING \t \r\n", op{kind: KindPing}},
	{"PONG \r\n", op{kind: KindPong}},
	{"+OK\t\r\n", op{kind: KindOK}},
	{"-ERR 'Stale Connection'\r\n", op{kind: KindErr, text: "Stale Connection"}},
	{"-err\t'Stale Connection' \r\n", op{kind: KindErr, text: "Stale Connection"}},
	{"-ERR without quotes\r\n", op{kind: KindErr, text: "without quotes"}},
	{"-ERR 'Permissions Violation for Publish to \"a.'b'\"'\r\n", op{kind: KindErr, text: "Permissions Violation for Publish to \"a.'b'\""}},
	{"-ERR ''\r\n", op{kind: KindErr}},
	{"-ERR '\r\n", op{kind: KindErr, text: "'"}},
	{"-ERR \r\n", op{kind: KindErr}},
	{"-ERR   \t'x'\r\n", op{kind: KindErr, text: "x"}},
	{"INFO {} \r\n", op{kind: KindInfo, text: "{} "}},
	{"INFO {\"a\":1}\r\n", op{kind: KindInfo, text: "{\"a\":1}"}},
	{"info \t{}\r\n", op{kind: KindInfo, text: "{}"}},
	{"INFO \r\n", op{kind: KindInfo}},
	{"MSG a 1 0\r\n\r\n", op{kind: KindMsg, sid: 1, subject: "a"}},
	{"MSG a.b.c 42 5\r\nhello\r\n", op{kind: KindMsg, sid: 42, subject: "a.b.c", payload: "hello"}},
	{"MSG a.b.c 42 _INBOX.x 5\r\nhello\r\n", op{kind: KindMsg, sid: 42, subject: "a.b.c", reply: "_INBOX.x", payload: "hello"}},
	{"MSG a 0 2\r\n\r\n\r\n", op{kind: KindMsg, subject: "a", payload: "\r\n"}},
	{"MSG a 999999999999999999 1\r\nx\r\n", op{kind: KindMsg, sid: 999999999999999999, subject: "a", payload: "x"}},
	{"MSG a 000000000000000001 000000001\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", payload: "x"}},
	{"msg a 1 1\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", payload: "x"}},
	{"MsG a 1 r 1\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", reply: "r", payload: "x"}},
	{"MSG  a   1    1\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", payload: "x"}},
	{"MSG\ta\t1\tr\t1\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", reply: "r", payload: "x"}},
	{"MSG a\t 1 1\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", payload: "x"}},
	{"MSG \ta 1 1\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", payload: "x"}},
	{"MSG a 1 \tr 1\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", reply: "r", payload: "x"}},
	{"MSG a 1 r\t 1\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", reply: "r", payload: "x"}},
	{"MSG a 1 1 \t\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", payload: "x"}},
	{"MSG MSG 1 1\r\nM\r\n", op{kind: KindMsg, sid: 1, subject: "MSG", payload: "M"}},
	{"MSG 1 2 3\r\nabc\r\n", op{kind: KindMsg, sid: 2, subject: "1", payload: "abc"}},
	{"MSG 1 2 3 4\r\nabcd\r\n", op{kind: KindMsg, sid: 2, subject: "1", reply: "3", payload: "abcd"}},
	{"MSG \xff\xfe 1 1\r\n\x00\r\n", op{kind: KindMsg, sid: 1, subject: "\xff\xfe", payload: "\x00"}},
	{"HMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n", op{kind: KindMsg, sid: 1, subject: "a", header: EmptyHeader}},
	{"HMSG a 1 16 16\r\n" + statusBlock + "\r\n", op{kind: KindMsg, sid: 1, subject: "a", header: statusBlock}},
	{"HMSG a 1 _R 12 15\r\nNATS/1.0\r\n\r\nabc\r\n", op{kind: KindMsg, sid: 1, subject: "a", reply: "_R", header: EmptyHeader, payload: "abc"}},
	{"hmsg a 1 12 13\r\nNATS/1.0\r\n\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", header: EmptyHeader, payload: "x"}},
	{"HMSG\ta  1\t\tr 12   13 \r\nNATS/1.0\r\n\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", reply: "r", header: EmptyHeader, payload: "x"}},
	{"HMSG a 1 r\t 12 13\r\nNATS/1.0\r\n\r\nx\r\n", op{kind: KindMsg, sid: 1, subject: "a", reply: "r", header: EmptyHeader, payload: "x"}},
	{"HMSG a 1 0 3\r\nabc\r\n", op{kind: KindMsg, sid: 1, subject: "a", payload: "abc"}},
	{"HMSG a 1 3 3\r\nabc\r\n", op{kind: KindMsg, sid: 1, subject: "a", header: "abc"}},
}

func TestParseLegal(t *testing.T) {
	for _, c := range legal {
		if got := parseOne(t, c.in); got != c.want {
			t.Errorf("%q\n got %v\nwant %v", c.in, got, c.want)
		}
	}
}

// illegal are streams that no parser may survive.
var illegal = []string{
	// B1, B2, B3, B4: sizes.
	"MSG foo 1 9223372036854775807\r\n",
	"MSG foo 1 9223372036854775808\r\n",
	"MSG foo 1 4611686018427387904\r\n",
	"MSG foo 1 1099511627776\r\n",
	"MSG foo 1 18446744073709551621\r\nhello\r\n",
	"MSG foo 1 4294967301\r\nhello\r\n",
	"MSG foo 1 2147483647\r\n",
	"MSG foo 1 999999999\r\n",
	"MSG foo 1 67108865\r\n",
	"MSG foo 1 0000000001\r\nx\r\n",
	"MSG foo 1 -1\r\n",
	"MSG foo 1 +1\r\nx\r\n",
	"MSG foo 1 1.0\r\nx\r\n",
	"MSG foo 1 0x1\r\nx\r\n",
	"MSG foo 1 x\r\n",
	"MSG foo 1 1x\r\nx\r\n",
	"MSG foo 1 \xb2\r\n",
	"HMSG foo 1 r 12 9223372036854775807\r\n",
	"HMSG foo 1 9223372036854775807 12\r\n",
	"HMSG foo 1 18446744073709551621 5\r\n",
	"HMSG foo 1 13 12\r\nNATS/1.0\r\n\r\n\r\n",
	"HMSG foo 1 r 13 12\r\nNATS/1.0\r\n\r\n\r\n",
	"HMSG foo 1 -1 12\r\nNATS/1.0\r\n\r\n\r\n",
	"HMSG foo 1 a 12\r\nNATS/1.0\r\n\r\n\r\n",
	"HMSG foo 1 12 -1\r\n",
	"HMSG foo 1 12 b\r\n",
	"HMSG foo 1 0000000012 12\r\nNATS/1.0\r\n\r\n\r\n",
	// Subscription ids.
	"MSG foo x 1\r\nx\r\n",
	"MSG foo -1 1\r\nx\r\n",
	"MSG foo 1a 1\r\nx\r\n",
	"MSG foo 1000000000000000000 1\r\nx\r\n",
	"MSG foo 18446744073709551617 1\r\nx\r\n",
	"msg foo 18446744073709551617 1\r\nx\r\n",
	// The number of arguments.
	"MSG \r\n", "MSG\r\n", "MSG foo\r\n", "MSG 1 1\r\n", "MSG foo 1\r\n", "MSG  1 1\r\n",
	"MSG foo 1 r s 1\r\nx\r\n", "MSG foo 1 r s t 1\r\nx\r\n", "MSG foo 1 r s t u 1\r\nx\r\n",
	"MSG a\tb 1 1\r\nx\r\n", "MSG a 1 r\tx 1\r\nx\r\n",
	"HMSG \r\n", "HMSG\r\n", "HMSG foo 12 12\r\n", "HMSG foo 1 12\r\n",
	"HMSG foo 1 r s 12 12\r\nNATS/1.0\r\n\r\n\r\n", "HMSG a\tb 1 12 12\r\nNATS/1.0\r\n\r\n\r\n",
	// B5: what follows the payload.
	"MSG foo 1 3\r\nabcX\r\n", "MSG foo 1 3\r\nabcXYZ-garbage\r\n", "MSG foo 1 3\r\nabc\n\n",
	"MSG foo 1 3\r\nabc\r\r", "MSG foo 1 3\r\nab\r\nPING\r\n", "MSG foo 1 0\r\nab",
	"HMSG foo 1 12 12\r\nNATS/1.0\r\n\r\nPING\r\n",
	// B6: junk.
	"PINGX\r\n", "PING X\r\n", "PONG 1\r\n", "PONGPONG\r\n", "+OKX\r\n", "+OK X\r\n", "PING\rX\r\n", "PING\r\r\n",
	// Line ends.
	"PING\n", "PONG\n", "+OK\n", "\n", "\r\n", "X\r\n", "PI\n", "-ERR 'x'\n", "INFO {}\n",
	"MSG foo 1 1\nx\r\n", "MSG foo 1 1\r\r\nx\r\n", "P\r\n", "PI\r\n", "M\r\n", "H\r\n", "I\r\n",
	// No operations, or those of clients.
	"PIN\r\n", "PINX\r\n", "-ERR\r\n", "-ERRX\r\n", "-ER 'x'\r\n", "INFO\r\n", "INFO{}\r\n", "INF {}\r\n",
	"MSX foo 1 1\r\nx\r\n", "HMSX foo 1 12 12\r\n", "MSGfoo 1 1\r\nx\r\n", "HMS foo 1 1\r\n", "HSG foo 1 1\r\n",
	"PUB a 1\r\nx\r\n", "SUB a 1\r\n", "UNSUB 1\r\n", "CONNECT {}\r\n", "HPUB a 12 12\r\n",
	" PING\r\n", "\x00\r\n", "\x16\x03\x01\x00\x05hello\r\n", "GET / HTTP/1.1\r\n", "\xe2\x84\xaaING\r\n", "M\xc5\xbfG a 1 1\r\nx\r\n",
	// B8: rubbish without a line end ends at once.
	"X", "\x16", "GET / HTTP/1.1", "\r", " ",
}

func TestParseIllegal(t *testing.T) {
	for _, s := range illegal {
		for _, prefix := range []string{"", "PING\r\n", "MSG a 1 2\r\nhi\r\n"} {
			ops, _, err := feed(new(Parser), []byte(prefix+s))
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("%q behind %q: error %v, operations %v", s, prefix, err, ops)
				continue
			}
			if want := min(len(prefix), 1); len(ops) != want {
				t.Errorf("%q behind %q: %d operations before the error", s, prefix, len(ops))
			}
		}
	}
}

// Cutting never turns an illegal stream into a legal one.
func TestParseIllegalInPieces(t *testing.T) {
	for _, s := range illegal {
		for cut := range len(s) {
			if _, _, err := feed(new(Parser), []byte(s), cut); err == nil {
				t.Errorf("%q cut at %d: no error", s, cut)
			}
		}
	}
}

// B7: an error never quotes the stream.
func TestErrorsQuoteNothing(t *testing.T) {
	const secret = "hunter2"
	for _, s := range []string{
		"X" + secret, "X" + secret + "\r\n", "PING " + secret + "\r\n", "MSG " + secret + " 1 1\n",
		"MSG " + secret + " x 1\r\n", "MSG a 1 0\r\n" + secret, "MSG a 1 " + secret + "\r\n",
		"HMSG a 1 " + secret + " 1\r\n", "MSG a b c d e f " + secret + "\r\n", "INF " + secret + "\r\n",
		"P" + strings.Repeat(secret, MaxControlLine/len(secret)+1),
	} {
		_, _, err := feed(new(Parser), []byte(s))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%.40q: error %v", s, err)
		}
	}
}

// B3, and the user's own limit: a size is refused when its line is there,
// however little of the message is.
func TestParsePayloadLimit(t *testing.T) {
	for _, c := range []struct {
		limit, size int
		ok          bool
	}{
		{0, DefaultMaxPayload, true}, {0, DefaultMaxPayload + 1, false},
		{1, 1, true}, {1, 2, false}, {100, 100, true}, {100, 101, false},
		{128 << 20, 128 << 20, true}, {-1, DefaultMaxPayload, true}, {-1, DefaultMaxPayload + 1, false},
	} {
		for _, line := range []string{
			fmt.Sprintf("MSG a 1 %d\r\n", c.size), fmt.Sprintf("msg a 1 %d\r\n", c.size),
			fmt.Sprintf("HMSG a 1 1 %d\r\n", c.size), fmt.Sprintf("hmsg a 1 0 %d\r\n", c.size),
		} {
			p := Parser{MaxPayload: c.limit}
			var f Frame
			ok, err := p.Parse([]byte(line), &f)
			if ok || (err == nil) != c.ok {
				t.Errorf("limit %d, %q: %v, %v", c.limit, line, ok, err)
			}
			if c.ok && f.Len != len(line)+c.size+2 {
				t.Errorf("limit %d, %q: Len is %d", c.limit, line, f.Len)
			}
		}
	}
}

// B8, A10: lines have an end, whether they are seen whole or trickle in.
func TestParseLineLimit(t *testing.T) {
	line := func(start string, total int) string { // CR included
		return start + strings.Repeat("x", total-len(start)-1) + "\r"
	}
	for _, c := range []struct {
		start string
		limit int
	}{
		{"INFO ", MaxInfoLine}, {"info ", MaxInfoLine},
		{"-ERR ", MaxControlLine}, {"-err ", MaxControlLine},
		{"MSG a 1 ", MaxControlLine}, {"HMSG a 1 ", MaxControlLine}, {"msg a 1 ", MaxControlLine},
		{"PING ", MaxControlLine}, {"+OK ", MaxControlLine},
	} {
		good := c.start == "INFO " || c.start == "info " || c.start == "-ERR " || c.start == "-err "
		for _, over := range []int{-1, 0, 1, 100} {
			s := line(c.start, c.limit+over)
			_, left, err := feed(new(Parser), []byte(s))
			if over <= 0 && (err != nil || left != len(s)) || over > 0 && err == nil {
				t.Errorf("%q, unfinished, %d over the limit: error %v", c.start, over, err)
			}
			ops, _, err := feed(new(Parser), []byte(s+"\n"))
			if over <= 0 && good && (err != nil || len(ops) != 1) || over > 0 && err == nil {
				t.Errorf("%q, finished, %d over the limit: error %v", c.start, over, err)
			}
		}
		s := line(c.start, c.limit+1000)
		p, sent := new(Parser), 0
		for sent < len(s) {
			sent = min(sent+777, len(s))
			if _, err := p.Parse([]byte(s[:sent]), new(Frame)); err != nil {
				break
			}
		}
		if sent < c.limit || sent > c.limit+777 {
			t.Errorf("%q: the trickle was refused at %d", c.start, sent)
		}
	}
}

// A subject may be as long as the line that holds it.
func TestParseLongSubject(t *testing.T) {
	subject := strings.Repeat("s", MaxControlLine-len("MSG  1 1\r"))
	if o := parseOne(t, "MSG "+subject+" 1 1\r\nx\r\n"); o.subject != subject {
		t.Error("the subject was cut")
	}
	if _, _, err := feed(new(Parser), []byte("MSG "+subject+"s 1 1\r\nx\r\n")); err == nil {
		t.Error("a longer line was accepted")
	}
}

// An unfinished line is not looked at again from its start with each byte.
func TestParseTrickleIsLinear(t *testing.T) {
	s := []byte("INFO " + strings.Repeat("x", 200))
	p := new(Parser)
	var f Frame
	for n := range s {
		if ok, err := p.Parse(s[:n+1], &f); ok || err != nil || f.Len != 0 {
			t.Fatal(n, ok, err, f.Len)
		}
		if p.scanned != n+1 {
			t.Fatalf("scanned %d of %d", p.scanned, n+1)
		}
	}
}

// corpus is a stream of every operation, in every spelling.
func corpus() []byte {
	var b bytes.Buffer
	for _, c := range legal {
		b.WriteString(c.in)
	}
	return b.Bytes()
}

// B15, B16: the operations do not depend on how the stream is cut.
func TestFigure14SplitInvariance(t *testing.T) {
	splits := 0
	checkSplit := func(t *testing.T, stream []byte, want []op, cuts ...int) {
		t.Helper()
		splits++
		checkSplit(t, stream, want, cuts...)
	}
	t.Run("one cut anywhere", func(t *testing.T) {
		stream := corpus()
		want, _, err := feed(new(Parser), stream)
		if err != nil || len(want) != len(legal) {
			t.Fatal(len(want), err)
		}
		for cut := range stream {
			checkSplit(t, stream, want, cut)
		}
	})
	t.Run("byte by byte", func(t *testing.T) {
		stream := corpus()
		want, _, _ := feed(new(Parser), stream)
		cuts := make([]int, len(stream))
		for i := range cuts {
			cuts[i] = i
		}
		checkSplit(t, stream, want, cuts...)
	})
	t.Run("all pairs of cuts", func(t *testing.T) {
		for i, c := range legal {
			stream := []byte(c.in)
			if next := legal[(i+1)%len(legal)].in; len(c.in)+len(next) <= 64 {
				stream = append(stream, next...)
			}
			want, _, err := feed(new(Parser), stream)
			if err != nil {
				t.Fatal(err)
			}
			for a := range len(stream) + 1 {
				for b := a; b <= len(stream); b++ {
					checkSplit(t, stream, want, a, b)
				}
			}
		}
	})
	figure.Print(t, 14, "every operation at every offset, pairs up to 64 bytes",
		"the parser: %d splits of %d operations in every spelling", splits, len(legal))
}

func checkSplit(t *testing.T, stream []byte, want []op, cuts ...int) {
	t.Helper()
	got, left, err := feed(new(Parser), stream, cuts...)
	if err != nil || left != 0 || len(got) != len(want) {
		t.Fatalf("cut at %v: %d operations of %d, %d bytes left, error %v", cuts, len(got), len(want), left, err)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("cut at %v: operation %d is %v, want %v", cuts, i, got[i], want[i])
		}
	}
}

// A frame says nothing that is left of the frame before.
func TestFrameIsFresh(t *testing.T) {
	p := new(Parser)
	var f Frame
	for _, s := range []string{"HMSG a 7 r 12 13\r\nNATS/1.0\r\n\r\nx\r\n", "MSG b 8 1\r\ny\r\n", "PING\r\n", "-ERR 'x'\r\n"} {
		ok, err := p.Parse([]byte(s), &f)
		fresh := Frame{}
		if ok2, err2 := new(Parser).Parse([]byte(s), &fresh); !ok || !ok2 || err != nil || err2 != nil {
			t.Fatal(s, err, err2)
		}
		if f != fresh {
			t.Errorf("%q: %+v, with a fresh frame %+v", s, f, fresh)
		}
	}
}

func TestKindString(t *testing.T) {
	want := map[Kind]string{
		KindNone: "none", KindMsg: "MSG", KindInfo: "INFO", KindPing: "PING", KindPong: "PONG",
		KindOK: "+OK", KindErr: "-ERR", 200: "none",
	}
	for k, s := range want {
		if k.String() != s {
			t.Errorf("%d is %q", k, k)
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	for _, s := range []string{
		"MSG a.b.c 42 5\r\nhello\r\n", "MSG a.b.c 42 _INBOX.x 5\r\nhello\r\n",
		"HMSG a 1 _R 12 15\r\nNATS/1.0\r\n\r\nabc\r\n", "msg\ta 1  1\r\nx\r\n", "PING\r\n", "PONG\r\n", "+OK\r\n",
		"-ERR 'x'\r\n", "INFO {}\r\n", "MSG a 1 100\r\n", "MSG a",
	} {
		b := []byte(s)
		var p Parser
		var f Frame
		if n := testing.AllocsPerRun(100, func() { _, _ = p.Parse(b, &f) }); n != 0 {
			t.Errorf("%q: %v allocations", s, n)
		}
	}
}
