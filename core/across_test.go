package nats

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/exported"
	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// What holds across everything: time, errors, what is passed in, callbacks.

// TestNoWallClock: nothing is decided by the wall clock, which jumps. Times come
// from time.Now, keep its monotonic reading, and are only subtracted and
// compared. reliability L2
func TestNoWallClock(t *testing.T) {
	dirs, err := filepath.Glob("internal/*")
	must(t, err)
	looked := 0
	for _, dir := range append(dirs, ".") {
		switch filepath.Base(dir) {
		case "fakeserver", "simnet", "leakcheck", "figure", "sim":
			continue // of tests
		}
		fset, files := exported.Source(t, dir)
		for _, f := range files {
			ast.Inspect(f, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				looked++
				if use := wallClock(sel); use != "" && !strings.HasSuffix(fset.Position(n.Pos()).Filename, "transport.go") {
					t.Errorf("%v: %s takes the monotonic reading off, or is without one", fset.Position(n.Pos()), use)
				}
				return true
			})
		}
	}
	if looked < 1000 {
		t.Errorf("only %d expressions", looked)
	}
}

// wallClock says what of a selector is about the wall clock, or "".
func wallClock(sel *ast.SelectorExpr) string {
	name := sel.Sel.Name
	if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
		if slices.Contains([]string{"Unix", "UnixMilli", "UnixMicro", "Date", "Parse", "ParseInLocation"}, name) {
			return "time." + name
		}
		return ""
	}
	if slices.Contains([]string{"UnixNano", "UnixMilli", "UnixMicro", "UTC", "Local", "Truncate", "GobEncode", "YearDay"}, name) {
		return name
	}
	return ""
}

// sentinels are all values for errors.Is, and how they are reached.
var sentinels = map[string]error{
	"ErrClosed": ErrClosed, "ErrDraining": ErrDraining, "ErrDisconnected": ErrDisconnected, "ErrReconnectBufExceeded": ErrReconnectBufExceeded,
	"ErrOutcomeUnknown": ErrOutcomeUnknown, "ErrNoResponders": ErrNoResponders, "ErrNoServers": ErrNoServers,
	"ErrSubscriptionClosed": ErrSubscriptionClosed, "ErrSyncSubRequired": ErrSyncSubRequired, "ErrSlowConsumer": ErrSlowConsumer,
	"ErrMaxPayload": ErrMaxPayload, "ErrMaxControlLine": ErrMaxControlLine, "ErrBadSubject": ErrBadSubject, "ErrBadQueue": ErrBadQueue,
	"ErrBadHeader": ErrBadHeader, "ErrHeadersNotSupported": ErrHeadersNotSupported, "ErrMsgNotBound": ErrMsgNotBound, "ErrMsgNoReply": ErrMsgNoReply,
	"ErrPermission": ErrPermission, "ErrAuthorization": ErrAuthorization, "ErrAuthExpired": ErrAuthExpired, "ErrAuthRevoked": ErrAuthRevoked,
	"ErrAccountAuthExpired": ErrAccountAuthExpired, "ErrMaxConnections": ErrMaxConnections, "ErrMaxAccountConnections": ErrMaxAccountConnections,
	"ErrMaxSubscriptions": ErrMaxSubscriptions, "ErrStaleConnection": ErrStaleConnection, "ErrSecureRequired": ErrSecureRequired,
	"ErrSecureNotOffered": ErrSecureNotOffered, "ErrTLS": ErrTLS, "ErrProtocol": ErrProtocol, "ErrInvalidOption": ErrInvalidOption,
	"ErrMixingWebsocketSchemes": ErrMixingWebsocketSchemes,
}

// TestErrorIdentity: each sentinel, and each typed error, is found through
// everything that wraps errors, and none is taken for another. reliability L3
func TestErrorIdentity(t *testing.T) {
	_, files := exported.Source(t, ".")
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok {
				for _, name := range v.Names {
					if strings.HasPrefix(name.Name, "Err") && sentinels[name.Name] == nil {
						t.Errorf("%s is not among the sentinels", name.Name)
					}
				}
			}
			return true
		})
	}
	wrappers := map[string]func(error) error{
		"operation":         func(e error) error { return opError("do", "a", e) },
		"operation, unsent": func(e error) error { return unsent{opError("do", "a", e)} },
		"credentials":       func(e error) error { return &credentialsError{"X", e} },
		"a file":            func(e error) error { return &fileError{&OptionError{"X", "y"}, e} },
		"loss":              func(e error) error { return &LossError{Err: e} },
		"loss after hooks":  func(e error) error { return &LossError{Err: errors.Join(io.EOF, e)} },
		"connect":           func(e error) error { return &ConnectError{Attempts: []Server{{}, {LastErr: io.EOF}, {LastErr: e}}} },
		"classify":          func(e error) error { _, err := classify(e); return err },
		"all of them": func(e error) error {
			_, err := classify(&credentialsError{"X", &fileError{&OptionError{"X", "y"}, e}})
			return &LossError{Err: errors.Join(&ConnectError{Attempts: []Server{{LastErr: err}}}, io.EOF)}
		},
	}
	beside := map[string][]error{ // what a wrapper is itself
		"a file": {ErrInvalidOption}, "connect": {ErrNoServers}, "all of them": {ErrInvalidOption, ErrNoServers, ErrAuthorization},
		"classify": {ErrDisconnected, ErrAuthorization, ErrStaleConnection},
	}
	for how, wrap := range wrappers {
		for name, e := range sentinels {
			err := wrap(e)
			if !errors.Is(err, e) {
				t.Errorf("%s is lost in %s: %v", name, how, err)
			}
			for other, o := range sentinels {
				if o != e && errors.Is(err, o) && !slices.Contains(beside[how], o) {
					t.Errorf("%s in %s is %s, too", name, how, other)
				}
			}
		}
		for _, v := range zeroValues {
			e, ok := v.(error)
			if !ok {
				continue
			}
			found := reflect.New(reflect.TypeOf(v)).Interface()
			if err := wrap(e); !errors.As(err, found) || reflect.ValueOf(found).Elem().Interface() != v && how != "a file" && how != "all of them" && how != "connect" && !strings.HasPrefix(how, "loss") {
				t.Errorf("%T is lost in %s: %v", v, how, err)
			}
		}
	}
}

// TestOptionsKeepTheirValues: what an option was made with may be changed after
// that, before Connect and while the Conn lives. reliability L4
func TestOptionsKeepTheirValues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		secure(t, s, false, "server")
		dir := t.TempDir()
		ca := writePEM(t, dir, "CERTIFICATE", fakeserver.SharedCA().DER())
		servers, cas, cfg := []string{"tls://server:4222"}, []string{ca}, fakeserver.SharedCA().Client()
		opts := []Option{Servers(servers...), RootCAs(cas...), Secure(cfg)}
		servers[0], cas[0], cfg.ServerName = "http://changed", "changed", "changed"
		nc := connectTo(t, n, "tls://server:4222", opts...)
		list := []string{"tls://server:4222"}
		must(t, nc.SetServers(list))
		list[0] = "changed"
		clear(opts)
		lose(s)
		must(t, nc.Flush(in(t, time.Minute)))
		if got := nc.Servers(); len(got) != 1 || got[0].URL != "tls://server:4222" {
			t.Errorf("servers %v", got)
		}
		// What comes out is the caller's.
		got := nc.Servers()
		got[0].URL = "changed"
		if info := nc.ServerInfo(); len(info.ConnectURLs) > 0 || nc.Servers()[0].URL == "changed" {
			t.Error("the pool was changed from outside")
		}
	})
	bubble(t, func(t *testing.T) {
		n, s := webSocket(false)
		h := http.Header{"X-Key": {"right"}}
		o := WebSocketConnectionHeaders(h)
		h["X-Key"][0] = "wrong"
		h["X-Other"] = []string{"more"}
		nc := connectTo(t, n, "ws://server", o)
		flush(t, nc)
		if r := s.Peer().LastRequest(); r.Header.Get("X-Key") != "right" || r.Header.Get("X-Other") != "" {
			t.Errorf("HTTP headers %v", r.Header)
		}
	})
}

// TestArgumentsStayAsTheyAre: no call changes what it is given, on success, on
// failure and with a Tracer that adds headers. reliability L4
func TestArgumentsStayAsTheyAre(t *testing.T) {
	for _, opts := range [][]Option{nil, {UseTracer(injecting{})}} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			nc := connect(t, n, opts...)
			_, err := nc.Subscribe("svc", func(m Msg) { _ = m.Respond(m.Data) })
			must(t, err)
			flush(t, nc)
			data, text := []byte("payload"), []byte("NATS/1.0\r\nA: b\r\n\r\n")
			m := Msg{Subject: "svc", Header: header(t, "A", "b"), Data: data}
			bad := Msg{Subject: "s v c", Header: header(t, "A", "b"), Data: data}
			urls := []string{"server:4222", "nats://u:p@server:4223"}
			state := func() string {
				return fmt.Sprintf("%+v %+v %q %q %q %v", m, bad, data, text, urls, m.Header.Len())
			}
			before := state()
			ctx := in(t, time.Second)
			var h Header
			for what, call := range map[string]func() error{
				"Publish":        func() error { return nc.Publish("a", data) },
				"PublishMsg":     func() error { return nc.PublishMsg(ctx, m) },
				"PublishMsg bad": func() error { _ = nc.PublishMsg(ctx, bad); return nil },
				"PublishRequest": func() error { return nc.PublishRequest("a", "r", data) },
				"Request":        func() error { return only(nc.Request(ctx, "svc", data)) },
				"RequestMsg":     func() error { return only(nc.RequestMsg(ctx, m)) },
				"RequestMsg bad": func() error { _ = only(nc.RequestMsg(ctx, bad)); return nil },
				"own inbox":      func() error { m := m; m.Reply = "own"; return only(nc.RequestMsg(ctx, m)) },
				"RespondMsg":     func() error { return Msg{Reply: "r", origin: &origin{nc: nc}}.RespondMsg(m) },
				"Respond":        func() error { return Msg{Reply: "r", origin: &origin{nc: nc}}.Respond(data) },
				"UnmarshalText":  func() error { return h.UnmarshalText(text) },
				"SetServers":     func() error { return nc.SetServers(urls) },
				"Equal, Clone":   func() error { _, _ = m.Equal(bad), m.Clone(); return nil },
				"Bind":           func() error { _ = m.Bind(func(Msg) error { return nil }).Respond(data); return nil },
			} {
				must(t, call())
				if after := state(); after != before {
					t.Errorf("%s: it is %s, was %s", what, after, before)
				}
			}
			// The reply is the caller's: nothing of ours changes with it.
			reply, err := nc.RequestMsg(ctx, m)
			must(t, err)
			copy(reply.Data, "XXXXXXX")
			if again, err := nc.RequestMsg(ctx, m); err != nil || string(again.Data) != "payload" {
				t.Errorf("%q, %v", again.Data, err)
			}
			if text[0] = 'X'; h.Get("A") != "b" {
				t.Error("UnmarshalText kept what it read")
			}
			_ = s
		})
	}
}

// injecting is a Tracer that adds a header to all that leaves.
type injecting struct{}

func (injecting) Start(ctx context.Context, op *Operation) context.Context {
	op.Header.Set("Trace", "1")
	return ctx
}
func (injecting) End(context.Context, *Operation, error) {}

// TestBlockedCallbacks: users' code that does not return stops neither the
// keep-alive, nor other subscriptions, nor publishing. reliability A21, L5
func TestBlockedCallbacks(t *testing.T) {
	type blocked struct {
		opts  func(block func()) []Option
		start func(r *stage, block func())
	}
	deliver := func(s *stage, subj string, opts ...SubOption) func(h func(Msg)) {
		return func(h func(Msg)) {
			_, err := s.nc.Subscribe(subj, h, opts...)
			must(s.t, err)
			flush(s.t, s.nc)
			s.srv.Deliver(subj, "", "", "x")
		}
	}
	odd := func(s *stage, _ func()) { s.srv.Peer().Err("odd") }
	for name, c := range map[string]blocked{
		"a handler": {nil, func(s *stage, block func()) { deliver(s, "b")(func(Msg) { block() }) }},
		"many handlers": {nil, func(s *stage, block func()) {
			for i := range 50 {
				deliver(s, fmt.Sprint("b.", i), Concurrency(2))(func(Msg) { block() })
			}
		}},
		"a channel that nobody reads": {nil, func(s *stage, _ func()) {
			_, err := s.nc.SubscribeChan("b", make(chan Msg))
			must(s.t, err)
			flush(s.t, s.nc)
			s.srv.Deliver("b", "", "", "x")
		}},
		"a subscription that nobody reads": {nil, func(s *stage, _ func()) {
			_, err := s.nc.SubscribeSync("b", PendingLimits(1, 1))
			must(s.t, err)
			flush(s.t, s.nc)
			s.srv.Deliver("b", "", "", "xx")
		}},
		"RecoverHandlers": {func(block func()) []Option { return []Option{RecoverHandlers(func(Msg, any) { block() })} },
			func(s *stage, _ func()) { deliver(s, "b")(func(Msg) { panic("!") }) }},
		"an event handler": {func(block func()) []Option { return []Option{EventHandler(func(*Conn, Event) { block() })} }, odd},
		"a logger": {func(block func()) []Option {
			return []Option{Logger(slog.New(blockingHandler{slog.DiscardHandler, block}))}
		}, odd},
		"events nobody has": {nil, func(s *stage, _ func()) { _ = s.nc.Events(in(s.t, time.Hour)); s.srv.Peer().Err("odd") }},
		"a subscription's event handler": {nil, func(s *stage, block func()) {
			sub, err := s.nc.SubscribeSync("b", EventHandler(func(*Conn, Event) { block() }))
			must(s.t, err)
			must(s.t, sub.Unsubscribe())
		}},
		"a tracer of deliveries": {func(block func()) []Option { return []Option{UseTracer(blockingTracer{block})} },
			func(s *stage, _ func()) { deliver(s, "b")(func(Msg) {}) }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, srv := fakeserver.One()
				s := &stage{t: t, net: n, srv: srv, block: make(chan struct{})}
				var blocks atomic.Int64
				block := func() { blocks.Add(1); <-s.block }
				if c.opts != nil {
					s.opts = c.opts(block)
				}
				s.connect()
				var quick collector
				_, err := s.nc.Subscribe("quick", quick.handle)
				must(t, err)
				flush(t, s.nc)
				c.start(s, block)
				pings := len(srv.Ops("PING"))
				for i := range 60 {
					start := time.Now()
					must(t, s.nc.Publish("p", nil))
					if took := time.Since(start); took > time.Millisecond {
						t.Errorf("Publish took %v", took)
					}
					srv.Deliver("quick", "", "", "x")
					pass(30 * time.Second)
					if quick.len() != i+1 {
						t.Fatalf("%d of %d messages were handled", quick.len(), i+1)
					}
				}
				if st := s.nc.Stats(); st.Connects != 1 || st.OutConfirmed != 60 {
					t.Errorf("the link was lost: %+v", st)
				}
				if got := len(srv.Ops("PING")) - pings; got < 60 {
					t.Errorf("%d PINGs in half an hour", got)
				}
				if c.opts != nil && blocks.Load() == 0 {
					t.Error("nothing blocked")
				}
				close(s.block)
				_ = s.nc.Close()
				pass(time.Second)
				checkLedger(t, s.nc)
			})
		})
	}
}

type blockingHandler struct {
	slog.Handler
	block func()
}

func (blockingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h blockingHandler) Handle(context.Context, slog.Record) error { h.block(); return nil }

// blockingTracer blocks at deliveries to "b".
type blockingTracer struct{ block func() }

func (x blockingTracer) Start(ctx context.Context, op *Operation) context.Context {
	if op.Kind == OpDeliver && op.Subject == "b" {
		x.block()
	}
	return ctx
}
func (blockingTracer) End(context.Context, *Operation, error) {}

// TestNothingAfterTheEnd: when a subscription is Done no handler starts any
// more, whatever ended it and however many ran. reliability D14
func TestNothingAfterTheEnd(t *testing.T) {
	ends := map[string]func(nc *Conn, sub *Subscription){
		"Unsubscribe": func(_ *Conn, sub *Subscription) { _ = sub.Unsubscribe() },
		"Close":       func(nc *Conn, _ *Subscription) { _ = nc.Close() },
		"Drain":       func(nc *Conn, sub *Subscription) { _ = sub.Drain(context.Background()) },
	}
	for name, end := range ends {
		for kind, opts := range map[string][]SubOption{"one": nil, "many": {Concurrency(4)}, "reader": {OnReader()}} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				n, s := fakeserver.One()
				nc, err := Connect(t.Context(), "server", options(n, nil)...)
				must(t, err)
				for range 20 {
					if nc.Status() == StatusClosed {
						break
					}
					var over atomic.Bool
					var late, calls atomic.Int64
					started := make(chan struct{})
					var once sync.Once
					sub, err := nc.Subscribe("a", func(Msg) {
						if over.Load() {
							late.Add(1)
						}
						if calls.Add(1) == 50 {
							once.Do(func() { close(started) })
						}
					}, opts...)
					must(t, err)
					must(t, nc.Flush(t.Context()))
					stop, stopped := make(chan struct{}), make(chan struct{})
					sid := s.Peer().SID("a")
					go func() {
						defer close(stopped)
						frames := strings.Repeat(fakeserver.Frame("a", sid, "", "", "x"), 100)
						for range 200 { // what is sent waits without a bound
							select {
							case <-stop:
								return
							default:
								if !s.Peer().Send(frames) {
									return
								}
							}
						}
					}()
					<-started
					end(nc, sub)
					<-sub.Done()
					over.Store(true)
					if nc.Status() != StatusClosed {
						must(t, nc.Flush(t.Context()))
					}
					close(stop)
					<-stopped
					if late.Load() > 0 {
						t.Fatalf("%d calls of the handler after the end", late.Load())
					}
				}
				_ = nc.Close()
				n.Wait()
			})
		}
	}
}

// TestHandlerPanicEndsTheProcess: without RecoverHandlers a panic of a handler is
// nobody's to swallow. reliability D13
func TestHandlerPanicEndsTheProcess(t *testing.T) {
	const env = "PERIGEE_TEST_PANIC"
	if os.Getenv(env) != "" {
		n, s := fakeserver.One()
		nc, err := Connect(t.Context(), "server", options(n, nil)...)
		must(t, err)
		_, err = nc.Subscribe("a", func(Msg) { panic("boom of the handler") })
		must(t, err)
		must(t, nc.Flush(t.Context()))
		s.Deliver("a", "", "", "x")
		<-time.After(10 * time.Second)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHandlerPanicEndsTheProcess$")
	cmd.Env = append(os.Environ(), env+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "panic: boom of the handler") {
		t.Errorf("%v: %s", err, out)
	}
}
