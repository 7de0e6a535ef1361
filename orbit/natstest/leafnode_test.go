package natstest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/perigee-go/nats/orbit/natstest"
)

// crosses waits until a message gets from one peer to the other: interest takes
// its time.
func crosses(t *testing.T, from, to *peer, subject string) {
	t.Helper()
	to.say("SUB %s 1\r\n", subject)
	heard(to, "")
	eventually(t, func() bool {
		from.say("PUB %s 2\r\nhi\r\n", subject)
		heard(from, "")
		return heard(to, "MSG "+subject)
	})
	to.say("UNSUB 1\r\n")
}

// heard reports whether a line with this in it comes before the answer to a
// PING.
func heard(p *peer, part string) bool {
	p.t.Helper()
	p.say("PING\r\n")
	was := false
	for line := p.line(); line != "PONG"; line = p.line() {
		was = was || strings.Contains(line, part)
	}
	return was
}

func TestLeafNodeCutAndReconnect(t *testing.T) {
	t.Parallel()
	hub := natstest.Run(t, natstest.LeafNodes())
	proxy := natstest.RunProxy(t, hub.LeafURL())
	leaf := natstest.Run(t, natstest.LeafNode(natstest.Hub{URL: proxy.URL()}))
	if hub.NumLeafNodes() != 1 || leaf.NumLeafNodes() != 1 || !strings.HasPrefix(hub.LeafURL(), "nats-leaf://127.0.0.1:") || leaf.LeafURL() != "" {
		t.Errorf("%d, %d connections; %q, %q", hub.NumLeafNodes(), leaf.NumLeafNodes(), hub.LeafURL(), leaf.LeafURL())
	}
	crosses(t, connect(t, leaf.Addr()), connect(t, hub.Addr()), "up")
	crosses(t, connect(t, hub.Addr()), connect(t, leaf.Addr()), "down")

	if err := proxy.Refuse(true); err != nil {
		t.Fatal(err)
	}
	if n := hub.DisconnectLeafNodes(); n != 1 {
		t.Errorf("disconnected %d", n)
	}
	for _, srv := range []*natstest.Server{hub, leaf} {
		if err := srv.WaitLeafNodes(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := hub.WaitLeafNodes(ctx, 1); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "there are 0") {
		t.Error(err)
	}
	if err := proxy.Refuse(false); err != nil {
		t.Fatal(err)
	}
	if err := hub.WaitLeafNodes(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	crosses(t, connect(t, leaf.Addr()), connect(t, hub.Addr()), "again")

	// A hub that is down is no reason not to start again.
	hub.Shutdown()
	if err := leaf.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := hub.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := leaf.WaitLeafNodes(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := leaf.Reconfigure(natstest.MaxPayload(1000)); err != nil {
		t.Error(err)
	}
	crosses(t, connect(t, hub.Addr()), connect(t, leaf.Addr()), "reconfigured")
}

// TestLeafClusterOfOperators connects an account here with another one there.
func TestLeafClusterOfOperators(t *testing.T) {
	t.Parallel()
	far, near := natstest.NewOperator(), natstest.NewOperator()
	hub := natstest.RunCluster(t, 2, far, natstest.LeafNodes(), natstest.TLSVerify(), natstest.JetStreamDomain("hub"))
	cert, key := hub.ClientCertFiles()
	leaf := natstest.RunCluster(t, 2, near, natstest.JetStreamDomain("leaf"), natstest.LeafNode(natstest.Hub{
		URL: hub.LeafURL(), CAFile: hub.CAFile(), CertFile: cert, KeyFile: key,
		Account: near.Account("NEAR").PublicKey(), Credentials: far.Account("FAR").User("leaf"),
	}))
	if err := hub.WaitLeafNodes(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if strings.Count(hub.LeafURL(), "tls://") != 2 {
		t.Errorf("URL %s", hub.LeafURL())
	}
	config := hub.ClientTLSConfig()
	config.ServerName = "localhost"
	p := dial(t, hub.Server(0).Addr())
	user, info := far.Account("FAR").User("u"), p.info
	p = upgrade(t, p.conn, config)
	p.info = info
	p.login(p.sign(user.Key), `"jwt":"`+user.JWT()+`"`)
	q := enter(t, leaf.Server(1).Addr(), near.Account("NEAR").User("u"))
	crosses(t, p, q, "down")
	crosses(t, q, p, "up")
	q.say("SUB answer 9\r\n")
	eventually(t, func() bool { // the other JetStream is to be had, too
		q.say("PUB $JS.hub.API.INFO answer 0\r\n\r\n")
		return heard(q, `"domain":"hub"`)
	})
	if err := leaf.Reconfigure(natstest.MaxPayload(1000)); err != nil {
		t.Error(err)
	}
}

func TestLeafNodeProcesses(t *testing.T) {
	t.Parallel()
	hub := natstest.RunProcess(t, natstest.LeafNodes(), natstest.UserPassword("u", "pass word"))
	leaf := natstest.RunProcess(t, natstest.JetStreamDomain("leaf"),
		natstest.LeafNode(natstest.Hub{URL: hub.LeafURL(), User: "u", Password: "pass word"}))
	p := connect(t, hub.Addr(), `"user":"u"`, `"pass":"pass word"`)
	q := connect(t, leaf.Addr())
	if q.info.Domain != "leaf" {
		t.Errorf("INFO %+v", q.info)
	}
	crosses(t, p, q, "down")
	hub.Kill()
	if err := leaf.WaitLeafNodes(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := hub.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := leaf.WaitLeafNodes(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
}

func TestLeafNodeRefusesNonsense(t *testing.T) {
	t.Parallel()
	user := natstest.NewOperator().Account("A").User("u")
	for want, hub := range map[string]natstest.Hub{
		"no URL":       {},
		"need each":    {URL: "nats-leaf://127.0.0.1:1", CertFile: "x"},
		"exclude":      {URL: "nats-leaf://127.0.0.1:1", User: "u", Credentials: user},
		"not a URL":    {URL: "nats-leaf://u:hush@:x:y"},
		"no such file": {URL: "nats-leaf://u:hush@127.0.0.1:1", CAFile: "/nope"},
	} {
		_, err := natstest.Start(natstest.LeafNode(hub))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
