package jetstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// Publish stores a message in the stream that listens to subject, and waits for
// its receipt. A ctx without a deadline gets DefaultTimeout.
//
// What is known not to have been stored is tried again until ctx ends: a message
// that did not leave, and one that an overloaded server dropped. So is a publish
// that nobody listens to, RetryAttempts times: then it is ErrNoStreamResponse.
//
// A message that may have been stored is an ErrOutcomeUnknown beside the cause:
// the link was lost, or ctx ended. If it has an id, by MsgID or AutoMsgID, it is
// sent again for up to a minute, when the link was lost and when there is no
// answer for 2 s, 4 s and so on: the stream stores it once, if its Duplicates
// window, by default two minutes, is not shorter.
//
// The receipt tells that the stream has the message, which is not the same as
// having it on disk. If its sequence was given out before, the stream has lost
// messages that it had acknowledged, or was made anew: ErrStreamRegressed comes
// with the receipt, once.
func (js *JetStream) Publish(ctx context.Context, subject string, data []byte, opts ...PublishOption) (PubAck, error) {
	return js.PublishMsg(ctx, nats.Msg{Subject: subject, Data: data}, opts...)
}

// PublishMsg is Publish for a message with a header. m.Reply is not used; m is
// not changed.
func (js *JetStream) PublishMsg(ctx context.Context, m nats.Msg, opts ...PublishOption) (PubAck, error) {
	if err := js.ready(ctx); err != nil {
		return PubAck{}, err
	}
	ack, err := js.publish(ctx, m, opts)
	return ack, opError(err, "publish to", m.Subject)
}

func (js *JetStream) publish(ctx context.Context, m nats.Msg, opts []PublishOption) (PubAck, error) {
	p, err := newPublication(&js.cfg.publish, m.Subject, opts)
	if err != nil {
		return PubAck{}, err
	}
	m.Reply = ""
	if m, err = p.applyTo(m); err != nil {
		return PubAck{}, err
	}
	_, named := m.Header.Lookup(MsgIDHeader)
	if p.autoID && !named {
		m.Header.Set(MsgIDHeader, js.newID())
		named = true
	}
	ctx, cancel := js.bound(ctx)
	defer cancel()
	r := retrier{attempts: p.attempts, wait: p.wait, named: named, expects: expects(m.Header), started: time.Now()}
	for {
		begun := js.sequences.begin()
		ack, err := js.publishOnce(ctx, m, r.patience())
		if err == nil {
			if js.sequences.acked(begun, ack) {
				err = ErrStreamRegressed
			}
			return ack, err
		}
		pause, again := r.after(err, time.Now())
		if !again || !sleep(ctx, pause) {
			return PubAck{}, r.verdict(ctx, err)
		}
	}
}

// publishOnce makes one attempt, which ends after patience if that is not 0.
func (js *JetStream) publishOnce(ctx context.Context, m nats.Msg, patience time.Duration) (PubAck, error) {
	if patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, patience, errUnanswered)
		defer cancel()
	}
	reply, err := js.roundTrip(ctx, nats.OpPublishAck, call{}, m)
	if err != nil {
		if errors.Is(err, nats.ErrNoResponders) {
			err = noStream(err)
		}
		return PubAck{}, err
	}
	return DecodePubAck(reply)
}

// expects reports whether a message that was stored already would be refused
// when it comes again.
func expects(h nats.Header) bool {
	for _, name := range []string{ExpectedLastSeqHeader, ExpectedLastSubjSeqHeader, ExpectedLastMsgIDHeader} {
		if _, ok := h.Lookup(name); ok {
			return true
		}
	}
	return false
}

const (
	// resendWindow is for how long a message with an id may be sent again: half
	// of what streams remember ids for by default.
	resendWindow = time.Minute
	// maxRetryWait bounds the waits for an overloaded server.
	maxRetryWait = 2 * time.Second
	// firstPatience is how long an attempt with an id waits for its receipt
	// before it is sent again. Each following one waits twice as long.
	firstPatience = 2 * time.Second
	maxPatience   = 16 * time.Second
)

// errUnanswered ends an attempt, and the publish if it was the last. It is a
// context.DeadlineExceeded.
var errUnanswered error = unanswered{}

type unanswered struct{}

func (unanswered) Error() string        { return "no answer in time" }
func (unanswered) Is(target error) bool { return target == context.DeadlineExceeded }
func (unanswered) Timeout() bool        { return true }

// retrier decides after a failed attempt whether there is another one.
type retrier struct {
	attempts int
	wait     time.Duration
	named    bool // it has a message id
	expects  bool
	started  time.Time

	unheard int  // attempts when no stream listened
	refused int  // attempts that the server could not take
	silent  int  // attempts without an answer
	unknown bool // an attempt may have been stored
}

// patience is how long the next attempt may wait; 0: as long as the publish.
func (r *retrier) patience() time.Duration {
	if !r.named {
		return 0
	}
	return min(firstPatience<<min(r.silent, 8), maxPatience)
}

// after says how long to wait before the next attempt, if there is one.
func (r *retrier) after(err error, now time.Time) (pause time.Duration, again bool) {
	switch outcome(err) {
	case notHeard:
		r.unheard++
		return r.wait, r.attempts < 0 || r.unheard <= r.attempts
	case notSent:
		return r.wait, errors.Is(err, nats.ErrDisconnected) || errors.Is(err, errUnanswered)
	case dropped:
		r.refused++
		return r.backoff(), true
	case notNow:
		r.refused++
		return r.backoff(), r.named || r.expects
	case lost:
		r.unknown = true
		silent := errors.Is(err, errUnanswered)
		if silent {
			r.silent++
		}
		return 0, r.named && now.Sub(r.started) < resendWindow && (silent || errors.Is(err, nats.ErrDisconnected))
	}
	return 0, false
}

// backoff doubles the wait each time, with jitter so that those who were refused
// together do not come back together.
func (r *retrier) backoff() time.Duration {
	d := min(r.wait<<min(r.refused-1, 8), maxRetryWait)
	return d/2 + rand.N(d/2+1)
}

// verdict is the error after the last attempt.
func (r *retrier) verdict(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = both{err, cause}
	}
	if r.unknown && !errors.Is(err, nats.ErrOutcomeUnknown) {
		err = both{nats.ErrOutcomeUnknown, err}
	}
	return err
}

// What became of an attempt.
const (
	refused  = iota // for good
	notHeard        // no stream listens
	notSent         // no byte left
	dropped         // the server is overloaded
	notNow          // the server could not take it at this moment
	lost            // it left, and nobody knows
)

func outcome(err error) int {
	var api *APIError
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return notHeard
	case errors.As(err, &api):
		switch {
		case api.ErrorCode == ErrStreamTooManyRequests, api.Code == 429 && api.ErrorCode == 0:
			return dropped
		case api.ErrorCode == ErrClusterNotAvail, api.ErrorCode == ErrStreamDuplicateMessageConflict,
			api.ErrorCode == ErrStreamExpectedLastSeqPerSubjectNotReady:
			return notNow
		}
		return refused
	case nats.SafeToRetry(err):
		return notSent
	case errors.Is(err, nats.ErrPermission), errors.Is(err, ErrInvalidPubAck):
		return refused
	}
	return lost
}

// sleep waits, and reports whether ctx lives on.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
