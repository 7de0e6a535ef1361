package basic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

func flush(t testing.TB, ncs ...*nats.Conn) {
	t.Helper()
	for _, nc := range ncs {
		if err := nc.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func recv[T any](t testing.TB, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came within ten seconds")
		panic("unreachable")
	}
}

func TestPublishSubscribe(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	a, b := ledger.Connect(t, srv.URL()), ledger.Connect(t, srv.URL(), nats.Name("b"))
	for _, tc := range []struct{ pattern, subject string }{
		{"a", "a"}, {"a.*", "a.b"}, {"a.>", "a.b.c"}, {"*.x", "y.x"}, {">", "q"}, {"ü.ß", "ü.ß"}, {"odd*ly.na>med", "odd*ly.na>med"},
	} {
		sub, err := a.SubscribeSync(tc.pattern)
		if err != nil {
			t.Fatal(err)
		}
		flush(t, a)
		if err := b.Publish(tc.subject, []byte("data")); err != nil {
			t.Fatal(err)
		}
		m, err := sub.Next(t.Context())
		if err != nil || m.Subject != tc.subject || string(m.Data) != "data" {
			t.Errorf("%s on %s: %q, %v", tc.subject, tc.pattern, m.Subject, err)
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Error(err)
		}
	}
	ledger.SameSubscriptions(t, srv, a)
}

func TestPayloadSizes(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.MaxPayload(8<<20))
	nc := ledger.Connect(t, srv.URL())
	shapes := map[string]func(subject string) func() nats.Msg{
		"next": func(subject string) func() nats.Msg {
			sub, err := nc.SubscribeSync(subject)
			if err != nil {
				t.Fatal(err)
			}
			return func() nats.Msg {
				m, err := sub.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return m
			}
		},
		"handler": func(subject string) func() nats.Msg {
			ch := make(chan nats.Msg, 1)
			if _, err := nc.Subscribe(subject, func(m nats.Msg) { ch <- m }); err != nil {
				t.Fatal(err)
			}
			return func() nats.Msg { return recv(t, ch) }
		},
		"reader": func(subject string) func() nats.Msg {
			ch := make(chan nats.Msg, 1)
			if _, err := nc.Subscribe(subject, func(m nats.Msg) { ch <- m.Clone() }, nats.OnReader()); err != nil {
				t.Fatal(err)
			}
			return func() nats.Msg { return recv(t, ch) }
		},
	}
	for name, shape := range shapes {
		next := shape("size." + name + ".*")
		for _, size := range []int{0, 1, 15, 1023, 1024, 4096, 8191, 16 << 10, 16<<10 + 1, 64 << 10, 1 << 20, 5<<20 + 3} {
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(i * 7)
			}
			h, err := nats.NewHeader("Size", fmt.Sprint(size))
			if err != nil {
				t.Fatal(err)
			}
			subject := fmt.Sprintf("size.%s.%d", name, size)
			m := nats.Msg{Subject: subject, Reply: "some.reply", Header: h, Data: data}
			if err := nc.PublishMsg(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if got := next(); !got.Equal(m) {
				t.Errorf("%s: %d bytes came back as %d on %q reply %q header %v", name, size, len(got.Data), got.Subject, got.Reply, got.Header)
			}
		}
	}
}

func TestQueueGroup(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL())
	const members, total = 4, 4000
	var counts [members]atomic.Int64
	var all sync.WaitGroup
	all.Add(total)
	for i := range members {
		sub, err := nc.Subscribe("jobs", func(nats.Msg) { counts[i].Add(1); all.Done() }, nats.Queue("workers"))
		if err != nil {
			t.Fatal(err)
		}
		if sub.Queue() != "workers" {
			t.Errorf("queue is %q", sub.Queue())
		}
	}
	flush(t, nc)
	for range total {
		if err := nc.Publish("jobs", nil); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	for i := range counts {
		if n := counts[i].Load(); n < total/members/3 {
			t.Errorf("member %d had %d of %d", i, n, total)
		}
	}
	ledger.SameSubscriptions(t, srv, nc, "jobs workers", "jobs workers", "jobs workers", "jobs workers")
}

func TestNoEcho(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL(), nats.NoEcho())
	sub, err := nc.SubscribeSync("own")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("own", nil); err != nil {
		t.Fatal(err)
	}
	flush(t, nc)
	if st := sub.Stats(); st.Received != 0 {
		t.Errorf("own message came back: %+v", st)
	}
}

func TestRequestReply(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc, other := ledger.Connect(t, srv.URL()), ledger.Connect(t, srv.URL(), nats.Name("other"))
	if _, err := other.Subscribe("upper", func(m nats.Msg) {
		h := m.Header
		h.Set("Answered", "yes")
		if err := m.RespondMsg(nats.Msg{Header: h, Data: bytes.ToUpper(m.Data)}); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	flush(t, other)
	h, _ := nats.NewHeader("Id", "7")
	for _, reply := range []string{"", nc.NewInbox()} {
		m, err := nc.RequestMsg(t.Context(), nats.Msg{Subject: "upper", Reply: reply, Header: h, Data: []byte("abc")})
		if err != nil || string(m.Data) != "ABC" || m.Header.Get("Id") != "7" || m.Header.Get("Answered") != "yes" {
			t.Errorf("reply %q: %q %v %v", reply, m.Data, m.Header, err)
		}
	}
	_, err := nc.Request(t.Context(), "nobody.there", nil)
	var nr *nats.NoRespondersError
	if !errors.Is(err, nats.ErrNoResponders) || !errors.As(err, &nr) || nr.Subject != "nobody.there" {
		t.Errorf("nobody there: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := nc.SubscribeSync("silent"); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Request(ctx, "silent", nil); !errors.Is(err, context.DeadlineExceeded) || nats.SafeToRetry(err) {
		t.Errorf("silent: %v", err)
	}
	ledger.SameSubscriptions(t, srv, other, "upper")
}

func TestManyRequesters(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL())
	if _, err := nc.Subscribe("echo", func(m nats.Msg) { _ = m.Respond(m.Data) }, nats.Concurrency(4)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for i := range 200 {
				want := fmt.Sprintf("%d/%d", g, i)
				m, err := nc.Request(t.Context(), "echo", []byte(want))
				if err != nil || string(m.Data) != want {
					t.Errorf("%s: %q, %v", want, m.Data, err)
					return
				}
			}
		})
	}
	wg.Wait()
	flush(t, nc) // what the reader has in hand is counted at the end of its read
	if st := nc.Stats(); st.Answered != 64*200 || st.InReplies != 64*200 || st.InOrphaned != 0 {
		t.Errorf("%+v", st)
	}
}

func TestChannelSubscription(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL())
	for _, capacity := range []int{0, 1, 16, 5000} {
		ch := make(chan nats.Msg, capacity)
		subject := fmt.Sprintf("chan.%d", capacity)
		sub, err := nc.SubscribeChan(subject, ch)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			if err := nc.Publish(subject, fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
		}
		flush(t, nc)
		for i := range 1000 {
			if m := recv(t, ch); string(m.Data) != fmt.Sprint(i) {
				t.Fatalf("capacity %d: %q instead of %d", capacity, m.Data, i)
			}
		}
		if err := sub.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestAutoUnsubscribe(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL())
	sub, err := nc.SubscribeSync("few", nats.AutoUnsubscribe(3))
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if err := nc.Publish("few", nil); err != nil {
			t.Fatal(err)
		}
	}
	got, err := nats.Collect(sub.Messages(t.Context()))
	if err != nil || len(got) != 3 {
		t.Errorf("%d messages, %v", len(got), err)
	}
	<-sub.Done()
	if sub.Err() != nil || sub.Stats().Active {
		t.Errorf("%v %+v", sub.Err(), sub.Stats())
	}
	ledger.SameSubscriptions(t, srv, nc)
}

func TestSlowConsumer(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), handler)
	release := make(chan struct{})
	var handled atomic.Int64
	sub, err := nc.Subscribe("fast", func(nats.Msg) { <-release; handled.Add(1) }, nats.PendingLimits(10, -1))
	if err != nil {
		t.Fatal(err)
	}
	other, err := nc.SubscribeSync("other")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := errors.Join(nc.Publish("fast", []byte("x")), nc.Publish("other", nil)); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, nc)
	if e := ledger.Wait[nats.SlowConsumer](t, events); e.Subscription != sub || e.Over {
		t.Errorf("%+v", e)
	}
	if st := sub.Stats(); st.Received != 100 || st.Dropped != 90 || st.PendingMsgs != 10 {
		t.Errorf("%+v", st)
	}
	if st := other.Stats(); st.Received != 100 || st.Dropped != 0 {
		t.Errorf("the other one: %+v", st)
	}
	close(release)
	if e := ledger.WaitN[nats.SlowConsumer](t, events, 2); !e.Over || e.Dropped != 90 {
		t.Errorf("%+v", e)
	}
	if err := nc.Barrier(t.Context()); err != nil || handled.Load() != 10 {
		t.Errorf("%d handled, %v", handled.Load(), err)
	}
}

func TestLimitsOfTheServer(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.MaxPayload(1000))
	nc := ledger.Connect(t, srv.URL())
	before := nc.Stats()
	if err := nc.Publish("big", make([]byte, 1001)); !errors.Is(err, nats.ErrMaxPayload) || !nats.SafeToRetry(err) {
		t.Error(err)
	}
	if err := nc.Publish(strings.Repeat("x", 5000), nil); !errors.Is(err, nats.ErrBadSubject) {
		t.Error(err)
	}
	flush(t, nc)
	if st := nc.Stats(); st.OutMsgs != before.OutMsgs || nc.Status() != nats.StatusConnected {
		t.Errorf("%v %+v", nc.Status(), st)
	}
}

func TestIterator(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL())
	sub, err := nc.SubscribeSync("it")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := nc.Publish("it", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for m, err := range sub.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, string(m.Data)); len(got) == 4 {
			break // leaves it open
		}
	}
	flush(t, nc)
	drained := make(chan error, 1)
	go func() { drained <- sub.Drain(t.Context()) }()
	for m, err := range sub.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Data))
	}
	if err := recv(t, drained); err != nil {
		t.Error(err)
	}
	if want := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if _, err := sub.Next(t.Context()); !errors.Is(err, nats.ErrSubscriptionClosed) {
		t.Error(err)
	}
}

func TestVerboseAndPedantic(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	nc := ledger.Connect(t, srv.URL(), nats.Verbose(), nats.Pedantic())
	sub, err := nc.SubscribeSync("v")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("v", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != "1" {
		t.Error(m, err)
	}
	if d, err := nc.RTT(t.Context()); err != nil || d <= 0 {
		t.Error(d, err)
	}
}
