package nats

import (
	"crypto/tls"
	"fmt"

	"github.com/perigee-go/nats/core/internal/reconnect"
	"github.com/perigee-go/nats/core/internal/wire"
)

// connectDocument makes CONNECT for a server: who we are and what we can.
// Callbacks are asked here, once an attempt.
func (c *config) connectDocument(srv *reconnect.Server, info *wire.Info, secure bool) ([]byte, error) {
	doc := wire.Connect{
		Verbose: c.verbose, Pedantic: c.pedantic, Echo: !c.noEcho,
		Headers: info.Headers, NoResponders: info.Headers, TLSRequired: secure,
		Protocol: 1, Lang: "go", Version: Version, Name: c.name,
	}
	switch {
	case srv.User != nil:
		if password, ok := srv.User.Password(); ok {
			doc.User, doc.Password = srv.User.Username(), password
		} else {
			doc.Token = srv.User.Username()
		}
	case c.userInfo != nil:
		doc.User, doc.Password = c.userInfo()
	case c.token != nil:
		doc.Token = c.token()
	}
	return doc.Document()
}

// hasSecret reports whether CONNECT to srv would hold a secret.
func (c *config) hasSecret(srv *reconnect.Server) bool {
	return srv.User != nil || c.userInfo != nil || c.token != nil
}

// tlsConfig makes the TLS configuration of one attempt. Certificates and roots
// are asked for anew, so that they may be rotated.
func (c *config) tlsConfig(name string) (*tls.Config, error) {
	var cfg *tls.Config
	if c.tls != nil {
		cfg = c.tls.Clone()
	} else {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if cfg.ServerName == "" {
		cfg.ServerName = name
	}
	if c.roots != nil {
		roots, err := c.roots()
		if err != nil {
			return nil, fmt.Errorf("root certificates: %w", err)
		}
		cfg.RootCAs = roots
	}
	if c.cert != nil {
		cert, err := c.cert()
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg, nil
}
