package nats

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestChoiceSeesHistory: who chooses a server is told what is known of each:
// where it comes from, how often it failed and why.
func TestChoiceSeesHistory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a, b, c := n.Host("a:1"), n.Host("b:2"), n.Host("c:3")
		a.SetInfo("connect_urls", []string{"a:1", "c:3"})
		var asked []string
		var errs []error
		choices := []string{"b:2", "c:3", "b:2", "b:2"}
		nc := connectTo(t, n, "a:1,b:2", DontRandomize(), ReconnectToServer(func(pool []Server, _ ServerInfo) (string, time.Duration) {
			var all []string
			for _, s := range pool {
				all = append(all, fmt.Sprintf("%s %d %v", strings.TrimPrefix(s.URL, "nats://"), s.Attempts, s.Discovered))
				if (s.Attempts > 0) != (s.LastErr != nil) || s.Current {
					t.Errorf("asked with %+v", s)
				}
				errs = append(errs, s.LastErr)
			}
			slices.Sort(all)
			asked = append(asked, strings.Join(all, ", "))
			return choices[min(len(asked), len(choices))-1], time.Second
		}))
		pass(2 * time.Second)
		b.Refuse(true)
		c.On("CONNECT", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
			p.Err("Authorization Violation")
			p.Close()
			return true
		})
		a.Stop()
		pass(3500 * time.Millisecond) // three attempts
		b.Refuse(false)
		must(t, nc.Flush(in(t, time.Minute)))
		want := []string{
			"a:1 0 false, b:2 0 false, c:3 0 true", "a:1 0 false, b:2 1 false, c:3 0 true",
			"a:1 0 false, b:2 1 false, c:3 1 true", "a:1 0 false, b:2 2 false, c:3 1 true",
		}
		if !slices.Equal(asked, want) {
			t.Errorf("asked with\n%s\nwant\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
		}
		if !slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, ErrAuthorization) }) {
			t.Errorf("the refusal is not among %v", errs)
		}
		if s := nc.Servers(); !slices.ContainsFunc(s, func(s Server) bool { return s.URL == "nats://b:2" && s.Current && s.Attempts == 0 }) {
			t.Errorf("at the end %+v", s)
		}
	})
}

// TestNoChoiceKeepsTheBackoff: a function that leaves the choice to the Conn
// does not make it hammer.
func TestNoChoiceKeepsTheBackoff(t *testing.T) {
	attempts := func(t *testing.T, opts ...Option) (n int) {
		bubble(t, func(t *testing.T) {
			net, s := fakeserver.One()
			log := &eventLog{}
			connect(t, net, append(opts, log.option())...)
			pass(2 * time.Second)
			s.Stop()
			pass(10 * time.Minute)
			n = len(of[ConnectFailed](log))
		})
		return n
	}
	asked := 0
	with := attempts(t, ReconnectToServer(func([]Server, ServerInfo) (string, time.Duration) { asked++; return "", 0 }))
	without := attempts(t)
	// Waits are drawn at random, up to 5 s.
	if with < 120 || with > 3*without || without > 3*with || asked < with {
		t.Errorf("%d attempts with the function, asked %d times; %d without", with, asked, without)
	}
}

// TestSetServersMakesThemNamed: a server that was discovered and is then named
// is the user's: no later INFO takes it away.
func TestSetServersMakesThemNamed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		show := func() string {
			var all []string
			for _, s := range nc.Servers() {
				all = append(all, fmt.Sprintf("%s %v", strings.TrimPrefix(s.URL, "nats://"), s.Discovered))
			}
			slices.Sort(all)
			return strings.Join(all, ", ")
		}
		info := func(urls ...string) {
			s.Peer().SendInfo(map[string]any{"connect_urls": urls})
			synctest.Wait()
		}
		info("b:2", "c:3")
		if got := show(); got != "b:2 true, c:3 true, server:4222 false" {
			t.Fatalf("discovered: %s", got)
		}
		must(t, nc.SetServers([]string{"server:4222", "b:2"}))
		if got := show(); got != "b:2 false, server:4222 false" {
			t.Errorf("named: %s", got)
		}
		info("d:4")
		if got := show(); got != "b:2 false, d:4 true, server:4222 false" {
			t.Errorf("after another INFO: %s", got)
		}
	})
}

// TestBeforeTheFirstServer: nothing is known of a server yet, so no message is
// too large; the server that comes is told, and what it does not take is
// dropped with an event.
func TestBeforeTheFirstServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		s.Refuse(true)
		log := &eventLog{}
		nc := connect(t, n, RetryOnFailedConnect(true), log.option())
		if info := nc.ServerInfo(); info.ID != "" || info.Version != "" || info.MaxPayload != 0 || len(info.ConnectURLs) != 0 {
			t.Errorf("without a server: %+v", info)
		}
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		must(t, nc.PublishMsg(t.Context(), Msg{Subject: "a", Header: header(t, "A", "b"), Data: []byte("1")}))
		must(t, nc.Publish("a", make([]byte, 2<<20)))
		must(t, nc.Publish("a", []byte("2")))
		s.Refuse(false)
		must(t, nc.Flush(in(t, time.Minute)))
		for _, want := range []string{"1", "2"} {
			m, err := sub.Next(in(t, time.Second))
			if err != nil || string(m.Data) != want {
				t.Errorf("%d bytes %.10q, %v; want %q", len(m.Data), m.Data, err, want)
			}
		}
		if info := nc.ServerInfo(); info.ID == "" || info.MaxPayload != 1<<20 {
			t.Errorf("with a server: %+v", info)
		}
		isErr(t, one[AsyncError](t, log).Err, ErrMaxPayload)
		if st := nc.Stats(); st.OutDropped != 1 || st.OutConfirmed != 2 || st.Connects != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// TestRoundsAreCounted: each failed attempt is told, and then the end. Links
// that were lost at once are no failed rounds: they slow the Conn down, but a
// success begins the count anew.
func TestRoundsAreCounted(t *testing.T) {
	for _, flaps := range []int{0, 1, 20} {
		t.Run(fmt.Sprintf("%d short links", flaps), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				log := &eventLog{}
				nc := connect(t, n, MaxReconnects(5), log.option())
				if flaps == 0 {
					pass(2 * time.Second)
				}
				for range flaps {
					lose(s)
					must(t, nc.Flush(in(t, time.Minute)))
				}
				before := len(of[ConnectFailed](log))
				s.Stop()
				<-nc.Done()
				synctest.Wait()
				if got := len(of[ConnectFailed](log)) - before; got != 5 || before != 0 {
					t.Errorf("%d attempts failed before, %d at the end", before, got)
				}
				if k := log.kinds(); !strings.HasSuffix(k, "Disconnected"+strings.Repeat(" ConnectFailed", 5)+" Closed") {
					t.Errorf("events %s", k)
				}
				isErr(t, nc.Err(), ErrNoServers)
			})
		})
	}
}
