package jetstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/window"
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
	if p.timed {
		return PubAck{}, &OptionError{ackTimeoutName, "is for asynchronous publishes; this one has a context"}
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
	started := time.Now()
	r := window.Attempts{Policy: &p.retry, Named: named, Expects: expects(m.Header)}
	for {
		begun := js.sequences.begin()
		ack, err := js.publishOnce(ctx, m, r.Patience())
		if err == nil {
			if js.sequences.acked(begun, ack) {
				err = ErrStreamRegressed
			}
			return ack, err
		}
		pause, again := r.After(outcome(err), time.Since(started), rand.Float64())
		if !again || !sleep(ctx, pause) {
			return PubAck{}, verdict(r.Unknown(), context.Cause(ctx), err)
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

// errUnanswered ends an attempt, and the publish if it was the last. It is a
// context.DeadlineExceeded.
var errUnanswered error = unanswered{}

type unanswered struct{}

func (unanswered) Error() string        { return "no answer in time" }
func (unanswered) Is(target error) bool { return target == context.DeadlineExceeded }
func (unanswered) Timeout() bool        { return true }

// verdict is the error after the last attempt.
func verdict(unknown bool, cause, err error) error {
	if cause != nil && !errors.Is(err, cause) {
		err = both{err, cause}
	}
	if unknown && !errors.Is(err, nats.ErrOutcomeUnknown) {
		err = both{nats.ErrOutcomeUnknown, err}
	}
	return err
}

// outcome is what an error says of an attempt.
func outcome(err error) window.Outcome {
	var api *APIError
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return window.NotHeard
	case errors.As(err, &api):
		switch {
		case api.ErrorCode == ErrStreamTooManyRequests, api.Code == 429 && api.ErrorCode == 0:
			return window.Dropped
		case api.ErrorCode == ErrClusterNotAvail, api.ErrorCode == ErrStreamDuplicateMessageConflict,
			api.ErrorCode == ErrStreamExpectedLastSeqPerSubjectNotReady:
			return window.NotNow
		}
		return window.Refused
	case nats.SafeToRetry(err):
		if errors.Is(err, nats.ErrDisconnected) || errors.Is(err, errUnanswered) {
			return window.NotSent
		}
		return window.Refused
	case errors.Is(err, nats.ErrPermission), errors.Is(err, ErrInvalidPubAck):
		return window.Refused
	case errors.Is(err, errUnanswered):
		return window.Silent
	case errors.Is(err, nats.ErrDisconnected):
		return window.Lost
	}
	return window.Over
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
