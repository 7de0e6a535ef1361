package nats

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// feed publishes the numbers from to to-1 to subject, as another client would.
func feed(s *fakeserver.Server, subject string, from, to int) {
	for i := from; i < to; i++ {
		s.Deliver(subject, "", "", fmt.Sprint(i))
	}
	synctest.Wait()
}

func TestHandlerOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		var got collector
		sub, err := nc.Subscribe("a.*", func(m Msg) {
			<-time.After(time.Millisecond)
			got.handle(m)
		})
		must(t, err)
		flush(t, nc)
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint(i))
		}
		feed(s, "a.b", 0, 100)
		pass(time.Second)
		if got.data() != strings.Join(want, " ") {
			t.Errorf("got %s", got.data())
		}
		m := got.msgs[0]
		if m.Subject != "a.b" || m.Sub() != sub || sub.Subject() != "a.*" || sub.Conn() != nc || sub.Queue() != "" {
			t.Errorf("message %+v of %q", m, sub.Subject())
		}
		st := sub.Stats()
		if st.Received != 100 || st.Delivered != 100 || !st.Active || st.Draining {
			t.Errorf("books %+v", st)
		}
	})
}

// TestConcurrency: as many handlers run at a time as may, whatever way the
// messages come in.
func TestConcurrency(t *testing.T) {
	for _, together := range []bool{true, false} {
		t.Run(fmt.Sprintf("together=%v", together), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				nc := connect(t, n)
				var now, most atomic.Int64
				_, err := nc.Subscribe("a", func(Msg) {
					if k := now.Add(1); k > most.Load() {
						most.Store(k)
					}
					<-time.After(time.Second)
					now.Add(-1)
				}, Concurrency(4))
				must(t, err)
				flush(t, nc)
				start := time.Now()
				for i := range 16 {
					s.Deliver("a", "", "", fmt.Sprint(i))
					if !together {
						pass(10 * time.Millisecond)
					}
				}
				must(t, nc.Flush(t.Context()))
				must(t, nc.Barrier(t.Context()))
				if most.Load() != 4 {
					t.Errorf("%d handlers ran at a time", most.Load())
				}
				if d := time.Since(start); d > 4500*time.Millisecond {
					t.Errorf("16 seconds of work by 4 took %v", d)
				}
			})
		})
	}
}

// TestBlockedHandlerDelaysNobody: a handler that blocks does not keep another
// subscription's messages waiting.
func TestBlockedHandlerDelaysNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		release := make(chan struct{})
		for i := range 20 {
			_, err := nc.Subscribe(fmt.Sprintf("block.%d", i), func(Msg) { <-release })
			must(t, err)
		}
		var late time.Duration
		var count int
		_, err := nc.Subscribe("quick", func(m Msg) {
			var at int64
			_, _ = fmt.Sscan(string(m.Data), &at)
			late = max(late, time.Duration(time.Now().UnixNano()-at))
			count++
		})
		must(t, err)
		flush(t, nc)
		for i := range 20 {
			s.Deliver(fmt.Sprintf("block.%d", i), "", "", "")
			s.Deliver("quick", "", "", fmt.Sprint(time.Now().UnixNano()))
			pass(100 * time.Millisecond)
		}
		if count != 20 || late > 10*time.Millisecond {
			t.Errorf("%d messages, the latest after %v", count, late)
		}
		close(release)
		flush(t, nc)
	})
}

func TestNext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		flush(t, nc)
		_, err = sub.Next(in(t, time.Second))
		isErr(t, err, errDeadline)
		feed(s, "a", 0, 2)
		for i := range 2 {
			m, err := sub.Next(in(t, time.Second))
			must(t, err)
			if string(m.Data) != fmt.Sprint(i) {
				t.Errorf("got %q", m.Data)
			}
		}
		// Many wait, each gets one.
		got := make(chan string, 10)
		for range 10 {
			go func() {
				m, err := sub.Next(in(t, time.Second))
				got <- fmt.Sprint(string(m.Data), err)
			}()
		}
		synctest.Wait()
		feed(s, "a", 0, 10)
		if len(got) != 10 {
			t.Errorf("%d of 10 calls of Next returned", len(got))
		}
		must(t, sub.Unsubscribe())
		_, err = sub.Next(t.Context())
		isErr(t, err, ErrSubscriptionClosed)
		isErr(t, sub.Unsubscribe(), ErrSubscriptionClosed)

		h, err := nc.Subscribe("b", func(Msg) {})
		must(t, err)
		_, err = h.Next(t.Context())
		isErr(t, err, ErrSyncSubRequired)
		for _, err := range h.Messages(t.Context()) {
			isErr(t, err, ErrSyncSubRequired)
		}
	})
}

func TestMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		flush(t, nc)
		feed(s, "a", 0, 5)
		count := 0
		for _, err := range sub.Messages(t.Context()) {
			must(t, err)
			if count++; count == 2 {
				break // leaves it open
			}
		}
		msgs, err := Collect(sub.Messages(in(t, time.Second)))
		isErr(t, err, errDeadline)
		if count != 2 || len(msgs) != 3 {
			t.Errorf("%d and %d messages", count, len(msgs))
		}
		feed(s, "a", 0, 3)
		drained := make(chan error, 1)
		time.AfterFunc(time.Second, func() { drained <- sub.Drain(t.Context()) })
		msgs, err = Collect(sub.Messages(in(t, time.Minute)))
		must(t, <-drained)
		if len(msgs) != 3 || err != nil {
			t.Errorf("drained: %d messages, %v", len(msgs), err)
		}
	})
}

func TestMessagesEndWithAutoUnsubscribe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a", AutoUnsubscribe(3))
		must(t, err)
		flush(t, nc)
		if got := s.Peer().Subs()[0]; got.Max != 3 {
			t.Errorf("the server has %+v", got)
		}
		feed(s, "a", 0, 5)
		msgs, err := Collect(sub.Messages(in(t, time.Minute)))
		if len(msgs) != 3 || err != nil || sub.Err() != nil {
			t.Errorf("%d messages, %v, Err %v", len(msgs), err, sub.Err())
		}
		<-sub.Done()
		if nc.NumSubscriptions() != 0 || sub.Stats().Active {
			t.Errorf("%d subscriptions; %+v", nc.NumSubscriptions(), sub.Stats())
		}
	})
}

func TestMessagesEndWithTheConn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		time.AfterFunc(time.Second, func() { _ = nc.Close() })
		msgs, err := Collect(sub.Messages(t.Context()))
		if len(msgs) != 0 || !errors.Is(err, ErrClosed) || !errors.Is(sub.Err(), ErrClosed) {
			t.Errorf("%d messages, %v, Err %v", len(msgs), err, sub.Err())
		}
	})
}

// TestAutoUnsubscribeOverReconnects: exactly as many messages as wanted, over
// any number of links, set by the option or by the method.
func TestAutoUnsubscribeOverReconnects(t *testing.T) {
	for _, method := range []bool{false, true} {
		t.Run(fmt.Sprintf("method=%v", method), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				nc := connect(t, n)
				var got collector
				var opts []SubOption
				if !method {
					opts = append(opts, AutoUnsubscribe(10))
				}
				sub, err := nc.Subscribe("a", got.handle, opts...)
				must(t, err)
				flush(t, nc)
				for i := range 4 {
					if method && i == 1 {
						must(t, sub.AutoUnsubscribe(10))
						flush(t, nc)
					}
					feed(s, "a", 3*i, 3*i+3)
					if i < 3 {
						if want := uint64(10 - 3*i); (!method || i > 0) && s.Peer().Subs()[0].Max != want && i != 1 {
							t.Errorf("link %d: the server has %+v, want max %d", i, s.Peer().Subs()[0], want)
						}
						lose(s)
						must(t, nc.Flush(in(t, time.Minute)))
						synctest.Wait()
					}
				}
				feed(s, "a", 12, 20)
				if got.data() != "0 1 2 3 4 5 6 7 8 9" {
					t.Errorf("got %s", got.data())
				}
				select {
				case <-sub.Done():
				default:
					t.Error("it is not over")
				}
				lose(s)
				must(t, nc.Flush(in(t, time.Minute)))
				if got := s.Peer().Subs(); len(got) != 0 {
					t.Errorf("subscribed again: %+v", got)
				}
			})
		})
	}
}

func TestAutoUnsubscribeTooLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		flush(t, nc)
		feed(s, "a", 0, 5)
		must(t, sub.AutoUnsubscribe(3))
		flush(t, nc)
		if len(s.Peer().Subs()) != 0 {
			t.Error("the server still has it")
		}
		msgs, err := Collect(sub.Messages(t.Context()))
		if len(msgs) != 5 || err != nil {
			t.Errorf("%d messages, %v", len(msgs), err)
		}
		isErr(t, sub.AutoUnsubscribe(9), ErrSubscriptionClosed)
	})
}

// TestAutoUnsubscribeRace: the limit set while messages arrive ends the
// subscription in any case.
func TestAutoUnsubscribeRace(t *testing.T) {
	for range 200 {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			nc := connect(t, n)
			sub, err := nc.Subscribe("a", func(Msg) {})
			must(t, err)
			flush(t, nc)
			go s.Deliver("a", "", "", "x")
			go func() { _ = sub.AutoUnsubscribe(1) }()
			synctest.Wait()
			select {
			case <-sub.Done():
			default:
				t.Errorf("not over: %+v", sub.Stats())
			}
		})
	}
}

func TestUnsubscribe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		var got collector
		block := make(chan struct{})
		sub, err := nc.Subscribe("a", func(m Msg) {
			got.handle(m)
			<-block
		})
		must(t, err)
		flush(t, nc)
		feed(s, "a", 0, 10)
		must(t, sub.Unsubscribe())
		flush(t, nc)
		feed(s, "a", 10, 20)
		select {
		case <-sub.Done():
			t.Error("Done while the handler runs")
		default:
		}
		close(block)
		synctest.Wait()
		<-sub.Done()
		if got.len() != 1 || sub.Err() != nil || nc.NumSubscriptions() != 0 {
			t.Errorf("%d messages, Err %v", got.len(), sub.Err())
		}
		if st := sub.Stats(); st.Received != 10 || st.Delivered != 1 || st.Dropped != 9 || st.Active {
			t.Errorf("books %+v", st)
		}
		if e := one[SubscriptionEnded](t, log); e.Err != nil || e.Subscription != sub {
			t.Errorf("event %+v", e)
		}
		if got := s.Ops("UNSUB"); len(got) != 1 {
			t.Errorf("UNSUBs: %s", names(got))
		}
	})
}

func TestHandlerPanics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		var recovered []string
		nc := connect(t, n, RecoverHandlers(func(m Msg, r any) {
			recovered = append(recovered, fmt.Sprint(string(m.Data), r))
		}))
		var got collector
		sub, err := nc.Subscribe("a", func(m Msg) {
			if string(m.Data) == "1" {
				panic("!")
			}
			got.handle(m)
		})
		must(t, err)
		flush(t, nc)
		feed(s, "a", 0, 3)
		if got.data() != "0 2" || fmt.Sprint(recovered) != "[1!]" || sub.Stats().Delivered != 3 {
			t.Errorf("got %s, recovered %v, %+v", got.data(), recovered, sub.Stats())
		}
	})
}

// TestHandlerEndsItsGoroutine: runtime.Goexit, which t.FailNow is, leaves the
// books right and the subscription alive.
func TestHandlerEndsItsGoroutine(t *testing.T) {
	for _, opts := range [][]SubOption{nil, {Concurrency(3)}} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			nc := connect(t, n)
			var got collector
			sub, err := nc.Subscribe("a", func(m Msg) {
				if strings.HasSuffix(string(m.Data), "3") {
					goexit()
				}
				got.handle(m)
			}, opts...)
			must(t, err)
			flush(t, nc)
			for i := range 20 {
				feed(s, "a", i, i+1)
			}
			pass(time.Second)
			checkSub(t, sub)
			if st := sub.Stats(); got.len() != 18 || st.PendingMsgs != 0 || st.Delivered != 18 || st.Dropped != 2 {
				t.Errorf("%d handled, %+v", got.len(), st)
			}
			must(t, nc.Barrier(t.Context()))
			must(t, sub.Drain(t.Context()))
		})
	}
}

func TestSubscribeAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		nc := connect(t, n)
		must(t, nc.Close())
		_, err := nc.SubscribeSync("a")
		isErr(t, err, ErrClosed)
	})
}

// TestConcurrencyOfStragglers: a message that comes while handlers run does not
// wait for one of them while another may run.
func TestConcurrencyOfStragglers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		_, err := nc.Subscribe("a", func(Msg) { <-time.After(time.Second) }, Concurrency(4))
		must(t, err)
		flush(t, nc)
		start := time.Now()
		for i := range 4 {
			feed(s, "a", i, i+1)
			pass(10 * time.Millisecond)
		}
		must(t, nc.Barrier(t.Context()))
		if d := time.Since(start); d > 1100*time.Millisecond {
			t.Errorf("4 handlers of a second took %v", d)
		}
	})
}
