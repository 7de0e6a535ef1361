package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestEventOrder: what happens is told in order, Closed last.
func TestEventOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := fakeserver.New()
		a, b := n.Host("a:1"), n.Host("b:2")
		log := &eventLog{}
		nc := connectTo(t, n, "a:1,b:2", log.option())
		b.Refuse(true)
		pass(2 * time.Second)
		a.Stop()
		pass(10 * time.Millisecond)
		b.Refuse(false)
		must(t, nc.Flush(in(t, time.Minute)))
		must(t, nc.Close())
		synctest.Wait()
		kinds := log.kinds()
		if !strings.HasPrefix(kinds, "Connected Disconnected ConnectFailed ConnectFailed ") ||
			!strings.HasSuffix(kinds, "ConnectFailed Reconnected Disconnected Closed") &&
				!strings.HasSuffix(kinds, "ConnectFailed Reconnected ServersDiscovered Disconnected Closed") {
			t.Errorf("events %s", kinds)
		}
		failed := of[ConnectFailed](log)
		if e := failed[0]; e.Server.URL != "nats://b:2" || e.Attempt != 1 || e.Err == nil {
			t.Errorf("first failure %+v", e)
		}
		if e := one[Reconnected](t, log); e.Attempt != len(failed) || e.Server.URL != "nats://b:2" {
			t.Errorf("%d failures and %+v", len(failed), e)
		}
		for _, e := range log.all() {
			if e.String() == "" || strings.Contains(e.String(), "%!") {
				t.Errorf("%T says %q", e, e)
			}
		}
	})
}

// TestEventsSeeTheState: when an event is told, the connection is what it says.
func TestEventsSeeTheState(t *testing.T) {
	for range 50 {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			log := &eventLog{hook: func(nc *Conn, e Event) {
				switch e.(type) {
				case Connected, Reconnected:
					if nc.Status() != StatusConnected || nc.ConnectedURL() == "" || nc.RemoteAddr() == nil {
						t.Errorf("%T at %v, %q", e, nc.Status(), nc.ConnectedURL())
					}
				case Disconnected:
					if nc.ConnectedURL() != "" {
						t.Error("disconnected and connected")
					}
				case Closed:
					if nc.Status() != StatusClosed {
						t.Errorf("closed at %v", nc.Status())
					}
				}
			}}
			nc := connect(t, n, log.option())
			pass(2 * time.Second)
			s.Refuse(true)
			lose(s)
			s.Refuse(false)
			must(t, nc.Flush(in(t, time.Minute)))
			synctest.Wait()
			must(t, nc.Close())
			synctest.Wait()
		})
	}
}

// TestEventQueueIsBounded: a handler that blocks costs events, not memory, and
// the last one still comes.
func TestEventQueueIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		block := make(chan struct{})
		log := &eventLog{hook: func(_ *Conn, e Event) {
			if _, ok := e.(AsyncError); ok {
				<-block
			}
		}}
		nc := connect(t, n, log.option())
		s.Peer().Err("the first")
		synctest.Wait()
		for range 10 {
			s.Peer().Send(strings.Repeat("-ERR 'odd'\r\n", 1000))
		}
		flush(t, nc)
		if got := nc.Stats().EventsDropped; got != 10_000-maxEvents {
			t.Errorf("%d events dropped", got)
		}
		done := make(chan error)
		go func() { done <- nc.Close() }()
		must(t, <-done)
		close(block)
		synctest.Wait()
		events := log.all()
		if _, ok := events[len(events)-1].(Closed); !ok || len(events) > maxEvents+4 {
			t.Errorf("%d events, the last is %v", len(events), events[len(events)-1])
		}
	})
}

// TestHandlersMayCallAnything calls every method from every kind of callback.
func TestHandlersMayCallAnything(t *testing.T) {
	everything := func(nc *Conn, what string) {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, _, _, _, _ = nc.Status(), nc.Servers(), nc.Stats(), nc.ServerInfo(), nc.ConnectedURL()
		_, _, _, _, _ = nc.Err(), nc.LastError(), nc.Name(), nc.NumSubscriptions(), nc.Buffered()
		_, _, _, _, _ = nc.LocalAddr(), nc.RemoteAddr(), nc.RequestTimeout(), nc.Tracer(), nc.NewInbox()
		_, _ = nc.TLSConnectionState()
		_ = nc.SetServers([]string{"server:4222"})
		_ = nc.Publish("x", nil)
		_ = nc.PublishMsg(ctx, Msg{Subject: "x"})
		_ = nc.Flush(ctx)
		_, _ = nc.RTT(ctx)
		_ = nc.Barrier(ctx)
		_, _ = nc.Request(ctx, "nobody", nil)
		remove := nc.OnDrain(func(context.Context) error { return nil })
		remove()
		sub, err := nc.SubscribeSync("y")
		if err == nil {
			_ = nc.Publish("y", nil)
			_, _ = sub.Next(ctx)
			_, _, _, _, _ = sub.Stats(), sub.Err(), sub.Subject(), sub.Queue(), sub.Conn()
			_ = sub.AutoUnsubscribe(5)
			_ = sub.SetPendingLimits(5, 5)
			sub.ClearMaxPending()
			_ = sub.Drain(ctx)
			_ = sub.Unsubscribe()
		}
		for range nc.Events(ctx) {
			break
		}
		if what != "reader" {
			_ = nc.Reconnect(ctx)
		}
		if d := time.Since(start); d > 2*time.Second {
			panic(fmt.Sprintf("%s: everything took %v", what, d))
		}
	}
	for _, end := range []string{"", "close", "drain"} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			var mu sync.Mutex
			called := make(map[string]int)
			var made atomic.Pointer[Conn]
			do := func(what string) {
				nc := made.Load()
				mu.Lock()
				called[what]++
				again := called[what] > 2
				mu.Unlock()
				if again || nc == nil {
					return
				}
				everything(nc, what)
				switch end {
				case "close":
					_ = nc.Close()
				case "drain":
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					_ = nc.Drain(ctx)
				}
			}
			log := &eventLog{hook: func(_ *Conn, e Event) { do(fmt.Sprintf("%T", e)) }}
			nc := connect(t, n, log.option(), UserInfoHandler(func() (string, string) { do("auth"); return "u", "p" }),
				CustomReconnectDelay(func(int) time.Duration { do("delay"); return time.Millisecond }),
				RecoverHandlers(func(Msg, any) { do("recover") }),
				Timeout(time.Second))
			made.Store(nc)
			nc.OnDrain(func(context.Context) error { do("hook"); return nil })
			_, err := nc.Subscribe("a", func(Msg) { do("handler") })
			must(t, err)
			_, err = nc.Subscribe("a", func(Msg) { do("handler of many") }, Concurrency(3))
			must(t, err)
			_, err = nc.Subscribe("b", func(Msg) { panic("!") }, EventHandler(func(*Conn, Event) { do("subscription event") }))
			must(t, err)
			_, err = nc.Subscribe("c", func(Msg) { do("reader") }, OnReader())
			must(t, err)
			_, err = nc.SubscribeSync("d", PendingLimits(1, 1))
			must(t, err)
			_ = nc.Flush(in(t, time.Second))
			for _, subj := range []string{"a", "b", "c", "d", "d", "d"} {
				s.Deliver(subj, "", "", "x")
				pass(time.Second)
			}
			s.Broadcast("-ERR 'odd'\r\n")
			pass(time.Second)
			s.Refuse(true)
			lose(s)
			pass(time.Second)
			s.Refuse(false)
			pass(10 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			if end == "" {
				for _, what := range []string{
					"handler", "handler of many", "recover", "reader", "auth", "delay", "nats.Disconnected",
					"nats.Reconnected", "nats.SlowConsumer", "nats.AsyncError", "subscription event",
				} {
					if called[what] == 0 {
						t.Errorf("%s was not called", what)
					}
				}
			} else if nc.Status() != StatusClosed {
				t.Errorf("status %v", nc.Status())
			}
		})
	}
}

// TestEvents is the iterator.
func TestEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		pass(2 * time.Second)
		seq := nc.Events(t.Context()) // from now on
		ctx, cancel := context.WithCancel(t.Context())
		_ = nc.Events(ctx) // never ranged
		done := make(chan string)
		go func() {
			var kinds []string
			for e, err := range seq {
				if err != nil {
					kinds = append(kinds, err.Error())
					continue
				}
				kinds = append(kinds, fmt.Sprintf("%T", e))
			}
			done <- strings.Join(kinds, " ")
		}()
		lose(s)
		cancel()
		synctest.Wait()
		nc.events.mu.Lock()
		if got := len(nc.events.streams); got != 1 {
			t.Errorf("%d streams", got)
		}
		nc.events.mu.Unlock()
		must(t, nc.Close())
		if got := <-done; got != "nats.Disconnected nats.Reconnected nats.Disconnected nats.Closed" {
			t.Errorf("events %s", got)
		}
		for e, err := range nc.Events(t.Context()) {
			t.Errorf("after the end: %v, %v", e, err)
		}
	})
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		nc := connect(t, n)
		es, err := Collect(nc.Events(in(t, time.Second)))
		if len(es) != 0 || !errors.Is(err, errDeadline) {
			t.Errorf("%v, %v", es, err)
		}
	})
}

// TestSubscriptionEvents: a subscription's handler hears of it and of the link.
func TestSubscriptionEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		log, other := &eventLog{}, &eventLog{}
		sub, err := nc.SubscribeSync("a", SubOption(log.option().(ConnSubOption)), PendingLimits(1, -1))
		must(t, err)
		_, err = nc.SubscribeSync("b", SubOption(other.option().(ConnSubOption)))
		must(t, err)
		flush(t, nc)
		send(s, "a", 0, 5)
		pass(2 * time.Second)
		lose(s)
		must(t, nc.Flush(in(t, time.Minute)))
		must(t, sub.Unsubscribe())
		synctest.Wait()
		lose(s)
		pass(time.Second)
		if got := log.kinds(); got != "SlowConsumer Disconnected Reconnected SubscriptionEnded" {
			t.Errorf("heard %s", got)
		}
		if got := other.kinds(); got != "Disconnected Reconnected Disconnected Reconnected" {
			t.Errorf("the other heard %s", got)
		}
	})
}

// TestLogger: what nobody handles is logged, one line an episode.
func TestLogger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		var out bytes.Buffer
		nc := connect(t, n, Logger(slog.New(slog.NewTextHandler(&out, nil))), Name("bill"))
		_, err := nc.SubscribeSync("a", PendingLimits(1, -1))
		must(t, err)
		flush(t, nc)
		send(s, "a", 0, 100)
		pass(2 * time.Second)
		s.Refuse(true)
		lose(s)
		pass(10 * time.Second)
		s.Refuse(false)
		must(t, nc.Flush(in(t, time.Minute)))
		loss(t, nc.Close())
		synctest.Wait()
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 4 || !strings.Contains(lines[0], "slow consumer") || !strings.Contains(lines[1], "disconnected") ||
			!strings.Contains(lines[2], "attempt 1") || !strings.Contains(lines[3], "reconnected") {
			t.Errorf("log:\n%s", &out)
		}
		for _, l := range lines {
			if !strings.Contains(l, "connection=bill") {
				t.Errorf("line %q", l)
			}
		}
	})
}

// TestLoggerBesideSubscriptions: a subscription's handler takes what concerns
// the subscription; that the link was lost is still logged.
func TestLoggerBesideSubscriptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		var out bytes.Buffer
		log := slog.New(slog.NewTextHandler(&out, nil))
		nc := connect(t, n, Logger(log))
		if nc.Logger() != log {
			t.Error("Logger is another")
		}
		_, err := nc.SubscribeSync("a", PendingLimits(1, -1), EventHandler(func(*Conn, Event) {}))
		must(t, err)
		flush(t, nc)
		send(s, "a", 0, 100)
		lose(s)
		pass(time.Second)
		must(t, nc.Flush(in(t, time.Minute)))
		loss(t, nc.Close())
		synctest.Wait()
		if text := out.String(); strings.Contains(text, "slow consumer") || strings.Count(text, "\n") != 2 {
			t.Errorf("log:\n%s", text)
		}
	})
}

// TestEventSequences: what docs/reconnect.md says of the order.
func TestEventSequences(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(t *testing.T, nc *Conn)
		want string
	}{
		"reconnect": {
			func(t *testing.T, nc *Conn) { must(t, nc.Reconnect(t.Context())) },
			"Connected Disconnected Reconnected",
		},
		"drain": {
			func(t *testing.T, nc *Conn) { must(t, nc.Drain(t.Context())) },
			"Connected Draining Draining Draining SubscriptionEnded SubscriptionEnded Disconnected Closed",
		},
		"close": {
			func(t *testing.T, nc *Conn) { must(t, nc.Close()) },
			"Connected Disconnected SubscriptionEnded SubscriptionEnded Closed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, _ := fakeserver.One()
				log := &eventLog{}
				nc := connect(t, n, log.option())
				for range 2 {
					_, err := nc.SubscribeSync("s")
					must(t, err)
				}
				flush(t, nc)
				c.do(t, nc)
				synctest.Wait()
				if got := log.kinds(); got != c.want {
					t.Errorf("events %s, want %s", got, c.want)
				}
				for _, e := range of[Disconnected](log) {
					if e.Err != nil {
						t.Errorf("the user's wish has a reason: %v", e.Err)
					}
				}
			})
		})
	}
}
