package nats

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// secure makes a host speak TLS with a certificate for names.
func secure(t *testing.T, s *fakeserver.Server, first bool, names ...string) {
	t.Helper()
	cfg, err := fakeserver.SharedCA().Server(names...)
	must(t, err)
	s.TLS(cfg, first)
}

// trust is a configuration that trusts the test's authority.
func trust() Option { return Secure(fakeserver.SharedCA().Client()) }

// TestTLS runs the same matrix on the first connect and on a reconnect.
func TestTLS(t *testing.T) {
	type server struct {
		tls, first bool
		info       map[string]any
		names      []string
	}
	good := server{tls: true, names: []string{"server"}}
	for _, c := range []struct {
		name   string
		server server
		url    string
		opts   []Option
		want   []error // none: it works
	}{
		{"required by the server", good, "nats://server", []Option{ClientTLSConfig(nil, roots)}, nil},
		{"required by the URL", good, "tls://server", []Option{ClientTLSConfig(nil, roots)}, nil},
		{"required by an option", good, "nats://server", []Option{trust()}, nil},
		{"first", server{tls: true, first: true, names: []string{"server"}}, "nats://server", []Option{trust(), TLSHandshakeFirst()}, nil},
		{"unknown authority", good, "tls://server", nil, []error{ErrTLS}},
		{"wrong name", server{tls: true, names: []string{"other"}}, "tls://server", []Option{trust()}, []error{ErrTLS}},
		{"name of INFO", server{tls: true, names: []string{"evil"}, info: map[string]any{"host": "evil"}}, "tls://server", []Option{trust()}, []error{ErrTLS}},
		{"not offered", server{}, "tls://server", []Option{trust()}, []error{ErrSecureNotOffered}},
		{"not offered, option", server{}, "nats://server", []Option{trust()}, []error{ErrSecureNotOffered}},
		{"first, and the server is not", good, "nats://server", []Option{trust(), TLSHandshakeFirst()}, []error{ErrTLS}},
		{"the server is first, we are not", server{tls: true, first: true, names: []string{"server"}}, "tls://server", []Option{trust()}, []error{errDeadline}},
	} {
		for _, reconnect := range []bool{false, true} {
			t.Run(c.name+map[bool]string{true: "/reconnect"}[reconnect], func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := fakeserver.New()
					t.Cleanup(n.Wait)
					s := n.Host("server:4222")
					opts := options(n, append([]Option{UserInfo("u", "s3cret")}, c.opts...))
					log := &eventLog{}
					opts = append(opts, log.option())
					arm := func() {
						for k, v := range c.server.info {
							s.SetInfo(k, v)
						}
						if c.server.tls {
							secure(t, s, c.server.first, c.server.names...)
						}
					}
					var err error
					var nc *Conn
					if !reconnect {
						arm()
						nc, err = Connect(t.Context(), c.url, opts...)
						if err == nil {
							finish(t, nc)
						}
					} else {
						// The first attempt meets nobody; the rest is retried.
						s.Refuse(true)
						nc, err = Connect(t.Context(), c.url, append(opts, RetryOnFailedConnect(true))...)
						must(t, err)
						finish(t, nc)
						pass(time.Second)
						arm()
						s.Refuse(false)
						if err = nc.Flush(in(t, time.Minute)); err != nil {
							fails := of[ConnectFailed](log)
							err = fails[len(fails)-1].Err
						}
					}
					if len(c.want) == 0 {
						must(t, err)
						st, ok := nc.TLSConnectionState()
						if !ok || st.ServerName != "server" || !strings.Contains(document(t, s), `"tls_required":true`) {
							t.Errorf("TLS %v, for %q", ok, st.ServerName)
						}
						return
					}
					isErr(t, err, c.want...)
					for _, p := range s.Peers() {
						if strings.Contains(p.Raw(), "CONNECT") || strings.Contains(p.Raw(), "s3cret") {
							t.Errorf("credentials left: %q", p.Raw())
						}
					}
				})
			})
		}
	}
}

func roots() (*x509.CertPool, error) { return fakeserver.SharedCA().Roots, nil }

// TestTLSErrorsStayReachable: crypto/x509's own errors are in the chain.
func TestTLSErrorsStayReachable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		secure(t, s, false, "other")
		_, err := Connect(t.Context(), "tls://server", options(n, []Option{trust()})...)
		var host x509.HostnameError
		if !errors.As(err, &host) || host.Host != "server" {
			t.Errorf("error %v", err)
		}
	})
}

// TestNothingInjectedBeforeTLS: bytes between INFO and the handshake end it.
func TestNothingInjectedBeforeTLS(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		cfg, err := fakeserver.SharedCA().Server("server")
		must(t, err)
		s.Script(func(p *fakeserver.Peer) {
			p.Send("INFO {\"tls_required\":true}\r\nPONG\r\nMSG a 1 1\r\nx\r\n")
			_ = p.StartTLS(cfg)
		})
		_, err = Connect(t.Context(), "tls://server", options(n, []Option{trust()})...)
		isErr(t, err, ErrTLS)
	})
}

// TestTopologyFromInsideTLSOnly: with TLS, an INFO that was read in clear names
// no servers; one that was read inside does.
func TestTopologyFromInsideTLSOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a, evil, b := n.Host("a:1"), n.Host("evil:2"), n.Host("10.0.0.7:3")
		secure(t, a, false, "a")
		secure(t, evil, false, "evil") // a valid certificate of the same authority
		secure(t, b, false, "a")
		a.SetInfo("connect_urls", []string{"evil:2"}).SetInfo("ws_connect_urls", []string{"evil:80"})
		a.On("PING", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
			a.On("PING", nil)
			p.Send("PONG\r\n")
			p.SendInfo(map[string]any{"connect_urls": []string{"a:1", "10.0.0.7:3"}})
			return true
		})
		log := &eventLog{}
		nc := connectTo(t, n, "tls://u:s3cret@a:1", trust(), log.option())
		for _, s := range nc.Servers() {
			if strings.Contains(s.URL, "evil") {
				t.Errorf("servers %+v", nc.Servers())
			}
		}
		if e := one[ServersDiscovered](t, log); len(e.Added) != 1 || e.Added[0].URL != "tls://10.0.0.7:3" {
			t.Errorf("event %+v", e)
		}
		if es := of[AsyncError](log); len(es) != 0 {
			t.Errorf("a warning in spite of TLS: %v", es)
		}
		pass(2 * time.Second)
		a.Stop()
		synctest.Wait()
		// The address is an IP, so the certificate must be for the name we know.
		if nc.ConnectedURL() != "tls://10.0.0.7:3" {
			t.Errorf("at %q: %+v", nc.ConnectedURL(), nc.Servers())
		}
		st, _ := nc.TLSConnectionState()
		if st.ServerName != "a" || evil.Peer() != nil {
			t.Errorf("name %q, evil was called: %v", st.ServerName, evil.Peer() != nil)
		}
	})
}

// TestCertificatesAreAskedForEachTime, so that they may be rotated.
func TestCertificatesAreAskedForEachTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		secure(t, s, false, "server")
		certs, pools := 0, 0
		nc := connect(t, n, ClientTLSConfig(
			func() (tls.Certificate, error) { certs++; return tls.Certificate{}, nil },
			func() (*x509.CertPool, error) { pools++; return roots() }))
		lose(s)
		must(t, nc.Flush(in(t, time.Minute)))
		if certs != 2 || pools != 2 {
			t.Errorf("asked %d and %d times", certs, pools)
		}
	})
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		secure(t, s, false, "server")
		bad := errors.New("no certificate today")
		_, err := Connect(t.Context(), "server", options(n, []Option{ClientTLSConfig(
			func() (tls.Certificate, error) { return tls.Certificate{}, bad }, nil)})...)
		isErr(t, err, ErrTLS, bad)
	})
}

// TestLossOverTLS: a failed write over TLS is unknown as a whole.
func TestLossOverTLS(t *testing.T) {
	for _, k := range []int{0, 1, 50, 5000} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			secure(t, s, false, "server")
			nc := connectTo(t, n, "tls://server", trust())
			s.Peer().CutAfter(k, false)
			for range 5 {
				must(t, nc.Publish("a", make([]byte, 2000)))
			}
			_ = nc.Flush(in(t, time.Minute))
			flush(t, nc)
			st := nc.Stats()
			if st.OutConfirmed+st.OutUnknown != 5 || st.OutUnknown == 0 {
				t.Errorf("cut after %d: %+v", k, st)
			}
			if got := len(s.Payloads("a")); uint64(got) < st.OutConfirmed {
				t.Errorf("cut after %d: %d arrived, %+v", k, got, st)
			}
			checkLedger(t, nc)
		})
	}
}

// TestTLSIsNotLostOnAReconnect: a server that spoke TLS and now says that it
// needs none, as somebody on the path might, does not get secrets in clear:
// neither when TLS was asked for nor when the server had demanded it. The same
// holds for servers that it named inside TLS.
func TestTLSIsNotLostOnAReconnect(t *testing.T) {
	for _, scheme := range []string{"tls", "nats"} {
		t.Run(scheme, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				secure(t, s, false, "server", "other")
				s.SetInfo("tls_required", true)
				other := n.Host("other:4222")
				log := &eventLog{}
				nc := connectTo(t, n, scheme+"://u:s3cret@server", log.option(), option("SystemRoots", func(c *config) {
					c.tls = fakeserver.SharedCA().Client() // TLS is not asked for
				}))
				s.Peer().SendInfo(map[string]any{"connect_urls": []string{"other:4222"}})
				synctest.Wait()
				s.TLS(nil, false)
				s.SetInfo("tls_required", nil)
				lose(s)
				isErr(t, nc.Flush(in(t, 10*time.Second)), errDeadline)
				for name, host := range map[string]*fakeserver.Server{"server": s, "other": other} {
					if p := host.Peer(); p == nil || strings.Contains(p.Raw(), "CONNECT") {
						t.Errorf("%s was not dialed, or got more than it should", name)
					}
				}
				for _, e := range of[ConnectFailed](log) {
					isErr(t, e.Err, ErrSecureNotOffered)
				}
			})
		})
	}
}
