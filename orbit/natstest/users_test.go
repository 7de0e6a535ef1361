package natstest_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"

	"github.com/perigee-go/nats/orbit/natstest"
)

func TestNKeyUsers(t *testing.T) {
	t.Parallel()
	key, stranger := natstest.NewKey(), natstest.NewKey()
	srv := natstest.Run(t, natstest.Token("gone"), natstest.Users(
		natstest.User{NKey: key.PublicKey()},
		natstest.User{Name: "ann", Password: "secret"},
	))
	p := dial(t, srv.Addr())
	p.login(p.sign(key), fmt.Sprintf(`"nkey":%q`, key.PublicKey()))
	connect(t, srv.Addr(), `"user":"ann"`, `"pass":"secret"`)

	p = dial(t, srv.Addr())
	p.say("CONNECT {%s,\"nkey\":%q}\r\nPING\r\n", p.sign(stranger), key.PublicKey())
	if got := p.line(); !strings.Contains(got, "Authorization Violation") {
		t.Errorf("another key's signature: %q", got)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	key := natstest.NewKey()
	path := key.SeedFile(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := nkeys.ParseDecoratedUserNKey(text)
	if err != nil {
		t.Fatal(err)
	}
	if public, err := pair.PublicKey(); err != nil || public != key.PublicKey() {
		t.Errorf("%s, %v; want %s", public, err, key.PublicKey())
	}
	if err := pair.Verify([]byte("nonce"), key.Sign([]byte("nonce"))); err != nil {
		t.Error(err)
	}
	user := natstest.NewOperator().Account("A").User("ann")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, key); strings.Contains(s, key.Seed()) {
			t.Errorf("%s tells the seed", verb)
		}
		if s := fmt.Sprintf(verb, user); strings.Contains(s, user.Seed()) {
			t.Errorf("%s of credentials tells the seed", verb)
		}
	}
}

func TestUserPermissions(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.Users(natstest.User{Name: "u", Password: "p", Permissions: natstest.Permissions{
		Publish: []string{"out.>"}, DenyPublish: []string{"out.no"}, Subscribe: []string{"in", "work q"}, Responses: 1,
	}}))
	p := connect(t, srv.Addr(), `"user":"u"`, `"pass":"p"`)
	p.say("SUB in 1\r\nSUB work q 2\r\nPUB out.yes 0\r\n\r\n")
	p.ping()
	for _, forbidden := range []string{"PUB out.no 0\r\n\r\n", "PUB elsewhere 0\r\n\r\n", "SUB out.yes 3\r\n", "SUB work 4\r\n"} {
		p.say("%s", forbidden)
		if got := p.line(); !strings.Contains(got, "Permissions Violation") {
			t.Errorf("%q: %q", forbidden, got)
		}
	}
}

func TestUserResponses(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.Users(
		natstest.User{Name: "service", Password: "p", Permissions: natstest.Permissions{Responses: 1}},
		natstest.User{Name: "asker", Password: "p"},
	))
	service := connect(t, srv.Addr(), `"user":"service"`, `"pass":"p"`)
	asker := connect(t, srv.Addr(), `"user":"asker"`, `"pass":"p"`)
	service.say("SUB q 1\r\n")
	service.ping()
	asker.say("SUB inbox 1\r\nPUB q inbox 0\r\n\r\n")
	service.hear("MSG q 1 inbox")
	service.line()
	service.say("PUB inbox 2\r\nhi\r\nPUB inbox 2\r\nho\r\n")
	if got := service.line(); !strings.Contains(got, "Permissions Violation") {
		t.Errorf("a second response: %q", got)
	}
	asker.hear("MSG inbox 1 2")
}

func TestUsersRefuseNonsense(t *testing.T) {
	t.Parallel()
	for want, users := range map[string][]natstest.User{
		"nobody":        nil,
		"either":        {{Password: "hush"}},
		"public nkey":   {{NKey: natstest.NewKey().Seed()}},
		"and a passwor": {{NKey: natstest.NewKey().PublicKey(), Password: "hush"}},
	} {
		_, err := natstest.Start(natstest.Users(users...))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
			continue
		}
		if strings.Contains(err.Error(), "hush") || len(users) > 0 && users[0].NKey != "" && strings.Contains(err.Error(), users[0].NKey) {
			t.Errorf("%v tells a secret", err)
		}
	}
}

// TestReconfigureUsers changes users while clients are connected, on all kinds
// of servers.
func TestReconfigureUsers(t *testing.T) {
	t.Parallel()
	before := natstest.Users(natstest.User{Name: "ann", Password: "a"}, natstest.User{Name: "bob", Password: "b"})
	after := natstest.Users(natstest.User{Name: "ann", Password: "a", Permissions: natstest.Permissions{DenyPublish: []string{"x"}}})
	t.Run("server", func(t *testing.T) {
		srv := natstest.Run(t, before, natstest.TLS(), natstest.AllowNonTLS(), natstest.WebSocket())
		usersChange(t, []string{srv.Addr()}, after, srv.Reconfigure)
		if err := srv.Restart(); err != nil {
			t.Fatal(err)
		}
		if got := refused(t, srv, `"user":"bob","pass":"b"`); !strings.HasPrefix(got, "-ERR") {
			t.Errorf("after a restart: %q", got)
		}
		if err := srv.Reconfigure(natstest.Port(1)); err == nil {
			t.Error("the port changed")
		}
		if err := srv.Reconfigure(natstest.Token("t"), natstest.UserPassword("u", "p")); err == nil || !strings.Contains(err.Error(), "exclude") {
			t.Error(err)
		}
	})
	t.Run("process", func(t *testing.T) {
		p := natstest.RunProcess(t, before)
		usersChange(t, []string{p.Addr()}, after, p.Reconfigure)
		if err := p.Reconfigure(natstest.Port(1)); err == nil {
			t.Error("the port changed")
		}
		if err := p.Reconfigure(natstest.ServerOptions(nil)); err == nil || !strings.Contains(err.Error(), "not for a process") {
			t.Error(err)
		}
	})
	t.Run("cluster", func(t *testing.T) {
		c := natstest.RunCluster(t, 3, before, natstest.TLS(), natstest.AllowNonTLS(), natstest.WebSocket())
		c.Server(2).Shutdown()
		usersChange(t, []string{c.Server(0).Addr(), c.Server(1).Addr()}, after, c.Reconfigure)
		if err := c.Server(2).Restart(); err != nil {
			t.Fatal(err)
		}
		if got := refused(t, c.Server(2), `"user":"bob","pass":"b"`); !strings.HasPrefix(got, "-ERR") {
			t.Errorf("who was down: %q", got)
		}
		if err := c.Reconfigure(natstest.MaxPayload(-1)); err == nil || !strings.Contains(err.Error(), "MaxPayload") {
			t.Error(err)
		}
	})
}

func usersChange(t *testing.T, addrs []string, after natstest.Option, change func(...natstest.Option) error) {
	t.Helper()
	var anns, bobs []*peer
	for _, addr := range addrs {
		anns = append(anns, connect(t, addr, `"user":"ann"`, `"pass":"a"`))
		bobs = append(bobs, connect(t, addr, `"user":"bob"`, `"pass":"b"`))
	}
	if err := change(after); err != nil {
		t.Fatal(err)
	}
	for i := range addrs {
		if err := bobs[i].end(); err != nil {
			t.Errorf("who is gone: %v", err)
		}
		anns[i].say("PUB x 0\r\n\r\n")
		if got := anns[i].hear("-ERR"); !strings.Contains(got, "Permissions Violation") {
			t.Errorf("who may less: %q", got)
		}
	}
}
