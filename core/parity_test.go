package nats

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// The tests in this file prove rows of docs/parity.tsv that no other test does.

// TestParityTokenHandler: the function is asked at each attempt.
func TestParityTokenHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		asked := 0
		nc := connect(t, n, TokenHandler(func() string { asked++; return fmt.Sprint("token", asked) }))
		must(t, nc.Reconnect(t.Context()))
		if a, b := s.Peers()[0].Doc()["auth_token"], s.Peers()[1].Doc()["auth_token"]; a != "token1" || b != "token2" {
			t.Errorf("sent %v, then %v", a, b)
		}
	})
}

// TestParityJitter: clients that lose a server at the same moment come back at
// different ones, and no client waits the same time twice.
func TestParityJitter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		const clients = 8
		var mu sync.Mutex
		attempts := make(map[*Conn][]time.Time)
		log := &eventLog{hook: func(nc *Conn, e Event) {
			if _, ok := e.(ConnectFailed); ok {
				mu.Lock()
				defer mu.Unlock()
				attempts[nc] = append(attempts[nc], time.Now())
			}
		}}
		for range clients {
			connect(t, n, log.option())
		}
		pass(2 * time.Second)
		s.Stop()
		pass(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		third := make(map[time.Time]bool)
		for _, at := range attempts {
			third[at[2]] = true
			waits := make(map[time.Duration]bool)
			for i := 1; i < len(at); i++ {
				waits[at[i].Sub(at[i-1])] = true
			}
			if len(at) < 10 || len(waits) < len(at)-2 {
				t.Errorf("%d attempts, %d different waits", len(at), len(waits))
			}
		}
		if len(third) != clients {
			t.Errorf("%d clients made their third attempt at %d times", clients, len(third))
		}
	})
}

// TestParityServerInfo: each field of INFO arrives in its field.
func TestParityServerInfo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		for field, value := range map[string]any{
			"server_id": "NID", "server_name": "name", "version": "2.15.2", "proto": 1, "host": "0.0.0.0", "port": 4222,
			"headers": true, "auth_required": true, "tls_verify": true, "tls_available": true,
			"max_payload": 4096, "client_id": 7, "client_ip": "10.0.0.7", "nonce": "n0nce", "cluster": "c", "domain": "d",
			"connect_urls": []string{"a:1"}, "ws_connect_urls": []string{"w:1"}, "ldm": true, "jetstream": true, "api_lvl": 2,
			"acc_is_sys": true, "remote_account": "ACC",
		} {
			s.SetInfo(field, value)
		}
		s.Refuse(true)
		nc := connect(t, n, RetryOnFailedConnect(true))
		if got := nc.ServerInfo(); !reflect.DeepEqual(got, ServerInfo{}) {
			t.Errorf("before the first connection: %+v", got)
		}
		s.Refuse(false)
		must(t, nc.Flush(in(t, 10*time.Second)))
		got := nc.ServerInfo()
		want := ServerInfo{
			ID: "NID", Name: "name", Version: "2.15.2", Proto: 1, Host: "0.0.0.0", Port: 4222,
			Headers: true, AuthRequired: true, TLSVerify: true, TLSAvailable: true,
			MaxPayload: 4096, ClientID: 7, ClientIP: "10.0.0.7", Nonce: "n0nce", Cluster: "c", Domain: "d",
			ConnectURLs: []string{"a:1"}, WSConnectURLs: []string{"w:1"}, LameDuck: true, JetStream: true, APILevel: 2,
			SystemAccount: true, RemoteAccount: "ACC",
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestParityAtLeast(t *testing.T) {
	for _, c := range []struct {
		have, ask string
		want      bool
	}{
		{"2.11.0", "2.11.0", true}, {"2.11.1", "2.11.0", true}, {"2.12.0", "2.11.9", true}, {"3.0.0", "2.99.99", true},
		{"2.11.0", "2.11.1", false}, {"2.9.25", "2.10.0", false}, {"1.9.9", "2.0.0", false},
		{"2.11.0-RC.1", "2.11.0", true}, {"2.11.0-RC.1", "2.11.1", false}, {"", "2.0.0", false}, {"2.0.0", "", false},
	} {
		if got := (ServerInfo{Version: c.have}).AtLeast(c.ask); got != c.want {
			t.Errorf("%q at least %q: %v", c.have, c.ask, got)
		}
	}
}

// TestParityServerHistory: what is known of each server, through a change of
// the list, until it is reached.
func TestParityServerHistory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a, b := n.Host("a:1"), n.Host("b:2")
		a.Refuse(true)
		nc := connectTo(t, n, "a:1,b:2", ReconnectBackoff(time.Second, time.Second))
		find := func(url string) Server {
			i := slices.IndexFunc(nc.Servers(), func(s Server) bool { return s.URL == url })
			if i < 0 {
				t.Fatalf("%s is not among %+v", url, nc.Servers())
			}
			return nc.Servers()[i]
		}
		if s := find("nats://a:1"); s.Attempts != 1 || s.LastErr == nil || s.Current || s.Discovered {
			t.Errorf("a: %+v", s)
		}
		if s := find("nats://b:2"); s.Attempts != 0 || s.LastErr != nil || !s.Current {
			t.Errorf("b: %+v", s)
		}
		pass(2 * time.Second)
		b.Stop()
		pass(2500 * time.Millisecond)
		before := find("nats://a:1")
		if before.Attempts != 4 { // the first, at once, and after two waits
			t.Errorf("a: %+v", before)
		}
		must(t, nc.SetServers([]string{"a:1", "c:3"}))
		if s := find("nats://a:1"); s.Attempts != before.Attempts || s.LastErr == nil {
			t.Errorf("a in the new list: %+v", s)
		}
		if got := nc.Servers(); len(got) != 2 {
			t.Errorf("the list is %+v", got)
		}
		a.Start()
		must(t, nc.Flush(in(t, time.Minute)))
		if s := find("nats://a:1"); s.Attempts != 0 || s.LastErr != nil || !s.Current {
			t.Errorf("a when it is back: %+v", s)
		}
	})
}

// TestParityFlush: when it returns the server has what was published; it does
// not wait for ever.
func TestParityFlush(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n, RequestTimeout(3*time.Second))
		for i := range 100 {
			must(t, nc.Publish("a", fmt.Append(nil, i)))
		}
		must(t, nc.Flush(t.Context()))
		if got := strings.Join(s.Payloads("a"), " "); got != numbers(0, 100) {
			t.Errorf("the server has %s", got)
		}
		s.On("PING", func(p *fakeserver.Peer, _ *fakeserver.Op) bool { <-time.After(50 * time.Millisecond); return false })
		if d, err := nc.RTT(t.Context()); err != nil || d.Round(time.Microsecond) != 50*time.Millisecond {
			t.Errorf("RTT is %v, %v", d, err)
		}
		s.On("PING", func(*fakeserver.Peer, *fakeserver.Op) bool { return true })
		for name, f := range map[string]func(context.Context) error{
			"Flush": nc.Flush, "RTT": func(ctx context.Context) error { _, err := nc.RTT(ctx); return err },
		} {
			start := time.Now()
			isErr(t, f(t.Context()), errDeadline)
			if d := time.Since(start); d != 3*time.Second {
				t.Errorf("%s without a deadline ended after %v", name, d)
			}
		}
		if nc.RequestTimeout() != 3*time.Second || nc.Name() != "" {
			t.Errorf("RequestTimeout %v, name %q", nc.RequestTimeout(), nc.Name())
		}
		s.On("PING", nil)
		pass(3 * time.Second)
	})
}

func TestParityNumSubscriptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		_, err = nc.Subscribe("b", func(Msg) {})
		must(t, err)
		_, err = nc.SubscribeChan("c", make(chan Msg))
		must(t, err)
		if got := nc.NumSubscriptions(); got != 3 {
			t.Errorf("%d subscriptions", got)
		}
		must(t, sub.Unsubscribe())
		if got := nc.NumSubscriptions(); got != 2 {
			t.Errorf("then %d", got)
		}
	})
}

func TestParityMsg(t *testing.T) {
	h, err := NewHeader("A", "b")
	must(t, err)
	m := NewMsg("s")
	if m.Subject != "s" || m.Reply != "" || m.Data != nil || m.Header.Len() != 0 || m.Size() != 0 {
		t.Errorf("new: %+v", m)
	}
	m.Reply, m.Header, m.Data = "r", h, []byte("data")
	if want := len("NATS/1.0\r\nA: b\r\n\r\n") + 4; m.Size() != want {
		t.Errorf("size %d, want %d", m.Size(), want)
	}
	same := Msg{Subject: "s", Reply: "r", Header: h, Data: []byte("data")}
	if !m.Equal(same) || !m.Equal(m.Clone()) {
		t.Error("equal messages are not")
	}
	for i, change := range []func(*Msg){
		func(m *Msg) { m.Subject = "t" }, func(m *Msg) { m.Reply = "" }, func(m *Msg) { m.Data = []byte("Data") },
		func(m *Msg) { m.Header.Set("A", "c") }, func(m *Msg) { m.Header.Add("B", "") }, func(m *Msg) { m.Header = Header{} },
	} {
		o := same
		change(&o)
		if m.Equal(o) {
			t.Errorf("change %d makes no difference", i)
		}
	}
	c := m.Clone()
	c.Data[0], c.Header = 'x', Header{}
	if string(m.Data) != "data" || m.Header.Get("A") != "b" {
		t.Error("the clone shares memory")
	}
}

func TestParityHeader(t *testing.T) {
	show := func(h Header) string {
		var b strings.Builder
		for k, v := range h.All() {
			fmt.Fprintf(&b, "%s=%s ", k, v)
		}
		return b.String()
	}
	var h Header
	h.Set("Key", "1")
	h.Add("key", "2")
	h.Add("Key", "3")
	before := h
	h.Add("Other", " x ")
	if got := show(h); got != "Key=1 key=2 Key=3 Other=x " || h.Len() != 4 {
		t.Errorf("%d fields: %s", h.Len(), got)
	}
	if _, ok := h.Lookup("KEY"); ok || h.Get("key") != "2" || h.Get("Key") != "1" || fmt.Sprint(h.Values("Key")) != "[1 3]" || h.Values("none") != nil {
		t.Errorf("Key %q, key %q, all %v", h.Get("Key"), h.Get("key"), h.Values("Key"))
	}
	h.Set("Key", "4")
	if got := show(h); got != "Key=4 key=2 Other=x " {
		t.Errorf("after Set: %s", got)
	}
	h.Del("key")
	if got := show(h); got != "Key=4 Other=x " {
		t.Errorf("after Del: %s", got)
	}
	if got := show(before); got != "Key=1 key=2 Key=3 " {
		t.Errorf("the copy: %s", got)
	}

	text, err := h.MarshalText()
	if err != nil || string(text) != "NATS/1.0\r\nKey: 4\r\nOther: x\r\n\r\n" && string(text) != "NATS/1.0\r\nKey: 4\r\nOther:  x \r\n\r\n" {
		t.Errorf("on the wire: %q, %v", text, err)
	}
	var back Header
	if err := back.UnmarshalText(text); err != nil || show(back) != show(h) {
		t.Errorf("read back: %s, %v", show(back), err)
	}
	if err := back.UnmarshalText([]byte("NATS/1.0\r\nA: 1\r\n 2\r\nnonsense\r\nB: 3\r\n\r\n")); err != nil || show(back) != "A=1 2 B=3 " {
		t.Errorf("folded: %s, %v", show(back), err)
	}
	isErr(t, back.UnmarshalText([]byte("HTTP/1.0\r\n\r\n")), ErrBadHeader)
}

// TestParityIllegalHeaders: never a crash, never a byte, never another header
// than was meant.
func TestParityIllegalHeaders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		raw := s.Peer().Raw()
		for _, f := range [][2]string{{"", "v"}, {"a b", "v"}, {"a:", "v"}, {"ü", "v"}, {"a", "v\r\nEvil: 1"}, {"a", "\n"}, {"a", "\x00"}, {"a\r\n", ""}} {
			_, err := NewHeader(f[0], f[1])
			var he *HeaderError
			if !errors.Is(err, ErrBadHeader) || !errors.As(err, &he) || he.Name != f[0] {
				t.Errorf("NewHeader(%q): %v", f, err)
			}
			for _, change := range []func(*Header, string, string){(*Header).Set, (*Header).Add} {
				m := Msg{Subject: "a"}
				change(&m.Header, f[0], f[1])
				m.Header.Set("Good", "1") // does not hide it
				isErr(t, m.Header.Err(), ErrBadHeader)
				_, err = m.Header.MarshalText()
				isErr(t, err, ErrBadHeader)
				err = nc.PublishMsg(t.Context(), m)
				isErr(t, err, ErrBadHeader)
				if !errors.As(err, &he) || he.Name != f[0] || !SafeToRetry(err) {
					t.Errorf("PublishMsg with %q: %v", f, err)
				}
				_, err = nc.RequestMsg(t.Context(), m)
				isErr(t, err, ErrBadHeader)
			}
		}
		_, err := NewHeader("odd")
		isErr(t, err, ErrBadHeader)
		synctest.Wait()
		if got := s.Peer().Raw(); got != raw {
			t.Errorf("%q left", got[len(raw):])
		}
	})
}

// TestParityIllegalSubjects: every call refuses, and nothing leaves.
func TestParityIllegalSubjects(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		bound := Msg{Reply: "", Subject: "x"}
		raw := s.Peer().Raw()
		check := func(call, subj string, err error, want error) {
			t.Helper()
			var se *SubjectError
			if !errors.Is(err, want) || !errors.As(err, &se) || se.Subject != subj || !SafeToRetry(err) {
				t.Errorf("%s with %q: %v", call, subj, err)
			}
		}
		everywhere := []string{"", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\nPING\r\n", "a\n", "\x00", "a.\x00"}
		for _, subj := range append([]string{"a.*", "a.>", "*", ">"}, everywhere...) {
			check("Publish", subj, nc.Publish(subj, nil), ErrBadSubject)
			check("PublishRequest", subj, nc.PublishRequest(subj, "r", nil), ErrBadSubject)
			check("PublishMsg", subj, nc.PublishMsg(t.Context(), Msg{Subject: subj}), ErrBadSubject)
			_, err := nc.Request(t.Context(), subj, nil)
			check("Request", subj, err, ErrBadSubject)
			_, err = nc.RequestMsg(t.Context(), Msg{Subject: subj, Reply: "r"})
			check("RequestMsg", subj, err, ErrBadSubject)
			if subj == "" {
				continue // no reply
			}
			check("PublishRequest, reply", subj, nc.PublishRequest("a", subj, nil), ErrBadSubject)
			_, err = nc.RequestMsg(t.Context(), Msg{Subject: "a", Reply: subj})
			check("RequestMsg, reply", subj, err, ErrBadSubject)
		}
		for _, subj := range append([]string{"a.>.b", "*.>.*"}, everywhere...) {
			_, err := nc.Subscribe(subj, func(Msg) {})
			check("Subscribe", subj, err, ErrBadSubject)
			_, err = nc.SubscribeSync(subj)
			check("SubscribeSync", subj, err, ErrBadSubject)
			_, err = nc.SubscribeChan(subj, make(chan Msg))
			check("SubscribeChan", subj, err, ErrBadSubject)
		}
		for _, queue := range []string{"", "a b", "a\tb", "a\r\n", "\x00"} {
			_, err := nc.Subscribe("a", func(Msg) {}, Queue(queue))
			check("Subscribe", queue, err, ErrBadQueue)
			_, err = nc.SubscribeSync("a", Queue(queue))
			check("SubscribeSync", queue, err, ErrBadQueue)
			_, err = nc.SubscribeChan("a", make(chan Msg), Queue(queue))
			check("SubscribeChan", queue, err, ErrBadQueue)
		}
		isErr(t, bound.Respond(nil), ErrMsgNotBound)
		synctest.Wait()
		if got := s.Peer().Raw(); got != raw || nc.NumSubscriptions() != 0 || nc.Stats().OutMsgs != 0 {
			t.Errorf("%q left; %d subscriptions", got[len(raw):], nc.NumSubscriptions())
		}
	})
}

// TestParityMaxPayload: header and payload together, in every call.
func TestParityMaxPayload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.SetInfo("max_payload", 100)
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("in")
		must(t, err)
		flush(t, nc)
		s.Deliver("in", "r", "", "")
		m, err := sub.Next(t.Context())
		must(t, err)
		raw := s.Peer().Raw()
		h, err := NewHeader("A", "b")
		must(t, err)
		size := Msg{Header: h}.Size()
		for name, f := range map[string]func(data []byte, h Header) error{
			"PublishMsg": func(data []byte, h Header) error {
				return nc.PublishMsg(t.Context(), Msg{Subject: "a", Data: data, Header: h})
			},
			"RequestMsg": func(data []byte, h Header) error {
				_, err := nc.RequestMsg(t.Context(), Msg{Subject: "a", Data: data, Header: h})
				return err
			},
			"RespondMsg": func(data []byte, h Header) error { return m.RespondMsg(Msg{Data: data, Header: h}) },
			"Publish": func(data []byte, h Header) error {
				return nc.Publish("a", append(data, make([]byte, Msg{Header: h}.Size())...))
			},
			"PublishRequest": func(data []byte, h Header) error {
				return nc.PublishRequest("a", "b", append(data, make([]byte, Msg{Header: h}.Size())...))
			},
			"Request": func(data []byte, h Header) error {
				_, err := nc.Request(t.Context(), "a", append(data, make([]byte, Msg{Header: h}.Size())...))
				return err
			},
			"Respond": func(data []byte, h Header) error {
				return m.Respond(append(data, make([]byte, Msg{Header: h}.Size())...))
			},
		} {
			for _, c := range []Msg{{Data: make([]byte, 101)}, {Data: make([]byte, 101-size), Header: h}} {
				if err := f(c.Data, c.Header); !errors.Is(err, ErrMaxPayload) || !SafeToRetry(err) {
					t.Errorf("%s of %d bytes: %v", name, c.Size(), err)
				}
			}
		}
		synctest.Wait()
		if got := s.Peer().Raw(); got != raw {
			t.Errorf("%q left", got[len(raw):])
		}
		must(t, nc.PublishMsg(t.Context(), Msg{Subject: "a", Data: make([]byte, 100-size), Header: h}))
		must(t, nc.Publish("a", make([]byte, 100)))
		flush(t, nc)
		if got := s.Payloads("a"); len(got) != 2 {
			t.Errorf("of 100 bytes %d arrived", len(got))
		}
	})
}

// TestParityOptions: each illegal value is told by its option's name, all at
// once, and nothing is dialed.
func TestParityOptions(t *testing.T) {
	n := fakeserver.New()
	cfg := &tls.Config{}
	var all []Option
	table := []struct {
		name string
		opt  Option
	}{
		{"Secure", Secure(cfg, cfg)}, {"ClientTLSConfig", ClientTLSConfig(nil, nil)}, {"RootCAs", RootCAs()},
		{"RootCAs", RootCAs("/does/not/exist")}, {"ClientCert", ClientCert("/does/not/exist", "/neither")},
		{"Timeout", Timeout(0)}, {"Servers", Servers("nats://:x")}, {"UseDialer", UseDialer(nil)}, {"InProcess", InProcess(nil)},
		{"UserCredentials", UserCredentials("/does/not/exist")}, {"UserCredentialBytes", UserCredentialBytes(nil)},
		{"UserJWTAndSeed", UserJWTAndSeed("", "")}, {"UserJWT", UserJWT(nil, nil)}, {"Nkey", Nkey("", nil)},
		{"NkeyFromSeed", NkeyFromSeed("")}, {"AuthHandler", AuthHandler(nil)},
		{"UserInfoHandler", UserInfoHandler(nil)}, {"TokenHandler", TokenHandler(nil)}, {"EventHandler", EventHandler(nil)},
		{"ReconnectBackoff", ReconnectBackoff(-1, 0)}, {"ReconnectBackoff", ReconnectBackoff(2, 1)},
		{"CustomReconnectDelay", CustomReconnectDelay(nil)}, {"AbortOnAuthError", AbortOnAuthError(0)},
		{"ReconnectBufSize", ReconnectBufSize(-1)}, {"WhenDisconnected", WhenDisconnected(99)},
		{"WriteBufferSize", WriteBufferSize(0)}, {"WriteTimeout", WriteTimeout(-1)}, {"MaxPingsOutstanding", MaxPingsOutstanding(0)},
		{"RequestTimeout", RequestTimeout(0)}, {"DrainTimeout", DrainTimeout(0)}, {"CustomInboxPrefix", CustomInboxPrefix("a..b")},
		{"CustomInboxPrefix", CustomInboxPrefix("a.>")}, {"MaxInboundPayload", MaxInboundPayload(0)},
		{"PendingLimits", PendingLimits(0, 1)}, {"Overflow", Overflow(99)}, {"RecoverHandlers", RecoverHandlers(nil)}, {"nil", nil},
	}
	for _, c := range table {
		all = append(all, c.opt)
		_, err := Connect(t.Context(), "server", Logger(nil), UseDialer(n), c.opt)
		var oe *OptionError
		if !errors.Is(err, ErrInvalidOption) || !errors.As(err, &oe) || oe.Option != c.name || oe.Problem == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	_, err := Connect(t.Context(), "server", Logger(nil), UseDialer(n), UserInfo("u", "p"), Token("t"))
	isErr(t, err, ErrInvalidOption)
	_, err = Connect(t.Context(), "http://server", append(all, UseDialer(n))...)
	for _, c := range table {
		if c.name != "UseDialer" && !strings.Contains(err.Error(), "option "+c.name) {
			t.Errorf("the complaints leave out %s: %v", c.name, err)
		}
	}
	if got := n.Dials(); len(got) != 0 {
		t.Errorf("dialed %v", got)
	}
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		raw := s.Peer().Raw()
		for name, f := range map[string]func() (*Subscription, error){
			"handler":         func() (*Subscription, error) { return nc.Subscribe("a", nil) },
			"ch":              func() (*Subscription, error) { return nc.SubscribeChan("a", nil) },
			"AutoUnsubscribe": func() (*Subscription, error) { return nc.SubscribeSync("a", AutoUnsubscribe(0)) },
			"Concurrency":     func() (*Subscription, error) { return nc.Subscribe("a", func(Msg) {}, Concurrency(0)) },
			"PendingLimits":   func() (*Subscription, error) { return nc.SubscribeSync("a", PendingLimits(0, 0)) },
			"nil":             func() (*Subscription, error) { return nc.SubscribeSync("a", nil) },
		} {
			sub, err := f()
			var oe *OptionError
			if sub != nil || !errors.Is(err, ErrInvalidOption) || !errors.As(err, &oe) || oe.Option != name {
				t.Errorf("%s: %v, %v", name, sub, err)
			}
		}
		synctest.Wait()
		if got := s.Peer().Raw(); got != raw {
			t.Errorf("%q left", got[len(raw):])
		}
	})
}

// TestParityRefusedConnect: what the server says before it closes is the error.
func TestParityRefusedConnect(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*fakeserver.Peer)
		want error
	}{
		{"TLS required", func(p *fakeserver.Peer) { p.Err("Secure Connection - TLS Required") }, ErrSecureRequired},
		{"connections", func(p *fakeserver.Peer) { p.Err("maximum connections exceeded") }, ErrMaxConnections},
		{"account", func(p *fakeserver.Peer) { p.Err("maximum account active connections exceeded") }, ErrMaxAccountConnections},
		{"authorization", func(p *fakeserver.Peer) { p.Err("Authorization Violation") }, ErrAuthorization},
		{"expired", func(p *fakeserver.Peer) { p.Err("User Authentication Expired") }, ErrAuthExpired},
		{"revoked", func(p *fakeserver.Peer) { p.Err("User Authentication Revoked") }, ErrAuthRevoked},
		{"account expired", func(p *fakeserver.Peer) { p.Err("Account Authentication Expired") }, ErrAccountAuthExpired},
		{"stale", func(p *fakeserver.Peer) { p.Err("Stale Connection") }, ErrStaleConnection},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				s.On("CONNECT", func(p *fakeserver.Peer, _ *fakeserver.Op) bool { c.do(p); p.Close(); return true })
				_, err := Connect(t.Context(), "server", options(n, nil)...)
				isErr(t, err, c.want, ErrNoServers)
			})
		})
	}
	for name, text := range map[string]string{
		"no INFO": "HTTP/1.1 400 Bad Request\r\n", "broken JSON": "INFO {\"server_id\":\r\n", "no JSON": "INFO hello\r\n",
		"types": "INFO {\"max_payload\":\"much\"}\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				s.Script(func(p *fakeserver.Peer) { p.Send(text); _, _ = p.Next() })
				_, err := Connect(t.Context(), "server", options(n, nil)...)
				isErr(t, err, ErrProtocol)
			})
		})
	}
	t.Run("INFO of a live link", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			log := &eventLog{}
			nc := connect(t, n, log.option())
			s.Peer().Send("INFO {\"server_id\":\r\n")
			synctest.Wait()
			isErr(t, one[Disconnected](t, log).Err, ErrProtocol)
			must(t, nc.Flush(in(t, time.Minute)))
		})
	})
}

// TestParityMaxInboundPayload: a message of the limit arrives, a larger one ends
// the link.
func TestParityMaxInboundPayload(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, MaxInboundPayload(1000), log.option())
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		flush(t, nc)
		s.Deliver("a", "", "", strings.Repeat("x", 1000))
		m, err := sub.Next(in(t, time.Second))
		if err != nil || len(m.Data) != 1000 {
			t.Errorf("%d bytes, %v", len(m.Data), err)
		}
		if len(of[Disconnected](log)) != 0 {
			t.Errorf("events %v", log.all())
		}
		s.Deliver("a", "", "", strings.Repeat("x", 1001))
		synctest.Wait()
		isErr(t, one[Disconnected](t, log).Err, ErrProtocol)
		must(t, nc.Flush(in(t, time.Minute)))
	})
}

func TestParityLastMessage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a", AutoUnsubscribe(1))
		must(t, err)
		flush(t, nc)
		feed(s, "a", 0, 2)
		_, err = sub.Next(t.Context())
		must(t, err)
		_, err = sub.Next(t.Context())
		isErr(t, err, ErrSubscriptionClosed)
		isErr(t, sub.Unsubscribe(), ErrSubscriptionClosed)
	})
}

// TestParityPublishCopies: the payload is the caller's again when the call
// returns, though nothing was written yet.
func TestParityPublishCopies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.Capacity(100)
		nc := connect(t, n)
		s.Peer().StallReads(true)
		must(t, nc.Publish("fill", make([]byte, 1000)))
		synctest.Wait()
		data := []byte("right")
		must(t, nc.Publish("a", data))
		must(t, nc.PublishRequest("a", "r", data))
		must(t, nc.PublishMsg(t.Context(), Msg{Subject: "a", Data: data}))
		copy(data, "wrong")
		s.Peer().StallReads(false)
		flush(t, nc)
		if got := s.Payloads("a"); fmt.Sprint(got) != "[right right right]" {
			t.Errorf("arrived: %q", got)
		}
		if ops := s.Ops("PUB"); ops[2].Reply != "r" {
			t.Errorf("PublishRequest sent %s", ops[2].Line)
		}
	})
}

// TestParitySecrets: neither logs, nor events, nor errors show a secret.
func TestParitySecrets(t *testing.T) {
	for name, c := range map[string]struct {
		url  string
		opts []Option
	}{
		"password in the URL": {"nats://joe:s3cret@server", nil},
		"token in the URL":    {"nats://s3cret@server", nil},
		"password":            {"server", []Option{UserInfo("joe", "s3cret")}},
		"token":               {"server", []Option{Token("s3cret")}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				var out bytes.Buffer
				logger := Logger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
				nc := connectTo(t, n, c.url, append(c.opts, logger)...)
				s.Peer().SendInfo(map[string]any{"connect_urls": []string{"b:2"}})
				pass(2 * time.Second)
				s.On("CONNECT", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
					p.Err("Authorization Violation")
					p.Close()
					return true
				})
				lose(s)
				pass(10 * time.Second)
				fmt.Fprintf(&out, "%+v %v %v", nc.Servers(), nc.LastError(), nc.ConnectedURL())
				_, err := Connect(t.Context(), c.url, options(n, c.opts)...)
				isErr(t, err, ErrAuthorization)
				var ce *ConnectError
				if !errors.As(err, &ce) {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "%v %+v", err, ce)
				if strings.Contains(out.String(), "s3cret") || !strings.Contains(out.String(), "uthorization") {
					t.Errorf("shown:\n%s", &out)
				}
				s.On("CONNECT", nil)
			})
		})
	}
}

// TestParityDefaultLogger: without a Logger and without a handler, what happens
// goes to slog.Default.
func TestParityDefaultLogger(t *testing.T) {
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	defer slog.SetDefault(before)
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc, err := Connect(t.Context(), "server", UseDialer(n))
		must(t, err)
		finish(t, nc)
		synctest.Wait()
		s.Peer().Err("The moon is in the wrong house")
		synctest.Wait()
		if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "moon") {
			t.Errorf("logged:\n%s", got)
		}
	})
}

// traceLog is a Tracer that writes down what it is told.
type traceLog struct {
	mu    sync.Mutex
	lines []string
}

type traceKey struct{}

func (l *traceLog) add(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *traceLog) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := strings.Join(l.lines, "; ")
	l.lines = nil
	return out
}

func (l *traceLog) Start(ctx context.Context, op *Operation) context.Context {
	l.add("start %d %s", op.Kind, op.Subject)
	switch op.Kind {
	case OpPublish, OpRequest:
		parent, _ := ctx.Value(traceKey{}).(string)
		op.Header.Set("Trace", parent+"/"+fmt.Sprint(int(op.Kind)))
	case OpDeliver:
		return context.WithValue(ctx, traceKey{}, op.Header.Get("Trace"))
	}
	return context.WithValue(ctx, traceKey{}, "of start")
}

func (l *traceLog) End(ctx context.Context, op *Operation, err error) {
	if ctx.Value(traceKey{}) == nil {
		l.add("End without Start's context")
	}
	l.add("end %d %s %v", op.Kind, op.Subject, err != nil)
}

// TestParityTracer: each operation is told once at its start and once at its
// end, and a trace goes through headers from one to the next.
func TestParityTracer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.Refuse(true)
		trace := &traceLog{}
		_, err := Connect(t.Context(), "server", options(n, []Option{UseTracer(trace)})...)
		isErr(t, err, ErrNoServers)
		const url = "nats://server:4222"
		expect := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := trace.take(); got != want {
				t.Errorf("told  %s\nwant  %s", got, want)
			}
		}
		expect("start 0 " + url + "; end 0 " + url + " true")
		s.Refuse(false)
		nc := connect(t, n, UseTracer(trace))
		expect("start 0 " + url + "; end 0 " + url + " false")
		if nc.Tracer() != Tracer(trace) {
			t.Error("Conn.Tracer is another one")
		}

		ctx := context.WithValue(t.Context(), traceKey{}, "root")
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		must(t, nc.PublishMsg(ctx, Msg{Subject: "a"}))
		m, err := sub.Next(t.Context())
		must(t, err)
		if got := m.Context().Value(traceKey{}); got != "root/1" || m.Header.Get("Trace") != "root/1" {
			t.Errorf("the message carries %v, its header %q", got, m.Header.Get("Trace"))
		}
		expect("start 1 a; end 1 a false; start 3 a; end 3 a false")

		isErr(t, nc.Publish("a b", nil), ErrBadSubject)
		expect("start 1 a b; end 1 a b true")

		for _, opts := range [][]SubOption{nil, {Concurrency(2)}, {OnReader()}} {
			h, err := nc.Subscribe("svc", func(m Msg) {
				if err := m.Respond(fmt.Append(nil, m.Context().Value(traceKey{}))); err != nil {
					t.Error(err)
				}
			}, opts...)
			must(t, err)
			reply, err := nc.RequestMsg(ctx, Msg{Subject: "svc"})
			must(t, err)
			if string(reply.Data) != "root/2" || reply.Header.Get("Trace") != "root/2/1" {
				t.Errorf("the reply says %q, its header %q", reply.Data, reply.Header.Get("Trace"))
			}
			synctest.Wait()
			trace.mu.Lock()
			slices.Sort(trace.lines) // replies have random subjects
			var kinds []string
			for _, l := range trace.lines {
				kinds = append(kinds, strings.Join(strings.Fields(l)[:2], " "))
			}
			trace.lines = nil
			trace.mu.Unlock()
			if got := strings.Join(kinds, "; "); got != "end 1; end 2; end 3; start 1; start 2; start 3" {
				t.Errorf("told %s", got)
			}
			must(t, h.Unsubscribe())
		}
	})
	if (Msg{}).Context() != context.Background() {
		t.Error("a message without a tracer has a context of its own")
	}
}

// TestParityTLSVersion: nothing below 1.2 is spoken.
func TestParityTLSVersion(t *testing.T) {
	for _, c := range []struct {
		max uint16
		ok  bool
	}{{tls.VersionTLS11, false}, {tls.VersionTLS12, true}, {tls.VersionTLS13, true}} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			ca := fakeserver.SharedCA()
			cfg, err := ca.Server("server")
			must(t, err)
			cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, c.max
			s.TLS(cfg, false)
			roots := ClientTLSConfig(nil, func() (*x509.CertPool, error) { return ca.Roots, nil })
			nc, err := Connect(t.Context(), "tls://server", options(n, []Option{roots})...)
			if !c.ok {
				isErr(t, err, ErrTLS)
				return
			}
			must(t, err)
			finish(t, nc)
			if state, ok := nc.TLSConnectionState(); !ok || state.Version != c.max {
				t.Errorf("TLS %v, version %x", ok, state.Version)
			}
		})
	}
}

// TestParityTLSName: the certificate must be for the name in the URL, also when
// a discovered server is known by its address only.
func TestParityTLSName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a, b, c := n.Host("cluster.example:1"), n.Host("10.0.0.2:2"), n.Host("10.0.0.3:3")
		ca := fakeserver.SharedCA()
		for s, name := range map[*fakeserver.Server]string{a: "cluster.example", b: "other.example", c: "cluster.example"} {
			cfg, err := ca.Server(name)
			must(t, err)
			s.TLS(cfg, false)
		}
		log := &eventLog{}
		opts := []Option{Secure(ca.Client()), log.option()}
		_, err := Connect(t.Context(), "tls://10.0.0.3:3", options(n, opts)...)
		var wrong x509.HostnameError
		if !errors.Is(err, ErrTLS) || !errors.As(err, &wrong) {
			t.Errorf("an address that the certificate is not for: %v", err)
		}
		nc := connectTo(t, n, "tls://cluster.example:1", opts...)
		a.Peer().SendInfo(map[string]any{"connect_urls": []string{"10.0.0.2:2", "10.0.0.3:3"}})
		flush(t, nc)
		pass(2 * time.Second)
		a.Stop()
		synctest.Wait()
		must(t, nc.Flush(in(t, time.Minute)))
		if nc.ConnectedURL() != "tls://10.0.0.3:3" {
			t.Errorf("at %q", nc.ConnectedURL())
		}
		refused := false
		for _, e := range of[ConnectFailed](log) {
			refused = refused || e.Server.URL == "tls://10.0.0.2:2" && errors.Is(e.Err, ErrTLS)
		}
		if !refused {
			t.Errorf("the wrong certificate was not refused: %v", log.all())
		}
	})
}

// TestParityTLSDeadline: a server that does not go on with the handshake costs
// the attempt's time, or the context's, and no more.
func TestParityTLSDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		t.Cleanup(n.Wait)
		s.Script(func(p *fakeserver.Peer) {
			p.SendInfo(map[string]any{"tls_required": true})
			_, _ = p.Next() // ClientHello has no line end that matters
			<-time.After(time.Minute)
		})
		for name, c := range map[string]struct {
			ctx  context.Context
			opts []Option
			want time.Duration
		}{
			"default": {t.Context(), nil, 5 * time.Second},
			"Timeout": {t.Context(), []Option{Timeout(2 * time.Second)}, 2 * time.Second},
			"context": {in(t, 300*time.Second), []Option{Timeout(time.Second)}, time.Second},
		} {
			start := time.Now()
			_, err := Connect(c.ctx, "tls://server", options(n, c.opts)...)
			isErr(t, err, context.DeadlineExceeded)
			if d := time.Since(start); d < c.want || d > c.want+100*time.Millisecond {
				t.Errorf("%s: it took %v", name, d)
			}
		}
		start := time.Now()
		_, err := Connect(in(t, time.Second), "tls://server", options(n, nil)...)
		isErr(t, err, context.DeadlineExceeded)
		if d := time.Since(start); d < time.Second || d > 1100*time.Millisecond {
			t.Errorf("with a context it took %v", d)
		}
	})
}

// TestParityDiscovered: servers that come and go are told by name, and the pool
// follows.
func TestParityDiscovered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		urls := func(list []Server) string {
			var out []string
			for _, s := range list {
				if !s.Discovered {
					t.Errorf("%+v is not marked as discovered", s)
				}
				out = append(out, strings.TrimPrefix(s.URL, "nats://"))
			}
			return strings.Join(out, " ")
		}
		for _, c := range []struct {
			say            []string
			added, removed string
		}{
			{[]string{"server:4222", "b:2", "c:3"}, "b:2 c:3", ""},
			{[]string{"server:4222", "c:3", "d:4"}, "d:4", "b:2"},
			{[]string{"server:4222"}, "", "c:3 d:4"},
		} {
			s.Peer().SendInfo(map[string]any{"connect_urls": c.say})
			synctest.Wait()
			es := of[ServersDiscovered](log)
			e := es[len(es)-1]
			if urls(e.Added) != c.added || urls(e.Removed) != c.removed || len(nc.Servers()) != len(c.say) {
				t.Errorf("of %v: %+v; the pool is %+v", c.say, e, nc.Servers())
			}
		}
		if got := len(of[ServersDiscovered](log)); got != 3 {
			t.Errorf("%d events", got)
		}
	})
}

// TestParityClose: what was published is sent, and all subscriptions end.
func TestParityClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		h, err := nc.Subscribe("b", func(Msg) {})
		must(t, err)
		s.On("PING", func(*fakeserver.Peer, *fakeserver.Op) bool { <-time.After(time.Second); return false }) // is busy
		for i := range 100 {
			must(t, nc.Publish("p", fmt.Append(nil, i)))
		}
		must(t, nc.Close())
		synctest.Wait()
		if got := strings.Join(s.Payloads("p"), " "); got != numbers(0, 100) {
			t.Errorf("arrived: %s", got)
		}
		for _, sub := range []*Subscription{sub, h} {
			<-sub.Done()
			isErr(t, sub.Err(), ErrClosed)
		}
		if s.Peer().Open() {
			t.Error("the connection is still open")
		}
	})
}
