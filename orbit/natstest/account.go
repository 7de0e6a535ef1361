package natstest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Account is an account of an Operator. All methods are safe for concurrent use.
type Account struct {
	op   *Operator
	name string
	pair nkeys.KeyPair
	jwt  string // guarded by op.mu, "" once deleted
}

// Name returns the account's name, which only people use: servers know the
// account by its public key.
func (a *Account) Name() string { return a.name }

// PublicKey returns the account's public key, which begins with A.
func (a *Account) PublicKey() string { return publicKey(a.pair) }

// JWT returns the account's claims, signed by the operator, or "" if the
// account is deleted.
func (a *Account) JWT() string {
	a.op.mu.Lock()
	defer a.op.mu.Unlock()
	return a.jwt
}

// Update changes the account's claims: limits, exports and imports, signing
// keys, expiry, revocations and all else. It returns when the change is in
// effect on all servers that run. The error wraps ErrStopped if the account is
// deleted; claims that are not valid are refused before a server sees them.
//
// The change is made to a copy, without locks, and made again if another update
// came in between. The account's public key does not change.
func (a *Account) Update(change func(*jwt.AccountClaims)) error {
	for {
		before := a.JWT()
		after, err := a.sign(before, change)
		if err != nil {
			return fmt.Errorf("natstest: update account %s: %w", a.name, err)
		}
		if a.replace(before, after) {
			return a.op.spread(a.PublicKey(), func(trustee, error) {})
		}
	}
}

func (a *Account) sign(before string, change func(*jwt.AccountClaims)) (string, error) {
	if before == "" {
		return "", fmt.Errorf("account deleted: %w", ErrStopped)
	}
	claims, err := jwt.DecodeAccountClaims(before)
	if err != nil {
		return "", err
	}
	change(claims)
	claims.Subject = a.PublicKey()
	results := jwt.CreateValidationResults()
	claims.Validate(results)
	if results.IsBlocking(false) { // an account that has expired is one to test with
		return "", errors.Join(results.Errors()...)
	}
	return claims.Encode(a.op.pair)
}

func (a *Account) replace(before, after string) bool {
	a.op.mu.Lock()
	defer a.op.mu.Unlock()
	if a.jwt != before {
		return false
	}
	a.jwt = after
	return true
}

// Revoke makes servers disconnect the user and refuse the credentials issued so
// far, to the second.
func (a *Account) Revoke(user *Credentials) error {
	return a.Update(func(c *jwt.AccountClaims) { c.Revoke(user.PublicKey()) })
}

// Delete makes the servers forget the account and disconnect its users. The
// operator forgets it, too: [Operator.Account] makes a new one. The system
// account cannot be deleted. It does nothing if the account is deleted.
func (a *Account) Delete() error {
	if a == a.op.system {
		return errors.New("natstest: the system account cannot be deleted")
	}
	if !a.forget() {
		return nil
	}
	return a.op.spread(a.PublicKey(), func(trustee, error) {})
}

func (a *Account) forget() bool {
	a.op.mu.Lock()
	defer a.op.mu.Unlock()
	if a.jwt == "" {
		return false
	}
	a.jwt = ""
	delete(a.op.accounts, a.name)
	a.op.deleted = append(a.op.deleted, a.PublicKey())
	return true
}

// User makes a user of the account with a new key. The servers need not be told
// of users: what users may do stands in their own credentials. The name is for
// people; several users may have the same.
func (a *Account) User(name string, opts ...UserOption) *Credentials {
	return a.issue(name, NewKey(), opts)
}

func (a *Account) issue(name string, key *Key, opts []UserOption) *Credentials {
	claims := jwt.NewUserClaims(key.PublicKey())
	claims.Name = name
	for _, o := range opts {
		if o != nil {
			o(claims)
		}
	}
	claims.Subject = key.PublicKey()
	text, _ := claims.Encode(a.pair) // fails only for subjects that are no users
	return &Credentials{Key: key, account: a, name: name, jwt: text}
}

// UserOption shapes the claims of a user. Any function that changes them is
// one:
//
//	account.User("ann", func(c *jwt.UserClaims) { c.BearerToken = true })
type UserOption func(*jwt.UserClaims)

// Permit says what the user may do; without it, it may do everything that the
// account may.
func Permit(p Permissions) UserOption {
	return func(c *jwt.UserClaims) {
		c.Pub = jwt.Permission{Allow: slices.Clone(p.Publish), Deny: slices.Clone(p.DenyPublish)}
		c.Sub = jwt.Permission{Allow: slices.Clone(p.Subscribe), Deny: slices.Clone(p.DenySubscribe)}
		c.Resp = nil
		if p.Responses != 0 {
			c.Resp = &jwt.ResponsePermission{MaxMsgs: p.Responses, Expires: p.ResponseTime}
		}
	}
}

// ExpireIn makes the credentials expire after d, rounded up to the next full
// second of the clock, because JWTs know only seconds. Servers disconnect the
// user then.
func ExpireIn(d time.Duration) UserOption {
	return func(c *jwt.UserClaims) {
		c.Expires = time.Now().Add(d + time.Second - time.Nanosecond).Unix()
	}
}

// Credentials are what a user of an account connects with: a JWT signed by the
// account, and the key that it speaks of. They do not change and may be used
// concurrently.
type Credentials struct {
	*Key
	account *Account
	name    string
	jwt     string
}

// JWT returns the user's claims, signed by the account.
func (c *Credentials) JWT() string { return c.jwt }

// Bytes returns what stands in a credentials file: JWT and seed.
func (c *Credentials) Bytes() []byte {
	text, _ := jwt.FormatUserConfig(c.jwt, []byte(c.seed)) // they are what they should be
	return text
}

// File writes Bytes to a file in the test's temporary directory, which only the
// owner may read, and returns its path. Each call makes a new file.
func (c *Credentials) File(t testing.TB) string {
	t.Helper()
	return writeSecret(t, "user.creds", c.Bytes())
}

// Reissue returns new credentials for the same user and key, of which only the
// options given now hold: a renewal.
func (c *Credentials) Reissue(opts ...UserOption) *Credentials {
	return c.account.issue(c.name, c.Key, opts)
}
