package secure

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// newKey makes a key pair of that kind.
func newKey(t testing.TB, kind nkeys.PrefixByte) (pair nkeys.KeyPair, public, seed string) {
	t.Helper()
	pair, err := nkeys.CreatePair(kind)
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	s, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return pair, public, string(s)
}

// operator is one with a single account, which may change.
type operator struct {
	t       testing.TB
	key     nkeys.KeyPair
	jwt     string
	account *jwt.AccountClaims
	issuer  nkeys.KeyPair
}

func newOperator(t testing.TB) *operator {
	o := &operator{t: t}
	var public string
	o.key, public, _ = newKey(t, nkeys.PrefixByteOperator)
	o.jwt = o.encoded(jwt.NewOperatorClaims(public).Encode(o.key))
	o.issuer, public, _ = newKey(t, nkeys.PrefixByteAccount)
	o.account = jwt.NewAccountClaims(public)
	return o
}

func (o *operator) encoded(s string, err error) string {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
	return s
}

// config is a server's, with the account as it is now.
func (o *operator) config(more ...string) string {
	return fmt.Sprintf("operator: %s\nresolver: MEMORY\nresolver_preload: { %s: %s }\n%s", o.jwt, o.account.Subject,
		o.encoded(o.account.Encode(o.key)), strings.Join(more, "\n"))
}

func (o *operator) run(more ...string) *natstest.Server {
	return ledger.Run(o.t, natstest.Config(o.config(more...)))
}

// reload gives the server the account as it is now.
func (o *operator) reload(srv *natstest.Server) {
	o.t.Helper()
	if err := srv.Reload(o.config()); err != nil {
		o.t.Fatal(err)
	}
}

// user is one of the operator's account.
type user struct{ jwt, public, seed string }

func (o *operator) user(change ...func(*jwt.UserClaims)) user {
	o.t.Helper()
	_, public, seed := newKey(o.t, nkeys.PrefixByteUser)
	return o.issue(user{public: public, seed: seed}, change...)
}

// issue makes a new JWT for the same key.
func (o *operator) issue(u user, change ...func(*jwt.UserClaims)) user {
	o.t.Helper()
	claims := jwt.NewUserClaims(u.public)
	for _, f := range change {
		f(claims)
	}
	u.jwt = o.encoded(claims.Encode(o.issuer))
	return u
}

// expires ends a user's JWT after about d.
func expires(d time.Duration) func(*jwt.UserClaims) {
	return func(c *jwt.UserClaims) { c.Expires = time.Now().Add(d).Unix() }
}

// creds is the user's credentials file as nsc would write it.
func (u user) creds(t testing.TB) string {
	t.Helper()
	text, err := jwt.FormatUserConfig(u.jwt, []byte(u.seed))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (u user) sign(nonce []byte) ([]byte, error) {
	pair, err := nkeys.FromSeed([]byte(u.seed))
	if err != nil {
		return nil, err
	}
	return pair.Sign(nonce)
}

func put(t testing.TB, file, text string) string {
	t.Helper()
	// As a secret that is mounted changes: at once.
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
	return file
}

func newFile(t testing.TB, text string) string {
	t.Helper()
	return put(t, filepath.Join(t.TempDir(), "file"), text)
}
