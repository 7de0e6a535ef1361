package nats

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestReconnectToServer: the user chooses, waits as long as he likes, and is
// asked once an attempt.
func TestReconnectToServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a, b := n.Host("a:1"), n.Host("b:2")
		n.Host("c:3")
		var asked []string
		nc := connectTo(t, n, "a:1,b:2,c:3", DontRandomize(),
			ReconnectToServer(func(pool []Server, last ServerInfo) (string, time.Duration) {
				var urls []string
				for _, s := range pool {
					urls = append(urls, s.URL)
				}
				slices.Sort(urls)
				asked = append(asked, strings.Join(urls, " ")+" "+last.ID)
				return "nats://b:2", time.Duration(len(asked)-1) * time.Second
			}))
		id := nc.ServerInfo().ID
		pass(2 * time.Second)
		dials := len(n.Dials())
		b.Refuse(true)
		start := time.Now()
		lose(a)
		synctest.Wait()
		if got := n.Dials()[dials:]; len(got) != 1 || got[0] != "b:2" {
			t.Errorf("at once it dialed %v", got) // the first wait is 0
		}
		pass(3500 * time.Millisecond) // after 1 s and 2 s more
		if got := n.Dials()[dials:]; len(got) != 3 {
			t.Errorf("it dialed %v", got)
		}
		b.Refuse(false)
		must(t, nc.Flush(in(t, time.Minute)))
		if took := time.Since(start); took != 6*time.Second || nc.ConnectedURL() != "nats://b:2" {
			t.Errorf("%q after %v", nc.ConnectedURL(), took)
		}
		if len(asked) != 4 || asked[0] != "nats://a:1 nats://b:2 nats://c:3 "+id {
			t.Errorf("asked %q", asked)
		}
	})
}

// TestReconnectToServerNoChoice: without a choice, and after one that is no
// member, everything is as usual.
func TestReconnectToServerNoChoice(t *testing.T) {
	for name, url := range map[string]string{"none": "", "unknown": "nats://me:s3cret@x:9", "illegal": "://s3cret"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := fakeserver.New()
				a := n.Host("a:1")
				log := &eventLog{}
				asked := 0
				nc := connectTo(t, n, "a:1", ReconnectBackoff(time.Second, time.Second), log.option(),
					ReconnectToServer(func([]Server, ServerInfo) (string, time.Duration) {
						asked++
						return url, time.Hour
					}))
				pass(2 * time.Second)
				a.Refuse(true)
				lose(a)
				pass(2500 * time.Millisecond)
				a.Refuse(false)
				must(t, nc.Flush(in(t, time.Minute)))
				want := 0
				if url != "" {
					want = asked
				}
				refused := 0
				for _, e := range of[ConnectFailed](log) {
					if errors.Is(e.Err, errNotInPool) {
						if refused++; e.Attempt != 0 || strings.Contains(e.Server.URL, "s3cret") {
							t.Errorf("event %+v", e)
						}
					}
				}
				if refused != want || asked < 2 || asked > 5 {
					t.Errorf("asked %d times, %d events", asked, refused)
				}
			})
		})
	}
}

// TestReconnectToServerEnds: a round over the choices counts, and Reconnect and
// Close do not wait for the user's wait, nor for the user.
func TestReconnectToServerEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a := n.Host("a:1")
		n.Host("b:2")
		nc := connectTo(t, n, "a:1,b:2", DontRandomize(), MaxReconnects(3),
			ReconnectToServer(func([]Server, ServerInfo) (string, time.Duration) { return "a:1", time.Second }))
		pass(2 * time.Second)
		dials := len(n.Dials())
		a.Stop()
		<-nc.Done()
		var ce *ConnectError
		if !errors.As(nc.Err(), &ce) || len(n.Dials())-dials != 3 {
			t.Errorf("after %d attempts: %v", len(n.Dials())-dials, nc.Err())
		}
	})
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		entered, leave := make(chan bool, 1), make(chan bool)
		block := false
		nc := connect(t, n, ReconnectToServer(func([]Server, ServerInfo) (string, time.Duration) {
			if block {
				entered <- true
				<-leave
			}
			return "server", time.Hour
		}))
		pass(2 * time.Second)
		start := time.Now()
		lose(s)
		synctest.Wait()
		must(t, nc.Reconnect(in(t, time.Minute)))
		if time.Since(start) != 0 {
			t.Errorf("Reconnect took %v", time.Since(start))
		}
		block = true
		lose(s)
		<-entered
		nc.Close()
		close(leave)
		if time.Since(start) > time.Second {
			t.Errorf("Close took %v", time.Since(start))
		}
	})
	bubble(t, func(t *testing.T) { // the pool changes during the wait
		n := fakeserver.New()
		a := n.Host("a:1")
		n.Host("b:2")
		nc := connectTo(t, n, "a:1", ReconnectToServer(func(pool []Server, _ ServerInfo) (string, time.Duration) {
			return pool[0].URL, time.Minute
		}))
		pass(2 * time.Second)
		a.Stop()
		synctest.Wait()
		must(t, nc.SetServers([]string{"b:2"}))
		must(t, nc.Flush(in(t, time.Second)))
		if nc.ConnectedURL() != "nats://b:2" {
			t.Errorf("at %q", nc.ConnectedURL())
		}
	})
}

// reliability C19: a choice that never waits does not make a loop of attempts.
func TestReconnectToServerWithoutAWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a := n.Host("a:1")
		nc := connectTo(t, n, "a:1", ReconnectToServer(func([]Server, ServerInfo) (string, time.Duration) { return "a:1", 0 }))
		pass(2 * time.Second)
		dials := len(n.Dials())
		a.Refuse(true)
		lose(a)
		pass(10 * time.Second)
		if got := len(n.Dials()) - dials; got < 100 || got > 220 {
			t.Errorf("%d attempts in 10 s", got)
		}
		a.Refuse(false)
		must(t, nc.Flush(in(t, time.Minute)))
	})
}
