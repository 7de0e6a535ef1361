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

// certificates are those of a certificate authority made for one server or
// cluster, in a directory and in memory. The zero value has none. The exported
// methods are those of Server, Cluster and Process.
type certificates struct {
	dir    string
	pool   *x509.CertPool
	client tls.Certificate
}

// CAFile returns the path of the CA's certificate in PEM, or "" without TLS.
// The file is removed by Stop.
func (c *certificates) CAFile() string { return c.path("ca.pem") }

// ClientCertFiles returns the paths of a client certificate signed by the CA
// and of its key, both in PEM, or "" twice without TLS. The subject is
// CN=natstest-client,O=natstest, the email address client@localhost, the DNS
// name localhost. The files are removed by Stop.
func (c *certificates) ClientCertFiles() (cert, key string) {
	return c.path("client.pem"), c.path("client.key")
}

// CA returns a pool with the CA's certificate alone, or nil without TLS. Each
// call makes a new one.
func (c *certificates) CA() *x509.CertPool {
	if c.pool == nil {
		return nil
	}
	return c.pool.Clone()
}

// ClientCert returns the client certificate of ClientCertFiles, or a zero one
// without TLS.
func (c *certificates) ClientCert() tls.Certificate { return c.client }

// ClientTLSConfig returns a configuration that trusts the CA and presents the
// client certificate, or nil without TLS. Each call makes a new one.
func (c *certificates) ClientTLSConfig() *tls.Config {
	if c.pool == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:   tls.VersionTLS12,
		RootCAs:      c.CA(),
		Certificates: []tls.Certificate{c.client},
	}
}

func (c *certificates) path(name string) string {
	if c.dir == "" {
		return ""
	}
	return filepath.Join(c.dir, name)
}

// loadCerts reads what makeCerts wrote to dir; "" gives none.
func loadCerts(dir string) (certificates, error) {
	c := certificates{dir: dir}
	if dir == "" {
		return c, nil
	}
	text, err := os.ReadFile(c.CAFile())
	if err != nil {
		return certificates{}, err
	}
	c.pool = x509.NewCertPool()
	c.pool.AppendCertsFromPEM(text)
	c.client, err = tls.LoadX509KeyPair(c.ClientCertFiles())
	return c, err
}

// serverTLSConfig is the server's side; the client's is ClientTLSConfig.
func (c *certificates) serverTLSConfig() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(c.path("server.pem"), c.path("server.key"))
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, ClientCAs: c.pool}, nil
}

// makeCerts writes a new CA, a server's and a client's certificate to dir.
func makeCerts(dir string) error {
	c := certificates{dir: dir}
	ca, err := newAuthority()
	if err != nil {
		return fmt.Errorf("make a CA: %w", err)
	}
	if err := writePEM(c.CAFile(), "CERTIFICATE", ca.cert.Raw); err != nil {
		return err
	}
	server := leaf("natstest-server", x509.ExtKeyUsageServerAuth)
	if err := ca.issue(server, c.path("server.pem"), c.path("server.key")); err != nil {
		return fmt.Errorf("make a server certificate: %w", err)
	}
	client := leaf("natstest-client", x509.ExtKeyUsageClientAuth)
	client.EmailAddresses = []string{"client@localhost"}
	if err := ca.issue(client, c.path("client.pem"), c.path("client.key")); err != nil {
		return fmt.Errorf("make a client certificate: %w", err)
	}
	return nil
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
