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

func numbers(from, to int) string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint(i))
	}
	return strings.Join(out, " ")
}

// send is n messages to sid in one write, so that the client reads them at once.
func send(s *fakeserver.Server, subject string, from, to int) {
	var b strings.Builder
	sid := s.Peer().SID(subject)
	for i := from; i < to; i++ {
		b.WriteString(fakeserver.Frame(subject, sid, "", "", fmt.Sprint(i)))
	}
	s.Peer().Send(b.String())
	synctest.Wait()
}

// TestOverflow fills a queue of 5 by 12 messages, all at once, one by one, and
// in lots, for each policy.
func TestOverflow(t *testing.T) {
	for _, c := range []struct {
		policy OverflowPolicy
		limits [2]int // messages, bytes
		want   string
	}{
		{OverflowDropNewest, [2]int{5, -1}, numbers(0, 5)},
		{OverflowDropOldest, [2]int{5, -1}, numbers(7, 12)},
		{OverflowEnd, [2]int{5, -1}, numbers(0, 5)},
		{OverflowDropNewest, [2]int{-1, 5}, numbers(0, 5)},
		{OverflowDropOldest, [2]int{-1, 5}, numbers(9, 12)}, // 9, 10 and 11 have 5 bytes
		{OverflowEnd, [2]int{-1, 5}, numbers(0, 5)},
	} {
		for _, lot := range []int{1, 4, 12} {
			t.Run(fmt.Sprintf("policy %d limits %v by %d", c.policy, c.limits, lot), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n, s := fakeserver.One()
					log := &eventLog{}
					nc := connect(t, n, log.option())
					sub, err := nc.SubscribeSync("a", PendingLimits(c.limits[0], c.limits[1]), Overflow(c.policy))
					must(t, err)
					flush(t, nc)
					for i := 0; i < 12; i += lot {
						send(s, "a", i, i+lot)
					}
					kept := len(strings.Fields(c.want))
					st := sub.Stats()
					checkSub(t, sub)
					checkLedger(t, nc)
					// After OverflowEnd what comes is not the subscription's any more.
					if got := st.Dropped + nc.Stats().InOrphaned; st.PendingMsgs != kept || got != uint64(12-kept) {
						t.Errorf("books %+v", st)
					}
					if st.MaxPendingMsgs != 5 && c.limits[0] > 0 || st.LimitMsgs != c.limits[0] || st.LimitBytes != c.limits[1] {
						t.Errorf("books %+v", st)
					}
					if e := one[SlowConsumer](t, log); e.Subscription != sub || e.Over || e.Dropped == 0 {
						t.Errorf("event %+v", e)
					}
					if c.policy == OverflowEnd {
						isErr(t, sub.Err(), ErrSlowConsumer)
						if len(s.Peer().Subs()) != 0 || st.Active {
							t.Error("the server still has it")
						}
					} else {
						_, err = sub.Next(t.Context())
						var slow *SlowConsumerError
						if !errors.As(err, &slow) || slow.Dropped != uint64(12-kept) || slow.Subject != "a" {
							t.Errorf("Next reports %v", err)
						}
					}
					var got []string
					for {
						m, err := sub.Next(in(t, time.Second))
						if err != nil {
							if c.policy == OverflowEnd {
								isErr(t, err, ErrSlowConsumer)
							} else {
								isErr(t, err, errDeadline)
							}
							break
						}
						got = append(got, string(m.Data))
					}
					if strings.Join(got, " ") != c.want {
						t.Errorf("got %v, want %s", got, c.want)
					}
					synctest.Wait()
					es := of[SlowConsumer](log)
					if e := es[len(es)-1]; len(es) != 2 || !e.Over || e.Dropped != st.Dropped {
						t.Errorf("events %+v", es)
					}
				})
			})
		}
	}
}

// TestSlowConsumerEpisodes: one event at the start of each, one at its end.
func TestSlowConsumerEpisodes(t *testing.T) {
	for _, kind := range []string{"handler", "sync", "chan"} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				log := &eventLog{}
				nc := connect(t, n, log.option(), PendingLimits(3, -1))
				gate := make(chan struct{})
				ch := make(chan Msg)
				var sub *Subscription
				var err error
				take := func(int) {}
				switch kind {
				case "handler":
					sub, err = nc.Subscribe("a", func(Msg) { <-gate })
					take = func(n int) {
						for range n {
							gate <- struct{}{}
						}
					}
				case "sync":
					sub, err = nc.SubscribeSync("a")
					take = func(n int) {
						for range n {
							if _, err := sub.Next(t.Context()); err != nil {
								_, err = sub.Next(t.Context())
								must(t, err)
							}
						}
					}
				case "chan":
					sub, err = nc.SubscribeChan("a", ch)
					take = func(n int) {
						for range n {
							<-ch
						}
					}
				}
				must(t, err)
				flush(t, nc)
				for episode := range 3 {
					send(s, "a", 0, 100)
					send(s, "a", 0, 100)
					es := of[SlowConsumer](log)
					if len(es) != 2*episode+1 || es[2*episode].Over {
						t.Fatalf("episode %d: %+v", episode, es)
					}
					take(sub.Stats().PendingMsgs)
					synctest.Wait()
					es = of[SlowConsumer](log)
					if len(es) != 2*episode+2 || !es[2*episode+1].Over || es[2*episode+1].Dropped != 197 {
						t.Fatalf("episode %d: %+v", episode, es)
					}
				}
				if st := sub.Stats(); st.Dropped != 3*197 || st.Delivered != 9 {
					t.Errorf("books %+v", st)
				}
			})
		})
	}
}

// TestSlowChannelCatchesUpAtOnce: an episode ends also when the channel takes
// at once what was kept.
func TestSlowChannelCatchesUpAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		ch := make(chan Msg, 100)
		_, err := nc.SubscribeChan("a", ch, PendingLimits(3, -1))
		must(t, err)
		flush(t, nc)
		send(s, "a", 0, 10)
		es := of[SlowConsumer](log)
		if len(ch) != 3 || len(es) != 2 || es[0].Over || !es[1].Over {
			t.Errorf("%d in the channel, events %+v", len(ch), es)
		}
	})
}

// TestManyDrops: a million drops are two events.
func TestManyDrops(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		sub, err := nc.SubscribeSync("a", PendingLimits(1, -1))
		must(t, err)
		flush(t, nc)
		for range 10 {
			send(s, "a", 0, 10_000)
		}
		if _, err := Collect(sub.Messages(in(t, time.Second))); !errors.Is(err, errDeadline) {
			t.Error(err)
		}
		synctest.Wait()
		if es := of[SlowConsumer](log); len(es) != 2 || es[1].Dropped != 99_999 || nc.Stats().EventsDropped != 0 {
			t.Errorf("events %+v", es)
		}
	})
}

func TestSetPendingLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a", PendingLimits(10, -1))
		must(t, err)
		flush(t, nc)
		send(s, "a", 0, 10)
		must(t, sub.SetPendingLimits(12, -1))
		send(s, "a", 10, 20)
		if st := sub.Stats(); st.PendingMsgs != 12 || st.Dropped != 8 || st.LimitMsgs != 12 || st.MaxPendingMsgs != 12 || st.MaxPendingBytes != 14 {
			t.Errorf("books %+v", st)
		}
		must(t, sub.SetPendingLimits(5, 1000))
		send(s, "a", 20, 21)
		if st := sub.Stats(); st.PendingMsgs != 12 || st.Dropped != 9 || st.LimitBytes != 1000 {
			t.Errorf("books %+v", st)
		}
		sub.ClearMaxPending()
		if st := sub.Stats(); st.MaxPendingMsgs != 0 || st.MaxPendingBytes != 0 {
			t.Errorf("books %+v", st)
		}
		for range 9 {
			if _, err := sub.Next(t.Context()); err != nil {
				isErr(t, err, ErrSlowConsumer)
			}
		}
		send(s, "a", 21, 22)
		if st := sub.Stats(); st.PendingMsgs != 5 || st.MaxPendingMsgs != 5 {
			t.Errorf("books %+v", st)
		}
		for _, bad := range [][2]int{{0, 1}, {1, 0}} {
			isErr(t, sub.SetPendingLimits(bad[0], bad[1]), ErrInvalidOption)
		}
	})
}

// TestDefaultLimits: limits given to Connect are every subscription's.
func TestDefaultLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		nc := connect(t, n, PendingLimits(7, 8), Overflow(OverflowDropOldest))
		a, err := nc.SubscribeSync("a")
		must(t, err)
		b, err := nc.SubscribeSync("a", PendingLimits(-1, 9), Overflow(OverflowEnd))
		must(t, err)
		if st := a.Stats(); st.LimitMsgs != 7 || st.LimitBytes != 8 || a.overflow != OverflowDropOldest {
			t.Errorf("a: %+v", st)
		}
		if st := b.Stats(); st.LimitMsgs != -1 || st.LimitBytes != 9 || b.overflow != OverflowEnd {
			t.Errorf("b: %+v", st)
		}
	})
}

func TestSubscribeChan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		ch := make(chan Msg, 2)
		a, err := nc.SubscribeChan("a", ch)
		must(t, err)
		b, err := nc.SubscribeChan("b", ch, Queue("q"))
		must(t, err)
		flush(t, nc)
		feed(s, "a", 0, 10)
		feed(s, "b", 0, 10)
		if st := a.Stats(); st.PendingMsgs != 8 || st.Delivered != 2 {
			t.Errorf("a: %+v", st)
		}
		if st := b.Stats(); st.PendingMsgs != 10 {
			t.Errorf("b: %+v", st)
		}
		var of = map[string][]string{}
		for range 20 {
			m := <-ch
			of[m.Subject] = append(of[m.Subject], string(m.Data))
			synctest.Wait()
		}
		if got := strings.Join(of["a"], " ") + "/" + strings.Join(of["b"], " "); got != numbers(0, 10)+"/"+numbers(0, 10) {
			t.Errorf("got %s", got)
		}
		feed(s, "a", 0, 5)
		must(t, a.Unsubscribe())
		synctest.Wait()
		<-a.Done()
		if st := a.Stats(); st.Dropped != 3 || st.Delivered != 12 || st.PendingMsgs != 0 {
			t.Errorf("a: %+v", st)
		}
		// What was sent before stays; the channel is not closed.
		<-ch
		<-ch
		select {
		case m, ok := <-ch:
			t.Errorf("then came %v, %v", m, ok)
		default:
		}
		feed(s, "b", 0, 5)
		done := make(chan error, 1)
		go func() { done <- b.Drain(t.Context()) }()
		for range 5 {
			<-ch
		}
		must(t, <-done)
	})
}

// TestOnReader: the message is borrowed, and the books and the order are right.
func TestOnReader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		var got []string
		sub, err := nc.Subscribe("a.*", func(m Msg) {
			got = append(got, m.Subject+m.Reply+m.Header.Get("H")+string(m.Data))
			if m.Reply != "" {
				if err := m.Respond([]byte("pong")); err != nil {
					t.Error(err)
				}
			}
			if cap(m.Data) != len(m.Data) {
				t.Error("appending to Data reaches the buffer")
			}
		}, OnReader())
		must(t, err)
		flush(t, nc)
		s.Deliver("a.1", "r", "NATS/1.0\r\nH: h\r\n\r\n", "x")
		s.Deliver("a.2", "", "", strings.Repeat("y", 100_000))
		s.Deliver("a.3", "", "", "")
		synctest.Wait()
		want := []string{"a.1rhx", "a.2" + strings.Repeat("y", 100_000), "a.3"}
		if !slices.Equal(got, want) || sub.Stats().Delivered != 3 {
			t.Errorf("got %.100v, %+v", got, sub.Stats())
		}
		if got := s.Payloads("r"); len(got) != 1 {
			t.Errorf("responses %q", got)
		}
		must(t, sub.Drain(t.Context()))
		_, err = nc.SubscribeSync("a", OnReader())
		isErr(t, err, ErrInvalidOption)
		_, err = nc.Subscribe("a", func(Msg) {}, OnReader(), Concurrency(2))
		isErr(t, err, ErrInvalidOption)
	})
}

// TestBorrowedSubjectIsCheckedAgain: a subject that lay in the read buffer may
// have changed since it was found legal.
func TestBorrowedSubjectIsCheckedAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		var errs []error
		_, err := nc.Subscribe("a", func(m Msg) { errs = append(errs, m.Respond(nil)) }, OnReader())
		must(t, err)
		flush(t, nc)
		for _, reply := range []string{"r.1", "r.*", "r.>", "r.2"} {
			s.Peer().Msg("a", s.Peer().SID("a"), reply, "", "")
			synctest.Wait()
		}
		if len(errs) != 4 || errs[0] != nil || !errors.Is(errs[1], ErrBadSubject) || !errors.Is(errs[2], ErrBadSubject) || errs[3] != nil {
			t.Errorf("errors %v", errs)
		}
		if got := s.Ops("PUB"); len(got) != 2 {
			t.Errorf("published %s", names(got))
		}
	})
}

// TestOnReaderEndsItsGoroutine: a handler that ends the reader ends the link,
// at once, and no more.
func TestOnReaderEndsItsGoroutine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.Subscribe("a", func(m Msg) {
			if string(m.Data) == "0" {
				goexit()
			}
		}, OnReader())
		must(t, err)
		var got collector
		_, err = nc.Subscribe("b", got.handle)
		must(t, err)
		flush(t, nc)
		p := s.Peer()
		p.Send(fakeserver.Frame("b", p.SID("b"), "", "", "lost") + fakeserver.Frame("a", p.SID("a"), "", "", "0"))
		pass(time.Second)
		if st := nc.Stats(); st.Reconnects != 1 || st.InMsgs != 2 || st.InOrphaned != 1 {
			t.Errorf("status %v, %+v", nc.Status(), st)
		}
		checkLedger(t, nc)
		feed(s, "a", 1, 2)
		feed(s, "b", 1, 2)
		must(t, nc.Flush(in(t, time.Second)))
		if got.data() != "1" {
			t.Errorf("got %q", got.data())
		}
		must(t, sub.Drain(in(t, time.Second)))
	})
}
