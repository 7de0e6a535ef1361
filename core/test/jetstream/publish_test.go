package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	s := create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	ack, err := js.Publish(ctx, "s.a", []byte("one"))
	if err != nil || ack != (jetstream.PubAck{Stream: "S", Sequence: 1}) {
		t.Errorf("%+v, %v", ack, err)
	}
	m := nats.Msg{Subject: "s.b", Reply: "nobody.looks", Header: header(t, "A", "1"), Data: []byte("two")}
	before := m.Clone()
	if ack, err = js.PublishMsg(ctx, m, jetstream.MsgID("id"), jetstream.ExpectStream("S")); err != nil || ack.Sequence != 2 {
		t.Errorf("%+v, %v", ack, err)
	}
	if !m.Equal(before) {
		t.Errorf("the caller's message became %+v, header %v", m, m.Header)
	}
	raw, err := s.GetMsg(ctx, 2)
	if err != nil || raw.Subject != "s.b" || string(raw.Data) != "two" || raw.Header.Get("A") != "1" || raw.Header.Get(jetstream.MsgIDHeader) != "id" {
		t.Errorf("%+v, header %v, %v", raw, raw.Header, err)
	}
	// Options win over what the message has.
	m.Header.Set(jetstream.MsgIDHeader, "other")
	if ack, err = js.PublishMsg(ctx, m, jetstream.MsgID("id")); err != nil || !ack.Duplicate || ack.Sequence != 2 {
		t.Errorf("a duplicate: %+v, %v", ack, err)
	}
	if info, err := s.Info(ctx); err != nil || info.State.Msgs != 2 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestPublishExpectations(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	opt := func(opts ...jetstream.PublishOption) []jetstream.PublishOption { return opts }
	for _, tt := range []struct {
		name    string
		subject string
		opts    []jetstream.PublishOption
		want    error
	}{
		{"an empty stream", "s.a", opt(jetstream.ExpectLastSequence(0), jetstream.ExpectLastSequencePerSubject(0), jetstream.MsgID("1")), nil}, // 1
		{"not empty any more", "s.a", opt(jetstream.ExpectLastSequence(0)), jetstream.ErrWrongLastSequence},
		{"the last sequence", "s.b", opt(jetstream.ExpectLastSequence(1)), nil}, // 2
		{"another one", "s.b", opt(jetstream.ExpectLastSequence(9)), jetstream.ErrStreamWrongLastSequence},
		{"no message of the subject", "s.c", opt(jetstream.ExpectLastSequencePerSubject(0)), nil}, // 3
		{"there is one", "s.c", opt(jetstream.ExpectLastSequencePerSubject(0)), jetstream.ErrWrongLastSequence},
		{"the last of the subject", "s.a", opt(jetstream.ExpectLastSequencePerSubject(1)), nil},            // 4
		{"the last of another subject", "s.d", opt(jetstream.ExpectLastSequenceForSubject(2, "s.b")), nil}, // 5
		{"the last of a wildcard", "s.e.f", opt(jetstream.ExpectLastSequenceForSubject(5, "s.*")), nil},    // 6
		{"not the last of it", "s.d", opt(jetstream.ExpectLastSequenceForSubject(1, "s.b")), jetstream.ErrWrongLastSequence},
		{"the later option wins", "s.g", opt(jetstream.ExpectLastSequenceForSubject(1, "s.b"), jetstream.ExpectLastSequencePerSubject(0)), nil}, // 7
		{"the stream", "s.a", opt(jetstream.ExpectStream("S"), jetstream.MsgID("8")), nil},                                                      // 8
		{"another stream", "s.a", opt(jetstream.ExpectStream("T")), jetstream.ErrStreamNotMatch},
		{"the last id", "s.a", opt(jetstream.ExpectLastMsgID("8")), nil}, // 9
		{"another id", "s.a", opt(jetstream.ExpectLastMsgID("9")), jetstream.ErrStreamWrongLastMsgID},
		{"the greatest number", "s.a", opt(jetstream.ExpectLastSequence(math.MaxUint64)), jetstream.ErrWrongLastSequence},
	} {
		ack, err := js.Publish(ctx, tt.subject, nil, tt.opts...)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v, %v; want %v", tt.name, ack, err, tt.want)
		}
		if err != nil && errors.Is(err, nats.ErrOutcomeUnknown) {
			t.Errorf("%s: a refusal is known: %v", tt.name, err)
		}
	}
}

func TestPublishTTL(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	s := create(t, js, jetstream.StreamConfig{Name: "S", AllowMsgTTL: true})
	create(t, js, jetstream.StreamConfig{Name: "PLAIN"})
	ctx := t.Context()
	if _, err := js.Publish(ctx, "PLAIN", nil, jetstream.MsgTTL(time.Minute)); !errors.Is(err, jetstream.ErrMessageTTLDisabled) {
		t.Errorf("a stream that does not allow it: %v", err)
	}
	publish(t, js, "S", "", jetstream.MsgTTL(90*time.Second))
	publish(t, js, "S", "", jetstream.MsgTTL(jetstream.TTLNever))
	for seq, want := range []string{"90", "never"} {
		if raw, err := s.GetMsg(ctx, uint64(seq+1)); err != nil || raw.Header.Get(jetstream.MsgTTLHeader) != want {
			t.Errorf("%v, %v; want %s", raw.Header, err, want)
		}
	}
	if _, err := js.PublishMsg(ctx, nats.Msg{Subject: "S", Header: header(t, jetstream.MsgTTLHeader, "soon")}); !errors.Is(err, jetstream.ErrMessageTTLInvalid) {
		t.Errorf("a field by hand: %v", err)
	}
}

func TestPublishRollup(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	s := create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.*"}, AllowRollup: true})
	for i := range 6 {
		publish(t, js, fmt.Sprintf("s.%d", i%2), "x")
	}
	left := func() uint64 {
		t.Helper()
		info, err := s.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.State.Msgs
	}
	publish(t, js, "s.0", "sum", jetstream.Rollup(jetstream.RollupSubject))
	if n := left(); n != 4 {
		t.Errorf("%d after a rollup of the subject", n)
	}
	publish(t, js, "s.0", "sum", jetstream.Rollup(jetstream.RollupAll))
	if n := left(); n != 1 {
		t.Errorf("%d after a rollup of all", n)
	}
	create(t, js, jetstream.StreamConfig{Name: "PLAIN"})
	if _, err := js.Publish(t.Context(), "PLAIN", nil, jetstream.Rollup(jetstream.RollupAll)); !errors.Is(err, jetstream.ErrStreamRollupFailed) {
		t.Errorf("a stream that does not allow it: %v", err)
	}
}

func TestPublishSchedules(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	s := create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>", "t.>"}, AllowMsgSchedules: true, AllowMsgTTL: true, AllowRollup: true})
	create(t, js, jetstream.StreamConfig{Name: "PLAIN"})
	produced, err := js.Conn().SubscribeSync("t.now")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "PLAIN", nil, jetstream.ScheduleAt(time.Now()), jetstream.ScheduleTarget("PLAIN.x")); !errors.Is(err, jetstream.ErrMessageSchedulesDisabled) {
		t.Errorf("a stream that does not allow it: %v", err)
	}
	if _, err := js.Publish(ctx, "s.x", nil, jetstream.ScheduleAt(time.Now()), jetstream.ScheduleTarget("elsewhere")); !errors.Is(err, jetstream.ErrScheduleTargetInvalid) {
		t.Errorf("a target that the stream does not have: %v", err)
	}
	hour := time.Now().Add(time.Hour)
	for i, tt := range []struct {
		opts []jetstream.PublishOption
		want map[string]string
	}{
		{[]jetstream.PublishOption{jetstream.ScheduleAt(hour), jetstream.ScheduleTarget("t.a"), jetstream.ScheduleTTL(time.Minute)},
			map[string]string{jetstream.ScheduleHeader: "@at " + hour.UTC().Format(time.RFC3339Nano), jetstream.ScheduleTargetHeader: "t.a", jetstream.ScheduleTTLHeader: "60"}},
		{[]jetstream.PublishOption{jetstream.ScheduleEvery(90 * time.Minute), jetstream.ScheduleTarget("t.b"), jetstream.ScheduleRollup(), jetstream.ScheduleTTL(jetstream.TTLNever)},
			map[string]string{jetstream.ScheduleHeader: "@every 1h30m0s", jetstream.ScheduleRollupHeader: "sub", jetstream.ScheduleTTLHeader: "never"}},
		{[]jetstream.PublishOption{jetstream.ScheduleCron("0 30 4 * * *"), jetstream.ScheduleTarget("t.c"), jetstream.ScheduleTimeZone("Europe/Berlin"), jetstream.ScheduleSource("s.source")},
			map[string]string{jetstream.ScheduleHeader: "0 30 4 * * *", jetstream.ScheduleTimeZoneHeader: "Europe/Berlin", jetstream.ScheduleSourceHeader: "s.source"}},
		{[]jetstream.PublishOption{jetstream.ScheduleCron(jetstream.ScheduleYearly), jetstream.ScheduleTarget("t.d")},
			map[string]string{jetstream.ScheduleHeader: "@yearly"}},
	} {
		subject := fmt.Sprintf("s.schedule.%d", i)
		seq := publish(t, js, subject, "later", tt.opts...)
		raw, err := s.GetMsg(ctx, seq)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range tt.want {
			if got := raw.Header.Get(name); got != value {
				t.Errorf("%s is %q, want %q", name, got, value)
			}
		}
	}
	for _, zone := range []string{"Nowhere/Land"} {
		if _, err := js.Publish(ctx, "s.x", nil, jetstream.ScheduleCron(jetstream.ScheduleDaily), jetstream.ScheduleTarget("t.a"), jetstream.ScheduleTimeZone(zone)); !errors.Is(err, jetstream.ErrMessageSchedulesTimeZoneInvalid) {
			t.Errorf("time zone %s: %v", zone, err)
		}
	}

	// One that is due at once produces its message.
	publish(t, js, "s.due", "now", jetstream.ScheduleAt(time.Now()), jetstream.ScheduleTarget("t.now"))
	raw := waitFor(t, s, "t.now")
	if string(raw.Data) != "now" || raw.Header.Get(jetstream.SchedulerHeader) != "s.due" || raw.Header.Get(jetstream.ScheduleNextHeader) != "purge" {
		t.Errorf("%+v, header %v", raw, raw.Header)
	}
	_ = produced.Unsubscribe()

	// Cancel, together with another message.
	publish(t, js, "t.done", "cancelled", jetstream.CancelSchedule("s.schedule.0"))
	if _, err := s.GetLastMsgForSubject(ctx, "s.schedule.0"); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Errorf("the schedule is still there: %v", err)
	}
	if _, err := js.Publish(ctx, "t.done", nil, jetstream.CancelSchedule("t.now")); !errors.Is(err, jetstream.ErrMessageSchedulesSchedulerInvalid) {
		t.Errorf("cancel what is no schedule: %v", err)
	}
}

// waitFor reads the last message of a subject when it has come.
func waitFor(t *testing.T, s *jetstream.Stream, subject string) jetstream.RawStreamMsg {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		raw, err := s.GetLastMsgForSubject(ctx, subject)
		if err == nil {
			return raw
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Fatal(err)
		}
	}
}

func TestPublishCounter(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	create(t, js, jetstream.StreamConfig{Name: "S", AllowMsgCounter: true, AllowDirect: true})
	create(t, js, jetstream.StreamConfig{Name: "PLAIN"})
	for _, tt := range []struct{ incr, want string }{{"+1", "1"}, {"+41", "42"}, {"-2", "40"}, {"+100000000000000000000", "100000000000000000040"}} {
		ack, err := js.PublishMsg(t.Context(), nats.Msg{Subject: "S", Header: header(t, jetstream.IncrHeader, tt.incr)})
		if err != nil || ack.Value != tt.want {
			t.Errorf("%s: %+v, %v", tt.incr, ack, err)
		}
	}
	if _, err := js.Publish(t.Context(), "S", nil); !errors.Is(err, jetstream.ErrMessageIncrMissing) {
		t.Errorf("without: %v", err)
	}
	if _, err := js.PublishMsg(t.Context(), nats.Msg{Subject: "PLAIN", Header: header(t, jetstream.IncrHeader, "+1")}); !errors.Is(err, jetstream.ErrMessageIncrDisabled) {
		t.Errorf("a stream without: %v", err)
	}
}

func TestPublishToNobody(t *testing.T) {
	t.Parallel()
	js, _ := run(t, jetstream.RetryWait(time.Millisecond))
	begun := js.Conn().Stats().Requests
	_, err := js.Publish(t.Context(), "nobody.listens", []byte("x"))
	var nr *nats.NoRespondersError
	if !errors.Is(err, jetstream.ErrNoStreamResponse) || !errors.As(err, &nr) || nr.Subject != "nobody.listens" || errors.Is(err, nats.ErrOutcomeUnknown) {
		t.Errorf("%v", err)
	}
	if n := js.Conn().Stats().Requests - begun; n != 3 {
		t.Errorf("%d attempts", n)
	}
	// A stream that comes in time gets it.
	stored := make(chan error, 1)
	go func() {
		_, err := js.Publish(t.Context(), "late", []byte("x"), jetstream.RetryAttempts(-1))
		stored <- err
	}()
	create(t, js, jetstream.StreamConfig{Name: "late"})
	if err := <-stored; err != nil {
		t.Error(err)
	}
}

// TestPublishToSomebodyElse: a stream and a service listen, and the service was
// faster.
func TestPublishToSomebodyElse(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	if _, err := js.Conn().Subscribe("service", func(m nats.Msg) { _ = m.Respond([]byte("hello")) }); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Conn().Subscribe("json", func(m nats.Msg) { _ = m.Respond([]byte(`{"ok":true}`)) }); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"service", "json"} {
		if _, err := js.Publish(t.Context(), subject, nil); !errors.Is(err, jetstream.ErrInvalidPubAck) || !strings.Contains(err.Error(), subject) {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

// TestPublishWithoutAck: NoAck streams never tell, and a lost receipt is the same.
func TestPublishWithoutAck(t *testing.T) {
	t.Parallel()
	js, srv := run(t)
	s := create(t, js, jetstream.StreamConfig{Name: "S", NoAck: true})
	_, err := handle(t, srv.URL(), jetstream.DefaultTimeout(50*time.Millisecond)).Publish(t.Context(), "S", nil)
	if !errors.Is(err, nats.ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) || nats.SafeToRetry(err) || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("default timeout: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = js.Publish(ctx, "S", nil); !errors.Is(err, context.Canceled) || errors.Is(err, nats.ErrOutcomeUnknown) || !nats.SafeToRetry(err) {
		t.Errorf("cancelled before: %v", err)
	}
	if info, err := s.Info(t.Context()); err != nil || info.State.Msgs != 1 {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestAutoMsgIDOverCuts: the link is cut again and again while messages are
// published; each is stored once, and nobody has to ask whether. reliability F8
func TestAutoMsgIDOverCuts(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.JetStream())
	proxy := natstest.RunProxy(t, srv.Addr())
	nc := ledger.Connect(t, proxy.URL(), nats.ReconnectBackoff(time.Millisecond, 10*time.Millisecond))
	js, err := jetstream.New(nc, jetstream.AutoMsgID(), jetstream.DefaultTimeout(30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	s := create(t, js, jetstream.StreamConfig{Name: "S"})
	const n = 300
	for i := range n {
		if i%20 == 10 {
			go proxy.CutNow()
		}
		if _, err := js.Publish(t.Context(), "S", fmt.Append(nil, i)); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	info, err := handle(t, srv.URL()).Stream(t.Context(), "S")
	if err != nil || info.CachedInfo().State.Msgs != n {
		t.Errorf("%+v, %v", info.CachedInfo().State, err)
	}
	for i := range n {
		raw, err := s.GetMsg(t.Context(), uint64(i+1))
		if err != nil || string(raw.Data) != fmt.Sprint(i) {
			t.Fatalf("message %d: %+v, %v", i, raw, err)
		}
	}
}

// TestStreamRegressed: the stream is made anew behind our back. reliability F11
func TestStreamRegressed(t *testing.T) {
	t.Parallel()
	js, srv := run(t)
	ctx := t.Context()
	create(t, js, jetstream.StreamConfig{Name: "S"})
	for range 5 {
		publish(t, js, "S", "x")
	}
	other := handle(t, srv.URL())
	if err := other.DeleteStream(ctx, "S"); err != nil {
		t.Fatal(err)
	}
	create(t, other, jetstream.StreamConfig{Name: "S"})
	ack, err := js.Publish(ctx, "S", nil)
	if !errors.Is(err, jetstream.ErrStreamRegressed) || ack.Sequence != 1 {
		t.Errorf("%+v, %v", ack, err)
	}
	publish(t, js, "S", "told once")

	// What is done with this handle is no surprise to it.
	if err := js.DeleteStream(ctx, "S"); err != nil {
		t.Fatal(err)
	}
	create(t, js, jetstream.StreamConfig{Name: "S"})
	publish(t, js, "S", "x")
	if err := other.DeleteStream(ctx, "S"); err != nil {
		t.Fatal(err)
	}
	create(t, js, jetstream.StreamConfig{Name: "S"})
	publish(t, js, "S", "x")
}

func TestApplyPublishOptions(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	create(t, js, jetstream.StreamConfig{Name: "S"})
	m, err := jetstream.ApplyPublishOptions(nats.Msg{Subject: "S", Data: []byte("x")}, jetstream.MsgID("1"), jetstream.ExpectStream("S"))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := js.Conn().RequestMsg(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if ack, err := jetstream.DecodePubAck(reply); err != nil || ack.Stream != "S" || ack.Sequence != 1 {
		t.Errorf("%+v, %v", ack, err)
	}
	if reply, err = js.Conn().RequestMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if ack, err := jetstream.DecodePubAck(reply); err != nil || !ack.Duplicate {
		t.Errorf("%+v, %v", ack, err)
	}
}
