package jetstream_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/orbit/natstest"
)

func take(t testing.TB, c *jetstream.Consumer) *jetstream.Msg {
	t.Helper()
	m, err := c.Next(in(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func delivered(t testing.TB, m *jetstream.Msg) uint64 {
	t.Helper()
	meta, err := m.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	return meta.NumDelivered
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{AckWait: time.Hour})
	advisories, err := js.Conn().SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.C")
	if err != nil {
		t.Fatal(err)
	}

	publish(t, js, "s.a", "nak")
	if err := take(t, c).Nak(); err != nil {
		t.Fatal(err)
	}
	m := take(t, c)
	if delivered(t, m) != 2 {
		t.Errorf("delivered %d times after Nak", delivered(t, m))
	}
	began := time.Now()
	if err := m.NakWithDelay(100 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	m = take(t, c)
	if took := time.Since(began); delivered(t, m) != 3 || took < 90*time.Millisecond {
		t.Errorf("delivered %d times, after %v", delivered(t, m), took)
	}
	if err := m.Ack(); err != nil {
		t.Fatal(err)
	}
	eventually(t, c, "acknowledged", acked(1))

	publish(t, js, "s.a", "term")
	if err := take(t, c).TermWithReason("no such order"); err != nil {
		t.Fatal(err)
	}
	if a, err := advisories.Next(in(t, 10*time.Second)); err != nil || !strings.Contains(string(a.Data), "no such order") {
		t.Errorf("%s %v", a.Data, err)
	}
	publish(t, js, "s.a", "term")
	if err := take(t, c).Term(); err != nil {
		t.Fatal(err)
	}
	eventually(t, c, "terminated", acked(3))
	if _, err := c.Next(t.Context(), jetstream.NoWait()); !errors.Is(err, jetstream.ErrNoMessages) {
		t.Errorf("after Term: %v", err)
	}
}

func TestInProgress(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{AckWait: 400 * time.Millisecond})
	publish(t, js, "s.a", "slow")
	m := take(t, c)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 16 { // twice AckWait
		<-tick.C
		if err := m.InProgress(); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.AckSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.InProgress(); !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		t.Errorf("in progress after the verdict: %v", err)
	}
	info, err := c.Info(t.Context())
	if err != nil || info.Delivered.Consumer > 2 { // a starved test may have been late once
		t.Errorf("%+v %v", info.Delivered, err)
	}
}

func TestAckSync(t *testing.T) { // reliability G15
	t.Parallel()
	js, srv := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{AckWait: time.Hour})
	publish(t, js, "s.a", "1")
	m := take(t, c)
	if err := m.AckSync(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := c.Info(t.Context())
	if err != nil || info.AckFloor.Stream != 1 {
		t.Errorf("not acknowledged when AckSync returned: %+v %v", info.AckFloor, err)
	}
	for _, err := range []error{m.Ack(), m.Nak(), m.Term(), m.AckSync(t.Context())} {
		if !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
			t.Errorf("a second verdict: %v", err)
		}
	}
	if kind, ok := m.Acked(); kind != jetstream.AckAck || !ok {
		t.Errorf("verdict %v %v", kind, ok)
	}

	// Without a server it ends with its context, and may be tried again.
	publish(t, js, "s.a", "2")
	m = take(t, c)
	srv.Shutdown()
	if err := m.AckSync(in(t, 100*time.Millisecond)); err == nil {
		t.Error("acknowledged without a server")
	}
	if _, ok := m.Acked(); ok {
		t.Error("there is a verdict")
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	ctx := in(t, 10*time.Second)
	for {
		err := m.AckSync(ctx)
		if err == nil || errors.Is(err, nats.ErrNoResponders) { // the stream was in memory
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}

	// Nobody takes acknowledgements of a consumer that is gone.
	if err := js.DeleteStream(t.Context(), "S"); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatal(err)
	}
	if err := m.AckSync(t.Context()); err == nil {
		t.Error("acknowledged to nobody")
	}
}

func TestMetadata(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]natstest.Option{
		"v1": {natstest.JetStream()},
		"v2": {natstest.JetStream(), natstest.JetStreamDomain("hub"), natstest.ServerOptions(func(o *server.Options) {
			o.FeatureFlags = map[string]bool{"js_ack_fc_v2": true}
		})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := natstest.Run(t, opts...)
			js := handle(t, srv.URL())
			c := worker(t, js, jetstream.ConsumerConfig{})
			before := time.Now()
			publish(t, js, "s.a", "1")
			publish(t, js, "s.b", "2")
			if err := take(t, c).Ack(); err != nil {
				t.Fatal(err)
			}
			m := take(t, c)
			meta, err := m.Metadata()
			want := jetstream.MsgMetadata{
				Stream: "S", Consumer: "C", Sequence: jetstream.SequencePair{Consumer: 2, Stream: 2}, NumDelivered: 1, Timestamp: meta.Timestamp,
			}
			if name == "v2" {
				want.Domain = "hub"
				if !strings.HasPrefix(m.Reply(), "$JS.ACK.hub.") {
					t.Errorf("ack subject %q", m.Reply())
				}
			}
			if err != nil || meta != want || meta.Timestamp.Before(before.Add(-time.Second)) || meta.Timestamp.After(time.Now()) {
				t.Errorf("%+v, %v; want %+v", meta, err, want)
			}
			if err := m.AckSync(t.Context()); err != nil {
				t.Error(err)
			}
			eventually(t, c, "both acknowledged", acked(2))
		})
	}
}

// A message of a push consumer, taken with a plain subscription.
func TestFromMsg(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	s := create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	sub, err := js.Conn().SubscribeSync("push")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreatePushConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "P", DeliverSubject: "push"}); err != nil {
		t.Fatal(err)
	}
	publish(t, js, "s.a", "x")
	plain, err := sub.Next(in(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	m, err := jetstream.FromMsg(plain)
	if err != nil || m.Subject != "s.a" || string(m.Data) != "x" || !m.Msg().Equal(plain) {
		t.Fatalf("%v %v", m, err)
	}
	if err := m.AckSync(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := jetstream.FromMsg(nats.Msg{Subject: "s.a", Reply: "inbox"}); !errors.Is(err, jetstream.ErrNotJSMessage) {
		t.Errorf("of a plain message: %v", err)
	}
}

func TestNewMsg(t *testing.T) {
	t.Parallel()
	type call struct {
		kind jetstream.AckKind
		body string
	}
	var calls []call
	fail := errors.New("no")
	var result error
	made := func() *jetstream.Msg {
		return jetstream.NewMsg(nats.Msg{Subject: "s", Data: []byte("x")}, jetstream.MsgMetadata{Stream: "S", NumDelivered: 3},
			func(ctx context.Context, kind jetstream.AckKind, body []byte) error {
				calls = append(calls, call{kind, string(body)})
				if _, ok := ctx.Deadline(); ok != (kind == jetstream.AckAck && len(calls) == 2) {
					t.Errorf("deadline %v for %v", ok, kind)
				}
				return result
			})
	}
	m := made()
	if meta, err := m.Metadata(); err != nil || meta.Stream != "S" || meta.NumDelivered != 3 {
		t.Errorf("%+v %v", meta, err)
	}
	if err := m.InProgress(); err != nil {
		t.Error(err)
	}
	if err := m.AckSync(t.Context()); err != nil {
		t.Error(err)
	}
	if err := made().NakWithDelay(5 * time.Second); err != nil {
		t.Error(err)
	}
	if err := made().TermWithReason("why"); err != nil {
		t.Error(err)
	}
	want := []call{{"+WPI", "+WPI"}, {"+ACK", "+ACK"}, {"-NAK", `-NAK {"delay":5000000000}`}, {"+TERM", "+TERM why"}}
	for i := range want {
		if i >= len(calls) || calls[i] != want[i] {
			t.Fatalf("%q, want %q", calls, want)
		}
	}
	// What could not be handed over is no verdict.
	m, result = made(), fail
	if err := m.Ack(); !errors.Is(err, fail) {
		t.Error(err)
	}
	result = nil
	if err := m.Nak(); err != nil {
		t.Error(err)
	}
	if kind, ok := m.Acked(); kind != jetstream.AckNak || !ok {
		t.Errorf("%v %v", kind, ok)
	}
	var zero jetstream.Msg
	if zero.Ack() == nil || zero.AckSync(t.Context()) == nil || zero.InProgress() == nil || zero.Reply() != "" || zero.Context() == nil {
		t.Error("the zero Msg")
	}
	if _, err := zero.Metadata(); !errors.Is(err, jetstream.ErrNotJSMessage) {
		t.Error(err)
	}
}

// TestDropContent: what is kept for its acknowledgement only takes no more memory
// than that.
func TestDropContent(t *testing.T) {
	t.Parallel()
	const count, size = 200, 64 << 10
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{AckWait: time.Hour})
	for range count {
		publish(t, js, "s.a", strings.Repeat("x", size))
	}
	var freed atomic.Int64
	var kept []*jetstream.Msg
	for m, err := range c.Fetch(in(t, 10*time.Second), count) {
		if err != nil {
			t.Fatal(err)
		}
		before, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		runtime.AddCleanup(&m.Data[0], func(int) { freed.Add(1) }, 0)
		m.DropContent()
		after, err := m.Metadata()
		if err != nil || before.Sequence != after.Sequence || after.Consumer != "C" || m.Subject != "" || m.Data != nil || m.Msg().Size() != 0 {
			t.Fatalf("left of it: %+v, %+v, %v", m, after, err)
		}
		kept = append(kept, m)
	}
	for range 100 {
		if freed.Load() >= count-1 { // the last may be in a register
			break
		}
		runtime.GC()
		runtime.Gosched()
	}
	if n := freed.Load(); n < count-1 {
		t.Errorf("the memory of %d of %d messages was freed", n, count)
	}
	for _, m := range kept {
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, c, "all acknowledged", acked(count))
	var none *jetstream.Msg
	none.DropContent()
	new(jetstream.Msg).DropContent()
}
