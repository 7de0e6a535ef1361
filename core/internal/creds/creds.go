// Package creds reads credentials: user JWTs, seeds, and the files that hold
// them. It signs with a seed, and wipes what it can.
//
// No error of it quotes what it read.
package creds

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"github.com/nats-io/nkeys"
)

// What can be wrong with a document.
var (
	ErrNoJWT    = errors.New("holds no JWT")
	ErrNoSeed   = errors.New("holds no seed of an nkey")
	ErrBadSeed  = errors.New("holds a seed that is damaged")
	ErrNotUser  = errors.New("holds a seed that is not a user's")
	ErrMismatch = errors.New("the JWT was issued for another nkey than the seed's")
	ErrWiped    = errors.New("the credentials are no longer there")
)

// Credentials are what one attempt to connect needs: a JWT, or none for a bare
// nkey, and the seed.
type Credentials struct {
	jwt  string
	pair nkeys.KeyPair
}

// Parse finds a JWT in doc, and the seed in seed, or in doc if seed is nil. Both
// may be decorated, as in a credentials file, or bare. doc and seed stay the
// caller's.
func Parse(doc, seed []byte) (*Credentials, error) {
	jwt := find(doc, isJWT)
	if jwt == nil {
		return nil, ErrNoJWT
	}
	if seed == nil {
		seed = doc
	}
	c, err := ParseSeed(seed)
	if err != nil {
		return nil, err
	}
	c.jwt = string(jwt)
	if !c.belongTogether() {
		c.Wipe()
		return nil, ErrMismatch
	}
	return c, nil
}

// ParseSeed finds the seed of a user in doc.
func ParseSeed(doc []byte) (*Credentials, error) {
	seed := find(doc, isSeed)
	if seed == nil {
		return nil, ErrNoSeed
	}
	kind, raw, err := nkeys.DecodeSeed(seed)
	clear(raw)
	if err != nil {
		return nil, ErrBadSeed
	}
	if kind != nkeys.PrefixByteUser {
		return nil, ErrNotUser
	}
	pair, err := nkeys.FromSeed(seed)
	if err != nil {
		return nil, ErrBadSeed
	}
	return &Credentials{pair: pair}, nil
}

// JWT returns the JWT, empty for a bare nkey.
func (c *Credentials) JWT() string { return c.jwt }

// PublicKey returns the user's public nkey.
func (c *Credentials) PublicKey() (string, error) {
	if c.pair == nil {
		return "", ErrWiped
	}
	return c.pair.PublicKey()
}

// Sign signs a server's nonce.
func (c *Credentials) Sign(nonce []byte) ([]byte, error) {
	if c.pair == nil {
		return nil, ErrWiped
	}
	return c.pair.Sign(nonce)
}

// Wipe overwrites the seed. The credentials cannot sign any more.
func (c *Credentials) Wipe() {
	if c.pair != nil {
		c.pair.Wipe()
		c.pair = nil
	}
}

// claims is what is of interest in a user's JWT.
type claims struct {
	Subject string `json:"sub"`
	NATS    struct {
		Bearer bool `json:"bearer_token"`
	} `json:"nats"`
}

// belongTogether reports whether the server can accept the seed's signature for
// the JWT. It is told in time: a server's "Authorization Violation" gives no
// reason. What cannot be read, or needs no signature, is left to the server.
func (c *Credentials) belongTogether() bool {
	parts := strings.Split(c.jwt, ".")
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return true
	}
	var cl claims
	if json.Unmarshal(payload, &cl) != nil || cl.NATS.Bearer || !nkeys.IsValidPublicUserKey(cl.Subject) {
		return true
	}
	public, err := c.PublicKey()
	return err == nil && public == cl.Subject
}

// find returns the first line of doc that is what is looked for, without the
// space around it. Lines end with LF, CR LF or CR; what stands around them,
// decoration included, is of no interest.
func find(doc []byte, is func([]byte) bool) []byte {
	doc = bytes.TrimPrefix(doc, []byte("\ufeff"))
	for len(doc) > 0 {
		line := doc
		if i := bytes.IndexAny(doc, "\r\n"); i >= 0 {
			line, doc = doc[:i], doc[i+1:]
		} else {
			doc = nil
		}
		if line = bytes.TrimSpace(line); is(line) {
			return line
		}
	}
	return nil
}

// jwtStart is how the encoding of a JSON object begins.
const jwtStart = "eyJ"

// isJWT reports whether line has the form of a JWT.
func isJWT(line []byte) bool {
	if !bytes.HasPrefix(line, []byte(jwtStart)) {
		return false
	}
	parts := bytes.Split(line, []byte("."))
	for _, p := range parts {
		if len(p) == 0 || !only(p, "-_=") {
			return false
		}
	}
	return len(parts) == 3
}

// minSeed tells a seed, a damaged one too, from a word.
const minSeed = 40

// isSeed reports whether line has the form of an encoded seed, of whatever.
func isSeed(line []byte) bool {
	return len(line) >= minSeed && line[0] == 'S' && bytes.ContainsAny(line[1:2], "UAOCNX") &&
		len(bytes.Trim(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")) == 0
}

// only reports whether s has only letters, digits and those of more.
func only(s []byte, more string) bool {
	for _, b := range s {
		letter := 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9'
		if !letter && strings.IndexByte(more, b) < 0 {
			return false
		}
	}
	return true
}

// IsUserKey reports whether s is the public nkey of a user.
func IsUserKey(s string) bool { return nkeys.IsValidPublicUserKey(s) }
