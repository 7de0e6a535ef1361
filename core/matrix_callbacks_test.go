package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/exported"
	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/figure"
)

// reentry is a Conn with a callback of which one call makes the call under test.
type reentry struct {
	*stage
	url    string
	armed  atomic.Bool
	called chan struct{} // closed when the call is over
	call   func(own *Subscription)
}

// here is where a callback makes the call, once. own is its subscription, if it
// has one.
func (r *reentry) here(own *Subscription) {
	if r.armed.CompareAndSwap(true, false) {
		r.call(own)
		close(r.called)
	}
}

func (r *reentry) option(o Option) { r.opts = append(r.opts, o) }

// lose cuts the link, so that what belongs to connecting is called again.
func (r *reentry) lose() { lose(r.srv) }

// sub makes a subscription with a handler, and delivers a message to it.
func (r *reentry) deliver(h func(Msg), opts ...SubOption) {
	_, err := r.nc.Subscribe("a", h, opts...)
	must(r.t, err)
	must(r.t, r.nc.Flush(in(r.t, time.Second)))
	r.srv.Deliver("a", "r", "", "x")
}

// onEvent is a callback for one kind of event.
func onEvent[E Event](trigger func(r *reentry)) callback {
	var zero E
	return callback{
		name: fmt.Sprintf("EventHandler of %T", zero), by: "EventHandler",
		set: func(r *reentry) {
			r.option(EventHandler(func(_ *Conn, e Event) {
				if _, ok := e.(E); ok {
					r.here(nil)
				}
			}))
		},
		trigger: trigger,
	}
}

// traced is a Tracer that makes the call at the start or the end of one kind of
// operation.
type traced struct {
	r    *reentry
	kind OperationKind
	end  bool
}

func (x traced) Start(ctx context.Context, op *Operation) context.Context {
	if op.Kind == x.kind && !x.end {
		x.r.here(nil)
	}
	return ctx
}

func (x traced) End(_ context.Context, op *Operation, _ error) {
	if op.Kind == x.kind && x.end {
		x.r.here(nil)
	}
}

func onTrace(kind OperationKind, end bool, trigger func(r *reentry)) callback {
	return callback{
		name: fmt.Sprintf("Tracer of operation %d, end %v", kind, end), by: "UseTracer",
		set:     func(r *reentry) { r.option(UseTracer(traced{r, kind, end})) },
		trigger: trigger,
	}
}

// tellingHandler is a slog.Handler that makes the call when it gets a line.
type tellingHandler struct {
	slog.Handler
	r *reentry
}

func (tellingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h tellingHandler) Handle(context.Context, slog.Record) error { h.r.here(nil); return nil }

// doneDialer is a Dialer that says that its connections have TLS.
type doneDialer struct{ r *reentry }

func (d doneDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.r.net.DialContext(ctx, network, address)
}

func (d doneDialer) TLSDone() bool { d.r.here(nil); return false }

// callback is a way from the package to a user's code.
type callback struct {
	name    string
	by      string // what it is given to
	set     func(r *reentry)
	trigger func(r *reentry)
}

func onePublish(r *reentry) { _ = r.nc.Publish("t", nil) }
func oneRequest(r *reentry) { _, _ = r.nc.Request(in(r.t, time.Second), "t", nil) }

func secured(r *reentry) {
	secure(r.t, r.srv, false, "server")
	r.option(ClientTLSConfig(nil, roots))
}

func someCert() (tls.Certificate, error) { return tls.Certificate{}, nil }

// callbacks are all of them.
func callbacks(t *testing.T) []callback {
	u := newUser(t)
	lost := (*reentry).lose
	return []callback{
		{"handler", "Conn.Subscribe", nil, func(r *reentry) { r.deliver(func(m Msg) { r.here(m.Sub()) }) }},
		{"handler of many", "Conn.Subscribe", nil, func(r *reentry) { r.deliver(func(m Msg) { r.here(m.Sub()) }, Concurrency(3)) }},
		{"handler on the reader", "Conn.Subscribe", nil, func(r *reentry) { r.deliver(func(m Msg) { r.here(m.Sub()) }, OnReader()) }},
		{"RecoverHandlers", "RecoverHandlers", func(r *reentry) {
			r.option(RecoverHandlers(func(m Msg, _ any) { r.here(m.Sub()) }))
		}, func(r *reentry) { r.deliver(func(Msg) { panic("!") }) }},
		{"RecoverHandlers on the reader", "RecoverHandlers", func(r *reentry) {
			r.option(RecoverHandlers(func(m Msg, _ any) { r.here(m.Sub()) }))
		}, func(r *reentry) { r.deliver(func(Msg) { panic("!") }, OnReader()) }},
		{"EventHandler of a subscription", "EventHandler", nil, func(r *reentry) {
			sub, err := r.nc.SubscribeSync("e", EventHandler(func(_ *Conn, e Event) { r.here(subscriptionOf(e)) }))
			must(r.t, err)
			must(r.t, sub.Unsubscribe())
		}},
		{"range over Events", "Conn.Events", nil, func(r *reentry) {
			events := r.nc.Events(in(r.t, time.Minute))
			r.srv.Peer().Err("odd")
			for range events {
				r.here(nil)
				return
			}
		}},
		{"range over Messages", "Subscription.Messages", nil, func(r *reentry) {
			sub, err := r.nc.SubscribeSync("a")
			must(r.t, err)
			must(r.t, r.nc.Flush(in(r.t, time.Second)))
			r.srv.Deliver("a", "", "", "x")
			for range sub.Messages(in(r.t, time.Second)) {
				r.here(sub)
				return
			}
		}},
		onEvent[Connected](nil),
		onEvent[Disconnected](lost),
		onEvent[ConnectFailed](func(r *reentry) {
			r.srv.Refuse(true)
			r.lose()
			pass(time.Second)
			r.srv.Refuse(false)
		}),
		onEvent[Reconnected](lost),
		onEvent[ServersDiscovered](func(r *reentry) { r.srv.Peer().SendInfo(map[string]any{"connect_urls": []string{"c:1"}}) }),
		onEvent[LameDuck](func(r *reentry) { r.srv.Peer().SendInfo(map[string]any{"ldm": true}) }),
		onEvent[Draining](func(r *reentry) { _ = r.nc.Drain(in(r.t, time.Second)) }),
		onEvent[Closed](func(r *reentry) { _ = r.nc.Close() }),
		onEvent[SlowConsumer](func(r *reentry) {
			_, err := r.nc.SubscribeSync("slow", PendingLimits(1, 100))
			must(r.t, err)
			must(r.t, r.nc.Flush(in(r.t, time.Second)))
			send(r.srv, "slow", 0, 3)
		}),
		onEvent[SubscriptionEnded](func(r *reentry) { _ = r.sub.Unsubscribe() }),
		onEvent[AsyncError](func(r *reentry) { r.srv.Peer().Err("odd") }),
		onTrace(OpConnect, false, lost), onTrace(OpConnect, true, lost),
		onTrace(OpPublish, false, onePublish), onTrace(OpPublish, true, onePublish),
		onTrace(OpRequest, false, oneRequest), onTrace(OpRequest, true, oneRequest),
		onTrace(OpDeliver, false, func(r *reentry) { r.deliver(func(Msg) {}) }),
		onTrace(OpDeliver, true, func(r *reentry) { r.deliver(func(Msg) {}, OnReader()) }),
		{"Logger", "Logger", func(r *reentry) {
			r.option(Logger(slog.New(tellingHandler{slog.DiscardHandler, r})))
		}, func(r *reentry) { r.srv.Peer().Err("odd") }},
		{"UserInfoHandler", "UserInfoHandler", func(r *reentry) {
			r.option(UserInfoHandler(func() (string, string) { r.here(nil); return "u", "p" }))
		}, lost},
		{"TokenHandler", "TokenHandler", func(r *reentry) {
			r.option(TokenHandler(func() string { r.here(nil); return "t" }))
		}, lost},
		{"UserJWT, the JWT", "UserJWT", func(r *reentry) {
			r.option(UserJWT(func() (string, error) { r.here(nil); return u.jwt, nil }, u.sign))
		}, lost},
		{"UserJWT, the signature", "UserJWT", func(r *reentry) {
			r.srv.SetInfo("nonce", "n")
			r.option(UserJWT(func() (string, error) { return u.jwt, nil }, func(n []byte) ([]byte, error) { r.here(nil); return u.sign(n) }))
		}, lost},
		{"Nkey", "Nkey", func(r *reentry) {
			r.srv.SetInfo("nonce", "n")
			r.option(Nkey(u.public, func(n []byte) ([]byte, error) { r.here(nil); return u.sign(n) }))
		}, lost},
		{"AuthHandler", "AuthHandler", func(r *reentry) {
			r.option(AuthHandler(func(context.Context, AuthRequest) (Auth, error) { r.here(nil); return Auth{Token: "t"}, nil }))
		}, lost},
		{"AuthHandler while migrating", "AuthHandler", func(r *reentry) {
			r.option(MigrateOnLameDuck())
			r.option(Servers("other:4222"))
			r.option(AuthHandler(func(context.Context, AuthRequest) (Auth, error) { r.here(nil); return Auth{Token: "t"}, nil }))
		}, func(r *reentry) { r.srv.Peer().SendInfo(map[string]any{"ldm": true}); pass(10 * time.Second) }},
		{"Dialer", "UseDialer", func(r *reentry) {
			r.option(UseDialer(dialerFunc(func(ctx context.Context, network, address string) (net.Conn, error) {
				r.here(nil)
				return r.net.DialContext(ctx, network, address)
			})))
		}, lost},
		{"TLSDone", "UseDialer", func(r *reentry) { r.option(UseDialer(doneDialer{r})) }, lost},
		{"InProcess", "InProcess", func(r *reentry) {
			r.option(InProcess(providerFunc(func() (net.Conn, error) {
				r.here(nil)
				return r.net.DialContext(context.Background(), "tcp", "server:4222")
			})))
		}, lost},
		{"CustomReconnectDelay", "CustomReconnectDelay", func(r *reentry) {
			r.option(CustomReconnectDelay(func(int) time.Duration { r.here(nil); return time.Millisecond }))
		}, func(r *reentry) {
			r.srv.Refuse(true)
			r.lose()
			pass(time.Second)
			r.srv.Refuse(false)
		}},
		{"ReconnectToServer", "ReconnectToServer", func(r *reentry) {
			r.option(ReconnectToServer(func([]Server, ServerInfo) (string, time.Duration) { r.here(nil); return "", 0 }))
		}, lost},
		{"ClientTLSConfig, the certificate", "ClientTLSConfig", func(r *reentry) {
			secured(r)
			r.option(ClientTLSConfig(func() (tls.Certificate, error) { r.here(nil); return someCert() }, nil))
		}, lost},
		{"ClientTLSConfig, the roots", "ClientTLSConfig", func(r *reentry) {
			secured(r)
			r.option(ClientTLSConfig(nil, func() (*x509.CertPool, error) { r.here(nil); return roots() }))
		}, lost},
		{"VerifyConnection", "Secure", func(r *reentry) {
			secured(r)
			r.option(Secure(&tls.Config{VerifyConnection: func(tls.ConnectionState) error { r.here(nil); return nil }}))
		}, lost},
		{"WebSocketConnectionHeadersHandler", "WebSocketConnectionHeadersHandler", func(r *reentry) {
			r.url, r.srv = "ws://server", r.net.Host("server:80")
			r.srv.WebSocket(false)
			r.option(WebSocketConnectionHeadersHandler(func(context.Context) (http.Header, error) { r.here(nil); return nil, nil }))
		}, lost},
		{"OnDrain", "Conn.OnDrain", nil, func(r *reentry) {
			r.nc.OnDrain(func(context.Context) error { r.here(nil); return nil })
			_ = r.nc.Drain(in(r.t, time.Minute))
		}},
		{"Bind", "Msg.Bind", nil, func(r *reentry) {
			m := newTarget(r.nc, r.sub).msg.Bind(func(Msg) error { r.here(r.sub); return nil })
			_ = m.Respond(nil)
		}},
	}
}

// providerFunc is a function that is an InProcessProvider.
type providerFunc func() (net.Conn, error)

func (f providerFunc) InProcessConn() (net.Conn, error) { return f() }

// TestFigure10EveryMethodFromEveryCallback calls every method from every place
// where users' code is called. Each comes back in its time, and the Conn goes on.
// reliability A24, D7, D16
func TestFigure10EveryMethodFromEveryCallback(t *testing.T) {
	realWatchdog(t)
	var x matrix
	all := callbacks(t)
	for _, cb := range all {
		t.Run(cb.name, func(t *testing.T) {
			for _, m := range matrixMethods() {
				for _, ownSub := range []bool{false, true} {
					if ownSub && (m.recv != "Subscription" || !strings.Contains(cb.name, "andler")) {
						continue
					}
					bubble(t, func(t *testing.T) { reenter(t, &x, cb, m, ownSub) })
				}
			}
		})
	}
	figure.Print(t, 10, "50 ms", "%d calls with a context from %d callbacks outlived it by at most %v (%s)",
		x.contexts, len(all), x.worst, x.worstBy)
	figure.Print(t, 11, "100 ms; Close beyond its 2 s of flushing",
		"Close and Unsubscribe from %d callbacks, %d calls of %d methods in all, took at most %v too long (%s)",
		len(all), x.calls, len(matrixMethods()), x.worstEnd, x.worstEndBy)
}

func reenter(t *testing.T, x *matrix, cb callback, m method, ownSub bool) {
	n := fakeserver.New()
	r := &reentry{
		stage: &stage{t: t, net: n, srv: n.Host("server:4222"), other: n.Host("other:4222")},
		url:   "nats://server:4222", called: make(chan struct{}),
	}
	if cb.set != nil {
		cb.set(r)
	}
	const within = 100 * time.Millisecond
	var tg target
	r.call = func(own *Subscription) {
		use := tg
		if ownSub && own != nil {
			use.sub = own
		}
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		_ = x.call(t, cb.name, use, m, ctx, within)
	}
	if cb.trigger == nil { // it comes with the first link
		r.opts = append(r.opts, RetryOnFailedConnect(true))
		r.srv.Delay(time.Second)
	}
	nc, err := Connect(t.Context(), r.url, options(n, r.opts)...)
	must(t, err)
	finish(t, nc)
	r.nc = nc
	r.sub, err = nc.SubscribeSync("open")
	must(t, err)
	tg = newTarget(nc, r.sub)
	r.armed.Store(true)
	synctest.Wait()
	triggered := make(chan struct{})
	go func() {
		defer close(triggered)
		if cb.trigger != nil {
			cb.trigger(r)
		}
	}()
	select {
	case <-r.called:
	case <-time.After(time.Hour):
		panic(cb.name + " was not called, or did not come back from " + m.String())
	}
	<-triggered
	r.other.Refuse(true) // what follows is about one server
	pass(10 * time.Second)
	if ends(m) || nc.Status() >= StatusDraining {
		pass(10 * time.Second)
		if ends(m) && nc.Status() != StatusClosed {
			t.Errorf("%s: status %v after %v", cb.name, nc.Status(), m)
		}
		return
	}
	if err := nc.Flush(in(t, time.Minute)); err != nil {
		t.Errorf("%s: after %v: %v", cb.name, m, err)
	}
}

// ends reports whether the method ends the Conn.
func ends(m method) bool { return m.String() == "Conn.Close" || m.String() == "Conn.Drain" }

// TestCallbacksAreComplete: whatever takes users' code is in the matrix.
func TestCallbacksAreComplete(t *testing.T) {
	var have []string
	for _, cb := range callbacks(t) {
		have = append(have, cb.by)
	}
	// What is given to these is not called, or called as another one is.
	passive := map[string]string{
		"Connect": "options are asked of, not called", "Collect": "the sequences are in the matrix",
		"Conn.SubscribeSync": "options", "Conn.SubscribeChan": "options",
		"Header.All": "reads only", "Auth.Format": "reads only",
		"Conn.Tracer": "gives it back", "Conn.Logger": "gives it back",
	}
	for _, f := range exported.Funcs(t, ".") {
		takes := slices.ContainsFunc(slices.Concat(f.Params, f.Results), func(s string) bool {
			for _, code := range []string{"func(", "Handler", "Dialer", "Tracer", "Provider", "*slog.Logger", "*tls.Config", "iter."} {
				if strings.Contains(s, code) {
					return true
				}
			}
			return false
		})
		if takes && !slices.Contains(have, f.Name) && passive[f.Name] == "" {
			t.Errorf("%s takes users' code and is not in the matrix", f.Name)
		}
	}
}
