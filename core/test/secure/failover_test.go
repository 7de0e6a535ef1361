package secure

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// Three servers end one after the other. Each wants its own nonce signed, so
// credentials have to be made anew for each.
func TestFailoverWithSignatures(t *testing.T) {
	t.Parallel()
	key, op := natstest.NewKey(), natstest.NewOperator()
	creds := op.Account("A").User("joe")
	for name, server := range map[string]natstest.Option{
		"nkey": natstest.Users(natstest.User{NKey: key.PublicKey()}),
		"JWT":  op,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opt := nats.UserCredentials(creds.File(t))
			if name == "nkey" {
				opt = nats.Nkey(key.PublicKey(), func(nonce []byte) ([]byte, error) { return key.Sign(nonce), nil })
			}
			var servers []*natstest.Server
			var urls []string
			for range 3 {
				srv := ledger.Run(t, server)
				servers, urls = append(servers, srv), append(urls, srv.URL())
			}
			refused(t, urls[0], nats.ErrAuthorization)
			events, handler := ledger.NewEvents()
			nc := ledger.Connect(t, urls[0], nats.Servers(urls[1:]...), nats.DontRandomize(), handler, opt)
			sub, err := nc.SubscribeSync("x")
			if err != nil {
				t.Fatal(err)
			}
			for i, srv := range servers {
				if i > 0 {
					servers[i-1].Shutdown()
					ledger.WaitN[nats.Reconnected](t, events, i)
				}
				if got := nc.ConnectedURL(); got != urls[i] || nc.Status() != nats.StatusConnected {
					t.Fatalf("at %s, %v; want %s", got, nc.Status(), urls[i])
				}
				if err := nc.Publish("x", []byte(urls[i])); err != nil {
					t.Fatal(err)
				}
				if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != urls[i] {
					t.Errorf("server %d: %q, %v", i, m.Data, err)
				}
				ledger.SameSubscriptions(t, srv, nc, "x")
			}
		})
	}
}

// A server that waits a moment for a handshake and then says INFO takes clients
// of both kinds.
func TestHandshakeFirstOrNot(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.issue("server", &x509.Certificate{DNSNames: []string{"localhost"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	srv := ledger.Run(t, natstest.Config(fmt.Sprintf(`tls { cert_file: %q, key_file: %q, handshake_first: auto }`,
		a.file("server.pem"), a.file("server-key.pem"))))
	url := "tls://localhost:" + fmt.Sprint(srv.Port())
	roots := nats.RootCAs(a.file("ca.pem"))
	for name, opts := range map[string][]nats.Option{"first": {roots, nats.TLSHandshakeFirst()}, "after INFO": {roots}} {
		t.Run(name, func(t *testing.T) {
			nc := ledger.Connect(t, url, opts...)
			if st, ok := nc.TLSConnectionState(); !ok || !st.HandshakeComplete {
				t.Error("no TLS")
			}
			echo(t, nc)
			if err := nc.Reconnect(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is in the certificate counts, names and addresses each for themselves.
func TestNamesAndAddressesInCertificates(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	a.issue("name", &x509.Certificate{DNSNames: []string{"localhost"}, ExtKeyUsage: server})
	a.issue("address", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: server})
	for _, in := range []string{"name", "address"} {
		srv := ledger.Run(t, natstest.Config(fmt.Sprintf(`tls { cert_file: %q, key_file: %q }`, a.file(in+".pem"), a.file(in+"-key.pem"))))
		for by, host := range map[string]string{"name": "localhost", "address": "127.0.0.1"} {
			t.Run(in+" by "+by, func(t *testing.T) {
				url := strings.Replace("tls://"+srv.Addr(), "127.0.0.1", host, 1)
				if in == by {
					echo(t, ledger.Connect(t, url, nats.RootCAs(a.file("ca.pem"))))
					return
				}
				refused(t, url, nats.ErrTLS, nats.RootCAs(a.file("ca.pem")))
				var wrong x509.HostnameError
				if _, err := nats.Connect(t.Context(), url, nats.RootCAs(a.file("ca.pem")), nats.Logger(nil)); !errors.As(err, &wrong) {
					t.Errorf("the cause is not reachable: %v", err)
				}
			})
		}
	}
}
