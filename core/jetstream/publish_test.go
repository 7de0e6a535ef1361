package jetstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/fakeserver"
)

var (
	stored   = answer{data: `{"stream":"S","seq":7}`}
	nobody   = answer{header: noResponders}
	overload = answer{"NATS/1.0 429 Too Many Requests\r\n\r\n", `{"error":{"code":429,"err_code":10167,"description":"too many requests"},"stream":"S","seq":0}`}
	notReady = answer{data: `{"error":{"code":503,"err_code":10163,"description":"expected last sequence per subject temporarily unavailable"},"stream":"S","seq":0}`}
	wrongSeq = answer{data: `{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 9"},"stream":"S","seq":0}`}
)

// TestPublishRetries holds the attempts and their waits against the options.
// reliability F9
func TestPublishRetries(t *testing.T) {
	for _, tt := range []struct {
		name     string
		answers  []answer
		js       []Option
		opts     []PublishOption
		attempts int
		atLeast  time.Duration
		atMost   time.Duration
		want     error
	}{
		{"at once", []answer{stored}, nil, nil, 1, 0, 0, nil},
		{"nobody, and then", []answer{nobody, nobody, stored}, nil, nil, 3, 500 * time.Millisecond, 500 * time.Millisecond, nil},
		{"nobody for too long", []answer{nobody, nobody, nobody, stored}, nil, nil, 3, 500 * time.Millisecond, 500 * time.Millisecond, ErrNoStreamResponse},
		{"no more attempts", []answer{nobody, stored}, nil, []PublishOption{RetryAttempts(0)}, 1, 0, 0, ErrNoStreamResponse},
		{"a default", []answer{nobody, nobody, stored}, []Option{RetryAttempts(1)}, nil, 2, 250 * time.Millisecond, 250 * time.Millisecond, ErrNoStreamResponse},
		{"an override", []answer{nobody, nobody, stored}, []Option{RetryAttempts(1), RetryWait(time.Hour)},
			[]PublishOption{RetryAttempts(5), RetryWait(time.Second)}, 3, 2 * time.Second, 2 * time.Second, nil},
		{"without end", slices.Repeat([]answer{nobody}, 99), nil, []PublishOption{RetryAttempts(-1), RetryWait(300 * time.Millisecond)}, 17, 5 * time.Second, 5 * time.Second, context.DeadlineExceeded},
		{"overloaded", []answer{overload, overload, overload, stored}, nil, []PublishOption{RetryAttempts(0)}, 4, 875 * time.Millisecond, 1750 * time.Millisecond, nil},
		{"overloaded for ever", slices.Repeat([]answer{overload}, 99), nil, nil, 0, 5 * time.Second, 5 * time.Second, ErrStreamTooManyRequests},
		{"not at this moment", []answer{notReady, stored}, nil, []PublishOption{ExpectLastSequencePerSubject(1)}, 2, 125 * time.Millisecond, 250 * time.Millisecond, nil},
		{"not at this moment, with an id", []answer{notReady, stored}, []Option{AutoMsgID()}, nil, 2, 125 * time.Millisecond, 250 * time.Millisecond, nil},
		{"not at this moment, without either", []answer{notReady, stored}, nil, nil, 1, 0, 0, ErrStreamExpectedLastSeqPerSubjectNotReady},
		{"refused", []answer{wrongSeq, stored}, nil, nil, 1, 0, 0, ErrWrongLastSequence},
		{"no receipt", nil, nil, nil, 1, 5 * time.Second, 5 * time.Second, nats.ErrOutcomeUnknown}, // reliability F2
		{"no receipt, with an id", []answer{{}, {}, stored}, []Option{AutoMsgID(), DefaultTimeout(time.Hour)}, nil, 3, 6 * time.Second, 6 * time.Second, nil},
		{"never a receipt, with an id", slices.Repeat([]answer{{}}, 9), []Option{AutoMsgID(), DefaultTimeout(time.Hour)}, nil, 6, 62 * time.Second, 62 * time.Second, nats.ErrOutcomeUnknown},
		{"another timeout", nil, []Option{DefaultTimeout(time.Minute)}, nil, 1, time.Minute, time.Minute, nats.ErrOutcomeUnknown},
		{"nonsense", []answer{{data: "thanks"}, stored}, nil, nil, 1, 0, 0, ErrInvalidPubAck},
		{"empty", []answer{{"NATS/1.0\r\n\r\n", ""}, stored}, nil, nil, 1, 0, 0, ErrInvalidPubAck},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scripted(t, each(tt.answers...), func(t *testing.T, r *rig) {
				var err error
				took := elapsed(func() { _, err = r.Publish(t.Context(), "orders.new", []byte("x"), tt.opts...) })
				if !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
				if n := len(r.subjects()); tt.attempts > 0 && n != tt.attempts {
					t.Errorf("%d attempts, want %d", n, tt.attempts)
				}
				if took < tt.atLeast || took > tt.atMost {
					t.Errorf("it took %v, want %v to %v", took, tt.atLeast, tt.atMost)
				}
				if ctxErr := errors.Is(err, context.DeadlineExceeded); tt.want == nats.ErrOutcomeUnknown && !ctxErr {
					t.Errorf("a timeout? %v", err)
				}
				unknown := tt.want == nats.ErrOutcomeUnknown
				if errors.Is(err, nats.ErrOutcomeUnknown) != unknown {
					t.Errorf("an unknown outcome? %v", err)
				}
				if err != nil && !strings.HasPrefix(err.Error(), `jetstream: publish to "orders.new": `) || err != nil && strings.Count(err.Error(), "\n") > 0 {
					t.Errorf("text %q", err)
				}
			}, tt.js...)
		})
	}
}

// TestPublishOverCut: the link is cut after the message has arrived and before
// the receipt has left. reliability F8
func TestPublishOverCut(t *testing.T) {
	for _, tt := range []struct {
		name    string
		opts    []PublishOption
		cuts    int
		then    answer
		sent    int
		unknown bool
		want    error
	}{
		{"without an id", nil, 1, stored, 1, true, nats.ErrDisconnected},
		{"with an id", []PublishOption{MsgID("a")}, 1, answer{data: `{"stream":"S","seq":7,"duplicate": true}`}, 2, false, nil},
		{"with one of ours", []PublishOption{AutoMsgID()}, 3, stored, 4, false, nil},
		{"refused because of itself", []PublishOption{MsgID("a"), ExpectLastSequence(8)}, 1, wrongSeq, 2, true, ErrWrongLastSequence},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := fakeserver.One()
				var sent []string
				cuts := tt.cuts
				s.On("PUB", func(p *fakeserver.Peer, o *fakeserver.Op) bool {
					sent = append(sent, o.Header)
					if cuts > 0 {
						cuts--
						p.Cut()
						return true
					}
					s.Deliver(o.Reply, "", "", tt.then.data)
					return true
				})
				nc, err := nats.Connect(t.Context(), s.URL(), nats.UseDialer(n), nats.Logger(nil), nats.ReconnectBackoff(time.Millisecond, time.Millisecond))
				if err != nil {
					t.Fatal(err)
				}
				js, err := New(nc, DefaultTimeout(20*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				ack, err := js.Publish(t.Context(), "s", []byte("x"), tt.opts...)
				if !errors.Is(err, tt.want) || errors.Is(err, nats.ErrOutcomeUnknown) != tt.unknown || nats.SafeToRetry(err) {
					t.Errorf("%+v, %v", ack, err)
				}
				if len(sent) != tt.sent {
					t.Errorf("sent %d times, want %d", len(sent), tt.sent)
				}
				if len(slices.Compact(sent)) != 1 {
					t.Errorf("not the same each time: %q", sent)
				}
				_ = nc.Close()
				synctest.Wait()
			})
		})
	}
}

// TestPublishWhileDisconnected: a message that did not leave is no unknown one.
func TestPublishWhileDisconnected(t *testing.T) {
	scripted(t, each(stored), func(t *testing.T, r *rig) {
		r.srv.Refuse(true)
		r.srv.Peers()[0].Cut()
		synctest.Wait()
		_, err := r.Publish(t.Context(), "s", nil)
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrOutcomeUnknown) || !nats.SafeToRetry(err) {
			t.Errorf("%v", err)
		}
		r.srv.Refuse(false)
		if ack, err := r.Publish(t.Context(), "s", nil); err != nil || ack.Sequence != 7 {
			t.Errorf("with a link: %+v, %v", ack, err)
		}
	})
}

func TestPublishRefusesBadInput(t *testing.T) {
	now := time.Now()
	target := ScheduleTarget("t")
	var problem *OptionError
	for i, opts := range [][]PublishOption{
		{MsgID("")}, {nil}, {MsgTTL(0)}, {MsgTTL(time.Millisecond)}, {MsgTTL(1500 * time.Millisecond)}, {MsgTTL(-2)}, {ExpectStream("a b")},
		{ExpectLastSequenceForSubject(1, "")}, {ExpectLastSequenceForSubject(1, "a..b")}, {ExpectLastMsgID("")}, {Rollup("")}, {Rollup("none")},
		{RetryWait(0)}, {ScheduleAt(now)}, {ScheduleAt(time.Time{}), target}, {ScheduleEvery(time.Millisecond), target},
		{ScheduleCron("* * * * *"), target}, {ScheduleCron("@often"), target}, {ScheduleAt(now), ScheduleEvery(time.Hour), target},
		{target}, {ScheduleSource("t")}, {ScheduleTTL(time.Minute)}, {ScheduleRollup()}, {ScheduleTimeZone("UTC")},
		{ScheduleAt(now), target, ScheduleTimeZone("UTC")}, {ScheduleEvery(time.Hour), target, ScheduleTimeZone("UTC")},
		{ScheduleCron(ScheduleDaily), target, ScheduleTimeZone("")}, {ScheduleAt(now), ScheduleTarget("subject")},
		{ScheduleAt(now), ScheduleTarget("t.*")}, {ScheduleAt(now), target, ScheduleSource("t")}, {ScheduleAt(now), target, ScheduleSource("subject")},
		{ScheduleAt(now), target, ScheduleSource("a.>")}, {ScheduleAt(now), target, ScheduleTTL(0)}, {CancelSchedule("")}, {CancelSchedule("a.*")},
		{CancelSchedule("subject")},
	} {
		scripted(t, each(stored), func(t *testing.T, r *rig) {
			_, err := r.Publish(t.Context(), "subject", nil, opts...)
			if !errors.Is(err, ErrInvalidOption) || !errors.As(err, &problem) || problem.Option == "" || problem.Problem == "" {
				t.Errorf("%d: %v", i, err)
			}
			if asked := r.subjects(); len(asked) != 0 {
				t.Errorf("%d: something has left: %q", i, asked)
			}
		})
	}
	scripted(t, each(stored), func(t *testing.T, r *rig) {
		bad := nats.Header{}
		bad.Set("a", "b\r\nc")
		for _, m := range []nats.Msg{{Subject: ""}, {Subject: "a.*"}, {Subject: "a b"}, {Subject: "s", Header: bad}, {Subject: "s", Data: make([]byte, 2<<20)}} {
			if _, err := r.PublishMsg(t.Context(), m, MsgID("1")); err == nil || !nats.SafeToRetry(err) || errors.Is(err, nats.ErrOutcomeUnknown) {
				t.Errorf("%q: %v", m.Subject, err)
			}
		}
		if _, err := r.Publish(t.Context(), "s", nil, MsgID("a\nb")); !errors.Is(err, nats.ErrBadHeader) {
			t.Errorf("a line end in an id: %v", err)
		}
		if _, err := r.Publish(noContext, "s", nil); err == nil {
			t.Error("no context")
		}
		if asked := r.subjects(); len(asked) != 0 {
			t.Errorf("something has left: %q", asked)
		}
	})
}

func TestApplyPublishOptions(t *testing.T) {
	h, err := nats.NewHeader("A", "1", MsgIDHeader, "old", "B", "2")
	if err != nil {
		t.Fatal(err)
	}
	m := nats.Msg{Subject: "s", Header: h}
	got, err := ApplyPublishOptions(m, MsgID("new"), Rollup(RollupAll))
	if err != nil || got.Header.Len() != 4 || got.Header.Get(MsgIDHeader) != "new" || got.Header.Get("B") != "2" || m.Header.Get(MsgIDHeader) != "old" {
		t.Errorf("%v, %v; the original has %v", got.Header, err, m.Header)
	}
	if got, err = ApplyPublishOptions(m); err != nil || !got.Equal(m) {
		t.Errorf("nothing: %v, %v", got.Header, err)
	}
	for _, o := range []PublishOption{RetryAttempts(1), RetryWait(time.Second), AutoMsgID(), MsgID("")} {
		if _, err = ApplyPublishOptions(m, o); !errors.Is(err, ErrInvalidOption) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestAutoMsgID(t *testing.T) {
	scripted(t, func(string, string) answer { return stored }, func(t *testing.T, r *rig) {
		ids := make(map[string]bool)
		for range 3 {
			if _, err := r.Publish(t.Context(), "s", nil); err != nil && !errors.Is(err, ErrStreamRegressed) {
				t.Fatal(err)
			}
			ids[r.last().Header] = true
		}
		if len(ids) != 3 {
			t.Errorf("ids %v", ids)
		}
		h, err := nats.NewHeader(MsgIDHeader, "mine")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = r.PublishMsg(t.Context(), nats.Msg{Subject: "s", Header: h})
		if got := r.last().Header; !strings.Contains(got, MsgIDHeader+": mine\r\n") || strings.Count(got, MsgIDHeader) != 1 {
			t.Errorf("the message had an id: %q", got)
		}
		_, _ = r.Publish(t.Context(), "s", nil, MsgID("option"))
		if got := r.last().Header; !strings.Contains(got, MsgIDHeader+": option\r\n") || strings.Count(got, MsgIDHeader) != 1 {
			t.Errorf("an option had an id: %q", got)
		}
	}, AutoMsgID())
}

// TestSequences: receipts of publishes that overlap come in any order.
func TestSequences(t *testing.T) {
	var s sequences
	ack := func(seq uint64) PubAck { return PubAck{Stream: "S", Sequence: seq} }
	check := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: regressed is %v", what, got)
		}
	}
	a, b := s.begin(), s.begin()
	check("the first", s.acked(b, ack(11)), false)
	check("one beside it, later", s.acked(a, ack(10)), false)
	c := s.begin()
	check("another stream", s.acked(s.begin(), PubAck{Stream: "T", Sequence: 1}), false)
	check("another domain", s.acked(s.begin(), PubAck{Stream: "S", Domain: "d", Sequence: 1}), false)
	check("a duplicate", s.acked(s.begin(), PubAck{Stream: "S", Sequence: 3, Duplicate: true}), false)
	check("the next", s.acked(c, ack(12)), false)
	check("the same again", s.acked(s.begin(), ack(12)), true)
	check("one that follows it", s.acked(s.begin(), ack(13)), false)
	d := s.begin()
	check("much less", s.acked(d, ack(1)), true)
	check("told once", s.acked(s.begin(), ack(2)), false)
	s.forget("S")
	check("after it was forgotten", s.acked(s.begin(), ack(1)), false)
	if len(s.last) != 2 {
		t.Errorf("%d streams are remembered", len(s.last))
	}
}

func TestDecodePubAck(t *testing.T) {
	for _, tt := range []struct {
		data string
		want PubAck
		err  error
	}{
		{`{"stream":"S","seq":6,"duplicate": true}`, PubAck{Stream: "S", Sequence: 6, Duplicate: true}, nil},
		{`{"stream":"S","seq":6,"domain":"d","val":"7","batch":"b","count":8}`, PubAck{Stream: "S", Sequence: 6, Domain: "d", Value: "7", BatchID: "b", BatchSize: 8}, nil},
		{`{"stream":"S","seq":6,"new":{"in":"2.99"}}`, PubAck{Stream: "S", Sequence: 6}, nil},
		{`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 5"},"stream":"S","seq":0}`, PubAck{}, ErrWrongLastSequence},
		{`{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"},"stream":"S","seq":0}`, PubAck{}, ErrWrongLastSequence},
		{`{"error":{"code":400,"err_code":65000}}`, PubAck{}, ErrorCode(65000)},
		{`{"error":{"code":400,"err_code":-1}}`, PubAck{}, ErrInvalidPubAck},
		{`{"seq":6}`, PubAck{}, ErrInvalidPubAck},
		{`{"stream":7}`, PubAck{}, ErrInvalidPubAck},
		{`null`, PubAck{}, ErrInvalidPubAck},
		{`+OK`, PubAck{}, ErrInvalidPubAck},
		{``, PubAck{}, ErrInvalidPubAck},
	} {
		got, err := DecodePubAck(nats.Msg{Data: []byte(tt.data)})
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %+v, %v", tt.data, got, err)
		}
	}
}

// TestTracer: a publish and an API request are operations of their own kinds,
// with the names they are about.
func TestTracer(t *testing.T) {
	var tracer recorder
	scripted(t, func(subject, _ string) answer {
		if subject == "orders" {
			return stored
		}
		return answer{data: `{"error":{"code":404,"err_code":10014,"description":"consumer not found"}}`}
	}, func(t *testing.T, r *rig) {
		nc, err := nats.Connect(t.Context(), r.srv.URL(), nats.UseDialer(r.net), nats.Logger(nil), nats.UseTracer(&tracer))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		js, err := New(nc)
		if err != nil {
			t.Fatal(err)
		}
		tracer.log = nil
		h, err := nats.NewHeader("A", "1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := js.PublishMsg(t.Context(), nats.Msg{Subject: "orders", Header: h, Data: []byte("xy")}); err != nil {
			t.Error(err)
		}
		if got := r.last().Header; !strings.Contains(got, "Trace: 5\r\n") {
			t.Errorf("what the tracer injects has not left: %q", got)
		}
		if h.Get("Trace") != "" {
			t.Error("it changed the caller's message")
		}
		if _, err := js.Consumer(t.Context(), "S", "c"); err == nil {
			t.Error("no error")
		}
		want := []string{"publish and ack orders S= C= 1", "ended true", "api $JS.API.CONSUMER.INFO.S.c S=S C=c 1", "ended true"}
		if !slices.Equal(tracer.log, want) {
			t.Errorf("%q, want %q", tracer.log, want)
		}
	})
}

type recorder struct{ log []string }

func (r *recorder) Start(ctx context.Context, op *nats.Operation) context.Context {
	kind := map[nats.OperationKind]string{nats.OpAPI: "api", nats.OpPublishAck: "publish and ack"}[op.Kind]
	if kind == "" {
		return ctx
	}
	r.log = append(r.log, fmt.Sprintf("%s %s S=%s C=%s %d", kind, op.Subject, op.Stream, op.Consumer, op.Count))
	op.Header.Set("Trace", fmt.Sprint(int(op.Kind)))
	return ctx
}

func (r *recorder) End(_ context.Context, op *nats.Operation, err error) {
	if op.Kind == nats.OpAPI || op.Kind == nats.OpPublishAck {
		r.log = append(r.log, fmt.Sprintf("ended %v", err == nil))
	}
}

// TestPublishUsesAnInboxOfItsOwn: the receipt comes to us, whatever reply subject
// a message has that is stored.
func TestPublishUsesAnInboxOfItsOwn(t *testing.T) {
	scripted(t, each(stored), func(t *testing.T, r *rig) {
		if _, err := r.PublishMsg(t.Context(), nats.Msg{Subject: "s", Reply: "theirs"}); err != nil {
			t.Error(err)
		}
		if reply := r.last().Reply; reply == "theirs" || reply == "" {
			t.Errorf("the receipt was asked for on %q", reply)
		}
	})
}
