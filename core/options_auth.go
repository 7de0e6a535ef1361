package nats

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/perigee-go/nats/core/internal/creds"
)

// UserInfo authenticates with a user and a password. User info in a server's URL
// wins for that server.
func UserInfo(user, password string) Option {
	return userInfo("UserInfo", func() (string, string) { return user, password })
}

// UserInfoHandler is asked for user and password at each attempt to connect. It
// must not block for long: the server waits 2 s for credentials by default.
func UserInfoHandler(f func() (user, password string)) Option { return userInfo("UserInfoHandler", f) }

func userInfo(name string, f func() (string, string)) Option {
	return connOption{name, func(c *config) string {
		if by := c.userInfoBy; by != "" && by != name {
			return "cannot stand beside " + by
		}
		c.userInfo, c.userInfoBy = f, name
		return needFunc(f == nil)
	}}
}

// Token authenticates with a token. A token in a server's URL wins for that
// server.
func Token(t string) Option { return token("Token", func() string { return t }) }

// TokenHandler is asked for the token at each attempt to connect.
func TokenHandler(f func() string) Option { return token("TokenHandler", f) }

func token(name string, f func() string) Option {
	return connOption{name, func(c *config) string {
		if by := c.tokenBy; by != "" && by != name {
			return "cannot stand beside " + by
		}
		c.token, c.tokenBy = f, name
		return needFunc(f == nil)
	}}
}

// UserCredentials authenticates with the JWT and the seed of a credentials file,
// or with a JWT in file and the seed in seedFile, at most one. Both may be
// decorated, as nsc writes them, or bare; blank lines, comments and any line
// ending do not matter. In the names, ~ at the start is the home directory, and
// $VAR and ${VAR} are variables of the environment.
//
// The files are read again at each attempt to connect, so they may be replaced.
// What cannot be used at Connect is an *OptionError that names the file; later
// it fails that attempt. The seed is wiped from memory after each. A seed that
// does not belong to the JWT is refused here: the server would not say why.
func UserCredentials(file string, seedFile ...string) Option {
	const name = "UserCredentials"
	seedFile = slices.Clone(seedFile)
	return connOption{name, func(c *config) string {
		if len(seedFile) > 1 {
			return "takes at most one file with a seed"
		}
		second := ""
		if len(seedFile) == 1 {
			if second = seedFile[0]; second == "" {
				return "the name of the file with the seed is empty"
			}
		}
		load := func() (*creds.Credentials, error) { return creds.Load(file, second) }
		return c.identify(name, load, true)
	}}
}

// UserCredentialBytes is UserCredentials with what would stand in the files. It
// is copied, so it may be wiped after the call; the copy lives as long as the
// Conn.
func UserCredentialBytes(credentials []byte, seed ...[]byte) Option {
	const name = "UserCredentialBytes"
	doc := append([]byte(nil), credentials...)
	var second []byte
	if len(seed) == 1 {
		second = append([]byte{}, seed[0]...)
	}
	many := len(seed) > 1
	return connOption{name, func(c *config) string {
		if many {
			return "takes at most one seed"
		}
		return c.identify(name, func() (*creds.Credentials, error) { return creds.Parse(doc, second) }, true)
	}}
}

// UserJWTAndSeed authenticates with a user's JWT and seed.
func UserJWTAndSeed(jwt, seed string) Option {
	const name = "UserJWTAndSeed"
	return connOption{name, func(c *config) string {
		return c.identify(name, func() (*creds.Credentials, error) { return creds.Parse([]byte(jwt), []byte(seed)) }, true)
	}}
}

// UserJWTHandler returns a user's JWT.
type UserJWTHandler func() (string, error)

// SignatureHandler signs what the server sent for that, with the user's seed: 64
// raw bytes. The nonce is the handler's to keep.
type SignatureHandler func(nonce []byte) ([]byte, error)

// UserJWT authenticates with a JWT and a signature. Both functions are asked at
// each attempt to connect, the JWT first; sign is not, if the server sent
// nothing to sign. An error of theirs fails the attempt, and is wrapped. They
// may call the Conn; one that takes longer than Timeout is left behind. The
// server waits 2 s for credentials by default. A bearer's JWT needs no
// signature: sign may return none.
func UserJWT(jwt UserJWTHandler, sign SignatureHandler) Option {
	const name = "UserJWT"
	return connOption{name, func(c *config) string {
		switch {
		case jwt == nil:
			return "the function that returns the JWT is nil"
		case sign == nil:
			return "the function that signs is nil"
		}
		return c.sign(name, false, func(nonce []byte) (a signed, err error) {
			if a.jwt, err = jwt(); err != nil {
				return a, err
			}
			if a.jwt == "" {
				return a, errNoJWT
			}
			if len(nonce) > 0 {
				a.signature, err = sign(nonce)
			}
			return a, err
		})
	}}
}

// Nkey authenticates with the nkey of a user, whose public part publicKey is.
// sign is asked at each attempt to connect, as with UserJWT. A server that sends
// nothing to sign knows no nkeys; that is an ErrAuthorization.
func Nkey(publicKey string, sign SignatureHandler) Option {
	const name = "Nkey"
	return connOption{name, func(c *config) string {
		switch {
		case !creds.IsUserKey(publicKey):
			return "is not the public nkey of a user"
		case sign == nil:
			return "the function that signs is nil"
		}
		return c.sign(name, true, func(nonce []byte) (a signed, err error) {
			a.nkey = publicKey
			if a.signature, err = sign(nonce); err == nil && len(a.signature) == 0 {
				err = errNoSignature
			}
			return a, err
		})
	}}
}

// NkeyFromSeed authenticates with the nkey of a user whose seed stands in file,
// decorated or bare. ~ and variables in its name are replaced, and it is read
// again at each attempt to connect, as with UserCredentials.
func NkeyFromSeed(file string) Option {
	const name = "NkeyFromSeed"
	return connOption{name, func(c *config) string {
		return c.identify(name, func() (*creds.Credentials, error) { return creds.LoadSeed(file) }, false)
	}}
}

// AuthHandler is asked for credentials at each attempt to connect, when the
// server has said INFO and before CONNECT. It may answer with any
// kind, or several at once, and it wins over everything else that says who we
// are, user info in URLs included.
//
// The context ends with the attempt. An error fails the attempt, and is wrapped;
// one that is an ErrAuthorization counts as a refusal by the server, with the
// longer waits that follow one. The handler may block and may call the Conn; if
// it outlives its context it is left behind. The server waits 2 s for
// credentials by default.
func AuthHandler(f func(context.Context, AuthRequest) (Auth, error)) Option {
	return connOption{"AuthHandler", func(c *config) string {
		c.auth = f
		return needFunc(f == nil)
	}}
}

// AuthRequest says for whom credentials are wanted.
type AuthRequest struct {
	// Server is the one being tried: its URL, whether it was discovered, and how
	// the attempts since the last success failed.
	Server Server
	// Info is what the server says of itself.
	Info ServerInfo
	// Nonce is what the server wants signed; empty if it knows no nkeys. It is
	// the handler's to keep.
	Nonce []byte
	// Secure: the answer will be sent inside TLS.
	Secure bool
}

// Auth is the answer of an AuthHandler. All fields that are set are sent.
// Printed, logged or as JSON it says which these are, and no more.
type Auth struct {
	User, Password string
	Token          string
	JWT            string
	Nkey           string // public
	Signature      string // of the nonce, in base64: base64.RawURLEncoding
}

// Format implements fmt.Formatter: secrets are left out, whatever the verb.
func (a Auth) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, a.outline()) }

// MarshalText implements encoding.TextMarshaler, for JSON among others: a logger
// writes so what it finds inside of other values.
func (a Auth) MarshalText() ([]byte, error) { return []byte(a.outline()), nil }

// LogValue implements slog.LogValuer.
func (a Auth) LogValue() slog.Value { return slog.StringValue(a.outline()) }
