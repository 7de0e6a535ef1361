package natstest

import (
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// Operator is an operator made in memory, with a system account and the
// accounts that Account makes. It is an option: servers, clusters and processes
// that get it run in operator mode, trust it, and let in the users of its
// accounts and nobody else. Several may have the same one. What changes later
// they are told at once, or with their next start if they are down.
//
// The servers have the accounts in memory, unless FullResolver is among the
// options, too. All methods are safe for concurrent use.
type Operator struct {
	pair   nkeys.KeyPair
	jwt    string
	system *Account
	admin  *Credentials // of the system account, for what natstest asks of servers

	mu       sync.Mutex
	accounts map[string]*Account // by name
	deleted  []string            // public keys
	servers  []trustee
}

// trustee is a server that trusts an operator.
type trustee interface {
	// learn makes the server, if it runs, know the account with this public key
	// as the operator knows it now, and returns when that is in effect.
	learn(account string) error
	fail(error)
}

// trust is what a server must know to trust an operator. It travels to server
// processes.
type trust struct {
	Operator string            // its JWT
	System   string            // public key of the system account
	Accounts map[string]string // JWTs by public key, of all accounts
	Deleted  []string          // public keys
	Deletion string            // the JWT that asks servers to delete these
	JWT      string            // of a user of the system account
	Seed     string            // of that user
}

// NewOperator makes an operator with new keys and a system account.
func NewOperator() *Operator {
	o := &Operator{pair: newPair(nkeys.PrefixByteOperator), accounts: map[string]*Account{}}
	o.system = o.newAccount("SYS", func(c *jwt.AccountClaims) {
		c.Limits.JetStreamLimits = jwt.JetStreamLimits{}
	})
	o.accounts[o.system.name] = o.system
	claims := jwt.NewOperatorClaims(o.PublicKey())
	claims.Name = "natstest"
	claims.SystemAccount = o.system.PublicKey()
	o.jwt, _ = claims.Encode(o.pair) // our own claims: cannot fail
	o.admin = o.system.User("natstest")
	return o
}

// FullResolver makes the servers of an operator keep the accounts' JWTs in a
// directory each, as "resolver: { type: full }" does in a configuration: users
// of the system account may look up, update and delete accounts, and servers
// of a cluster exchange what they have.
func FullResolver() Option {
	return optionFunc(func(s *settings) { s.FullResolver = true })
}

// PublicKey returns the operator's public key, which begins with O.
func (o *Operator) PublicKey() string { return publicKey(o.pair) }

// JWT returns the operator's claims, signed by itself.
func (o *Operator) JWT() string { return o.jwt }

// SystemAccount returns the account in which the servers answer $SYS requests.
// JetStream is off in it.
func (o *Operator) SystemAccount() *Account { return o.system }

// Account returns the account of this name. The first call makes it: with new
// keys, without limits, and with JetStream, if the servers have it; see
// [Account.Update]. Should a running server not be able to take it, the server's
// test fails.
func (o *Operator) Account(name string) *Account {
	o.mu.Lock()
	a, known := o.accounts[name]
	if !known {
		a = o.newAccount(name, func(*jwt.AccountClaims) {})
		o.accounts[name] = a
	}
	o.mu.Unlock()
	if !known {
		_ = o.spread(a.PublicKey(), trustee.fail) // which has told the tests
	}
	return a
}

func (o *Operator) newAccount(name string, change func(*jwt.AccountClaims)) *Account {
	a := &Account{op: o, name: name, pair: newPair(nkeys.PrefixByteAccount)}
	claims := jwt.NewAccountClaims(a.PublicKey())
	claims.Name = name
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{
		MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit,
		Streams: jwt.NoLimit, Consumer: jwt.NoLimit, MaxAckPending: jwt.NoLimit,
		MemoryMaxStreamBytes: jwt.NoLimit, DiskMaxStreamBytes: jwt.NoLimit,
	}
	change(claims)
	a.jwt, _ = claims.Encode(o.pair) // our own claims: cannot fail
	return a
}

func (o *Operator) apply(s *settings) {
	s.complainIf(o == nil || o.pair == nil, "Operator: not made by NewOperator")
	s.operator = o
}

// trust is the present state. It is taken while a server starts or learns, so
// that no change is lost between the two.
func (o *Operator) trust() *trust {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := &trust{
		Operator: o.jwt, System: o.system.PublicKey(),
		Accounts: map[string]string{},
		Deleted:  slices.Clone(o.deleted),
		JWT:      o.admin.jwt, Seed: o.admin.seed,
	}
	for _, a := range o.accounts {
		t.Accounts[a.PublicKey()] = a.jwt
	}
	if len(o.deleted) > 0 {
		claims := jwt.NewGenericClaims(o.PublicKey())
		claims.Data["accounts"] = t.Deleted
		t.Deletion, _ = claims.Encode(o.pair) // our own claims: cannot fail
	}
	return t
}

// register makes s hear of changes, until unregister.
func (o *Operator) register(s trustee) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.servers = append(o.servers, s)
}

func (o *Operator) unregister(s trustee) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.servers = slices.DeleteFunc(o.servers, func(other trustee) bool { return other == s })
}

// spread makes all running servers know the account as it is now. It goes on
// after a server that cannot, and hands each error to fail.
func (o *Operator) spread(account string, fail func(trustee, error)) error {
	o.mu.Lock()
	servers := slices.Clone(o.servers)
	o.mu.Unlock()
	return atOnce(servers, func(s trustee) error {
		err := s.learn(account)
		if err != nil {
			err = fmt.Errorf("natstest: tell a server of account %s: %w", account, err)
			fail(s, err)
		}
		return err
	})
}
