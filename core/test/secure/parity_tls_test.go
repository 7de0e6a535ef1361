package secure

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Files are read again at each attempt: what stands in them now counts.
func TestParityFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.TLS(), natstest.TLSVerify())
	other := ledger.Run(t, natstest.TLS())
	cert, key := srv.ClientCertFiles()
	otherCert, otherKey := other.ClientCertFiles()
	for name, file := range map[string]struct{ right, wrong []string }{
		"roots":       {[]string{srv.CAFile(), "ca"}, []string{other.CAFile(), "ca"}},
		"certificate": {[]string{cert, "cert", key, "key"}, []string{otherCert, "cert", otherKey, "key"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put := func(pairs []string) {
				for i := 0; i < len(pairs); i += 2 {
					copyFile(t, pairs[i], filepath.Join(dir, pairs[i+1]))
				}
			}
			put([]string{srv.CAFile(), "ca", cert, "cert", key, "key"})
			events, handler := ledger.NewEvents()
			nc := ledger.Connect(t, srv.URL(), handler, nats.RootCAs(filepath.Join(dir, "ca")),
				nats.ClientCert(filepath.Join(dir, "cert"), filepath.Join(dir, "key")), nats.ReconnectBackoff(0, 10*time.Millisecond))
			put(file.wrong)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- nc.Reconnect(ctx) }()
			if e := ledger.Wait[nats.ConnectFailed](t, events); e.Err == nil {
				t.Errorf("%+v", e)
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("with another file: %v", err)
			}
			put(file.right)
			if err := nc.Reconnect(t.Context()); err != nil {
				t.Error(err)
			}
			echo(t, nc)
		})
	}
}

// Certificate and key may stand in one file, the roots beside them.
func TestParityOneFile(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.TLS(), natstest.TLSVerify())
	cert, key := srv.ClientCertFiles()
	var all []byte
	for _, f := range []string{cert, key, srv.CAFile()} {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all = append(append(all, data...), '\n')
	}
	file := filepath.Join(t.TempDir(), "all.pem")
	if err := os.WriteFile(file, all, 0o600); err != nil {
		t.Fatal(err)
	}
	nc := ledger.Connect(t, srv.URL(), nats.RootCAs(file), nats.ClientCert(file, file))
	echo(t, nc)
}

// What a tls.Config says about versions, ciphers and curves is what is spoken.
func TestParityCiphers(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.TLS())
	const cipher = tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
	const cipherRSA = tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
	cfg := &tls.Config{RootCAs: srv.CA(), MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{cipher, cipherRSA}}
	nc := ledger.Connect(t, srv.URL(), nats.Secure(cfg))
	state, ok := nc.TLSConnectionState()
	if !ok || state.Version != tls.VersionTLS12 || state.CipherSuite != cipher && state.CipherSuite != cipherRSA {
		t.Errorf("TLS %v, version %x, cipher %s", ok, state.Version, tls.CipherSuiteName(state.CipherSuite))
	}
	if info := nc.ServerInfo(); !info.TLSRequired || info.TLSVerify {
		t.Errorf("the server says %+v", info)
	}
	cfg.RootCAs = x509.NewCertPool() // it was cloned
	if err := nc.Reconnect(t.Context()); err != nil {
		t.Error(err)
	}
}

// The system's roots count where no others are given, and a server that
// requires TLS gets it unasked. The roots of a process are read once, so this
// takes one of its own.
func TestParitySystemRoots(t *testing.T) {
	const variable = "PERIGEE_PARITY_SERVER"
	if url := os.Getenv(variable); url != "" {
		for _, c := range []struct {
			url  string
			opts []nats.Option
		}{{url, nil}, {"nats://" + url[len("tls://"):], nil}, {"nats://" + url[len("tls://"):], []nats.Option{nats.Secure()}}} {
			nc := ledger.Connect(t, c.url, c.opts...)
			if _, ok := nc.TLSConnectionState(); !ok || !nc.ServerInfo().TLSRequired {
				t.Errorf("%s without TLS", c.url)
			}
			echo(t, nc)
		}
		return
	}
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the roots of this system are not files that a variable names")
	}
	srv := ledger.Run(t, natstest.TLS())
	url := "tls://" + srv.Addr()
	for _, trusted := range []bool{true, false} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestParitySystemRoots$", "-test.count=1")
		roots := filepath.Join(t.TempDir(), "none")
		if trusted {
			roots = srv.CAFile()
		}
		cmd.Env = append(os.Environ(), variable+"="+url, "SSL_CERT_FILE="+roots, "SSL_CERT_DIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if (err == nil) != trusted || !trusted && !strings.Contains(string(out), "unknown authority") {
			t.Errorf("trusted %v: %v\n%s", trusted, err, out)
		}
	}
}

// authority makes certificates for one test.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes name.pem and name-key.pem.
func (a *authority) issue(name string, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	c.Subject = pkix.Name{CommonName: name}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + "-key.pem": {Type: "PRIVATE KEY", Bytes: pkcs}} {
		if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return parsed, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// The server knows the user by the certificate, and by nothing else.
func TestParityKnownByCertificate(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.issue("server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	for _, name := range []string{"joe", "eve"} {
		a.issue(name, &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	srv := ledger.Run(t, natstest.Config(fmt.Sprintf(`
		tls { cert_file: %q, key_file: %q, ca_file: %q, verify_and_map: true }
		authorization { users: [ { user: "CN=joe", permissions: { publish: { deny: "secret" } } } ] }`,
		a.file("server.pem"), a.file("server-key.pem"), a.file("ca.pem"))))
	url := "tls://" + srv.Addr()
	roots := nats.RootCAs(a.file("ca.pem"))
	joe := nats.ClientCert(a.file("joe.pem"), a.file("joe-key.pem"))

	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, url, roots, joe, handler)
	echo(t, nc)
	if err := nc.Publish("secret", nil); err != nil {
		t.Fatal(err)
	}
	if e := ledger.Wait[nats.AsyncError](t, events); !errors.Is(e.Err, nats.ErrPermission) {
		t.Errorf("joe's permissions do not count: %v", e)
	}
	cert, err := tls.LoadX509KeyPair(a.file("joe.pem"), a.file("joe-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	byFunction := nats.ClientTLSConfig(func() (tls.Certificate, error) { return cert, nil }, nil)
	echo(t, ledger.Connect(t, url, roots, byFunction, nats.Name("by function")))

	_, err = nats.Connect(t.Context(), url, roots, nats.ClientCert(a.file("eve.pem"), a.file("eve-key.pem")), nats.Logger(nil))
	if !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("a certificate of nobody: %v", err)
	}
}

// A dialer that has done TLS itself: nothing is laid over it.
func TestParityDialerWithTLS(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.TLS(), natstest.TLSHandshakeFirst())
	nc := ledger.Connect(t, "nats://"+srv.Addr(), nats.UseDialer(tlsDialer{srv.ClientTLSConfig()}))
	if state, ok := nc.TLSConnectionState(); !ok || !state.HandshakeComplete {
		t.Error("the dialer's TLS is not seen")
	}
	echo(t, nc)
}
