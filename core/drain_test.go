package nats

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

func loss(t *testing.T, err error) *LossError {
	t.Helper()
	var l *LossError
	if !errors.As(err, &l) {
		t.Fatalf("error is %v, want a LossError", err)
	}
	return l
}

// TestDrain: hooks in reverse order, then what has arrived is handled, then what
// that published arrives, then the end.
func TestDrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		var order []string
		for _, name := range []string{"a", "b", "c"} {
			nc.OnDrain(func(ctx context.Context) error {
				if nc.Publish("hook", []byte(name)) != nil || ctx.Err() != nil {
					t.Error("a hook cannot publish")
				}
				if _, err := nc.SubscribeSync("in.hook"); err != nil {
					t.Error("a hook cannot subscribe")
				}
				order = append(order, name)
				return nil
			})
		}
		remove := nc.OnDrain(func(context.Context) error { order = append(order, "removed"); return nil })
		remove()
		remove()
		_, err := nc.Subscribe("work", func(m Msg) {
			<-time.After(100 * time.Millisecond)
			if err := nc.Publish("done", m.Data); err != nil {
				t.Error(err)
			}
			if nc.Status() != StatusDraining {
				t.Errorf("status %v", nc.Status())
			}
			if _, err := nc.SubscribeSync("more"); !errors.Is(err, ErrDraining) || !SafeToRetry(err) {
				t.Errorf("subscribing while draining: %v", err)
			}
		}, Queue("q"))
		must(t, err)
		flush(t, nc)
		s.On("UNSUB", func(p *fakeserver.Peer, o *fakeserver.Op) bool {
			if o.SID == p.SID("work") {
				send(s, "work", 5, 6) // on its way while the server is told
			}
			return false
		})
		send(s, "work", 0, 5)
		s.On("UNSUB", nil)
		start := time.Now()
		must(t, nc.Drain(t.Context()))
		synctest.Wait()
		if d := time.Since(start); d < 400*time.Millisecond || d > time.Second {
			t.Errorf("it took %v", d)
		}
		if strings.Join(order, "") != "cba" {
			t.Errorf("hooks ran as %v", order)
		}
		if got := s.Payloads("done"); len(got) != 5 {
			t.Errorf("done: %q", got)
		}
		if nc.Status() != StatusClosed || nc.Err() != nil || s.Peer().Open() {
			t.Errorf("status %v, Err %v", nc.Status(), nc.Err())
		}
		kinds := log.kinds()
		if !strings.HasPrefix(kinds, "Connected Draining Draining") || !strings.HasSuffix(kinds, "Disconnected Closed") {
			t.Errorf("events %s", kinds)
		}
		if e := one[Disconnected](t, log); e.Err != nil || e.Unknown != 0 {
			t.Errorf("event %+v", e)
		}
		must(t, nc.Drain(t.Context())) // as the first
		must(t, nc.Close())
		_, err = nc.SubscribeSync("a")
		isErr(t, err, ErrClosed)
	})
}

func TestDrainHookFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		bad := errors.New("bad hook")
		nc.OnDrain(func(context.Context) error { return bad })
		must(t, nc.Publish("a", nil))
		isErr(t, nc.Drain(t.Context()), bad)
		synctest.Wait()
		if len(s.Payloads("a")) != 1 || nc.Status() != StatusClosed {
			t.Error("the rest was not seen through")
		}
	})
}

// TestDrainCountsLosses: when time is up, the counts are exact.
func TestDrainCountsLosses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		block := make(chan struct{})
		defer close(block)
		_, err := nc.Subscribe("slow", func(Msg) { <-block })
		must(t, err)
		_, err = nc.SubscribeSync("unread")
		must(t, err)
		flush(t, nc)
		send(s, "slow", 0, 10)
		send(s, "unread", 0, 7)
		start := time.Now()
		l := loss(t, nc.Drain(in(t, 3*time.Second)))
		isErr(t, l, errDeadline)
		if time.Since(start) != 3*time.Second || l.Undelivered < 16 || l.Undelivered > 17 || l.Unsent+l.Unknown != 0 {
			t.Errorf("after %v: %+v", time.Since(start), l)
		}
		if nc.Status() != StatusClosed {
			t.Errorf("status %v", nc.Status())
		}
	})
}

func TestDrainDefaultTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n, DrainTimeout(7*time.Second))
		_, err := nc.SubscribeSync("unread")
		must(t, err)
		flush(t, nc)
		send(s, "unread", 0, 1)
		start := time.Now()
		l := loss(t, nc.Drain(t.Context()))
		isErr(t, l, errDeadline)
		if time.Since(start) != 7*time.Second || l.Undelivered != 1 || !strings.Contains(l.Error(), "default timeout") {
			t.Errorf("after %v: %v", time.Since(start), l)
		}
	})
}

// TestDrainWhileReconnecting waits for a link, sends what was buffered, and
// does not subscribe again.
func TestDrainWhileReconnecting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		for range 3 {
			_, err := nc.Subscribe("work", func(Msg) {}, Queue("q"))
			must(t, err)
		}
		flush(t, nc)
		s.Refuse(true)
		lose(s)
		must(t, nc.Publish("late", nil))
		time.AfterFunc(10*time.Second, func() { s.Refuse(false) })
		must(t, nc.Drain(t.Context()))
		synctest.Wait()
		if got := s.Payloads("late"); len(got) != 1 {
			t.Errorf("late: %q", got)
		}
		if strings.Contains(s.Peer().Raw(), "SUB") {
			t.Errorf("subscribed again: %q", s.Peer().Raw())
		}
	})
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		s.Refuse(true)
		lose(s)
		for range 5 {
			must(t, nc.Publish("late", nil))
		}
		l := loss(t, nc.Drain(in(t, time.Second)))
		if l.Unsent != 5 || !errors.Is(l, errDeadline) {
			t.Errorf("%+v", l)
		}
	})
}

func TestDrainTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		hooks := 0
		nc.OnDrain(func(context.Context) error {
			hooks++
			<-time.After(time.Second)
			return nil
		})
		sub, err := nc.Subscribe("a", func(Msg) { <-time.After(time.Second) })
		must(t, err)
		flush(t, nc)
		feed(s, "a", 0, 3)
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				<-time.After(time.Duration(i) * 300 * time.Millisecond)
				if err := nc.Drain(t.Context()); err != nil {
					t.Error(err)
				}
				if nc.Status() != StatusClosed {
					t.Errorf("drain %d came back at %v", i, nc.Status())
				}
			})
		}
		wg.Wait()
		if hooks != 1 || sub.Stats().Delivered != 3 {
			t.Errorf("%d hooks, %+v", hooks, sub.Stats())
		}
	})
}

// TestDrainAgain: a second call tells what the first could not save, while it
// waits for it and when all is over.
func TestDrainAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		_, err := nc.SubscribeSync("unread")
		must(t, err)
		flush(t, nc)
		send(s, "unread", 0, 3)
		all := make(chan error, 3)
		for range 2 {
			go func() { all <- nc.Drain(in(t, time.Second)) }()
		}
		for range 2 {
			isErr(t, <-all, errDeadline)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if l := loss(t, nc.Drain(ended)); l.Undelivered != 3 {
			t.Errorf("%+v", l)
		}
	})
}

// TestDrainHookHangs: it does not hold Drain past its context, nor keeps the
// hooks before it from being called when it comes back.
func TestDrainHookHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		nc := connect(t, n)
		block, called := make(chan struct{}), false
		remove := nc.OnDrain(nil)
		remove()
		nc.OnDrain(func(context.Context) error { called = true; return nil })
		nc.OnDrain(func(context.Context) error { <-block; return nil })
		start := time.Now()
		err := nc.Drain(in(t, time.Second))
		if d := time.Since(start); d > time.Second+50*time.Millisecond {
			t.Errorf("it took %v", d)
		}
		isErr(t, err, errDeadline)
		loss(t, err)
		close(block)
		synctest.Wait()
		if !called {
			t.Error("the other hook was not called")
		}
	})
}

// TestDrainHookEndsItsGoroutine: Drain goes on, and tells.
func TestDrainHookEndsItsGoroutine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		nc := connect(t, n)
		nc.OnDrain(func(context.Context) error { goexit(); return nil })
		isErr(t, nc.Drain(t.Context()), errGoexit)
		if nc.Status() != StatusClosed {
			t.Errorf("status %v", nc.Status())
		}
	})
}

// TestCloseDuringDrain: Drain does not say that all went well.
func TestCloseDuringDrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		_, err := nc.SubscribeSync("unread")
		must(t, err)
		flush(t, nc)
		send(s, "unread", 0, 3)
		done := make(chan error, 1)
		go func() { done <- nc.Drain(t.Context()) }()
		pass(time.Second)
		l := loss(t, nc.Close())
		if l.Undelivered != 3 {
			t.Errorf("Close says %+v", l)
		}
		if err := <-done; err == nil {
			t.Error("Drain says that nothing was lost")
		}
	})
}

func TestDrainFromCallbacks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		done := make(chan error, 1)
		log := &eventLog{hook: func(nc *Conn, e Event) {
			if _, ok := e.(AsyncError); ok {
				done <- nc.Drain(context.Background())
			}
		}}
		nc := connect(t, n, log.option())
		s.Peer().Err("odd")
		must(t, <-done)
		<-nc.Done()
	})
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		done := make(chan error, 1)
		_, err := nc.Subscribe("a", func(m Msg) { go func() { done <- nc.Drain(t.Context()) }() })
		must(t, err)
		flush(t, nc)
		feed(s, "a", 0, 1)
		must(t, <-done)
	})
}

func TestSubscriptionDrain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		var got collector
		sub, err := nc.Subscribe("a", func(m Msg) {
			<-time.After(100 * time.Millisecond)
			got.handle(m)
		})
		must(t, err)
		flush(t, nc)
		send(s, "a", 0, 5)
		done := make(chan error, 1)
		go func() { done <- sub.Drain(t.Context()) }()
		synctest.Wait()
		if st := sub.Stats(); !st.Draining {
			t.Errorf("books %+v", st)
		}
		must(t, sub.Drain(t.Context())) // a second one waits as well
		must(t, <-done)
		<-sub.Done()
		if got.data() != numbers(0, 5) || sub.Err() != nil || len(s.Peer().Subs()) != 0 || nc.NumSubscriptions() != 0 {
			t.Errorf("got %s, Err %v", got.data(), sub.Err())
		}
		synctest.Wait()
		if e := one[Draining](t, log); e.Subscription != sub {
			t.Errorf("event %+v", e)
		}
		one[SubscriptionEnded](t, log)
	})
}

// TestSubscriptionDrainWithoutALink: the next link does not hear of it.
func TestSubscriptionDrainWithoutALink(t *testing.T) {
	for _, when := range []string{"down", "lost meanwhile"} {
		t.Run(when, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				nc := connect(t, n)
				sub, err := nc.Subscribe("a", func(Msg) {}, Queue("q"))
				must(t, err)
				flush(t, nc)
				s.Refuse(true)
				done := make(chan error, 1)
				if when == "down" {
					lose(s)
					go func() { done <- sub.Drain(t.Context()) }()
				} else {
					s.Peer().StallWrites(true)
					go func() { done <- sub.Drain(t.Context()) }()
					synctest.Wait()
					lose(s)
				}
				synctest.Wait()
				select {
				case err := <-done:
					must(t, err)
				default:
					t.Error("it waits, though nothing can arrive")
				}
				s.Refuse(false)
				must(t, nc.Flush(in(t, time.Minute)))
				if got := s.Peer().Subs(); len(got) != 0 {
					t.Errorf("the server has %+v", got)
				}
			})
		})
	}
}

func TestSubscriptionDrainTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		flush(t, nc)
		send(s, "a", 0, 2)
		isErr(t, sub.Drain(in(t, time.Second)), errDeadline)
		select {
		case <-sub.Done():
			t.Error("it is over")
		default:
		}
		for range 2 {
			_, err := sub.Next(t.Context())
			must(t, err)
		}
		<-sub.Done()
		_, err = sub.Next(t.Context())
		isErr(t, err, ErrSubscriptionClosed)
	})
}
