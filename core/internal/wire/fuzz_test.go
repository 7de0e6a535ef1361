package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"net/textproto"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The oracle reads a whole stream at once with regular expressions: slow, and
// written from the protocol's grammar, not from the parser.
var (
	reMsg  = regexp.MustCompile(`(?s)^[Mm][Ss][Gg][ \t]+([^ \t]+)[ \t]+(\d{1,18})(?:[ \t]+([^ \t]+))?[ \t]+(\d{1,9})[ \t]*$`)
	reHMsg = regexp.MustCompile(`(?s)^[Hh][Mm][Ss][Gg][ \t]+([^ \t]+)[ \t]+(\d{1,18})(?:[ \t]+([^ \t]+))?[ \t]+(\d{1,9})[ \t]+(\d{1,9})[ \t]*$`)
	reInfo = regexp.MustCompile(`(?s)^[Ii][Nn][Ff][Oo][ \t]+(.*)$`)
	reErr  = regexp.MustCompile(`(?s)^-[Ee][Rr][Rr][ \t]+(.*)$`)
	rePing = regexp.MustCompile(`^[Pp][Ii][Nn][Gg][ \t]*$`)
	rePong = regexp.MustCompile(`^[Pp][Oo][Nn][Gg][ \t]*$`)
	reOK   = regexp.MustCompile(`^\+[Oo][Kk][ \t]*$`)
)

// oracle returns the operations of stream up to the first violation, and
// whether there is one.
func oracle(stream string, maxPayload int64) (ops []op, bad bool) {
	for stream != "" {
		line, rest, whole := strings.Cut(stream, "\n")
		limit := MaxControlLine
		if line != "" && (line[0] == 'I' || line[0] == 'i') {
			limit = MaxInfoLine
		}
		if len(line) > limit {
			return ops, true
		}
		if !whole {
			return ops, !strings.ContainsAny(line[:1], "IiMmHhPp+-")
		}
		line, cr := strings.CutSuffix(line, "\r")
		if !cr {
			return ops, true
		}
		var o op
		hlen, size := "", ""
		switch {
		case rePing.MatchString(line):
			o.kind = KindPing
		case rePong.MatchString(line):
			o.kind = KindPong
		case reOK.MatchString(line):
			o.kind = KindOK
		case reInfo.MatchString(line):
			o.kind, o.text = KindInfo, reInfo.FindStringSubmatch(line)[1]
		case reErr.MatchString(line):
			o.kind, o.text = KindErr, strings.TrimSpace(reErr.FindStringSubmatch(line)[1])
			if n := len(o.text); n >= 2 && o.text[0] == '\'' && o.text[n-1] == '\'' {
				o.text = o.text[1 : n-1]
			}
		case reMsg.MatchString(line):
			m := reMsg.FindStringSubmatch(line)
			o.kind, o.subject, o.reply, hlen, size = KindMsg, m[1], m[3], "0", m[4]
			o.sid, _ = strconv.ParseUint(m[2], 10, 64)
		case reHMsg.MatchString(line):
			m := reHMsg.FindStringSubmatch(line)
			o.kind, o.subject, o.reply, hlen, size = KindMsg, m[1], m[3], m[4], m[5]
			o.sid, _ = strconv.ParseUint(m[2], 10, 64)
		default:
			return ops, true
		}
		if o.kind == KindMsg {
			h, _ := new(big.Int).SetString(hlen, 10)
			n, _ := new(big.Int).SetString(size, 10)
			if h.Cmp(n) > 0 || n.Cmp(big.NewInt(maxPayload)) > 0 {
				return ops, true
			}
			k := int(n.Int64())
			if len(rest) < k+2 {
				return ops, false
			}
			if rest[k:k+2] != "\r\n" {
				return ops, true
			}
			o.header, o.payload, rest = rest[:h.Int64()], rest[h.Int64():k], rest[k+2:]
		}
		ops = append(ops, o)
		stream = rest
	}
	return ops, false
}

// FuzzParse: the parser agrees with the oracle, however the stream is cut.
func FuzzParse(f *testing.F) {
	for _, c := range legal {
		f.Add([]byte(c.in), uint64(7), 0)
	}
	for _, s := range illegal {
		f.Add([]byte("MSG a 1 2\r\nhi\r\n"+s), uint64(0x10203), 0)
	}
	f.Add(corpus(), uint64(0xdeadbeef), 0)
	f.Add(corpus(), uint64(0), 3)
	f.Add([]byte("INFO {\"server_id\":\"N\",\"max_payload\":1048576,\"headers\":true} \r\nPING\r\nMSG a 1 5\r\nhello\r\n-ERR 'x'\r\n"), uint64(1), 4)
	f.Fuzz(func(t *testing.T, stream []byte, cutting uint64, maxPayload int) {
		limit := int64(maxPayload)
		if maxPayload <= 0 {
			limit = DefaultMaxPayload
		}
		want, bad := oracle(string(stream), limit)
		for _, cuts := range [][]int{nil, cut(len(stream), cutting)} {
			got, _, err := feed(&Parser{MaxPayload: maxPayload}, stream, cuts...)
			if (err != nil) != bad {
				t.Fatalf("cut at %v: error %v, the oracle says %v", cuts, err, bad)
			}
			if len(got) != len(want) {
				t.Fatalf("cut at %v: %d operations %v, the oracle has %d: %v", cuts, len(got), got, len(want), want)
			}
			for i := range got {
				if got[i] != want[i] {
					t.Fatalf("cut at %v: %v, the oracle has %v", cuts, got[i], want[i])
				}
			}
		}
	})
}

// cut makes pieces of 1 to 16 bytes of n bytes, or all of equal length.
func cut(n int, seed uint64) (cuts []int) {
	for at := 0; at < n; {
		at += 1 + int(seed&15)
		cuts = append(cuts, at)
		seed = seed>>4 | seed<<60
	}
	return cuts
}

// FuzzHeader: no block does harm; an independent reader sees the same fields.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		"", "x", EmptyHeader, HeaderPrefix, "NATS/1.0 503\r\n\r\n", "NATS/1.0 100 Idle Heartbeat\r\nA: 1\r\n\r\n",
		"NATS/1.0\r\nA: 1\r\nB:2\r\na:  3 \r\n\r\n", "NATS/1.0\r\nA: 1\r\n folded\r\n\t \r\n\r\n",
		"NATS/1.0\r\nnonsense\r\n: x\r\nA: 1\r\n\r\nA: 2\r\n\r\n", "NATS/1.0 5\r\n\r\n", "NATS/1.0\nA: 1\n\n",
		"NATS/1.0\r\nA\x00: \xff\r\n\r\n", "\r\n\r\n", "NATS/1.0 503 a\rb\r\n\r\n",
	} {
		f.Add(s, "A", "1")
	}
	f.Fuzz(func(t *testing.T, block, name, value string) {
		code, text := HeaderStatus(block)
		if code < 0 || code > 999 || code != 0 && code < 100 || code == 0 && text != "" || strings.Contains(text, "\n") {
			t.Fatalf("status %d %q", code, text)
		}
		got := fields(block)
		if want := slowFields(block); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: fields %q, slowly %q", block, got, want)
		}
		first := map[string]bool{}
		for _, f := range got {
			if !first[f.name] {
				first[f.name] = true
				if v, ok := LookupField(block, f.name); !ok || v != f.value {
					t.Fatalf("%q: LookupField %q: %q %v, want %q", block, f.name, v, ok, f.value)
				}
			}
		}
		if _, ok := LookupField(block, name); ok != first[name] {
			t.Fatalf("%q: LookupField %q: %v", block, name, ok)
		}
		if CheckName(name) != "" || CheckValue(value) != "" {
			return
		}
		// What we render is read back, by us and by the standard library.
		b := AppendField([]byte(HeaderPrefix), name, value)
		b = AppendField(b, name, "second")
		b = append(b, "\r\n"...)
		want := []field{{name, strings.Trim(value, " \t")}, {name, "second"}}
		if got := fields(string(b)); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %q, want %q", b, got, want)
		}
		h, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(b[len(HeaderPrefix):]))).ReadMIMEHeader()
		if err != nil {
			return // it is stricter about names and values
		}
		if vs := h[textproto.CanonicalMIMEHeaderKey(name)]; len(vs) != 2 || vs[0] != want[0].value {
			t.Fatalf("%q: the standard library reads %q", b, h)
		}
	})
}

// slowFields reads a block line by line.
func slowFields(block string) (fs []field) {
	lines := strings.Split(block, "\n")[1:]
	folding := false
	for _, l := range lines {
		l = strings.TrimSuffix(l, "\r")
		blank := l != "" && (l[0] == ' ' || l[0] == '\t')
		name, value, colon := strings.Cut(l, ":")
		switch {
		case l == "":
			return fs
		case blank && folding:
			fs[len(fs)-1].value += " " + strings.Trim(l, " \t")
		case blank || !colon || name == "":
			folding = false
		default:
			folding = true
			fs = append(fs, field{name, strings.Trim(value, " \t")})
		}
	}
	return fs
}

// FuzzInfo: any document is refused or taken, and what is taken can be merged.
func FuzzInfo(f *testing.F) {
	for _, s := range []string{
		`{}`, `null`, ``, `[]`, `{"max_payload":1048576}`, `{"max_payload":-1}`, `{"max_payload":1e99}`, `{"MAX_PAYLOAD":7}`,
		`{"server_id":"N","server_name":"n","version":"2.15.2","proto":1,"git_commit":"x","go":"go1.26","host":"0.0.0.0","port":4222,"headers":true,"auth_required":true,"tls_required":false,"max_payload":1048576,"jetstream":true,"client_id":5,"client_ip":"127.0.0.1","nonce":"abcdefghijklmno","cluster":"c","domain":"d","connect_urls":["127.0.0.1:4222","[::1]:4222"],"ws_connect_urls":[],"ldm":true,"api_lvl":5,"xkey":"X","connect_info":true,"remote_account":"$G","acc_is_sys":false}`,
		`{"connect_urls":[null,1,{}]}`, `{"connect_urls":["` + strings.Repeat("x", 300) + `"]}`, `{"port":-5,"proto":-9}`, "{\"nonce\":\"\\ud800\"}",
	} {
		f.Add([]byte(s))
	}
	old := &Info{ID: "i", MaxPayload: 9, ConnectURLs: []string{"a:1"}, RemoteAccount: "A", Port: 1, ClientID: 2}
	f.Fuzz(func(t *testing.T, doc []byte) {
		info, err := ParseInfo(doc)
		if (info == nil) == (err == nil) {
			t.Fatal(info, err)
		}
		if err != nil {
			if n := len(err.Error()); n > 100 {
				t.Fatal(n, "bytes of error")
			}
			return
		}
		if !json.Valid(doc) || info.MaxPayload < 0 || info.MaxPayload > maxServerPayload {
			t.Fatalf("%q was accepted: %+v", doc, info)
		}
		m := old.Merge(info)
		if m.MaxPayload == 0 || m.ID == "" || m.ConnectURLs == nil || m.RemoteAccount == "" || m.Port == 0 || m.ClientID == 0 {
			t.Fatalf("%q: merging forgot something: %+v", doc, m)
		}
		if again := m.Merge(info); !reflect.DeepEqual(again, m) {
			t.Fatalf("%q: merging twice differs:\n%+v\n%+v", doc, m, again)
		}
	})
}

// FuzzRoundTrip: a rendered frame is one operation to us and to a server, no
// matter what its payload looks like.
func FuzzRoundTrip(f *testing.F) {
	f.Add("a.b", "", "", "", []byte("hello"), uint64(1))
	f.Add("a.b", "_INBOX.1", "A", "1", []byte("PUB x 5\r\nPING\r\n"), uint64(1<<63))
	f.Add("PUB", "r", "Nats-Msg-Id", "x: y", []byte("\r\n\r\n"), uint64(0))
	f.Add("\xff", "", "K", "", []byte{}, uint64(10))
	f.Fuzz(func(t *testing.T, subject, reply, name, value string, data []byte, sid uint64) {
		if subject == "" || strings.ContainsAny(subject+reply, " \t\r\n") || len(subject)+len(reply) > 4000 {
			return // refused by the layer above
		}
		header := ""
		if CheckName(name) == "" && CheckValue(value) == "" {
			header = string(append(AppendField([]byte(HeaderPrefix), name, value), "\r\n"...))
		}
		b := AppendPub(nil, subject, reply, header, data)
		if bound := PubSize(subject, reply, header, data); len(b) > bound {
			t.Fatalf("%d bytes, PubSize says %d", len(b), bound)
		}
		// Ours, with frames before and behind.
		stream := AppendSub(nil, subject, reply, sid)
		sub := len(stream)
		stream = append(append(stream, b...), PingLine...)
		if kind, n := ScanClient(stream); kind != ClientOther || n != sub {
			t.Fatalf("SUB is %v of %d bytes, not %d", kind, n, sub)
		}
		if kind, n := ScanClient(stream[sub:]); kind != ClientPub || n != len(b) {
			t.Fatalf("PUB is %v of %d bytes, not %d", kind, n, len(b))
		}
		// A server's.
		gotSubject, gotReply, gotHeader, gotData := serverParse(t, string(b))
		if gotSubject != subject || gotReply != reply || gotHeader != header || gotData != string(data) {
			t.Fatalf("a server reads %q %q %q %q", gotSubject, gotReply, gotHeader, gotData)
		}
		// And what it then sends to a subscriber.
		sid %= 1e18
		msg := fmt.Sprintf("MSG %s %d %s %d\r\n%s\r\n", subject, sid, reply, len(data), data)
		if header != "" {
			msg = fmt.Sprintf("HMSG %s %d %s %d %d\r\n%s%s\r\n", subject, sid, reply, len(header), len(header)+len(data), header, data)
		}
		ops, left, err := feed(new(Parser), []byte(msg), cut(len(msg), sid)...)
		want := op{KindMsg, sid, subject, reply, header, string(data), ""}
		if err != nil || left != 0 || len(ops) != 1 || ops[0] != want {
			t.Fatalf("%q: %v, %d bytes left, %v", msg, ops, left, err)
		}
	})
}

// serverParse reads exactly one PUB or HPUB frame as a server does.
func serverParse(t *testing.T, s string) (subject, reply, header, data string) {
	t.Helper()
	line, body, ok := strings.Cut(s, "\r\n")
	if !ok {
		t.Fatal("no line")
	}
	args := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	want, hlen := 3, 0
	if args[0] == "HPUB" {
		want = 4
	} else if args[0] != "PUB" {
		t.Fatalf("operation %q", args[0])
	}
	if len(args) == want+1 {
		reply = args[2]
	} else if len(args) != want {
		t.Fatalf("%q: %d arguments", line, len(args))
	}
	total, err := strconv.Atoi(args[len(args)-1])
	if err == nil && want == 4 {
		hlen, err = strconv.Atoi(args[len(args)-2])
	}
	if err != nil || len(body) != total+2 || body[total:] != "\r\n" || hlen > total {
		t.Fatalf("%q: sizes do not fit (%v)", line, err)
	}
	return args[1], reply, body[:hlen], body[hlen:total]
}
