package nats

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

func TestLameDuckAndDiscovery(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a := n.Host("a:1")
		n.Host("c:3")
		log := &eventLog{}
		nc := connectTo(t, n, "nats://u:p@a:1", log.option())
		info := func(extra map[string]any) {
			a.Peer().SendInfo(extra)
			synctest.Wait()
		}
		urls := func() string {
			var out []string
			for _, s := range nc.Servers() {
				out = append(out, fmt.Sprintf("%s %v %v", strings.TrimPrefix(s.URL, "nats://"), s.Discovered, s.Current))
			}
			return strings.Join(out, " ")
		}
		info(map[string]any{"connect_urls": []string{"a:1", "b:2", "nonsense", ":", "", "c:3"}})
		if got := urls(); got != "b:2 true false c:3 true false a:1 false true" {
			t.Errorf("servers %s", got)
		}
		es := of[ServersDiscovered](log)
		if len(es) != 1 || len(es[0].Added) != 2 || es[0].Added[0].URL != "nats://b:2" {
			t.Errorf("events %+v", es)
		}
		if e := one[AsyncError](t, log); !strings.Contains(e.Err.Error(), "credentials") {
			t.Errorf("warning %v", e.Err)
		}
		info(map[string]any{"connect_urls": []string{"c:3", "d:4"}})
		if got := urls(); got != "c:3 true false d:4 true false a:1 false true" {
			t.Errorf("servers %s", got)
		}
		info(nil) // no field: no change
		info(map[string]any{"connect_urls": []string{"c:3", "d:4"}, "ldm": true})
		info(map[string]any{"ldm": true})
		if e := one[LameDuck](t, log); e.Server.URL != "nats://a:1" || !nc.ServerInfo().LameDuck {
			t.Errorf("event %+v", e)
		}
		if len(of[ServersDiscovered](log)) != 2 {
			t.Errorf("events %v", log.all())
		}
		a.Stop()
		pass(time.Second)
		if nc.ConnectedURL() != "nats://c:3" {
			t.Errorf("at %q", nc.ConnectedURL())
		}
		// In plaintext a discovered server gets the same credentials.
		if got := n.Dials(); got[1] != "c:3" {
			t.Errorf("dialed %v", got)
		}
	})
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.SetInfo("connect_urls", []string{"b:2"})
		log := &eventLog{}
		nc := connect(t, n, log.option(), IgnoreDiscoveredServers())
		s.Peer().SendInfo(map[string]any{"connect_urls": []string{"c:3"}})
		synctest.Wait()
		if len(nc.Servers()) != 1 || len(log.all()) != 1 {
			t.Errorf("servers %v, events %v", nc.Servers(), log.all())
		}
	})
}

// TestPoolIsBounded: servers that go are forgotten.
func TestPoolIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		for i := range 1000 {
			urls := []string{fmt.Sprintf("pod-%d:1", i), fmt.Sprintf("pod-%d:1", i+1)}
			s.Peer().SendInfo(map[string]any{"connect_urls": urls})
		}
		flush(t, nc)
		if got := len(nc.Servers()); got != 3 {
			t.Errorf("%d servers", got)
		}
		many := make([]string, 5000)
		for i := range many {
			many[i] = fmt.Sprintf("m-%d:1", i)
		}
		s.Peer().SendInfo(map[string]any{"connect_urls": many})
		flush(t, nc)
		if got := len(nc.Servers()); got > 2000 {
			t.Errorf("%d servers", got)
		}
	})
}

// TestDiscoveryWhileSubscribing: what INFO says before the link is up belongs
// to the new server, with its scheme and its user, not to the one before.
func TestDiscoveryWhileSubscribing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a, b, c := n.Host("a:1"), n.Host("b:2"), n.Host("c:3")
		nc := connectTo(t, n, "nats://alice:secret@a:1,nats://b:2")
		_, err := nc.SubscribeSync("s")
		must(t, err)
		flush(t, nc)
		b.On("CONNECT", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
			p.Send("PONG\r\n")
			p.SendInfo(map[string]any{"connect_urls": []string{"b:2", "c:3"}})
			b.On("CONNECT", nil)
			return false
		})
		a.Stop()
		pass(100 * time.Millisecond)
		if nc.ConnectedURL() != "nats://b:2" {
			t.Fatalf("at %q", nc.ConnectedURL())
		}
		pass(2 * time.Second)
		b.Stop()
		pass(100 * time.Millisecond)
		if p := c.Peer(); p != nil && strings.Contains(p.Raw(), "secret") {
			t.Error("a server that another named got a's password")
		}
		if nc.ConnectedURL() != "nats://c:3" {
			t.Errorf("at %q; %+v", nc.ConnectedURL(), nc.Servers())
		}
	})
}

// TestSetServers: the new pool is what is tried next, also in a back-off.
func TestSetServers(t *testing.T) {
	for _, when := range []string{"connected", "in a back-off"} {
		t.Run(when, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := fakeserver.New()
				a, b := n.Host("a:1"), n.Host("b:2")
				n.Host("c:3")
				nc := connectTo(t, n, "a:1,b:2", ReconnectBackoff(time.Second, time.Second))
				pass(2 * time.Second)
				if when == "connected" {
					must(t, nc.SetServers([]string{"nats://c:3"}))
					if nc.ConnectedURL() != "nats://a:1" {
						t.Error("it left its link")
					}
				}
				a.Stop()
				b.Stop()
				synctest.Wait()
				if when != "connected" {
					pass(1500 * time.Millisecond)
					dials := len(n.Dials())
					must(t, nc.SetServers([]string{"nats://c:3"}))
					synctest.Wait() // it does not wait for the back-off's end
					if got := n.Dials()[dials:]; len(got) != 1 || got[0] != "c:3" {
						t.Errorf("dialed %v", got)
					}
				}
				must(t, nc.Flush(in(t, time.Minute)))
				if nc.ConnectedURL() != "nats://c:3" {
					t.Errorf("at %q", nc.ConnectedURL())
				}
				isErr(t, nc.SetServers([]string{"nats://:4222"}), ErrInvalidOption)
				isErr(t, nc.SetServers(nil), ErrInvalidOption)
				if got := nc.Servers(); len(got) != 1 {
					t.Errorf("servers %v", got)
				}
			})
		})
	}
}
