package nats

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/wire"
)

// leave tells the clients of a that it is in lame duck mode, and of b.
func leave(a, b *fakeserver.Server) {
	a.Peer().SendInfo(map[string]any{"ldm": true, "connect_urls": []string{b.Address()}})
}

// live is the server's connection that is open, or nil.
func live(s *fakeserver.Server) *fakeserver.Peer {
	for _, p := range s.Peers() {
		if p.Open() {
			return p
		}
	}
	return nil
}

// TestMigrate: the next link is there, with all subscriptions, before the old
// one ends; nothing is lost and the status never changes.
func TestMigrate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a, b := n.Host("a:1"), n.Host("b:2")
		log := &eventLog{}
		nc := connectTo(t, n, "a:1", MigrateOnLameDuck(), log.option())
		var plain, queue, reader collector
		_, err := nc.Subscribe("plain", plain.handle)
		must(t, err)
		_, err = nc.Subscribe("queue", queue.handle, Queue("q"))
		must(t, err)
		_, err = nc.Subscribe("reader", func(m Msg) { reader.handle(m.Clone()) }, OnReader())
		must(t, err)
		once, err := nc.SubscribeSync("once", AutoUnsubscribe(3))
		must(t, err)
		both := func(data string) {
			for _, s := range []*fakeserver.Server{a, b} {
				for _, subj := range []string{"plain", "once", "reader"} {
					if live(s) != nil {
						s.Deliver(subj, "", "", data)
					}
				}
			}
		}
		must(t, nc.Publish("pub", []byte("1")))
		flush(t, nc)
		both("1")
		start := time.Now()
		leave(a, b)
		for live(b) == nil || len(live(b).Subs()) < 2 {
			time.Sleep(10 * time.Millisecond)
		}
		if live(a) == nil || nc.ConnectedURL() != "nats://a:1" {
			t.Error("the old link ended first")
		}
		synctest.Wait()
		// Both are there: plain ones from the old, queue ones from either.
		both("2")
		a.Deliver("queue", "", "", "a")
		b.Deliver("queue", "", "", "b")
		must(t, nc.Publish("pub", []byte("2")))
		_, err = nc.Subscribe("new", func(Msg) {}) // both are told
		must(t, err)
		gone, err := nc.SubscribeSync("gone")
		must(t, err)
		must(t, gone.Unsubscribe())
		synctest.Wait()
		if live(b).SID("new") == 0 || live(b).SID("gone") != 0 {
			t.Errorf("subscriptions of the new link: %+v", live(b).Subs())
		}
		for live(a) != nil {
			if nc.Status() != StatusConnected {
				t.Fatalf("status %v", nc.Status())
			}
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if took := time.Since(start); took > time.Second || nc.ConnectedURL() != "nats://b:2" {
			t.Errorf("at %s after %v", nc.ConnectedURL(), took)
		}
		both("3")
		must(t, nc.Publish("pub", []byte("3")))
		flush(t, nc)
		must(t, nc.Barrier(t.Context()))
		if plain.data() != "1 2 3" || reader.data() != "1 2 3" || queue.data() != "a b" && queue.data() != "b a" {
			t.Errorf("plain %q, on the reader %q, queue %q", plain.data(), reader.data(), queue.data())
		}
		for i := 1; i <= 3; i++ {
			m, err := once.Next(t.Context())
			if err != nil || string(m.Data) != fmt.Sprint(i) {
				t.Errorf("message %d of AutoUnsubscribe: %q, %v", i, m.Data, err)
			}
		}
		if got := strings.Join(a.Payloads("pub"), "") + "|" + strings.Join(b.Payloads("pub"), ""); got != "12|3" {
			t.Errorf("published %q", got)
		}
		if st := nc.Stats(); st.OutConfirmed != 3 || st.OutUnknown+st.OutDropped != 0 || st.Reconnects != 1 {
			t.Errorf("%+v", st)
		}
		if got := log.kinds(); !strings.Contains(strings.ReplaceAll(got, "SubscriptionEnded ", ""), "LameDuck Disconnected Reconnected") {
			t.Errorf("events %s", got)
		}
		if e := one[Disconnected](t, log); e.Err != nil || e.Unknown != 0 || e.Server.URL != "nats://a:1" {
			t.Errorf("event %+v", e)
		}
		checkLedger(t, nc)
		// And the new link is like any other.
		lose(b)
		pass(time.Second)
		both("4")
		must(t, nc.Flush(in(t, time.Minute)))
		must(t, nc.Barrier(t.Context()))
		if plain.data() != "1 2 3 4" {
			t.Errorf("plain %q", plain.data())
		}
	})
}

// TestMigrateRequests: a request that left on the old link is answered on the
// new one; those made during the change wait for it.
func TestMigrateRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a, b := n.Host("a:1"), n.Host("b:2")
		nc := connectTo(t, n, "a:1", MigrateOnLameDuck())
		inbox := make(chan string, 2) // of the two requests, in any order
		a.On("PUB", func(_ *fakeserver.Peer, o *fakeserver.Op) bool {
			if o.Subject == "slow" || o.Subject == "own" {
				inbox <- o.Subject + " " + o.Reply
			}
			return o.Subject == "slow" || o.Subject == "own"
		})
		echo(b, "svc")
		var pings atomic.Int32
		answers := make(chan error, 3)
		ask := func(subj, inbox string) {
			m, err := nc.RequestMsg(in(t, 10*time.Second), Msg{Subject: subj, Reply: inbox, Data: []byte(subj)})
			if err == nil && string(m.Data) != subj {
				err = fmt.Errorf("%s is answered with %q", subj, m.Data)
			}
			answers <- err
		}
		go ask("slow", "")
		go ask("own", "my.inbox")
		synctest.Wait()
		// The old server is slow with the last PONG.
		a.On("PING", func(*fakeserver.Peer, *fakeserver.Op) bool { pings.Add(1); return true })
		leave(a, b)
		for pings.Load() == 0 {
			time.Sleep(10 * time.Millisecond)
		}
		go ask("svc", "")
		flushed := make(chan error, 1)
		go func() { flushed <- nc.Flush(in(t, 10*time.Second)) }()
		must(t, nc.Publish("pub", []byte("held")))
		synctest.Wait()
		if len(answers) != 0 || len(flushed) != 0 || len(a.Payloads("pub"))+len(b.Payloads("pub")) != 0 {
			t.Error("something got past the change")
		}
		live(a).Send("PONG\r\n")
		synctest.Wait()
		for range 2 {
			subj, reply, _ := strings.Cut(<-inbox, " ")
			b.Deliver(reply, "", "", subj)
		}
		for range 3 {
			must(t, <-answers)
		}
		must(t, <-flushed)
		if got := b.Payloads("pub"); len(got) != 1 || len(a.Payloads("pub")) != 0 {
			t.Errorf("held message: %q", got)
		}
		if st := nc.Stats(); st.RequestsUnknown+st.OutUnknown+st.TimedOut != 0 || st.RequestsOpen != 0 {
			t.Errorf("%+v", st)
		}
		// One that is carried over and then lost is told.
		swallow(b, "slow")
		leave(b, a)
		a.On("PING", nil)
		go ask("slow", "")
		for live(a) == nil || live(b) != nil {
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		lose(a)
		isErr(t, <-answers, ErrDisconnected, ErrOutcomeUnknown)
		checkLedger(t, nc)
	})
}

// TestMigrateFails: whatever goes wrong, the Conn is as usual afterwards.
func TestMigrateFails(t *testing.T) {
	for name, c := range map[string]struct {
		before func(a, b *fakeserver.Server)
		after  func(a, b *fakeserver.Server)
		at     string
	}{
		"nobody there": {
			func(_, b *fakeserver.Server) { b.Refuse(true) },
			func(_, b *fakeserver.Server) { b.Refuse(false) }, "b",
		},
		"credentials refused": {
			func(_, b *fakeserver.Server) {
				b.On("CONNECT", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
					p.Err("Authorization Violation")
					p.Close()
					return true
				})
			},
			func(_, b *fakeserver.Server) { b.On("CONNECT", nil) }, "b",
		},
		"no PONG from the new one": {
			func(_, b *fakeserver.Server) {
				var pings atomic.Int32
				b.On("PING", func(*fakeserver.Peer, *fakeserver.Op) bool { return pings.Add(1) > 1 })
			},
			func(_, b *fakeserver.Server) { b.On("PING", nil) }, "b",
		},
		"no PONG from the old one": {
			func(a, _ *fakeserver.Server) {
				a.On("PING", func(*fakeserver.Peer, *fakeserver.Op) bool { return true })
			}, func(_, _ *fakeserver.Server) {}, "b",
		},
		"the old one ends in the midst": {
			func(a, b *fakeserver.Server) {
				b.On("SUB", func(*fakeserver.Peer, *fakeserver.Op) bool { a.Stop(); return false })
			}, func(_, _ *fakeserver.Server) {}, "b",
		},
		"the old one ends before": {
			func(a, b *fakeserver.Server) { b.Delay(time.Second) },
			func(a, _ *fakeserver.Server) { a.Stop() }, "b",
		},
		"the new one ends in the midst": {
			func(_, b *fakeserver.Server) {
				var cut atomic.Bool
				b.On("SUB", func(p *fakeserver.Peer, _ *fakeserver.Op) bool {
					if !cut.Swap(true) {
						p.Cut()
						return true
					}
					return false
				})
			}, func(_, _ *fakeserver.Server) {}, "b",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := fakeserver.New()
				a, b := n.Host("a:1"), n.Host("b:2")
				nc := connectTo(t, n, "a:1", MigrateOnLameDuck(), Timeout(2*time.Second))
				var got collector
				_, err := nc.Subscribe("s", got.handle)
				must(t, err)
				must(t, nc.Publish("pub", []byte("1")))
				flush(t, nc)
				c.before(a, b)
				leave(a, b)
				pass(700 * time.Millisecond)
				must(t, nc.Publish("pub", []byte("2")))
				c.after(a, b)
				pass(5 * time.Minute)
				must(t, nc.Flush(in(t, time.Minute)))
				if live(b) == nil || nc.ConnectedURL() != "nats://b:2" || len(live(b).Subs()) != 1 || live(a) != nil {
					t.Fatalf("at %s, %v", nc.ConnectedURL(), live(a) != nil)
				}
				b.Deliver("s", "", "", "x")
				must(t, nc.Flush(in(t, time.Minute)))
				must(t, nc.Barrier(t.Context()))
				if got.data() != "x" {
					t.Errorf("got %q", got.data())
				}
				st := nc.Stats()
				if st.OutMsgs != 2 || st.OutConfirmed+st.OutUnknown != 2 || st.OutInFlight+st.OutBuffered != 0 {
					t.Errorf("%+v", st)
				}
				checkLedger(t, nc)
			})
		})
	}
}

// TestMigrateNowhere: with nobody to go to, the Conn stays as long as it may;
// Close and Drain do not wait for a migration.
func TestMigrateNowhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a := n.Host("a:1")
		nc := connectTo(t, n, "a:1", MigrateOnLameDuck())
		a.Peer().SendInfo(map[string]any{"ldm": true})
		pass(time.Minute)
		must(t, nc.Flush(in(t, time.Second)))
		start := time.Now()
		must(t, nc.Close())
		if time.Since(start) > time.Second {
			t.Errorf("Close took %v", time.Since(start))
		}
	})
	for _, how := range []string{"Drain", "Close"} {
		bubble(t, func(t *testing.T) {
			n := fakeserver.New()
			a, b := n.Host("a:1"), n.Host("b:2")
			nc := connectTo(t, n, "a:1", MigrateOnLameDuck())
			var got collector
			_, err := nc.Subscribe("s", got.handle, Queue("q"))
			must(t, err)
			must(t, nc.Publish("pub", []byte("1")))
			leave(a, b)
			for live(b) == nil {
				time.Sleep(time.Millisecond)
			}
			if how == "Drain" {
				a.Deliver("s", "", "", "x")
				must(t, nc.Drain(t.Context()))
				if got.data() != "x" {
					t.Errorf("handled %q", got.data())
				}
			} else {
				must(t, nc.Close())
			}
			if st := nc.Stats(); st.OutConfirmed != 1 {
				t.Errorf("%s: %+v", how, st)
			}
		})
	}
}

// TestMigrateByChoice: the user's choice counts here, too.
func TestMigrateByChoice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a := n.Host("a:1")
		n.Host("b:2")
		n.Host("c:3")
		nc := connectTo(t, n, "a:1,b:2,c:3", DontRandomize(), MigrateOnLameDuck(),
			ReconnectToServer(func([]Server, ServerInfo) (string, time.Duration) { return "c:3", 0 }))
		a.Peer().SendInfo(map[string]any{"ldm": true})
		pass(2 * time.Second)
		if nc.ConnectedURL() != "nats://c:3" || nc.Stats().Reconnects != 1 {
			t.Errorf("at %s, %+v", nc.ConnectedURL(), nc.Stats())
		}
	})
}

// TestMigrateChoiceBlocks: a user who does not answer does not hide that the old
// link has ended.
func TestMigrateChoiceBlocks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a := n.Host("a:1")
		n.Host("b:2")
		log := &eventLog{}
		var asked atomic.Int32
		leave := make(chan struct{})
		nc := connectTo(t, n, "a:1,b:2", DontRandomize(), MigrateOnLameDuck(), log.option(),
			ReconnectToServer(func([]Server, ServerInfo) (string, time.Duration) {
				if asked.Add(1) == 1 {
					<-leave
				}
				return "b:2", 0
			}))
		a.Peer().SendInfo(map[string]any{"ldm": true})
		pass(2 * time.Second)
		if asked.Load() != 1 {
			t.Fatalf("asked %d times", asked.Load())
		}
		a.Stop()
		pass(time.Second)
		if nc.ConnectedURL() != "nats://b:2" || len(of[Disconnected](log)) != 1 {
			t.Errorf("at %q, events %s", nc.ConnectedURL(), log.kinds())
		}
		close(leave)
	})
}

// TestMigrateDropsWithoutCopying: what comes on both links is not copied to be
// dropped.
func TestMigrateDropsWithoutCopying(t *testing.T) {
	nc := &Conn{}
	d := &receiver{nc: nc, part: arriving}
	s := &Subscription{nc: nc, kind: kindHandler, subject: "a"}
	frame := []byte(fakeserver.Frame("a", 1, "", "", strings.Repeat("x", 10_000)))
	var p wire.Parser
	var f wire.Frame
	if ok, err := p.Parse(frame, &f); !ok || err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { d.takeOver(s, frame, &f) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if d.orphaned == 0 || s.seen != d.orphaned {
		t.Errorf("%d orphaned, %d seen", d.orphaned, s.seen)
	}
}
