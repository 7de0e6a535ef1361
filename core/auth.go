package nats

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/perigee-go/nats/core/internal/creds"
	"github.com/perigee-go/nats/core/internal/reconnect"
	"github.com/perigee-go/nats/core/internal/wire"
)

// connectDocument makes CONNECT for a server: who we are and what we can. srv is
// the caller's. Callbacks are asked here, once an attempt.
func (c *config) connectDocument(ctx context.Context, srv *reconnect.Server, info *wire.Info, secure bool) ([]byte, error) {
	a, err := c.credentials(ctx, srv, info, secure)
	if err != nil {
		return nil, err
	}
	doc := wire.Connect{
		Verbose: c.verbose, Pedantic: c.pedantic, Echo: !c.noEcho,
		Headers: info.Headers, NoResponders: info.Headers, TLSRequired: secure,
		Protocol: 1, Lang: "go", Version: Version, Name: c.name,
		User: a.User, Password: a.Password, Token: a.Token, JWT: a.JWT, Nkey: a.Nkey, Signature: a.Signature,
	}
	return doc.Document()
}

// credentials are what this server gets. An AuthHandler decides alone. Else user
// info in the URL wins over that of options, and a JWT or an nkey stands beside
// it: a server with an auth callout may want both.
func (c *config) credentials(ctx context.Context, srv *reconnect.Server, info *wire.Info, secure bool) (a Auth, err error) {
	if c.auth != nil {
		a, err = c.auth(ctx, AuthRequest{publicServer(srv, false), publicInfo(info), []byte(info.Nonce), secure})
		if err != nil {
			return Auth{}, &credentialsError{option: "AuthHandler", err: err}
		}
		return a, nil
	}
	switch {
	case srv.User != nil:
		if password, ok := srv.User.Password(); ok {
			a.User, a.Password = srv.User.Username(), password
		} else {
			a.Token = srv.User.Username()
		}
	case c.userInfo != nil:
		a.User, a.Password = c.userInfo()
	case c.token != nil:
		a.Token = c.token()
	}
	if c.signed == nil {
		return a, nil
	}
	if c.needNonce && info.Nonce == "" {
		return Auth{}, &credentialsError{option: c.signedBy, err: errNoNonce}
	}
	s, err := c.signed([]byte(info.Nonce))
	if err != nil {
		return Auth{}, &credentialsError{option: c.signedBy, err: err}
	}
	a.JWT, a.Nkey, a.Signature = s.jwt, s.nkey, base64.RawURLEncoding.EncodeToString(s.signature)
	return a, nil
}

// signed is what proves that we are a user: an nkey or a JWT, and a signature.
type signed struct {
	jwt, nkey string
	signature []byte
}

// sign records how to prove who we are; there can be only one way.
func (c *config) sign(by string, needNonce bool, f func(nonce []byte) (signed, error)) (problem string) {
	if c.signedBy != "" && c.signedBy != by {
		return "cannot stand beside " + c.signedBy
	}
	c.signed, c.signedBy, c.needNonce = f, by, needNonce
	return ""
}

// identify is sign with credentials that are loaded for each signature, and
// once now, to see that they are there.
func (c *config) identify(by string, load func() (*creds.Credentials, error), jwt bool) (problem string) {
	cr, err := load()
	if err != nil {
		return err.Error()
	}
	cr.Wipe()
	return c.sign(by, !jwt, func(nonce []byte) (signed, error) {
		cr, err := load()
		if err != nil {
			return signed{}, &fileError{&OptionError{by, err.Error()}, err}
		}
		defer cr.Wipe()
		a := signed{jwt: cr.JWT()}
		if !jwt {
			if a.nkey, err = cr.PublicKey(); err != nil {
				return signed{}, err
			}
		}
		if len(nonce) > 0 {
			a.signature, err = cr.Sign(nonce)
		}
		return a, err
	})
}

var (
	errNoNonce     = fmt.Errorf("%w: the server sent no nonce to sign, it knows no nkeys", ErrAuthorization)
	errNoJWT       = errors.New("the function returned no JWT")
	errNoSignature = errors.New("the function returned no signature")
)

// credentialsError: there were no credentials to send, so nothing was sent. What
// hands it to the user puts "nats: " in front.
type credentialsError struct {
	option string
	err    error
}

func (e *credentialsError) Error() string {
	text := strings.TrimPrefix(e.err.Error(), "nats: ")
	if _, ok := e.err.(*fileError); ok {
		return text // it names the option
	}
	return e.option + ": " + text
}

func (e *credentialsError) Unwrap() error { return e.err }

// fileError is an option that was good when Connect looked.
type fileError struct {
	*OptionError
	cause error
}

func (e *fileError) Unwrap() []error { return []error{e.OptionError, e.cause} }

// outline tells which fields are set.
func (a Auth) outline() string {
	var set []string
	for _, f := range []struct{ name, value string }{
		{"user", a.User}, {"password", a.Password}, {"token", a.Token}, {"JWT", a.JWT}, {"nkey", a.Nkey}, {"signature", a.Signature},
	} {
		if f.value != "" {
			set = append(set, f.name)
		}
	}
	if set == nil {
		return "no credentials"
	}
	return "credentials: " + strings.Join(set, ", ")
}

// hasSecret reports whether what srv is sent would hold a secret, or what opens
// the door to whoever passes it on.
func (c *config) hasSecret(srv *reconnect.Server) bool {
	if srv.WebSocket() && (c.webSocket.header != nil || c.webSocket.headerFunc != nil) {
		return true
	}
	return srv.User != nil || c.userInfo != nil || c.token != nil || c.signed != nil || c.auth != nil
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
