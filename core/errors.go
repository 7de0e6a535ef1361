package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/perigee-go/nats/core/internal/wire"
)

// States, for errors.Is.
var (
	// ErrClosed: the Conn was closed, by the user or because it gave up.
	ErrClosed = errors.New("nats: connection closed")
	// ErrDraining: Drain was called; there can be no new subscription.
	ErrDraining = errors.New("nats: connection is draining")
	// ErrDisconnected: the link died, or none is up.
	ErrDisconnected = errors.New("nats: disconnected")
	// ErrReconnectBufExceeded: no link is up and ReconnectBufSize bytes wait
	// already.
	ErrReconnectBufExceeded = errors.New("nats: reconnect buffer exceeded")
	// ErrOutcomeUnknown: the write may or may not have happened. It stands
	// beside the cause.
	ErrOutcomeUnknown = errors.New("nats: outcome unknown")
	// ErrNoResponders: nobody listens on the subject; see NoRespondersError.
	ErrNoResponders = errors.New("nats: no responders")
	// ErrNoServers: no server of the pool accepted the connection.
	ErrNoServers = errors.New("nats: no servers available")
	// ErrSubscriptionClosed: the subscription is over.
	ErrSubscriptionClosed = errors.New("nats: subscription closed")
	// ErrSyncSubRequired: Next and Messages need a SubscribeSync subscription.
	ErrSyncSubRequired = errors.New("nats: not a SubscribeSync subscription")
	// ErrSlowConsumer: messages were dropped; see SlowConsumerError.
	ErrSlowConsumer = errors.New("nats: slow consumer")
	// ErrMaxPayload: header and payload are larger than the server accepts.
	ErrMaxPayload = errors.New("nats: maximum payload exceeded")
	// ErrMaxControlLine: a line was longer than the server accepts. In practice
	// it is CONNECT, because of a JWT; the server's max_control_line limits it.
	ErrMaxControlLine = errors.New("nats: maximum control line exceeded")
	// ErrBadSubject: an illegal subject; see SubjectError.
	ErrBadSubject = errors.New("nats: bad subject")
	// ErrBadQueue: an illegal queue group; see SubjectError.
	ErrBadQueue = errors.New("nats: bad queue group")
	// ErrBadHeader: an illegal header; see HeaderError.
	ErrBadHeader = errors.New("nats: bad header")
	// ErrHeadersNotSupported: the server does not know headers.
	ErrHeadersNotSupported = errors.New("nats: server does not support headers")
	// ErrMsgNotBound: the message did not come from a subscription.
	ErrMsgNotBound = errors.New("nats: message is not bound to a connection")
	// ErrMsgNoReply: the message has no reply subject.
	ErrMsgNoReply = errors.New("nats: message has no reply subject")
	// ErrPermission: the server refused an operation; see PermissionError.
	ErrPermission = errors.New("nats: permissions violation")
	// ErrAuthorization: the server refused the credentials.
	ErrAuthorization = errors.New("nats: authorization violation")
	// ErrAuthExpired: the user's credentials expired.
	ErrAuthExpired = errors.New("nats: user authentication expired")
	// ErrAuthRevoked: the user's credentials were revoked.
	ErrAuthRevoked = errors.New("nats: user authentication revoked")
	// ErrAccountAuthExpired: the account's credentials expired.
	ErrAccountAuthExpired = errors.New("nats: account authentication expired")
	// ErrMaxConnections: the server has as many connections as it may.
	ErrMaxConnections = errors.New("nats: maximum connections exceeded")
	// ErrMaxAccountConnections: the account has as many as it may.
	ErrMaxAccountConnections = errors.New("nats: maximum account active connections exceeded")
	// ErrMaxSubscriptions: the server refused one more subscription.
	ErrMaxSubscriptions = errors.New("nats: maximum subscriptions exceeded")
	// ErrStaleConnection: a PING was not answered in time, or the server says
	// so of its own.
	ErrStaleConnection = errors.New("nats: stale connection")
	// ErrSecureRequired: the server wants TLS.
	ErrSecureRequired = errors.New("nats: secure connection required")
	// ErrSecureNotOffered: TLS is required here and the server has none.
	ErrSecureNotOffered = errors.New("nats: secure connection not offered by the server")
	// ErrTLS: the TLS handshake failed; wraps the error of crypto/tls or x509.
	ErrTLS = errors.New("nats: TLS")
	// ErrProtocol: the server broke the protocol.
	ErrProtocol = errors.New("nats: protocol error")
	// ErrInvalidOption: an option's value; see OptionError.
	ErrInvalidOption = errors.New("nats: invalid option")
	// ErrMixingWebsocketSchemes: some of the servers are WebSockets, but not
	// all. Servers find each other's clients a place, and that place is of the
	// same kind.
	ErrMixingWebsocketSchemes = errors.New("nats: WebSocket servers cannot be mixed with others")

	errMixed = fmt.Errorf("%w: %w", ErrMixingWebsocketSchemes, &OptionError{"Servers", "has ws or wss beside other schemes"})
)

// ConnectError is what Connect fails with. Unwrap gives each attempt's error,
// and ErrNoServers.
type ConnectError struct{ Attempts []Server }

// Error names every attempt.
func (e *ConnectError) Error() string {
	if len(e.Attempts) == 0 {
		return ErrNoServers.Error()
	}
	var b strings.Builder
	b.WriteString("nats: no server accepted the connection")
	for _, s := range e.Attempts {
		fmt.Fprintf(&b, "; %s: %s", s.URL, strings.TrimPrefix(fmt.Sprint(s.LastErr), "nats: "))
	}
	return b.String()
}

// Unwrap returns ErrNoServers and the attempts' errors.
func (e *ConnectError) Unwrap() []error {
	errs := []error{ErrNoServers}
	for _, s := range e.Attempts {
		if s.LastErr != nil {
			errs = append(errs, s.LastErr)
		}
	}
	return errs
}

// OptionError names one bad option. Connect and Subscribe join several.
type OptionError struct{ Option, Problem string }

func (e *OptionError) Error() string { return "nats: option " + e.Option + ": " + e.Problem }

// Is makes it an ErrInvalidOption.
func (e *OptionError) Is(target error) bool { return target == ErrInvalidOption }

// PermissionError: the server refused a publish or a subscription.
type PermissionError struct {
	Operation string // "publish" or "subscription"
	Subject   string
	Queue     string // of a subscription
}

func (e *PermissionError) Error() string {
	s := "nats: permissions violation for " + e.Operation + " of " + strconv.Quote(e.Subject)
	if e.Queue != "" {
		s += " with queue group " + strconv.Quote(e.Queue)
	}
	return s
}

// Is makes it an ErrPermission.
func (e *PermissionError) Is(target error) bool { return target == ErrPermission }

// ServerError is an -ERR without a value of its own. Text is what the server
// said, at most 1 KiB of it, without what cannot be printed.
type ServerError struct{ Text string }

func (e *ServerError) Error() string { return "nats: server error: " + e.Text }

// NoRespondersError: nobody listens on Subject.
type NoRespondersError struct{ Subject string }

func (e *NoRespondersError) Error() string {
	return "nats: no responders on " + strconv.Quote(e.Subject)
}

// Is makes it an ErrNoResponders.
func (e *NoRespondersError) Is(target error) bool { return target == ErrNoResponders }

// SlowConsumerError: Dropped messages of Subject since the last report.
type SlowConsumerError struct {
	Subject string
	Dropped uint64
}

func (e *SlowConsumerError) Error() string {
	return fmt.Sprintf("nats: slow consumer: %d messages of %q dropped", e.Dropped, e.Subject)
}

// Is makes it an ErrSlowConsumer.
func (e *SlowConsumerError) Is(target error) bool { return target == ErrSlowConsumer }

// SubjectError is an illegal subject, reply or queue group, refused before a
// byte left.
type SubjectError struct {
	Subject, Problem string
	queue            bool
}

func (e *SubjectError) Error() string {
	what := "subject"
	if e.queue {
		what = "queue group"
	}
	return fmt.Sprintf("nats: bad %s %q: %s", what, e.Subject, e.Problem)
}

// Is makes it an ErrBadSubject, or ErrBadQueue for a queue group.
func (e *SubjectError) Is(target error) bool {
	return target == ErrBadSubject && !e.queue || target == ErrBadQueue && e.queue
}

// HeaderError is an illegal header field, refused before a byte left.
type HeaderError struct{ Name, Problem string }

func (e *HeaderError) Error() string {
	return fmt.Sprintf("nats: bad header %q: %s", e.Name, e.Problem)
}

// Is makes it an ErrBadHeader.
func (e *HeaderError) Is(target error) bool { return target == ErrBadHeader }

// LossError says what Drain or Close could not save.
type LossError struct {
	Undelivered int   // received, never handled
	Unsent      int   // accepted, never written
	Unknown     int   // written, not confirmed by a PONG
	Err         error // what ended the waiting, if something did
}

func (e *LossError) Error() string {
	s := fmt.Sprintf("nats: messages lost at the end of the connection: %d undelivered, %d unsent, %d unknown", e.Undelivered, e.Unsent, e.Unknown)
	if e.Err != nil {
		s += ": " + strings.TrimPrefix(e.Err.Error(), "nats: ")
	}
	return s
}

// Unwrap returns Err.
func (e *LossError) Unwrap() error { return e.Err }

// unsent marks an error of an operation of which no byte left.
type unsent struct{ error }

func (e unsent) Unwrap() error { return e.error }

// SafeToRetry is true of the unsent; errors of helpers on top say it in this way.
func (e unsent) SafeToRetry() bool { return true }

// SafeToRetry is true only when no byte of the failed operation can have left
// the process: refused input, no room, a link that died before its turn. An error
// of a helper on top says so with a method SafeToRetry() bool.
func SafeToRetry(err error) bool {
	if err == nil || errors.Is(err, ErrOutcomeUnknown) {
		return false
	}
	var u interface{ SafeToRetry() bool }
	if errors.As(err, &u) && u.SafeToRetry() {
		return true
	}
	for _, e := range []error{
		ErrReconnectBufExceeded, ErrDraining, ErrBadSubject, ErrBadQueue, ErrBadHeader, ErrMaxPayload,
		ErrHeadersNotSupported, ErrMsgNotBound, ErrMsgNoReply, ErrInvalidOption,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// operationError puts the operation in front of err, which stays reachable.
type operationError struct {
	op, subject string
	err         error
}

func (e *operationError) Error() string {
	if s, ok := e.err.(*SubjectError); ok && s.Subject == e.subject {
		return "nats: " + e.op + " " + strings.TrimPrefix(s.Error(), "nats: ") // which says it
	}
	return "nats: " + e.op + " " + strconv.Quote(shorten(e.subject)) + ": " + strings.TrimPrefix(e.err.Error(), "nats: ")
}

// shorten keeps a subject that is far too long out of logs.
func shorten(subject string) string {
	const most = 256
	if len(subject) <= most {
		return subject
	}
	return subject[:most] + "..."
}

func (e *operationError) Unwrap() error { return e.err }

func opError(op, subject string, err error) error { return &operationError{op, subject, err} }

// defaultTimeout is the cause of a context that ended because of one of our
// default timeouts. It is a context.DeadlineExceeded.
type defaultTimeout struct{ text string }

func (e defaultTimeout) Error() string        { return e.text }
func (e defaultTimeout) Is(target error) bool { return target == context.DeadlineExceeded }
func (e defaultTimeout) Timeout() bool        { return true }

func protocolError(err error) error {
	if e := (*wire.Error)(nil); errors.As(err, &e) {
		return fmt.Errorf("%w: %s", ErrProtocol, e.Problem)
	}
	return err
}
