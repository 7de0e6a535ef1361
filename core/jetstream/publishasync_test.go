package jetstream

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// TestPublishAsyncRetries holds attempts, waits and errors of single publishes
// against the options. reliability F2, F8, F9
func TestPublishAsyncRetries(t *testing.T) {
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
		{"no receipt", nil, nil, nil, 1, 5 * time.Second, 5 * time.Second, nats.ErrOutcomeUnknown},
		{"no receipt, with an id", []answer{{}, {}, stored}, []Option{AutoMsgID(), AckTimeout(time.Hour)}, nil, 3, 6 * time.Second, 6 * time.Second, nil},
		{"never a receipt, with an id", slices.Repeat([]answer{{}}, 9), []Option{AutoMsgID(), AckTimeout(time.Hour)}, nil, 6, 62 * time.Second, 62 * time.Second, nats.ErrOutcomeUnknown},
		{"another timeout", nil, []Option{AckTimeout(time.Minute)}, nil, 1, time.Minute, time.Minute, nats.ErrOutcomeUnknown},
		{"a timeout of its own", nil, nil, []PublishOption{AckTimeout(time.Second)}, 1, time.Second, time.Second, nats.ErrOutcomeUnknown},
		{"nonsense", []answer{{data: "thanks"}, stored}, nil, nil, 1, 0, 0, ErrInvalidPubAck},
		{"empty", []answer{{"NATS/1.0\r\n\r\n", ""}, stored}, nil, nil, 1, 0, 0, ErrInvalidPubAck},
	} {
		t.Run(tt.name, func(t *testing.T) {
			scripted(t, each(tt.answers...), func(t *testing.T, r *rig) {
				var err error
				took := elapsed(func() {
					f, asyncErr := r.PublishAsync(t.Context(), "orders.new", []byte("x"), tt.opts...)
					if asyncErr != nil {
						t.Fatal(asyncErr)
					}
					_, err = f.Wait(context.Background())
				})
				if !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
				if n := len(r.subjects()); tt.attempts > 0 && n != tt.attempts {
					t.Errorf("%d attempts, want %d", n, tt.attempts)
				}
				if took < tt.atLeast || took > tt.atMost {
					t.Errorf("it took %v, want %v to %v", took, tt.atLeast, tt.atMost)
				}
				unknown := tt.want == nats.ErrOutcomeUnknown
				if errors.Is(err, nats.ErrOutcomeUnknown) != unknown || unknown && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("an unknown outcome? %v", err)
				}
				if err != nil && !strings.HasPrefix(err.Error(), `jetstream: publish to "orders.new": `) || err != nil && strings.Count(err.Error(), "\n") > 0 {
					t.Errorf("text %q", err)
				}
				if r.PublishAsyncPending() != 0 || r.WaitPublished(t.Context()) != nil {
					t.Error("something is pending")
				}
			}, tt.js...)
		})
	}
}
