package natstest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/perigee-go/nats/orbit/natstest"
)

// everywhere runs a test with each kind of server and resolver. addrs are those
// of its servers.
func everywhere(t *testing.T, test func(t *testing.T, op *natstest.Operator, addrs []string)) {
	t.Helper()
	for _, resolver := range []string{"memory", "full"} {
		var opts []natstest.Option
		if resolver == "full" {
			opts = append(opts, natstest.FullResolver())
		}
		t.Run(resolver+"/server", func(t *testing.T) {
			t.Parallel()
			op := natstest.NewOperator()
			test(t, op, []string{natstest.Run(t, append(opts, op)...).Addr()})
		})
		t.Run(resolver+"/process", func(t *testing.T) {
			t.Parallel()
			op := natstest.NewOperator()
			test(t, op, []string{natstest.RunProcess(t, append(opts, op)...).Addr()})
		})
		t.Run(resolver+"/cluster", func(t *testing.T) {
			t.Parallel()
			op := natstest.NewOperator()
			c := natstest.RunCluster(t, 2, append(opts, op, natstest.NoJetStream())...)
			test(t, op, []string{c.Server(0).Addr(), c.Server(1).Addr()})
		})
	}
}

func enterAll(t *testing.T, addrs []string, user *natstest.Credentials) []*peer {
	t.Helper()
	var peers []*peer
	for _, addr := range addrs {
		peers = append(peers, enter(t, addr, user))
	}
	return peers
}

func TestOperatorAccountsAreApart(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, op *natstest.Operator, addrs []string) {
		last := addrs[len(addrs)-1]
		a := enter(t, addrs[0], op.Account("A").User("ann"))
		b := enter(t, last, op.Account("B").User("bob"))
		a.say("SUB x 1\r\n")
		a.ping()
		b.say("SUB x 1\r\nPUB x 1\r\nb\r\n")
		b.hear("MSG x 1 1")
		a.ping() // which nothing came before
		again := enter(t, addrs[0], op.Account("A").User("again"))
		again.say("PUB x 1\r\na\r\n")
		a.hear("MSG x 1 1")
		if got := turnedAway(t, last, natstest.NewOperator().Account("A").User("ann")); !strings.Contains(got, "Authorization Violation") {
			t.Errorf("a user of another operator: %q", got)
		}
	})
}

func TestRevokeAndReissue(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, op *natstest.Operator, addrs []string) {
		account := op.Account("A")
		ann, bob := account.User("ann"), account.User("bob")
		anns, bobs := enterAll(t, addrs, ann), enterAll(t, addrs, bob)
		if err := account.Revoke(ann); err != nil {
			t.Fatal(err)
		}
		for i, addr := range addrs {
			if got := anns[i].hear("-ERR"); !strings.Contains(got, "Revoked") {
				t.Errorf("%q", got)
			}
			if got := turnedAway(t, addr, ann); !strings.HasPrefix(got, "-ERR") {
				t.Errorf("a new connection: %q", got)
			}
			bobs[i].ping()
		}
		if err := account.Update(func(c *jwt.AccountClaims) { c.ClearRevocation(ann.PublicKey()) }); err != nil {
			t.Fatal(err)
		}
		next := ann.Reissue()
		if next.PublicKey() != ann.PublicKey() {
			t.Error("another key")
		}
		enterAll(t, addrs, next)
	})
}

func TestUpdateAndDeleteAccount(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, op *natstest.Operator, addrs []string) {
		account := op.Account("A")
		ann := account.User("ann")
		peers := enterAll(t, addrs, ann)
		if err := account.Update(func(c *jwt.AccountClaims) { c.Limits.Payload = 5 }); err != nil {
			t.Fatal(err)
		}
		for _, p := range peers {
			p.say("PUB x 6\r\n123456\r\n")
			if got := p.hear("-ERR"); !strings.Contains(got, "Maximum Payload") {
				t.Errorf("%q", got)
			}
		}
		peers = enterAll(t, addrs, ann)
		if err := account.Delete(); err != nil {
			t.Fatal(err)
		}
		for i, addr := range addrs {
			if err := peers[i].end(); err != nil {
				t.Errorf("the account that is gone: %v", err)
			}
			if got := turnedAway(t, addr, ann); !strings.HasPrefix(got, "-ERR") {
				t.Errorf("a new connection: %q", got)
			}
		}
		if err := account.Update(func(*jwt.AccountClaims) {}); !errors.Is(err, natstest.ErrStopped) {
			t.Errorf("update of a deleted account: %v", err)
		}
		if err := account.Delete(); err != nil {
			t.Error(err)
		}
		enterAll(t, addrs, op.Account("A").User("new"))
	})
}

func TestUserClaims(t *testing.T) {
	t.Parallel()
	op := natstest.NewOperator()
	srv := natstest.Run(t, op)
	account := op.Account("A")
	p := enter(t, srv.Addr(), account.User("u",
		natstest.Permit(natstest.Permissions{Publish: []string{"out"}, DenySubscribe: []string{"in"}, Responses: 1}),
		func(c *jwt.UserClaims) { c.Limits.Payload = 7 }))
	p.say("PUB out 0\r\n\r\n")
	p.ping()
	for _, forbidden := range []string{"PUB in 0\r\n\r\n", "SUB in 1\r\n"} {
		p.say("%s", forbidden)
		if got := p.line(); !strings.Contains(got, "Permissions Violation") {
			t.Errorf("%q: %q", forbidden, got)
		}
	}
	if p.info.MaxBytes != 7 {
		t.Errorf("INFO %+v", p.info)
	}
	bearer := account.User("b", func(c *jwt.UserClaims) { c.BearerToken, c.Subject = true, "nonsense" })
	connect(t, srv.Addr(), fmt.Sprintf(`"jwt":%q`, bearer.JWT()))
}

func TestExpireIn(t *testing.T) {
	t.Parallel()
	op := natstest.NewOperator()
	srv := natstest.Run(t, op)
	start := time.Now()
	user := op.Account("A").User("u", natstest.ExpireIn(time.Second))
	p := enter(t, srv.Addr(), user)
	if got := p.hear("-ERR"); !strings.Contains(got, "User Authentication Expired") {
		t.Errorf("%q", got)
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("expired after %v", took)
	}
	eventually(t, func() bool { return strings.HasPrefix(turnedAway(t, srv.Addr(), user), "-ERR") }) // the second must be over
	enter(t, srv.Addr(), user.Reissue())
}

func TestAccountExpires(t *testing.T) {
	t.Parallel()
	op := natstest.NewOperator()
	srv := natstest.Run(t, op)
	p := enter(t, srv.Addr(), op.Account("A").User("u"))
	soon := time.Now().Add(time.Second)
	if err := op.Account("A").Update(func(c *jwt.AccountClaims) { c.Expires = soon.Unix() }); err != nil {
		t.Fatal(err)
	}
	if got := p.hear("-ERR"); !strings.Contains(got, "Account Authentication Expired") {
		t.Errorf("%q", got)
	}
}

func TestCredentialsFile(t *testing.T) {
	t.Parallel()
	user := natstest.NewOperator().Account("A").User("ann")
	text, err := os.ReadFile(user.File(t))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := jwt.ParseDecoratedJWT(text); err != nil || got != user.JWT() {
		t.Errorf("%s, %v", got, err)
	}
	pair, err := jwt.ParseDecoratedUserNKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if public, err := pair.PublicKey(); err != nil || public != user.PublicKey() {
		t.Errorf("%s, %v", public, err)
	}
}

func TestInvalidClaimsDoNotReachServers(t *testing.T) {
	t.Parallel()
	op := natstest.NewOperator()
	account := op.Account("A")
	before := account.JWT()
	err := account.Update(func(c *jwt.AccountClaims) { c.Exports.Add(&jwt.Export{Subject: "a b", Type: jwt.Stream}) })
	if err == nil || account.JWT() != before {
		t.Error(err)
	}
	if err := op.SystemAccount().Delete(); err == nil {
		t.Error("the system account is deleted")
	}
	for want, opts := range map[string][]natstest.Option{
		"excludes":     {op, natstest.Token("t")},
		"NewOperator":  {&natstest.Operator{}},
		"FullResolver": {natstest.FullResolver()},
	} {
		if _, err := natstest.Start(opts...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestOperatorOutlivesRestarts changes accounts while their server is down.
func TestOperatorOutlivesRestarts(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{false, true} {
		op := natstest.NewOperator()
		opts := []natstest.Option{op}
		if full {
			opts = append(opts, natstest.FullResolver())
		}
		srv := natstest.Run(t, opts...)
		gone, stays := op.Account("gone").User("u"), op.Account("stays").User("u")
		enter(t, srv.Addr(), gone)
		srv.Shutdown()
		if err := op.Account("gone").Delete(); err != nil {
			t.Error(err)
		}
		late := op.Account("late").User("u")
		if err := srv.Restart(); err != nil {
			t.Fatal(err)
		}
		enter(t, srv.Addr(), stays)
		enter(t, srv.Addr(), late)
		if got := turnedAway(t, srv.Addr(), gone); !strings.HasPrefix(got, "-ERR") {
			t.Errorf("full=%v: %q", full, got)
		}
		srv.Stop()
		op.Account("after the end")
	}
}

func TestSystemAccountAndFullResolver(t *testing.T) {
	t.Parallel()
	op := natstest.NewOperator()
	c := natstest.RunCluster(t, 2, natstest.NoJetStream(), op, natstest.FullResolver())
	a := op.Account("A")
	sys := enter(t, c.Server(0).Addr(), op.SystemAccount().User("admin"))
	var list struct{ Data []string }
	if err := json.Unmarshal([]byte(sys.request("$SYS.REQ.CLAIMS.LIST", "")), &list); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(list.Data, a.PublicKey()) {
		t.Errorf("%v does not have %s", list.Data, a.PublicKey())
	}
	sys.say("SUB updated 1\r\nPUB $SYS.REQ.CLAIMS.UPDATE updated %d\r\n%s\r\n", len(a.JWT()), a.JWT())
	for range 2 { // each server answers
		if got := sys.message(); !strings.Contains(got, "jwt updated") {
			t.Error(got)
		}
	}
}

func TestOperatorJetStream(t *testing.T) {
	t.Parallel()
	op := natstest.NewOperator()
	srv := natstest.Run(t, natstest.JetStream(), op)
	p := enter(t, srv.Addr(), op.Account("A").User("u"))
	if got := p.request("$JS.API.STREAM.CREATE.S", `{"name":"S","subjects":["s"]}`); strings.Contains(got, `"error"`) {
		t.Fatal(got)
	}
	if err := op.Account("A").Update(func(c *jwt.AccountClaims) { c.Limits.Streams = 1 }); err != nil {
		t.Fatal(err)
	}
	p = enter(t, srv.Addr(), op.Account("A").User("u"))
	if got := p.request("$JS.API.STREAM.CREATE.T", `{"name":"T","subjects":["t"]}`); !strings.Contains(got, "maximum number of streams") {
		t.Error(got)
	}
	if got := op.Account("A"); got.Name() != "A" || op.PublicKey()[0] != 'O' || op.JWT() == "" {
		t.Error(got.Name(), op.PublicKey())
	}
}

// TestUpdatesInARow wants no update to be undone by an earlier one that
// arrives late.
func TestUpdatesInARow(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, op *natstest.Operator, addrs []string) {
		user := op.Account("A").User("u")
		for limit := int64(100); limit < 120; limit++ {
			for _, n := range []int64{7, 8, limit} {
				if err := op.Account("A").Update(func(c *jwt.AccountClaims) { c.Limits.Payload = n }); err != nil {
					t.Fatal(err)
				}
			}
			for i, p := range enterAll(t, addrs, user) {
				if int64(p.info.MaxBytes) != limit {
					t.Errorf("server %d has %d, want %d", i, p.info.MaxBytes, limit)
				}
				p.conn.Close()
			}
		}
	})
}
