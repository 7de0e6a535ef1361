package nats

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/perigee-go/nats/core/internal/simnet"
)

// modelServer reads what a client sends, as strictly as a server does, and notes
// the operations between two PINGs. It is written from the protocol alone.
type modelServer struct {
	dialed sync.Once
	other  net.Conn
	heard  chan []string // before each PING
}

func newModelServer() *modelServer { return &modelServer{heard: make(chan []string, 1)} }

func (m *modelServer) DialContext(context.Context, string, string) (net.Conn, error) {
	err := errors.New("there is one connection")
	var c net.Conn
	m.dialed.Do(func() {
		c, m.other = simnet.Pipe()
		err = nil
		go m.serve()
	})
	return c, err
}

func (m *modelServer) serve() {
	defer close(m.heard)
	r := bufio.NewReader(m.other)
	_, _ = io.WriteString(m.other, "INFO {\"headers\":true,\"max_payload\":1000} \r\n")
	var heard []string
	for first := true; ; {
		op, err := readOperation(r)
		switch {
		case err == io.EOF:
			return
		case err != nil:
			heard = append(heard, "violation: "+err.Error())
		case op != "PING":
			heard = append(heard, op)
			continue
		}
		if !first {
			m.heard <- heard
		}
		heard, first = nil, false
		if _, err := io.WriteString(m.other, "PONG\r\n"); err != nil {
			return
		}
	}
}

// readOperation returns one operation with its arguments and payload, tabs
// between them.
func readOperation(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", io.EOF
	}
	line, ok := strings.CutSuffix(line, "\r\n")
	if !ok || strings.ContainsAny(line, "\r\t") {
		return "", errors.New("a line with other ends or blanks in it")
	}
	args := strings.Split(line, " ")
	want := map[string][2]int{"PING": {1, 1}, "CONNECT": {2, 1 << 30}, "PUB": {3, 4}, "HPUB": {4, 5}, "SUB": {3, 4}, "UNSUB": {2, 3}}[args[0]]
	if want[0] == 0 || len(args) < want[0] || len(args) > want[1] {
		return "", errors.New("not an operation, or not its arguments")
	}
	if !strings.HasSuffix(args[0], "PUB") {
		return strings.Join(args, "\t"), nil
	}
	size, err := strconv.Atoi(args[len(args)-1])
	if err != nil || size > 1000 {
		return "", errors.New("a size that is none")
	}
	body := make([]byte, size+2)
	if _, err := io.ReadFull(r, body); err != nil || !bytes.HasSuffix(body, []byte("\r\n")) {
		return "", errors.New("a payload of another size")
	}
	return strings.Join(append(args, string(body[:size])), "\t"), nil
}

// FuzzOneOperation: what a method accepts reaches the server as exactly one
// operation that says the same; what it refuses, with a typed error, not at all.
func FuzzOneOperation(f *testing.F) {
	for i, s := range []string{"a", "a.b", "", ".", "a.", ".a", "a..b", "*", ">", "a.*.c", "a.>", "a b", "a\tb", "a\r\nPUB b 1", "a\x00", "\xff", "ü", "$SYS.a", "a\x7f"} {
		f.Add(uint8(i), s, s, "Key", "value", []byte("data"))
		f.Add(uint8(i+2), "ok", s, s, s, []byte(s))
	}
	f.Add(uint8(2), "a", "", "K: v\r\nX", "v\r\n\r\nPUB b 0", []byte("\r\nPING\r\n"))
	server := newModelServer()
	nc, err := Connect(f.Context(), "nats://model", UseDialer(server), Logger(nil), NoReconnect(), PingInterval(0))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		_ = nc.Close()
		for range server.heard {
			// until it has ended
		}
	})
	f.Fuzz(func(t *testing.T, which uint8, subject, other, name, value string, data []byte) {
		var sub *Subscription
		var err error
		var want []string
		switch which % 5 {
		case 0:
			err = nc.Publish(subject, data)
			want = []string{"PUB", subject, strconv.Itoa(len(data)), string(data)}
		case 1:
			err = nc.PublishRequest(subject, other, data)
			want = []string{"PUB", subject, other, strconv.Itoa(len(data)), string(data)}
			if other == "" {
				want = append(want[:2:2], want[3:]...)
			}
		case 2:
			var h Header
			h.Set(name, value) // what is wrong with it is told by PublishMsg
			err = nc.PublishMsg(t.Context(), Msg{Subject: subject, Header: h, Data: data})
			block := "NATS/1.0\r\n" + name + ": " + strings.Trim(value, " \t") + "\r\n\r\n"
			want = []string{"HPUB", subject, strconv.Itoa(len(block)), strconv.Itoa(len(block) + len(data)), block + string(data)}
		case 3:
			sub, err = nc.SubscribeSync(subject)
			want = []string{"SUB", subject}
		case 4:
			sub, err = nc.SubscribeSync(subject, Queue(other))
			want = []string{"SUB", subject, other}
		}
		if ferr := nc.Flush(t.Context()); ferr != nil {
			t.Fatalf("the connection ended: %v", ferr)
		}
		heard := <-server.heard
		if err != nil {
			checkTyped(t, err)
			if len(heard) > 0 {
				t.Fatalf("refused with %v, and the server heard %q", err, heard)
			}
			return
		}
		if len(heard) != 1 {
			t.Fatalf("the server heard %q", heard)
		}
		if said := strings.Join(want, "\t"); sub == nil && heard[0] != said || sub != nil && !strings.HasPrefix(heard[0], said+"\t") {
			t.Fatalf("the server heard %q, not %q", heard[0], said)
		}
		if sub != nil {
			if err := errors.Join(sub.Unsubscribe(), nc.Flush(t.Context())); err != nil {
				t.Fatal(err)
			}
			if heard := <-server.heard; len(heard) != 1 || !strings.HasPrefix(heard[0], "UNSUB\t") {
				t.Fatalf("the server heard %q", heard)
			}
		}
	})
}

func checkTyped(t *testing.T, err error) {
	t.Helper()
	var s *SubjectError
	var h *HeaderError
	var o *OptionError
	if !errors.As(err, &s) && !errors.As(err, &h) && !errors.As(err, &o) && !errors.Is(err, ErrMaxPayload) && !errors.Is(err, ErrBadQueue) {
		t.Fatalf("an error without a type: %v", err)
	}
}

// nobodyDials refuses everything.
type nobodyDials struct{}

func (nobodyDials) DialContext(_ context.Context, _, address string) (net.Conn, error) {
	return nil, errors.New("nobody at " + strconv.Quote(address))
}

// FuzzConnectQuotesNoSecret: whatever is given as a secret, and wherever a URL
// is broken, no error of Connect has it in it, and there is always one.
func FuzzConnectQuotesNoSecret(f *testing.F) {
	for i, s := range []string{"pw", "p%w", "p@w", "p/w", "p:w", "p#w", "p?w", "[p", "p w", "\n", "%zz", "\x7f", "SUAABC", "eyJ0.eyJ1.sig", "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n"} {
		f.Add(uint8(i), s, "host:4222")
		f.Add(uint8(i+7), s, "host:x")
	}
	f.Fuzz(func(t *testing.T, which uint8, noise, host string) {
		if strings.Contains(host, "hunter2") || strings.ContainsAny(host, "@,") || strings.Contains(noise, ",") {
			return // a comma begins another URL
		}
		const core = "hunter2zzq"
		secret := noise + core + noise
		address := "nats://" + host
		opts := []Option{UseDialer(nobodyDials{}), Logger(nil)}
		switch which % 12 {
		case 0:
			address = "nats://" + secret + "@" + host
		case 1:
			address = "tls://user:" + secret + "@" + host
		case 2:
			address = "wss://user:" + url.QueryEscape(secret) + "@" + host + "/path?" + secret
		case 3:
			opts = append(opts, UserInfo(secret, secret))
		case 4:
			opts = append(opts, Token(secret))
		case 5:
			opts = append(opts, UserCredentialBytes([]byte(secret)))
		case 6:
			opts = append(opts, UserCredentialBytes([]byte(noise), []byte(secret)))
		case 7:
			opts = append(opts, UserJWTAndSeed(secret, noise))
		case 8:
			opts = append(opts, UserJWTAndSeed(noise, secret))
		case 9:
			opts = append(opts, WebSocketConnectionHeaders(http.Header{"Authorization": {secret}, noise: {secret}}))
			address = "ws://" + host
		case 10:
			opts = append(opts, Servers("nats://u:"+secret+"@"+host, address))
		case 11:
			address = secret + "@" + host
		}
		nc, err := Connect(t.Context(), address, opts...)
		if err == nil || nc != nil {
			t.Fatal("connected to nobody")
		}
		var ce *ConnectError
		var oe *OptionError
		if !errors.As(err, &ce) && !errors.As(err, &oe) {
			t.Fatalf("%v of %T", err, err)
		}
		for e := range wrapped(err) {
			if strings.Contains(e.Error(), core) {
				t.Fatalf("%T quotes the secret: %q", e, e)
			}
		}
	})
}

// wrapped are err and all that it wraps.
func wrapped(err error) func(yield func(error) bool) {
	return func(yield func(error) bool) {
		for queue := []error{err}; len(queue) > 0; queue = queue[1:] {
			e := queue[0]
			if e == nil || reflect.ValueOf(e).Kind() == reflect.Pointer && reflect.ValueOf(e).IsNil() {
				continue
			}
			if !yield(e) {
				return
			}
			switch w := e.(type) {
			case interface{ Unwrap() error }:
				queue = append(queue, w.Unwrap())
			case interface{ Unwrap() []error }:
				queue = append(queue, w.Unwrap()...)
			}
		}
	}
}
