package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
)

// TestSafeToRetry goes through every sentinel and type. True means that no byte
// can have left.
func TestSafeToRetry(t *testing.T) {
	safe := []error{
		ErrReconnectBufExceeded, ErrDraining, ErrBadSubject, ErrBadQueue, ErrBadHeader, ErrMaxPayload, ErrHeadersNotSupported,
		ErrMsgNotBound, ErrMsgNoReply, ErrInvalidOption,
		&SubjectError{Subject: "a b"}, &SubjectError{queue: true}, &HeaderError{"A", "x"}, &OptionError{"A", "x"},
		unsent{ErrDisconnected}, unsent{context.DeadlineExceeded}, unsent{ErrClosed},
	}
	unsafe := []error{
		nil, ErrClosed, ErrDisconnected, ErrOutcomeUnknown, ErrNoResponders, ErrNoServers, ErrSubscriptionClosed, ErrSyncSubRequired,
		ErrSlowConsumer, ErrPermission, ErrAuthorization, ErrAuthExpired, ErrAuthRevoked, ErrAccountAuthExpired, ErrMaxConnections,
		ErrMaxAccountConnections, ErrMaxSubscriptions, ErrStaleConnection, ErrSecureRequired, ErrSecureNotOffered, ErrTLS, ErrProtocol,
		context.DeadlineExceeded, context.Canceled, io.EOF, errors.New("x"), timeoutAfter(1),
		&NoRespondersError{"a"}, &PermissionError{}, &ServerError{}, &SlowConsumerError{}, &ConnectError{}, &LossError{},
		errors.Join(ErrDisconnected, ErrOutcomeUnknown), errors.Join(unsent{ErrDisconnected}, ErrOutcomeUnknown),
	}
	for _, e := range safe {
		for _, e := range []error{e, fmt.Errorf("wrapped: %w", e), opError("do", "a", e)} {
			if !SafeToRetry(e) {
				t.Errorf("%v is not safe to retry", e)
			}
		}
	}
	for _, e := range unsafe {
		if SafeToRetry(e) || e != nil && SafeToRetry(opError("do", "a", e)) {
			t.Errorf("%v is safe to retry", e)
		}
	}
}

func TestErrorKinds(t *testing.T) {
	for _, c := range []struct {
		err, is, not error
	}{
		{&SubjectError{Subject: "a"}, ErrBadSubject, ErrBadQueue},
		{&SubjectError{Subject: "a", queue: true}, ErrBadQueue, ErrBadSubject},
		{&HeaderError{}, ErrBadHeader, ErrBadSubject},
		{&OptionError{}, ErrInvalidOption, ErrBadSubject},
		{&PermissionError{}, ErrPermission, ErrAuthorization},
		{&NoRespondersError{}, ErrNoResponders, ErrNoServers},
		{&SlowConsumerError{}, ErrSlowConsumer, ErrClosed},
		{&ConnectError{Attempts: []Server{{LastErr: ErrAuthorization}, {}}}, ErrAuthorization, ErrClosed},
		{&ConnectError{}, ErrNoServers, ErrClosed},
		{&LossError{Err: errDeadline}, errDeadline, ErrClosed},
		{timeoutAfter(5), errDeadline, context.Canceled},
		{opError("do", "a", unsent{ErrDisconnected}), ErrDisconnected, ErrClosed},
	} {
		if !errors.Is(c.err, c.is) || errors.Is(c.err, c.not) || c.err.Error() == "" {
			t.Errorf("%T %q: is %v: %v, is %v: %v", c.err, c.err, c.is, errors.Is(c.err, c.is), c.not, errors.Is(c.err, c.not))
		}
	}
	var timeout interface{ Timeout() bool }
	if !errors.As(timeoutAfter(1), &timeout) || !timeout.Timeout() {
		t.Error("a default timeout is no timeout")
	}
}

func TestAtLeast(t *testing.T) {
	for _, c := range []struct {
		have, want string
		ok         bool
	}{
		{"2.11.0", "2.11.0", true}, {"2.11.0", "2.11.1", false}, {"2.11.10", "2.11.9", true}, {"2.9.25", "2.11.0", false},
		{"3.0.0", "2.99.99", true}, {"v2.11.0", "2.11", true}, {"2.11", "v2.11.0", true}, {"2.12.0-beta.1", "2.12.0", true},
		{"2.12.0+build", "2.12.0", true}, {"", "2.0.0", false}, {"2.0.0", "", false}, {"x.y.z", "0.0.0", false}, {"2.1.x", "0", false},
		{"2", "2.0.0", true},
	} {
		if got := (ServerInfo{Version: c.have}).AtLeast(c.want); got != c.ok {
			t.Errorf("%q at least %q: %v", c.have, c.want, got)
		}
	}
}

func TestStatusText(t *testing.T) {
	for s, want := range map[Status]string{
		StatusConnecting: "connecting", StatusConnected: "connected", StatusReconnecting: "reconnecting",
		StatusDraining: "draining", StatusClosed: "closed", 99: "status 99",
	} {
		if s.String() != want {
			t.Errorf("%d is %q", int(s), s)
		}
	}
}
