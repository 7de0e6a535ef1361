package natstest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certFiles names the PEM files of a certificate authority made for one server
// or cluster. The zero value has none. Its methods are those of Server,
// Cluster and Process.
type certFiles struct {
	dir string
}

func (c certFiles) path(name string) string {
	if c.dir == "" {
		return ""
	}
	return filepath.Join(c.dir, name)
}

// CAFile returns the path of the CA's certificate in PEM, or "" without TLS.
// The file is removed by Stop.
func (c certFiles) CAFile() string { return c.path("ca.pem") }

// ClientCertFiles returns the paths of a client certificate signed by the CA
// and of its key, both in PEM, or "" twice without TLS. The certificate names
// localhost and has the email address client@localhost, the subject
// CN=natstest-client. The files are removed by Stop.
func (c certFiles) ClientCertFiles() (cert, key string) {
	return c.path("client.pem"), c.path("client.key")
}

// CA returns a pool with the CA's certificate alone, or nil without TLS.
func (c certFiles) CA() *x509.CertPool {
	if c.dir == "" {
		return nil
	}
	pool, err := c.pool()
	if err != nil {
		return nil
	}
	return pool
}

// ClientCert returns the client certificate of ClientCertFiles, or a zero one
// without TLS.
func (c certFiles) ClientCert() tls.Certificate {
	if c.dir == "" {
		return tls.Certificate{}
	}
	cert, err := tls.LoadX509KeyPair(c.ClientCertFiles())
	if err != nil {
		return tls.Certificate{}
	}
	return cert
}

// ClientTLSConfig returns a configuration that trusts the CA and presents the
// client certificate, or nil without TLS. Each call makes a new one.
func (c certFiles) ClientTLSConfig() *tls.Config {
	if c.dir == "" {
		return nil
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		RootCAs:      c.CA(),
		Certificates: []tls.Certificate{c.ClientCert()},
	}
}

func (c certFiles) pool() (*x509.CertPool, error) {
	text, err := os.ReadFile(c.CAFile())
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return pool, nil
}

// serverTLSConfig is the server's side; the client's is ClientTLSConfig.
func (c certFiles) serverTLSConfig() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(c.path("server.pem"), c.path("server.key"))
	if err != nil {
		return nil, fmt.Errorf("server certificate: %w", err)
	}
	pool, err := c.pool()
	if err != nil {
		return nil, fmt.Errorf("server's CA: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, ClientCAs: pool}, nil
}

// makeCerts writes a new CA, a server's and a client's certificate to dir.
func makeCerts(dir string) (certFiles, error) {
	c := certFiles{dir: dir}
	ca, err := newAuthority()
	if err != nil {
		return certFiles{}, fmt.Errorf("make a CA: %w", err)
	}
	if err := writePEM(c.CAFile(), "CERTIFICATE", ca.cert.Raw); err != nil {
		return certFiles{}, err
	}
	server := leaf("natstest-server", x509.ExtKeyUsageServerAuth)
	if err := ca.issue(server, c.path("server.pem"), c.path("server.key")); err != nil {
		return certFiles{}, fmt.Errorf("make a server certificate: %w", err)
	}
	client := leaf("natstest-client", x509.ExtKeyUsageClientAuth)
	client.EmailAddresses = []string{"client@localhost"}
	if err := ca.issue(client, c.path("client.pem"), c.path("client.key")); err != nil {
		return certFiles{}, fmt.Errorf("make a client certificate: %w", err)
	}
	return c, nil
}

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := certTemplate("natstest CA")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key}, nil
}

// issue signs template with a new key and writes both.
func (a *authority) issue(template *x509.Certificate, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := writePEM(certFile, "CERTIFICATE", raw); err != nil {
		return err
	}
	return writePEM(keyFile, "PRIVATE KEY", rawKey)
}

func leaf(name string, usage x509.ExtKeyUsage) *x509.Certificate {
	template := certTemplate(name)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{usage}
	template.DNSNames = []string{"localhost"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	return template
}

func certTemplate(name string) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand does not fail
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: []string{"natstest"}},
		NotBefore:    time.Now().Add(-time.Hour), // machines whose clocks differ
		NotAfter:     time.Now().Add(7 * 24 * time.Hour),
	}
}

func writePEM(path, kind string, raw []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600)
}
