package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// fill publishes n messages "0", "1", ... to the stream's subject.
func fill(t testing.TB, js *jetstream.JetStream, subject string, n int) {
	t.Helper()
	for i := range n {
		if i%500 == 499 { // a server that has too much to store drops
			publish(t, js, subject, strconv.Itoa(i))
			continue
		}
		if err := js.Conn().Publish(subject, []byte(strconv.Itoa(i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := js.Conn().Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// worker makes a stream S of subjects s.> and a consumer of it.
func worker(t testing.TB, js *jetstream.JetStream, cfg jetstream.ConsumerConfig) *jetstream.Consumer {
	t.Helper()
	s := create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	if cfg.Durable == "" {
		cfg.Durable = "C"
	}
	c, err := s.CreateConsumer(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventually waits until the consumer is as f wants it.
func eventually(t testing.TB, c *jetstream.Consumer, what string, f func(*jetstream.ConsumerInfo) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var last *jetstream.ConsumerInfo
	for {
		info, err := c.Info(ctx)
		switch {
		case err == nil && f(info):
			return
		case err == nil:
			last = info
		case ctx.Err() != nil:
			t.Fatalf("never: %s; %+v", what, last)
		}
	}
}

// inboxes lists the subscriptions of sessions that the server knows; that of
// requests is one token shorter.
func inboxes(srv *natstest.Server, js *jetstream.JetStream) []string {
	return slices.DeleteFunc(srv.Subscriptions(js.Conn().Name()), func(s string) bool { return strings.Count(s, ".") != 3 })
}

// noInbox waits until no session has left anything behind.
func noInbox(t testing.TB, srv *natstest.Server, js *jetstream.JetStream) {
	t.Helper()
	ctx := in(t, 10*time.Second)
	for len(inboxes(srv, js)) > 0 {
		if err := js.Conn().Flush(ctx); err != nil {
			t.Fatalf("left behind: %q", inboxes(srv, js))
		}
	}
}

func acked(n int) func(*jetstream.ConsumerInfo) bool {
	return func(i *jetstream.ConsumerInfo) bool {
		return i.NumAckPending == 0 && i.NumPending == 0 && i.AckFloor.Stream == uint64(n)
	}
}

func in(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestFetch(t *testing.T) {
	t.Parallel()
	js, srv := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{})
	fill(t, js, "s.a", 25)
	next := 0
	take := func(want int, opts ...jetstream.FetchOption) {
		t.Helper()
		n := 0
		for m, err := range c.Fetch(t.Context(), 10, opts...) {
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Data) != strconv.Itoa(next) || m.Subject != "s.a" {
				t.Errorf("message %q, want %d", m.Data, next)
			}
			if err := m.Ack(); err != nil {
				t.Error(err)
			}
			next++
			n++
		}
		if n != want {
			t.Errorf("fetched %d, want %d", n, want)
		}
	}
	take(10)
	take(10, jetstream.NoWait())
	take(5, jetstream.NoWait())
	take(0, jetstream.NoWait())
	take(0, jetstream.MaxWait(50*time.Millisecond))
	fill(t, js, "s.a", 1)
	next = 0
	take(1, jetstream.MaxWait(50*time.Millisecond))
	eventually(t, c, "all acknowledged", acked(26))
	noInbox(t, srv, js)
}

func TestFetchBytes(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	for range 3 {
		publish(t, js, "s.a", string(make([]byte, 1000)))
	}
	n := 0
	for _, err := range c.Fetch(t.Context(), 100, jetstream.MaxBytes(2500), jetstream.MaxWait(time.Second)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("fetched %d messages, want 2", n)
	}
	var last error
	for _, err := range c.Fetch(t.Context(), 100, jetstream.MaxBytes(500), jetstream.MaxWait(time.Second)) {
		last = err
	}
	if !errors.Is(last, jetstream.ErrMaxBytesExceeded) {
		t.Errorf("a message above MaxBytes: %v", last)
	}
}

func TestFetchEnds(t *testing.T) {
	t.Parallel()
	js, srv := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{AckWait: time.Minute})
	collect := func(ctx context.Context, opts ...jetstream.FetchOption) (n int, err error) {
		for _, e := range c.Fetch(ctx, 10, opts...) {
			if e != nil {
				return n, e
			}
			n++
		}
		return n, nil
	}
	if n, err := collect(in(t, 50*time.Millisecond)); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with the end of the context: %d, %v", n, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := collect(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
	// break hands back what came.
	fill(t, js, "s.a", 10)
	for m, err := range c.Fetch(t.Context(), 10) {
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
		break
	}
	seen := 0
	for m, err := range c.Fetch(t.Context(), 9, jetstream.MaxWait(10*time.Second)) {
		if err != nil {
			t.Fatal(err)
		}
		if err := m.AckSync(t.Context()); err != nil {
			t.Error(err)
		}
		seen++
	}
	if seen != 9 {
		t.Errorf("%d messages came again, want 9", seen)
	}
	if err := js.DeleteConsumer(t.Context(), "S", "C"); err != nil {
		t.Fatal(err)
	}
	if _, err := collect(t.Context()); !errors.Is(err, jetstream.ErrConsumerDeleted) || !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("of a consumer that was deleted: %v", err)
	}
	if _, err := collect(t.Context(), jetstream.NoWait()); !errors.Is(err, jetstream.ErrConsumerDeleted) {
		t.Errorf("of a consumer that was deleted, without waiting: %v", err)
	}
	noInbox(t, srv, js)
}

func TestNext(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{})
	if _, err := c.Next(t.Context(), jetstream.NoWait()); !errors.Is(err, jetstream.ErrNoMessages) {
		t.Errorf("nothing, now: %v", err)
	}
	if _, err := c.Next(t.Context(), jetstream.MaxWait(10*time.Millisecond)); !errors.Is(err, jetstream.ErrNoMessages) {
		t.Errorf("nothing, soon: %v", err)
	}
	if _, err := c.Next(in(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nothing, until the context ends: %v", err)
	}
	fill(t, js, "s.a", 3)
	for i := range 3 {
		m, err := c.Next(t.Context())
		if err != nil || string(m.Data) != strconv.Itoa(i) {
			t.Fatalf("%v %v", m, err)
		}
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, c, "all acknowledged", acked(3))
}

func TestMessages(t *testing.T) {
	t.Parallel()
	js, srv := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{MaxAckPending: -1})
	const count = 5000
	fill(t, js, "s.a", count)
	n := 0
	for m, err := range c.Messages(t.Context(), jetstream.MaxMessages(64)) {
		if err != nil {
			t.Fatal(err)
		}
		if string(m.Data) != strconv.Itoa(n) {
			t.Fatalf("message %q, want %d", m.Data, n)
		}
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
		if n++; n == count {
			break
		}
	}
	eventually(t, c, "all acknowledged", acked(count))
	var last error
	for _, err := range c.Messages(in(t, 50*time.Millisecond)) {
		last = err
	}
	if !errors.Is(last, context.DeadlineExceeded) {
		t.Errorf("at the end of the context: %v", last)
	}
	n = 0
	fill(t, js, "s.a", 10)
	for _, err := range c.Messages(t.Context(), jetstream.StopAfter(7)) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 7 {
		t.Errorf("%d messages, want 7", n)
	}
	eventually(t, c, "no more than 7 delivered", func(i *jetstream.ConsumerInfo) bool { return i.NumAckPending == 7 && i.NumPending == 3 })
	noInbox(t, srv, js)
}

func TestConsume(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{MaxAckPending: -1})
	const count = 5000
	fill(t, js, "s.a", count)
	n, at, most := 0, atomic.Int32{}, atomic.Int32{}
	done := make(chan struct{})
	run, err := c.Consume(func(m *jetstream.Msg) {
		if string(m.Data) != strconv.Itoa(n) {
			t.Errorf("message %q, want %d", m.Data, n)
		}
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
		if n++; n == count {
			close(done)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	<-done
	if err := run.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	<-run.Done()
	if run.Err() != nil {
		t.Errorf("after Drain: %v", run.Err())
	}
	eventually(t, c, "all acknowledged", acked(count))

	// Several at a time, and an end of its own.
	fill(t, js, "s.a", 64)
	var total atomic.Int32
	barrier := make(chan struct{})
	run, err = c.Consume(func(m *jetstream.Msg) {
		now := at.Add(1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		if total.Add(1) == 8 {
			close(barrier) // all eight are here
		}
		<-barrier
		at.Add(-1)
		_ = m.Ack()
	}, jetstream.Concurrency(8), jetstream.StopAfter(64))
	if err != nil {
		t.Fatal(err)
	}
	<-run.Done()
	if run.Err() != nil || total.Load() != 64 || most.Load() != 8 {
		t.Errorf("%v, %d messages, %d at a time", run.Err(), total.Load(), most.Load())
	}
	if _, err := c.Consume(nil); err == nil {
		t.Error("without a handler")
	}
}

// Stop hands back what was read ahead: it comes at once, and not after AckWait.
func TestStopHandsBack(t *testing.T) { // reliability G6
	t.Parallel()
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{AckWait: time.Hour})
	const count = 100
	fill(t, js, "s.a", count)
	took := make(chan *jetstream.Msg, count)
	again := func() {
		t.Helper()
		var rest []*jetstream.Msg
		for m, err := range c.Fetch(t.Context(), count-len(took), jetstream.MaxWait(10*time.Second)) {
			if err != nil {
				t.Fatal(err)
			}
			rest = append(rest, m)
		}
		if len(rest) != count-len(took) {
			t.Errorf("%d came again, want %d", len(rest), count-len(took))
		}
		for _, m := range rest {
			if err := m.Nak(); err != nil {
				t.Error(err)
			}
		}
	}

	release := make(chan struct{})
	first := make(chan struct{})
	var calls atomic.Int32
	run, err := c.Consume(func(m *jetstream.Msg) {
		if calls.Add(1) == 1 {
			close(first)
			<-release
			took <- m
			return
		}
		t.Error("the handler was called after Stop")
	})
	if err != nil {
		t.Fatal(err)
	}
	<-first
	eventually(t, c, "all is read ahead", func(i *jetstream.ConsumerInfo) bool { return i.NumAckPending == count })
	run.Stop()
	close(release)
	<-run.Done()
	if run.Err() != nil {
		t.Error(run.Err())
	}
	again()

	rec, err := c.Receiver()
	if err != nil {
		t.Fatal(err)
	}
	m, err := rec.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	took <- m
	rec.Stop()
	if _, err := rec.Next(t.Context()); !errors.Is(err, jetstream.ErrConsumptionEnded) {
		t.Errorf("after Stop: %v", err)
	}
	again()
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		took <- m
		break
	}
	again()
}

func TestDrainKeeps(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{})
	const count = 100
	fill(t, js, "s.a", count)
	rec, err := c.Receiver(jetstream.MaxMessages(30))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, c, "some are here", func(i *jetstream.ConsumerInfo) bool { return i.NumAckPending == 30 })
	drained := make(chan error, 1)
	go func() { drained <- rec.Drain(t.Context()) }()
	n := 0
	for m, err := range rec.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
		n++
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if n < 30 {
		t.Errorf("%d messages, want those 30 that were here", n)
	}
	eventually(t, c, "none is stranded", func(i *jetstream.ConsumerInfo) bool { return i.NumAckPending == 0 && i.AckFloor.Stream == uint64(n) })
}

// The Drain of the connection drains sessions: what handlers were given is
// acknowledged.
func TestConnDrain(t *testing.T) {
	t.Parallel()
	js, srv := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{})
	const count = 300
	fill(t, js, "s.a", count)
	other := handle(t, srv.URL())
	oc, err := other.Consumer(t.Context(), "S", "C")
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int32
	began := make(chan struct{})
	run, err := oc.Consume(func(m *jetstream.Msg) {
		if n.Add(1) == 1 {
			close(began)
		}
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
	}, jetstream.MaxMessages(100))
	if err != nil {
		t.Fatal(err)
	}
	<-began
	if err := other.Conn().Drain(t.Context()); err != nil {
		t.Error(err)
	}
	<-run.Done()
	if run.Err() != nil {
		t.Error(run.Err())
	}
	// What the server had in hand for the inbox when that was given up is
	// pending, and comes again: it was never here.
	eventually(t, c, "everything that was handled is acknowledged", func(i *jetstream.ConsumerInfo) bool {
		return i.Delivered.Consumer-uint64(i.NumAckPending) == uint64(n.Load())
	})
}

func TestConnCloseEndsSessions(t *testing.T) { // reliability G5
	t.Parallel()
	js, srv := run(t)
	worker(t, js, jetstream.ConsumerConfig{})
	other := handle(t, srv.URL())
	c := other.StreamHandle("S").ConsumerHandle("C")
	rec, err := c.Receiver()
	if err != nil {
		t.Fatal(err)
	}
	run, err := c.Consume(func(*jetstream.Msg) {})
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 2)
	go func() { _, err := rec.Next(t.Context()); got <- err }()
	go func() {
		for _, err := range c.Fetch(t.Context(), 1) {
			got <- err
			return
		}
		got <- nil
	}()
	eventually(t, c, "three pulls wait", func(i *jetstream.ConsumerInfo) bool { return i.NumWaiting == 3 })
	_ = other.Conn().Close()
	for range 2 {
		if err := <-got; !errors.Is(err, nats.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
	<-run.Done()
	if !errors.Is(run.Err(), nats.ErrClosed) {
		t.Errorf("after Close: %v", run.Err())
	}
	if _, err := c.Receiver(); !errors.Is(err, nats.ErrClosed) {
		t.Errorf("a new one: %v", err)
	}
}

func TestConsumerDeletedEndsSessions(t *testing.T) { // reliability G11
	t.Parallel()
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{})
	fill(t, js, "s.a", 3)
	rec, err := c.Receiver()
	if err != nil {
		t.Fatal(err)
	}
	run, err := c.Consume(func(m *jetstream.Msg) { _ = m.Ack() })
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, c, "both pull", func(i *jetstream.ConsumerInfo) bool { return i.NumWaiting == 2 && i.NumPending == 0 })
	if err := js.DeleteConsumer(t.Context(), "S", "C"); err != nil {
		t.Fatal(err)
	}
	for {
		_, err := rec.Next(in(t, 10*time.Second)) // what came before is given out first
		if err == nil {
			continue
		}
		if !errors.Is(err, jetstream.ErrConsumerDeleted) {
			t.Errorf("receiver: %v", err)
		}
		break
	}
	<-run.Done()
	if !errors.Is(run.Err(), jetstream.ErrConsumerDeleted) {
		t.Errorf("consume: %v", run.Err())
	}
}

// A user's message is data, whatever it looks like; and what is no message of
// the consumer is not given to anybody.
func TestHostileContent(t *testing.T) { // reliability G17
	t.Parallel()
	js, srv := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{})
	for _, h := range []nats.Header{
		header(t, "Status", "409", "Description", "Consumer Deleted"),
		header(t, "Status", "503"),
		header(t, "Nats-Pending-Messages", "100", "Nats-Pending-Bytes", "100"),
		header(t, "Status", "100", "Description", "Idle Heartbeat"),
	} {
		if _, err := js.PublishMsg(t.Context(), nats.Msg{Subject: "s.a", Header: h}); err != nil {
			t.Fatal(err)
		}
	}
	var told atomic.Int32
	rec, err := c.Receiver(jetstream.ErrorHandler(func(err error) {
		if errors.Is(err, jetstream.ErrNotJSMessage) {
			told.Add(1)
		} else {
			t.Error(err)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Stop()
	for range 4 {
		m, err := rec.Next(in(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
	}
	// Somebody else on the inbox.
	inbox := ""
	for _, s := range inboxes(srv, js) {
		inbox = s
	}
	forger := ledger.Connect(t, srv.URL())
	if inbox == "" {
		t.Fatalf("no inbox: %q", srv.Subscriptions(js.Conn().Name()))
	}
	for _, m := range []nats.Msg{
		{Subject: inbox[:len(inbox)-1] + "1", Data: []byte("forged")},
		{Subject: inbox[:len(inbox)-1] + "1", Reply: "somewhere", Data: []byte("forged")},
		{Subject: inbox[:len(inbox)-1] + "1", Header: header(t, "Status", "409", "Description", "Consumer Deleted")},
		{Subject: inbox[:len(inbox)-1] + "none"},
	} {
		if err := forger.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if err := forger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "s.a", "real")
	if m, err := rec.Next(in(t, 10*time.Second)); err != nil || string(m.Data) != "real" {
		t.Errorf("%v %v", m, err)
	}
	if n := js.Stats().PullDropped; told.Load() != 4 || n != 4 {
		t.Errorf("%d forged messages were told, %d counted", told.Load(), n)
	}
}

// What the consumer's configuration does not permit is told, and kept to.
func TestConsumerLimits(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{
		MaxRequestBatch: 7, MaxRequestExpires: 2 * time.Second, MaxRequestMaxBytes: 1000, MaxAckPending: -1,
	})
	fill(t, js, "s.a", 200)
	var told atomic.Int32
	rec, err := c.Receiver(jetstream.MaxBytes(100_000), jetstream.ErrorHandler(func(err error) {
		if !errors.Is(err, jetstream.ErrBatchTooLarge) {
			t.Error(err)
		}
		told.Add(1)
	}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		m, err := rec.Next(in(t, 10*time.Second))
		if err != nil || string(m.Data) != strconv.Itoa(i) {
			t.Fatalf("%d: %v %v", i, m, err)
		}
		_ = m.Ack()
	}
	if told.Load() < 3 {
		t.Errorf("told of %d limits", told.Load())
	}
	rec.Stop()
	n := 0
	fill(t, js, "s.a", 20)
	for m, err := range c.Fetch(t.Context(), 20, jetstream.MaxWait(5*time.Second)) {
		if err != nil {
			t.Fatal(err)
		}
		_ = m.Ack()
		n++
	}
	if n != 20 {
		t.Errorf("fetched %d", n)
	}
}

// MaxWaiting of the consumer is told at once, and healed when there is room.
func TestMaxWaiting(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{MaxWaiting: 1})
	first, err := c.Receiver()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, c, "one pulls", func(i *jetstream.ConsumerInfo) bool { return i.NumWaiting == 1 })
	told := make(chan error, 100)
	second, err := c.Receiver(jetstream.ErrorHandler(func(err error) { told <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	select {
	case err := <-told:
		if !errors.Is(err, jetstream.ErrMaxWaiting) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was told")
	}
	first.Stop()
	publish(t, js, "s.a", "x")
	if m, err := second.Next(in(t, 10*time.Second)); err != nil || string(m.Data) != "x" {
		t.Errorf("%v %v", m, err)
	}
}

func TestPullOptions(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{})
	for i, opts := range [][]jetstream.PullOption{
		{jetstream.MaxMessages(0)}, {jetstream.Expiry(time.Millisecond)}, {jetstream.Threshold(-1)}, {jetstream.StopAfter(0)},
		{jetstream.MaxMessages(10), jetstream.Threshold(10)}, {jetstream.Heartbeat(time.Minute)}, {jetstream.Heartbeat(0)},
		{jetstream.MaxBytes(0)}, {jetstream.Concurrency(0)}, {jetstream.Concurrency(2)}, {jetstream.ErrorHandler(nil)}, {nil},
	} {
		if _, err := c.Receiver(opts...); !errors.Is(err, jetstream.ErrInvalidOption) {
			t.Errorf("%d: %v", i, err)
		}
	}
	for i, opts := range [][]jetstream.FetchOption{
		{jetstream.MaxWait(0)}, {jetstream.NoWait(), jetstream.MaxWait(time.Second)}, {jetstream.MaxBytes(-1)},
		{jetstream.MaxWait(time.Second), jetstream.Heartbeat(time.Second)}, {nil},
	} {
		if _, err := c.Next(t.Context(), opts...); !errors.Is(err, jetstream.ErrInvalidOption) {
			t.Errorf("fetch %d: %v", i, err)
		}
	}
	for _, err := range c.Fetch(t.Context(), 0) {
		if !errors.Is(err, jetstream.ErrInvalidOption) {
			t.Errorf("fetch 0: %v", err)
		}
	}
	if _, err := js.StreamHandle("S").ConsumerHandle("a.b").Receiver(); !errors.Is(err, jetstream.ErrInvalidName) {
		t.Errorf("bad name: %v", err)
	}
}

// Sessions on one connection, over ten streams, ten thousand of them in a soak:
// each gets its messages, an idle one has no goroutine and little memory, and all
// are closed in time.
func TestManySessions(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	const streams = 10
	each := figure.Size(20, 1000)
	var consumers []*jetstream.Consumer
	for i := range streams {
		name := fmt.Sprintf("S%d", i)
		s := create(t, js, jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}})
		for j := range each {
			c, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: fmt.Sprintf("C%d", j)})
			if err != nil {
				t.Fatal(err)
			}
			consumers = append(consumers, c)
		}
	}
	before, began := heap(), time.Now()
	counts := make([]atomic.Int32, len(consumers))
	var left atomic.Int32
	left.Store(int32(2 * len(consumers)))
	all := make(chan struct{})
	var runs []*jetstream.Consumption
	for i, c := range consumers {
		run, err := c.Consume(func(m *jetstream.Msg) {
			_ = m.Ack()
			counts[i].Add(1)
			if left.Add(-1) == 0 {
				close(all)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	opened := time.Since(began)
	for i := range streams {
		publish(t, js, fmt.Sprintf("S%d.a", i), "x")
		publish(t, js, fmt.Sprintf("S%d.b", i), "x")
	}
	<-all
	if err := js.Conn().Flush(t.Context()); err != nil {
		t.Error(err)
	}
	for i := range counts {
		if n := counts[i].Load(); n != 2 {
			t.Errorf("session %d got %d messages, want 2", i, n)
		}
	}
	busy, memory := sessionGoroutines(), (heap()-before)/int64(len(runs))
	began = time.Now()
	for _, run := range runs {
		run.Stop()
	}
	for _, run := range runs {
		<-run.Done()
	}
	closed := time.Since(began)
	t.Logf("%d sessions: opened in %v, %d goroutines, %d bytes of heap each with what the server has for them, closed in %v",
		len(runs), opened.Round(time.Millisecond), busy, memory, closed.Round(time.Millisecond))
	if busy > len(runs)/10 { // other tests run beside this one
		t.Errorf("%d goroutines of %d sessions", busy, len(runs))
	}
	if figure.Soak() && memory > 100<<10 { // ten times what is expected; with few the others count for more
		t.Errorf("%d bytes of heap for each session", memory)
	}
	if limit := 20*time.Second + time.Duration(len(runs))*10*time.Millisecond; closed > limit {
		t.Errorf("closed in %v, want %v", closed, limit)
	}
}

// heap is what is in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// sessionGoroutines counts goroutines that are at a session's work.
func sessionGoroutines() (n int) {
	stacks := make([]byte, 64<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "jetstream.(*session)") {
			n++
		}
	}
	return n
}
