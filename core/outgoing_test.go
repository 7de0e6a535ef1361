package nats

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestCutAtEveryByte cuts a stream of publishes at each offset. On plain TCP
// whole frames that left are unknown or confirmed and not sent again, all others
// are sent on the next link: nothing arrives twice, and the books are exact.
func TestCutAtEveryByte(t *testing.T) {
	header := Header{}
	header.Set("A", "b")
	msgs := []Msg{
		{Subject: "t", Data: []byte("1 one")},
		{Subject: "t", Data: []byte("2 \r\nPUB t 1\r\nx\r\n"), Reply: "r"},
		{Subject: "t", Data: []byte("3"), Header: header},
		{Subject: "t", Data: []byte("4 " + strings.Repeat("y", 30))},
	}
	total := 0
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		before := len(s.Peer().Raw())
		for _, m := range msgs {
			must(t, nc.PublishMsg(t.Context(), m))
		}
		synctest.Wait()
		total = len(s.Peer().Raw()) - before
	})
	if total < 100 {
		t.Fatalf("the corpus has %d bytes", total)
	}
	for _, swallow := range []bool{false, true} {
		for k := range total + 1 {
			t.Run(fmt.Sprintf("swallow=%v/%d", swallow, k), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n, s := fakeserver.One()
					log := &eventLog{}
					nc := connect(t, n, log.option())
					first := s.Peer()
					first.CutAfter(k, swallow)
					for _, m := range msgs {
						must(t, nc.PublishMsg(t.Context(), m))
					}
					_ = nc.Flush(in(t, time.Minute)) // at k = total the link dies at its PING
					flush(t, nc)

					got := s.Payloads("t")
					seen := make(map[string]int)
					for _, p := range got {
						seen[p]++
						if seen[p] > 1 {
							t.Errorf("%q arrived twice", p)
						}
					}
					for i := 1; i < len(got); i++ {
						if got[i] < got[i-1] {
							t.Errorf("out of order: %q", got)
						}
					}
					st := nc.Stats()
					checkLedger(t, nc)
					if st.OutConfirmed+st.OutUnknown != 4 || st.OutMsgs != 4 {
						t.Errorf("books: %+v", st)
					}
					lost := 4 - len(got)
					if !swallow && lost != 0 {
						t.Errorf("%d did not arrive, though the kernel took none of them: %q", lost, got)
					}
					if uint64(lost) > st.OutUnknown {
						t.Errorf("%d did not arrive, %d are unknown", lost, st.OutUnknown)
					}
					unknown := 0
					for _, e := range of[Disconnected](log) {
						unknown += e.Unknown
					}
					if uint64(unknown) != st.OutUnknown {
						t.Errorf("events tell of %d unknown ones, the books of %d", unknown, st.OutUnknown)
					}
				})
			})
		}
	}
}

// TestOrderAcrossReconnects: each publisher's messages stay in order.
func TestOrderAcrossReconnects(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		const publishers, each = 4, 500
		done := make(chan error, publishers)
		for p := range publishers {
			go func() {
				for i := range each {
					if err := nc.Publish("o", fmt.Appendf(nil, "%d %d", p, i)); err != nil {
						done <- err
						return
					}
					<-time.After(time.Millisecond)
				}
				done <- nil
			}()
		}
		for range 10 {
			<-time.After(37 * time.Millisecond)
			s.Peer().CutAfter(100, false)
		}
		for range publishers {
			must(t, <-done)
		}
		must(t, nc.Flush(in(t, time.Minute)))
		last := map[int]int{0: -1, 1: -1, 2: -1, 3: -1}
		count := 0
		for _, d := range s.Payloads("o") {
			var p, i int
			if _, err := fmt.Sscanf(d, "%d %d", &p, &i); err != nil || i <= last[p] {
				t.Fatalf("%q after %d", d, last[p])
			}
			last[p] = i
			count++
		}
		st := nc.Stats()
		if st.OutUnknown+st.OutConfirmed != publishers*each || uint64(count) < st.OutConfirmed {
			t.Errorf("%d arrived; %+v", count, st)
		}
		if st.Reconnects == 0 {
			t.Error("there was no reconnect")
		}
	})
}

func TestBufferPolicies(t *testing.T) {
	setup := func(t *testing.T, opts ...Option) (*fakeserver.Server, *Conn) {
		n, s := fakeserver.One()
		nc := connect(t, n, opts...)
		s.Refuse(true)
		lose(s)
		return s, nc
	}
	msg := make([]byte, 100)
	t.Run("buffer", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			s, nc := setup(t, ReconnectBufSize(1000))
			sent := 0
			var err error
			for err == nil {
				if err = nc.Publish("a", msg); err == nil {
					sent++
				}
			}
			isErr(t, err, ErrReconnectBufExceeded)
			if !SafeToRetry(err) || sent < 5 || sent > 9 || nc.Buffered() > 1000 || nc.Buffered() < 700 {
				t.Errorf("%d messages in %d bytes, %v", sent, nc.Buffered(), err)
			}
			if st := nc.Stats(); st.OutBuffered != uint64(sent) || st.OutMsgs != uint64(sent) {
				t.Errorf("books: %+v", st)
			}
			s.Refuse(false)
			must(t, nc.Flush(in(t, time.Minute)))
			if got := len(s.Payloads("a")); got != sent {
				t.Errorf("%d of %d arrived", got, sent)
			}
		})
	})
	t.Run("fail", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			_, nc := setup(t, WhenDisconnected(DisconnectedFail))
			err := nc.Publish("a", msg)
			isErr(t, err, ErrDisconnected)
			if !SafeToRetry(err) || nc.Stats().OutMsgs != 0 {
				t.Errorf("error %v, books %+v", err, nc.Stats())
			}
		})
	})
	t.Run("block", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			s, nc := setup(t, WhenDisconnected(DisconnectedBlock), ReconnectBufSize(300), RequestTimeout(2*time.Second))
			must(t, nc.Publish("a", msg))
			must(t, nc.Publish("a", msg))
			start := time.Now()
			err := nc.Publish("a", msg)
			isErr(t, err, context.DeadlineExceeded)
			if d := time.Since(start); d != 2*time.Second || !SafeToRetry(err) {
				t.Errorf("after %v: %v", d, err)
			}
			err = nc.PublishMsg(in(t, time.Second), Msg{Subject: "a", Data: msg})
			isErr(t, err, context.DeadlineExceeded)
			if !SafeToRetry(err) {
				t.Errorf("%v is not safe to retry", err)
			}
			time.AfterFunc(time.Second, func() { s.Refuse(false) })
			must(t, nc.PublishMsg(in(t, time.Minute), Msg{Subject: "a", Data: msg}))
			flush(t, nc)
			if got := len(s.Payloads("a")); got != 3 {
				t.Errorf("%d arrived", got)
			}
		})
	})
	t.Run("off", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			_, nc := setup(t, ReconnectBufSize(0))
			isErr(t, nc.Publish("a", nil), ErrReconnectBufExceeded)
		})
	})
}

// TestPublishDoesNotWaitForDialing: no lock is held across a dial, so nothing
// that does not need a link waits for one.
func TestPublishDoesNotWaitForDialing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		sub, err := nc.SubscribeSync("a")
		must(t, err)
		s.Hang(true)
		lose(s)
		start := time.Now()
		for range 1000 {
			must(t, nc.Publish("a", nil))
		}
		_, err = nc.SubscribeSync("b")
		must(t, err)
		must(t, sub.Unsubscribe())
		_, _, _, _ = nc.Status(), nc.Stats(), nc.Servers(), nc.ServerInfo()
		must(t, nc.SetServers([]string{"other:1", "server"}))
		if d := time.Since(start); d != 0 {
			t.Errorf("it took %v", d)
		}
		start = time.Now()
		_ = nc.Close()
		if d := time.Since(start); d > 100*time.Millisecond {
			t.Errorf("Close took %v", d)
		}
	})
}
