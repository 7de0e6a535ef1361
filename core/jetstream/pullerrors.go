package jetstream

import (
	"errors"
	"fmt"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/pull"
)

// States of consuming. Those that end a session come last from an iterator, from
// Next, and from Consumption.Err; those that it heals by itself are told to its
// ErrorHandler. A fetch has one pull: what it could not heal in its time is its
// error.
var (
	// ErrMsgAlreadyAckd: there was a verdict on the message before.
	ErrMsgAlreadyAckd = errors.New("jetstream: message already acknowledged")
	// ErrNotJSMessage: the message has no ack subject, so no consumer sent it.
	ErrNotJSMessage = errors.New("jetstream: not a message of a consumer")
	// ErrConsumptionEnded: the session was stopped or drained, or has taken what
	// StopAfter said.
	ErrConsumptionEnded = errors.New("jetstream: consumption ended")
	// ErrConsumerDeleted ends a session: the consumer does not exist any more, or
	// never did.
	ErrConsumerDeleted = errors.New("jetstream: consumer deleted")
	// ErrConsumerRecreated: a consumer of that name was made after this one was
	// deleted, and the session goes on with it. Messages that were taken before
	// are of the old one: to acknowledge them now would be told to the new one.
	ErrConsumerRecreated = errors.New("jetstream: the consumer was deleted and made anew")
	// ErrStreamRecreated comes with it if the stream is another one, too: the
	// same sequences are other messages.
	ErrStreamRecreated = errors.New("jetstream: the stream was deleted and made anew")
	// ErrConsumerLeadershipChanged: another server is responsible for the
	// consumer. Healed.
	ErrConsumerLeadershipChanged = errors.New("jetstream: consumer leadership changed")
	// ErrServerShutdown: the server that is responsible for the consumer is going
	// down. Healed.
	ErrServerShutdown = errors.New("jetstream: server shutdown")
	// ErrMaxBytesExceeded: the next message is larger than MaxBytes. Tried again,
	// in case another client takes it.
	ErrMaxBytesExceeded = errors.New("jetstream: the next message exceeds MaxBytes")
	// ErrBatchTooLarge: the consumer's configuration has a lower limit for
	// requests. The session keeps to it from then on.
	ErrBatchTooLarge = errors.New("jetstream: request above a limit of the consumer")
	// ErrMaxWaiting: the consumer has as many pulls as its MaxWaiting permits.
	// Tried again.
	ErrMaxWaiting = errors.New("jetstream: too many pulls wait at the consumer")
	// ErrPinIDMismatch: another client is pinned to the priority group.
	ErrPinIDMismatch = errors.New("jetstream: pin id mismatch")
	// ErrNoHeartbeat: nothing was heard of the server for too long. Healed,
	// unless ErrorOnMissingHeartbeat.
	ErrNoHeartbeat = errors.New("jetstream: no heartbeat")
	// ErrNoLeader: no server is responsible for the consumer at the moment, or
	// JetStream is not there. Not the same as that there are no messages. Tried
	// again.
	ErrNoLeader = errors.New("jetstream: no server answers for the consumer")
)

// reasons are the errors of what a session meets.
var reasons = map[pull.Reason]error{
	pull.Disconnected:     nats.ErrDisconnected,
	pull.NoHeartbeat:      ErrNoHeartbeat,
	pull.NoResponders:     ErrNoLeader,
	pull.LeadershipChange: ErrConsumerLeadershipChanged,
	pull.ServerShutdown:   ErrServerShutdown,
	pull.MaxWaiting:       ErrMaxWaiting,
	pull.MessageTooLarge:  ErrMaxBytesExceeded,
	pull.BatchTooLarge:    ErrBatchTooLarge,
	pull.PinMismatch:      ErrPinIDMismatch,
	pull.ConsumerDeleted:  ErrConsumerDeleted,
	pull.ConsumerGone:     ErrConsumerDeleted,
	pull.PushBased:        ErrNotPullConsumer,
}

// reasonError is the error for a reason, with the server's words where they say
// more.
func reasonError(reason pull.Reason, text string) error {
	switch reason {
	case pull.Finished:
		return nil
	case pull.BadRequest:
		return &APIError{Code: 400, ErrorCode: ErrBadRequest, Description: text}
	case pull.APILevel:
		return &APIError{Code: 412, ErrorCode: ErrRequiredAPILevel, Description: text}
	case pull.BatchTooLarge, pull.PinMismatch:
		return fmt.Errorf("%w: %s", reasons[reason], text)
	case pull.Unknown:
		return fmt.Errorf("%w: status %q", ErrInvalidResponse, text)
	}
	return reasons[reason]
}
