package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// What nobody may publish to, subscribe to, or call a queue group.
var (
	badTokens = []string{
		"", " ", "a b", "a\tb", "a\r\nPUB b 0\r\n", "a\n", "a\r", "\x00", "a\x00b", "a\x7f", "a\x01b", "a\vb", "a\fb", "\r\n", "a ", " a",
	}
	badSubjects = append([]string{
		".", "..", "a..b", ".a", "a.", "a.b.", strings.Repeat("a", 5000), strings.Repeat("a.", 2500) + "a",
	}, badTokens...)
	badPublish   = append([]string{"*", ">", "a.*", "a.>", "*.a", ">.a", "a.*.b"}, badSubjects...)
	badSubscribe = append([]string{">.a", "a.>.b", ">.>"}, badSubjects...)
	badQueues    = append([]string{strings.Repeat("q", 5000)}, badTokens...)
)

// TestBadInput hands illegal input to each door. It is refused with its typed
// error, and not one byte leaves.
func TestBadInput(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.SetInfo("max_payload", 1000)
		nc := connect(t, n)
		ctx := t.Context()
		open, err := nc.SubscribeSync("open")
		must(t, err)
		handled, err := nc.Subscribe("handled", func(Msg) {})
		must(t, err)
		swallowed := Msg{Subject: "x", Reply: "r", origin: &origin{nc: nc}}
		flush(t, nc)
		before := s.Peer().Raw()
		stats := nc.Stats()

		refuse := func(what string, want error, f func() error) {
			t.Helper()
			defer func() {
				if r := recover(); r != nil {
					t.Errorf("%s panics: %v", what, r)
				}
			}()
			if err := f(); !errors.Is(err, want) {
				t.Errorf("%s: error is %v, want %v", what, err, want)
			} else if want != ErrSyncSubRequired && !SafeToRetry(err) {
				t.Errorf("%s: %v is not safe to retry", what, err)
			}
		}
		sub := func(_ *Subscription, err error) error { return err }
		msg := func(_ Msg, err error) error { return err }
		handler := func(Msg) {}
		ch := make(chan Msg)

		for _, bad := range badPublish {
			q := fmt.Sprintf("(%.30q)", bad)
			refuse("Publish"+q, ErrBadSubject, func() error { return nc.Publish(bad, nil) })
			refuse("PublishMsg"+q, ErrBadSubject, func() error { return nc.PublishMsg(ctx, Msg{Subject: bad}) })
			refuse("PublishRequest"+q, ErrBadSubject, func() error { return nc.PublishRequest(bad, "r", nil) })
			refuse("Request"+q, ErrBadSubject, func() error { return msg(nc.Request(ctx, bad, nil)) })
			refuse("RequestMsg"+q, ErrBadSubject, func() error { return msg(nc.RequestMsg(ctx, Msg{Subject: bad, Reply: "r"})) })
			if bad == "" {
				continue // as a reply it means that there is none
			}
			refuse("reply"+q, ErrBadSubject, func() error { return nc.PublishRequest("a", bad, nil) })
			refuse("reply of PublishMsg"+q, ErrBadSubject, func() error { return nc.PublishMsg(ctx, Msg{Subject: "a", Reply: bad}) })
			refuse("reply of RequestMsg"+q, ErrBadSubject, func() error { return msg(nc.RequestMsg(ctx, Msg{Subject: "a", Reply: bad})) })
			refuse("Respond"+q, ErrBadSubject, func() error { m := swallowed; m.Reply = bad; return m.Respond(nil) })
			refuse("reply of RespondMsg"+q, ErrBadSubject, func() error { return swallowed.RespondMsg(Msg{Reply: bad}) })
		}
		for _, bad := range badSubscribe {
			q := fmt.Sprintf("(%.30q)", bad)
			refuse("Subscribe"+q, ErrBadSubject, func() error { return sub(nc.Subscribe(bad, handler)) })
			refuse("SubscribeSync"+q, ErrBadSubject, func() error { return sub(nc.SubscribeSync(bad)) })
			refuse("SubscribeChan"+q, ErrBadSubject, func() error { return sub(nc.SubscribeChan(bad, ch)) })
		}
		for _, bad := range badQueues {
			q := fmt.Sprintf("Queue(%.30q)", bad)
			want := ErrBadQueue
			if len(bad) > 4000 {
				want = ErrBadSubject // both together are too long
			}
			refuse(q, want, func() error { return sub(nc.Subscribe("a", handler, Queue(bad))) })
		}
		for _, bad := range [][2]string{{"", "v"}, {"A:", "v"}, {"A B", "v"}, {"A", "x\r\ny"}, {"A\r\nPUB", "v"}, {"A", "\x00"}} {
			m := Msg{Subject: "a", Reply: "r"}
			m.Header.Set(bad[0], bad[1])
			q := fmt.Sprintf("header %q", bad)
			refuse(q, ErrBadHeader, func() error { return nc.PublishMsg(ctx, m) })
			refuse(q, ErrBadHeader, func() error { return msg(nc.RequestMsg(ctx, m)) })
			refuse(q, ErrBadHeader, func() error { return swallowed.RespondMsg(m) })
		}
		big := make([]byte, 1001)
		wide := Msg{Subject: "a", Header: header(t, "A", strings.Repeat("x", 900)), Data: big[:100]}
		refuse("big Publish", ErrMaxPayload, func() error { return nc.Publish("a", big) })
		refuse("big PublishMsg", ErrMaxPayload, func() error { return nc.PublishMsg(ctx, wide) })
		refuse("big Request", ErrMaxPayload, func() error { return msg(nc.Request(ctx, "a", big)) })
		refuse("big RequestMsg", ErrMaxPayload, func() error { return msg(nc.RequestMsg(ctx, wide)) })
		refuse("big Respond", ErrMaxPayload, func() error { return swallowed.Respond(big) })

		refuse("nil handler", ErrInvalidOption, func() error { return sub(nc.Subscribe("a", nil)) })
		refuse("nil channel", ErrInvalidOption, func() error { return sub(nc.SubscribeChan("a", nil)) })
		for name, o := range map[string]SubOption{
			"nil": nil, "AutoUnsubscribe(0)": AutoUnsubscribe(0), "AutoUnsubscribe(-1)": AutoUnsubscribe(-1),
			"Concurrency(0)": Concurrency(0), "PendingLimits(0,1)": PendingLimits(0, 1), "PendingLimits(1,0)": PendingLimits(1, 0),
			"Overflow(9)": Overflow(9), "Overflow(-1)": Overflow(-1), "EventHandler(nil)": EventHandler(nil),
		} {
			refuse("option "+name, ErrInvalidOption, func() error { return sub(nc.SubscribeSync("a", o)) })
		}
		refuse("OnReader of SubscribeSync", ErrInvalidOption, func() error { return sub(nc.SubscribeSync("a", OnReader())) })
		refuse("OnReader of SubscribeChan", ErrInvalidOption, func() error { return sub(nc.SubscribeChan("a", ch, OnReader())) })
		refuse("method AutoUnsubscribe(0)", ErrInvalidOption, func() error { return open.AutoUnsubscribe(0) })
		refuse("method SetPendingLimits(0,0)", ErrInvalidOption, func() error { return open.SetPendingLimits(0, 0) })
		refuse("Next of a handler's", ErrSyncSubRequired, func() error { return msg(handled.Next(ctx)) })
		for _, urls := range [][]string{nil, {""}, {"a", "http://b"}, {"nats://:1"}, {"nats://a:0"}, {"a:b:c"}, {"a b"}, {"a", "\n"}} {
			refuse(fmt.Sprintf("SetServers(%q)", urls), ErrInvalidOption, func() error { return nc.SetServers(urls) })
		}

		var none context.Context
		refuse("nil ctx of PublishMsg", ErrInvalidOption, func() error { return nc.PublishMsg(none, Msg{Subject: "a"}) })
		refuse("nil ctx of Request", ErrInvalidOption, func() error { return msg(nc.Request(none, "a", nil)) })
		refuse("nil ctx of RequestMsg", ErrInvalidOption, func() error { return msg(nc.RequestMsg(none, Msg{Subject: "a"})) })
		refuse("nil ctx of Flush", ErrInvalidOption, func() error { return nc.Flush(none) })
		refuse("nil ctx of RTT", ErrInvalidOption, func() error { _, err := nc.RTT(none); return err })
		refuse("nil ctx of Barrier", ErrInvalidOption, func() error { return nc.Barrier(none) })
		refuse("nil ctx of Reconnect", ErrInvalidOption, func() error { return nc.Reconnect(none) })
		refuse("nil ctx of Drain", ErrInvalidOption, func() error { return nc.Drain(none) })
		refuse("nil ctx of Events", ErrInvalidOption, func() error { _, err := Collect(nc.Events(none)); return err })
		refuse("nil ctx of Next", ErrInvalidOption, func() error { return msg(open.Next(none)) })
		refuse("nil ctx of Messages", ErrInvalidOption, func() error { _, err := Collect(open.Messages(none)); return err })
		refuse("nil ctx of Subscription.Drain", ErrInvalidOption, func() error { return open.Drain(none) })
		refuse("nil ctx of Connect", ErrInvalidOption, func() error { _, err := Connect(none, "server"); return err })

		synctest.Wait()
		if got := s.Peer().Raw(); got != before {
			t.Errorf("bytes left: %q", got[len(before):])
		}
		if after := nc.Stats(); after != stats {
			t.Errorf("books moved: %+v", after)
		}
		flush(t, nc)
		if got := s.Peer().Raw(); got != before+"PING\r\n" {
			t.Errorf("bytes left: %q", got[len(before):])
		}
	})
}

// TestBadCredentials are refused before anything is dialed.
func TestBadCredentials(t *testing.T) {
	u, other := newUser(t), newUser(t)
	n := fakeserver.New()
	ourJWT := func() (string, error) { return u.jwt, nil }
	none := filepath.Join(t.TempDir(), "none")
	jwtOnly := u.file(t, "only.jwt", u.jwt)
	for name, c := range map[string]struct {
		opt  Option
		says string
	}{
		"UserCredentials, no name":          {UserCredentials(""), ""},
		"UserCredentials, no file":          {UserCredentials(none), none},
		"UserCredentials, no seed":          {UserCredentials(jwtOnly), jwtOnly},
		"UserCredentials, no seed file":     {UserCredentials(jwtOnly, none), none},
		"UserCredentials, empty seed file":  {UserCredentials(jwtOnly, ""), ""},
		"UserCredentials, two seed files":   {UserCredentials(jwtOnly, none, none), ""},
		"UserCredentials, the text":         {UserCredentials(u.creds()), ""},
		"UserCredentials, another's":        {UserCredentials(jwtOnly, u.file(t, "other", other.seed)), "other"},
		"UserCredentialBytes, nil":          {UserCredentialBytes(nil), ""},
		"UserCredentialBytes, empty seed":   {UserCredentialBytes([]byte(u.creds()), nil), ""},
		"UserCredentialBytes, two seeds":    {UserCredentialBytes([]byte(u.creds()), []byte(u.seed), []byte(u.seed)), ""},
		"UserCredentialBytes, another's":    {UserCredentialBytes([]byte(u.jwt), []byte(other.seed)), ""},
		"UserJWTAndSeed, nothing":           {UserJWTAndSeed("", ""), ""},
		"UserJWTAndSeed, no JWT":            {UserJWTAndSeed("", u.seed), ""},
		"UserJWTAndSeed, no seed":           {UserJWTAndSeed(u.jwt, ""), ""},
		"UserJWTAndSeed, the wrong way":     {UserJWTAndSeed(u.seed, u.jwt), ""},
		"UserJWT, no JWT function":          {UserJWT(nil, u.sign), "JWT"},
		"UserJWT, no signing function":      {UserJWT(ourJWT, nil), "signs"},
		"Nkey, no signing function":         {Nkey(u.public, nil), "signs"},
		"Nkey, no key":                      {Nkey("", u.sign), ""},
		"Nkey, a seed":                      {Nkey(u.seed, u.sign), ""},
		"Nkey, damaged":                     {Nkey(u.public[:40], u.sign), ""},
		"NkeyFromSeed, no name":             {NkeyFromSeed(""), ""},
		"NkeyFromSeed, the seed":            {NkeyFromSeed(u.seed), ""},
		"NkeyFromSeed, no file":             {NkeyFromSeed(none), none},
		"NkeyFromSeed, no seed in the file": {NkeyFromSeed(jwtOnly), jwtOnly},
		"AuthHandler, nil":                  {AuthHandler(nil), ""},
	} {
		_, err := Connect(t.Context(), "server", UseDialer(n), Logger(nil), c.opt)
		var oe *OptionError
		want, _, _ := strings.Cut(name, ",")
		if !errors.Is(err, ErrInvalidOption) || !errors.As(err, &oe) || oe.Option != want || oe.Problem == "" || !SafeToRetry(err) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !strings.Contains(oe.Problem, c.says) {
			t.Errorf("%s: it does not say %q: %v", name, c.says, err)
		}
		for _, secret := range []string{u.seed, u.jwt, other.seed} {
			if strings.Contains(fmt.Sprintf("%+v", err), secret) {
				t.Errorf("%s: it quotes: %v", name, err)
			}
		}
	}
	if got := n.Dials(); len(got) != 0 {
		t.Errorf("dialed %v", got)
	}
}

// TestNobodysConn: a nil Conn, and one that Connect did not make.
func TestNobodysConn(t *testing.T) {
	ctx := t.Context()
	for name, nc := range map[string]*Conn{"nil": nil, "zero": {}} {
		for what, f := range map[string]func() error{
			"Publish":        func() error { return nc.Publish("a", nil) },
			"PublishMsg":     func() error { return nc.PublishMsg(ctx, Msg{Subject: "a"}) },
			"PublishRequest": func() error { return nc.PublishRequest("a", "b", nil) },
			"Request":        func() error { _, err := nc.Request(ctx, "a", nil); return err },
			"RequestMsg":     func() error { _, err := nc.RequestMsg(ctx, Msg{Subject: "a"}); return err },
			"Subscribe":      func() error { _, err := nc.Subscribe("a", func(Msg) {}); return err },
			"SubscribeSync":  func() error { _, err := nc.SubscribeSync("a"); return err },
			"SubscribeChan":  func() error { _, err := nc.SubscribeChan("a", make(chan Msg)); return err },
			"Flush":          func() error { return nc.Flush(ctx) },
			"RTT":            func() error { _, err := nc.RTT(ctx); return err },
			"Barrier":        func() error { return nc.Barrier(ctx) },
			"Reconnect":      func() error { return nc.Reconnect(ctx) },
			"Drain":          func() error { return nc.Drain(ctx) },
			"Close":          func() error { return nc.Close() },
			"SetServers":     func() error { return nc.SetServers([]string{"a"}) },
			"Events":         func() error { _, err := Collect(nc.Events(ctx)); return err },
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				defer func() {
					if r := recover(); r != nil {
						t.Errorf("it panics: %v", r)
					}
				}()
				if err := f(); !errors.Is(err, errNilConn) {
					t.Errorf("error is %v", err)
				}
			})
		}
	}
	for name, s := range map[string]*Subscription{"nil": nil, "zero": {}} {
		for what, f := range map[string]func() error{
			"Next":            func() error { _, err := s.Next(ctx); return err },
			"Messages":        func() error { _, err := Collect(s.Messages(ctx)); return err },
			"Unsubscribe":     func() error { return s.Unsubscribe() },
			"AutoUnsubscribe": func() error { return s.AutoUnsubscribe(1) },
			"Drain":           func() error { return s.Drain(ctx) },
		} {
			t.Run(name+" subscription/"+what, func(t *testing.T) {
				defer func() {
					if r := recover(); r != nil {
						t.Errorf("it panics: %v", r)
					}
				}()
				if err := f(); !errors.Is(err, ErrSubscriptionClosed) && !errors.Is(err, ErrSyncSubRequired) {
					t.Errorf("error is %v", err)
				}
			})
		}
	}
}

// TestBadOptions: every complaint comes back, and nothing is dialed.
func TestBadOptions(t *testing.T) {
	bad := map[string]Option{
		"nil": nil, "UseDialer": UseDialer(nil), "InProcess": InProcess(nil), "Timeout": Timeout(0), "Secure": Secure(&tls.Config{}, &tls.Config{}),
		"RootCAs": RootCAs(), "ClientCert": ClientCert("/none", "/none"), "ClientTLSConfig": ClientTLSConfig(nil, nil),
		"UserInfoHandler": UserInfoHandler(nil), "TokenHandler": TokenHandler(nil), "ReconnectBackoff": ReconnectBackoff(2, 1),
		"CustomReconnectDelay": CustomReconnectDelay(nil), "ReconnectToServer": ReconnectToServer(nil), "AbortOnAuthError": AbortOnAuthError(0), "ReconnectBufSize": ReconnectBufSize(-1),
		"WhenDisconnected": WhenDisconnected(9), "WriteBufferSize": WriteBufferSize(0), "WriteTimeout": WriteTimeout(-1),
		"MaxPingsOutstanding": MaxPingsOutstanding(0), "RequestTimeout": RequestTimeout(0), "DrainTimeout": DrainTimeout(0),
		"CustomInboxPrefix": CustomInboxPrefix("a.*"), "MaxInboundPayload": MaxInboundPayload(0), "EventHandler": EventHandler(nil),
		"PendingLimits": PendingLimits(0, 0), "Overflow": Overflow(7), "RecoverHandlers": RecoverHandlers(nil), "Servers": Servers("x://y"),
	}
	n := fakeserver.New()
	var all []Option
	for name, o := range bad {
		_, err := Connect(t.Context(), "server", UseDialer(n), o)
		var oe *OptionError
		if !errors.As(err, &oe) || oe.Option != name || oe.Problem == "" || !errors.Is(err, ErrInvalidOption) {
			t.Errorf("%s: error is %v", name, err)
		}
		all = append(all, o)
	}
	_, err := Connect(t.Context(), "http://x", append(all, UserInfo("a", "b"), Token("c"))...)
	if err == nil {
		t.Fatal("all of that works")
	}
	for name := range bad {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not in %v", name, err)
		}
	}
	for _, what := range []string{"url", "Token"} {
		if !strings.Contains(err.Error(), "option "+what) {
			t.Errorf("%s is not in %v", what, err)
		}
	}
	if got := n.Dials(); len(got) != 0 {
		t.Errorf("dialed %v", got)
	}
	for _, prefix := range append([]string{"a b", strings.Repeat("i", 5000)}, badPublish...) {
		if _, err := Connect(t.Context(), "server", UseDialer(n), CustomInboxPrefix(prefix), Timeout(time.Millisecond)); !errors.Is(err, ErrInvalidOption) {
			t.Errorf("CustomInboxPrefix(%.30q): %v", prefix, err)
		}
	}
}
