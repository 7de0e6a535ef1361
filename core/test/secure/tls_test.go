package secure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

func echo(t testing.TB, nc *nats.Conn) {
	t.Helper()
	if _, err := nc.Subscribe("echo", func(m nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 300_000)
	m, err := nc.Request(t.Context(), "echo", data)
	if err != nil || len(m.Data) != len(data) {
		t.Fatalf("%d bytes, %v", len(m.Data), err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	plain := ledger.Run(t)
	required := ledger.Run(t, natstest.TLS())
	mutual := ledger.Run(t, natstest.TLS(), natstest.TLSVerify())
	first := ledger.Run(t, natstest.TLS(), natstest.TLSHandshakeFirst())
	optional := ledger.Run(t, natstest.TLS(), natstest.AllowNonTLS())
	asPlain := func(u string) string { return strings.Replace(u, "tls://", "nats://", 1) }
	asTLS := func(u string) string { return strings.Replace(u, "nats://", "tls://", 1) }
	mcert, mkey := mutual.ClientCertFiles()

	t.Run("works", func(t *testing.T) {
		for name, tc := range map[string]struct {
			url  string
			opts []nats.Option
			tls  bool
		}{
			"tls URL":               {asTLS(required.URL()), []nats.Option{nats.RootCAs(required.CAFile())}, true},
			"server requires":       {asPlain(required.URL()), []nats.Option{nats.Secure(&tls.Config{RootCAs: required.CA()})}, true},
			"roots by callback":     {asPlain(required.URL()), []nats.Option{nats.ClientTLSConfig(nil, func() (*x509.CertPool, error) { return required.CA(), nil })}, true},
			"client certificate":    {asTLS(mutual.URL()), []nats.Option{nats.RootCAs(mutual.CAFile()), nats.ClientCert(mcert, mkey)}, true},
			"TLS first":             {asTLS(first.URL()), []nats.Option{nats.RootCAs(first.CAFile()), nats.TLSHandshakeFirst()}, true},
			"optional, not wanted":  {asPlain(optional.URL()), nil, false},
			"optional, wanted":      {asTLS(optional.URL()), []nats.Option{nats.RootCAs(optional.CAFile())}, true},
			"none":                  {plain.URL(), nil, false},
			"done by the dialer":    {asPlain(first.URL()), []nats.Option{nats.UseDialer(tlsDialer{first.ClientTLSConfig()})}, true},
			"config with its name":  {asTLS(required.URL()), []nats.Option{nats.Secure(&tls.Config{RootCAs: required.CA(), ServerName: "localhost"})}, true},
			"unverified, by config": {asTLS(required.URL()), []nats.Option{nats.Secure(&tls.Config{InsecureSkipVerify: true})}, true},
		} {
			t.Run(name, func(t *testing.T) {
				nc := ledger.Connect(t, tc.url, tc.opts...)
				if _, ok := nc.TLSConnectionState(); ok != tc.tls {
					t.Errorf("TLS: %v", ok)
				}
				echo(t, nc)
			})
		}
	})
	t.Run("fails", func(t *testing.T) {
		for name, tc := range map[string]struct {
			url  string
			opts []nats.Option
			want error
		}{
			"unknown authority": {asTLS(required.URL()), nil, nats.ErrTLS},
			"wrong name":        {asTLS(required.URL()), []nats.Option{nats.Secure(&tls.Config{RootCAs: required.CA(), ServerName: "other.example"})}, nats.ErrTLS},
			"not offered":       {asTLS(plain.URL()), nil, nats.ErrSecureNotOffered},
			"no certificate":    {asTLS(mutual.URL()), []nats.Option{nats.RootCAs(mutual.CAFile())}, nil},
			"first, but is not": {plain.URL(), []nats.Option{nats.TLSHandshakeFirst()}, nats.ErrTLS},
			"is first, but not": {asTLS(first.URL()), []nats.Option{nats.RootCAs(first.CAFile()), nats.Timeout(300 * time.Millisecond)}, context.DeadlineExceeded},
		} {
			t.Run(name, func(t *testing.T) {
				nc, err := nats.Connect(t.Context(), tc.url, append(tc.opts, nats.Logger(nil))...)
				if err == nil {
					_ = nc.Close()
					t.Fatal("connected")
				}
				if tc.want != nil && !errors.Is(err, tc.want) {
					t.Errorf("%v", err)
				}
			})
		}
		var unknown x509.UnknownAuthorityError
		_, err := nats.Connect(t.Context(), asTLS(required.URL()), nats.Logger(nil))
		if !errors.As(err, &unknown) {
			t.Errorf("the cause is not reachable: %v", err)
		}
	})
}

type tlsDialer struct{ cfg *tls.Config }

func (d tlsDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	cfg := d.cfg.Clone()
	cfg.ServerName = "localhost"
	return (&tls.Dialer{Config: cfg}).DialContext(ctx, network, address)
}

func (tlsDialer) TLSDone() bool { return true }

// Certificates are asked for at each attempt, so they may be rotated.
func TestCertificatesAreAskedAgain(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.TLS(), natstest.TLSVerify())
	var asked atomic.Int64
	nc := ledger.Connect(t, srv.URL(), nats.ClientTLSConfig(
		func() (tls.Certificate, error) { asked.Add(1); return srv.ClientCert(), nil },
		func() (*x509.CertPool, error) { return srv.CA(), nil },
	))
	if err := nc.Reconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	echo(t, nc)
}

// Frames of a TLS link that fails are unknown, never sent twice; the ledger of
// the connection stays exact.
func TestTLSLinkLost(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.TLS())
	proxy := natstest.RunProxy(t, srv.Addr())
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, "tls://"+proxy.Addr(), nats.RootCAs(srv.CAFile()), handler, nats.ReconnectBufSize(16<<20))
	watcher := ledger.Connect(t, srv.URL(), nats.RootCAs(srv.CAFile()), nats.Name("watcher"))
	ledger.Cuts(t, nc, watcher, events, "t", make([]byte, 2000), proxy.CutNow, proxy.CutNow)
}

// A server that does not like the client's certificate, or lack of one, is a
// TLS error, although with TLS 1.3 the handshake itself went well.
func TestRefusedCertificateIsTLSError(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.TLS(), natstest.TLSVerify())
	_, err := nats.Connect(t.Context(), srv.URL(), nats.RootCAs(srv.CAFile()), nats.Logger(nil))
	if !errors.Is(err, nats.ErrTLS) {
		t.Errorf("%v", err)
	}
}
