package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// async publishes n numbered messages.
func async(t testing.TB, js *jetstream.JetStream, subject string, n int, each func(i int)) []*jetstream.PubAckFuture {
	t.Helper()
	var all []*jetstream.PubAckFuture
	for i := range n {
		f, err := js.PublishAsync(t.Context(), subject, fmt.Append(nil, i))
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		all = append(all, f)
		if each != nil {
			each(i)
		}
	}
	return all
}

// checkStored holds the stream against what was published: each message once, and
// in order.
func checkStored(t testing.TB, js *jetstream.JetStream, stream string, n int) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	if msgs := s.CachedInfo().State.Msgs; msgs != uint64(n) {
		t.Errorf("%d are stored, want %d", msgs, n)
	}
	for i := range n {
		raw, err := s.GetMsg(t.Context(), uint64(i+1))
		if err != nil || string(raw.Data) != fmt.Sprint(i) {
			t.Fatalf("message %d: %q, %v", i, raw.Data, err)
		}
	}
}

func TestPublishAsync(t *testing.T) {
	t.Parallel()
	var told atomic.Int64
	js, _ := run(t, jetstream.PublishAsyncMaxPending(50), jetstream.PublishAsyncHandler(func(_ nats.Msg, ack jetstream.PubAck, err error) {
		if err == nil && ack.Stream == "S" && ack.Sequence == uint64(told.Add(1)) {
			return
		}
		t.Errorf("%+v, %v", ack, err)
	}))
	create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	const n = 2000
	all := async(t, js, "s.a", n, func(int) {
		if open := js.PublishAsyncPending(); open > 50 {
			t.Errorf("%d are open", open)
		}
	})
	if err := js.WaitPublished(t.Context()); err != nil || js.PublishAsyncPending() != 0 || told.Load() != n {
		t.Errorf("%d are open, told of %d, %v", js.PublishAsyncPending(), told.Load(), err)
	}
	for i, f := range all {
		if ack, err, ok := f.Result(); err != nil || !ok || ack != (jetstream.PubAck{Stream: "S", Sequence: uint64(i + 1)}) {
			t.Fatalf("%d: %+v, %v, %v", i, ack, err, ok)
		}
	}
	checkStored(t, js, "S", n)
	if _, err := js.PublishAsync(t.Context(), "a b", nil); !errors.Is(err, nats.ErrBadSubject) {
		t.Errorf("a bad subject: %v", err)
	}
	if _, err := js.PublishAsync(t.Context(), "s.a", nil, jetstream.MsgID("")); !errors.Is(err, jetstream.ErrInvalidOption) {
		t.Errorf("a bad option: %v", err)
	}
	if js.PublishAsyncPending() != 0 {
		t.Error("what was refused is open")
	}
}

// TestPublishAsyncAnswers: the server's answers of each kind.
func TestPublishAsyncAnswers(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	create(t, js, jetstream.StreamConfig{Name: "SILENT", NoAck: true})
	for _, tt := range []struct {
		name    string
		subject string
		opts    []jetstream.PublishOption
		want    error
	}{
		{"stored", "s", []jetstream.PublishOption{jetstream.MsgID("1")}, nil},
		{"a duplicate", "s", []jetstream.PublishOption{jetstream.MsgID("1")}, nil},
		{"an expectation", "s", []jetstream.PublishOption{jetstream.ExpectLastSequence(7)}, jetstream.ErrWrongLastSequence},
		{"no stream", "t", []jetstream.PublishOption{jetstream.RetryWait(time.Millisecond)}, jetstream.ErrNoStreamResponse},
		{"no receipt", "SILENT", []jetstream.PublishOption{jetstream.AckTimeout(50 * time.Millisecond)}, nats.ErrOutcomeUnknown},
	} {
		f, err := js.PublishAsync(t.Context(), tt.subject, nil, tt.opts...)
		if err != nil {
			t.Fatal(err)
		}
		ack, err := f.Wait(t.Context())
		if !errors.Is(err, tt.want) || err == nil && (ack.Sequence != 1 || ack.Duplicate != (tt.name == "a duplicate")) {
			t.Errorf("%s: %+v, %v", tt.name, ack, err)
		}
	}
	if _, err := js.Publish(t.Context(), "s", nil, jetstream.AckTimeout(time.Second)); !errors.Is(err, jetstream.ErrInvalidOption) {
		t.Errorf("AckTimeout where there is a context: %v", err)
	}
}

// TestPublishAsyncAutoMsgIDOverCuts: the link is cut again and again in the middle
// of a window, in both directions; each message is stored once, and in order.
// reliability F5, F8
func TestPublishAsyncAutoMsgIDOverCuts(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.JetStream())
	proxy := natstest.RunProxy(t, srv.Addr())
	nc := ledger.Connect(t, proxy.URL(), nats.ReconnectBackoff(time.Millisecond, 10*time.Millisecond))
	js, err := jetstream.New(nc, jetstream.AutoMsgID(), jetstream.AckTimeout(30*time.Second), jetstream.PublishAsyncMaxPending(100))
	if err != nil {
		t.Fatal(err)
	}
	create(t, js, jetstream.StreamConfig{Name: "S"})
	const n = 3000
	all := async(t, js, "S", n, func(i int) {
		switch i % 300 {
		case 50:
			proxy.CutIn(natstest.ClientToServer, 777)
		case 150:
			proxy.CutIn(natstest.ServerToClient, 333)
		case 250:
			go proxy.CutNow()
		}
	})
	if err := js.WaitPublished(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, f := range all {
		if _, err, ok := f.Result(); err != nil || !ok {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if nc.Stats().Reconnects == 0 {
		t.Error("nothing was cut")
	}
	checkStored(t, handle(t, srv.URL()), "S", n)
}

// TestPublishAsyncOverCutsWithoutIDs: what is told to be stored is, what is told
// not to have left is not, and the order is kept.
func TestPublishAsyncOverCutsWithoutIDs(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.JetStream())
	proxy := natstest.RunProxy(t, srv.Addr())
	js, err := jetstream.New(ledger.Connect(t, proxy.URL(), nats.ReconnectBackoff(time.Millisecond, 10*time.Millisecond)),
		jetstream.AckTimeout(30*time.Second), jetstream.PublishAsyncMaxPending(100))
	if err != nil {
		t.Fatal(err)
	}
	create(t, js, jetstream.StreamConfig{Name: "S"})
	all := async(t, js, "S", 2000, func(i int) {
		if i%200 == 50 {
			proxy.CutIn(natstest.ServerToClient, 333)
		}
	})
	if err := js.WaitPublished(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := handle(t, srv.URL()).Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	stored, last := map[string]uint64{}, -1
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		raw, err := s.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		var i int
		if _, err := fmt.Sscan(string(raw.Data), &i); err != nil || i <= last {
			t.Fatalf("%d is stored after %d, %v", i, last, err)
		}
		stored[string(raw.Data)], last = seq, i
	}
	unknown := 0
	for i, f := range all {
		ack, err, _ := f.Result()
		seq, there := stored[fmt.Sprint(i)]
		switch {
		case err == nil && seq != ack.Sequence:
			t.Errorf("message %d: receipt %d, stored as %d", i, ack.Sequence, seq)
		case errors.Is(err, nats.ErrOutcomeUnknown):
			unknown++
		case err != nil && there:
			t.Errorf("message %d is stored: %v", i, err)
		}
	}
	t.Logf("%d stored, the outcome of %d unknown", len(stored), unknown)
}

// TestPublishAsyncOverRestart: the server restarts in the middle of a window.
func TestPublishAsyncOverRestart(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.JetStream())
	js, err := jetstream.New(ledger.Connect(t, srv.URL(), nats.ReconnectBackoff(time.Millisecond, 50*time.Millisecond)),
		jetstream.AutoMsgID(), jetstream.AckTimeout(time.Minute), jetstream.RetryAttempts(-1), jetstream.PublishAsyncMaxPending(64))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"}); err != nil {
		t.Fatal(err)
	}
	async(t, js, "S", 600, func(i int) {
		if i == 300 {
			if err := srv.Restart(); err != nil {
				t.Error(err)
			}
		}
	})
	if err := js.WaitPublished(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkStored(t, js, "S", 600)
}

// TestPublishAsyncStepDowns: leaders step down while a window is open. What they
// drop without a word can be tried again only if nothing behind it is stored; the
// rest is told, and the order is kept.
func TestPublishAsyncStepDowns(t *testing.T) {
	t.Parallel()
	c := natstest.RunCluster(t, 3)
	js := handle(t, c.Server(0).URL(), jetstream.DefaultTimeout(30*time.Second), jetstream.AutoMsgID(),
		jetstream.AckTimeout(6*time.Second), jetstream.RetryAttempts(-1), jetstream.RetryWait(20*time.Millisecond), jetstream.PublishAsyncMaxPending(50))
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Replicas: 3, Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	all := async(t, js, "S", 1000, func(i int) {
		if i%300 == 150 {
			if err := js.Request(t.Context(), "STREAM.LEADER.STEPDOWN.S", nil, nil); err != nil {
				t.Error(err)
			}
		}
	})
	if err := js.WaitPublished(t.Context()); err != nil {
		t.Fatal(err)
	}
	// One may fail because those behind it were stored: the order counts more.
	s, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	last, failed := -1, 0
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		raw, err := s.GetMsg(t.Context(), seq, jetstream.FromLeader())
		if err != nil {
			t.Fatal(err)
		}
		var i int
		if _, err := fmt.Sscan(string(raw.Data), &i); err != nil || i <= last {
			t.Fatalf("%d is stored after %d, %v", i, last, err)
		}
		last = i
	}
	for i, f := range all {
		if _, err, _ := f.Result(); err != nil {
			failed++
			if !errors.Is(err, nats.ErrOutcomeUnknown) && !errors.Is(err, jetstream.ErrNoStreamResponse) {
				t.Errorf("message %d: %v", i, err)
			}
		}
	}
	if stored := int(s.CachedInfo().State.Msgs); stored < 1000-failed || failed > 200 {
		t.Errorf("%d are stored, %d failed", stored, failed)
	}
}

// TestPublishAsyncDrain: Drain waits for the receipts, and then for the handler.
func TestPublishAsyncDrain(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.JetStream())
	var told atomic.Int64
	js := handle(t, srv.URL(), jetstream.PublishAsyncHandler(func(nats.Msg, jetstream.PubAck, error) { told.Add(1) }))
	create(t, js, jetstream.StreamConfig{Name: "S"})
	all := async(t, js, "S", 1000, nil)
	if err := js.Conn().Drain(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	for i, f := range all {
		if _, err, ok := f.Result(); err != nil || !ok {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if told.Load() != 1000 {
		t.Errorf("told of %d", told.Load())
	}
}
