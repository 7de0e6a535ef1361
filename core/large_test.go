package nats

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestLargeByEveryWay: what takes large messages gets them whole, on the reader,
// as a reply, through a channel, as the last of AutoUnsubscribe.
func TestLargeByEveryWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		data := bytes.Repeat([]byte("0123456789"), 40_000)
		check := func(how string, m Msg) {
			if !bytes.Equal(m.Data, data) {
				t.Errorf("%s: %d bytes", how, len(m.Data))
			}
		}
		reader, handled := 0, make(chan Msg, 9)
		_, err := nc.Subscribe("reader.*", func(m Msg) {
			reader++
			check("on the reader", m)
			if m.Subject != "reader.x" || m.Reply != "r" {
				t.Errorf("%q %q", m.Subject, m.Reply)
			}
		}, OnReader())
		must(t, err)
		ch := make(chan Msg, 9)
		_, err = nc.SubscribeChan("chan", ch)
		must(t, err)
		last, err := nc.Subscribe("last", func(m Msg) { handled <- m })
		must(t, err)
		must(t, last.AutoUnsubscribe(2))
		_, err = nc.Subscribe("svc", func(m Msg) { must(t, m.Respond(data)) })
		must(t, err)
		flush(t, nc)

		for range 3 {
			s.Deliver("reader.x", "r", "", string(data))
			s.Deliver("chan", "", "", string(data))
			s.Deliver("last", "", "", string(data))
			m, err := nc.Request(t.Context(), "svc", nil)
			must(t, err)
			check("a reply", m)
			check("a channel", <-ch)
		}
		<-last.Done()
		check("a handler", <-handled)
		check("a handler", <-handled)
		if reader != 3 || len(handled) != 0 {
			t.Errorf("%d on the reader, %d more than AutoUnsubscribe's", reader, len(handled))
		}
		checkLedger(t, nc)
	})
}

// TestLargeOverflow: the limits hold for large messages, by each policy.
func TestLargeOverflow(t *testing.T) {
	for policy, want := range map[OverflowPolicy]string{OverflowDropNewest: "012", OverflowDropOldest: "234", OverflowEnd: "012"} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			nc := connect(t, n)
			const size = 300_000
			sub, err := nc.SubscribeSync("a", PendingLimits(-1, 3*size), Overflow(policy))
			must(t, err)
			flush(t, nc)
			for i := range 5 {
				s.Deliver("a", "", "", string(bytes.Repeat([]byte{byte('0' + i)}, size)))
				synctest.Wait()
			}
			got := ""
			for len(got) < 3 {
				m, err := sub.Next(t.Context())
				if errors.Is(err, ErrSlowConsumer) && policy != OverflowEnd {
					continue
				}
				must(t, err)
				got += string(m.Data[0])
			}
			if got != want || sub.Stats().Dropped != map[bool]uint64{true: 1, false: 2}[policy == OverflowEnd] {
				t.Errorf("policy %d: %s, %+v", policy, got, sub.Stats())
			}
			checkSub(t, sub)
		})
	}
}
