package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/perigee-go/nats/core/internal/link"
	"github.com/perigee-go/nats/core/internal/transport"
)

// serverError is what an -ERR means.
type serverError struct {
	err    error
	closes bool   // the server ends the connection after it
	auth   bool   // it refused the credentials
	sid    uint64 // the subscription it is about, if it says so
}

// closingErrors are those after which a server closes, in lower case. Anything
// else is reported, and it is left to the server to close.
var closingErrors = []struct {
	prefix string
	err    error
	auth   bool
}{
	{"authorization violation", ErrAuthorization, true},
	{"authentication timeout", ErrAuthorization, false},
	{"user authentication expired", ErrAuthExpired, true},
	{"user authentication revoked", ErrAuthRevoked, true},
	{"account authentication expired", ErrAccountAuthExpired, true},
	{"maximum connections exceeded", ErrMaxConnections, false},
	{"maximum account active connections exceeded", ErrMaxAccountConnections, false},
	{"stale connection", ErrStaleConnection, false},
	{"secure connection - tls required", ErrSecureRequired, false},
	{"maximum payload violation", ErrMaxPayload, false},
	{"unknown protocol operation", nil, false},
	{"maximum control line exceeded", ErrMaxControlLine, false},
	{"failed account registration", nil, false},
	{"connection throttling is active", nil, false},
	{"invalid client protocol", nil, false},
	{"no responders requires headers support", nil, false},
	{"attempted to connect to", nil, false},
}

func parseServerError(text string) serverError {
	lower := strings.ToLower(text)
	for _, c := range closingErrors {
		if !strings.HasPrefix(lower, c.prefix) {
			continue
		}
		e := serverError{err: c.err, closes: true, auth: c.auth}
		if e.err == nil {
			e.err = &ServerError{printable(text)}
		}
		return e
	}
	if e, ok := parsePermission(text, lower); ok {
		return e
	}
	if strings.HasPrefix(lower, "maximum subscriptions exceeded") {
		return serverError{err: ErrMaxSubscriptions}
	}
	return serverError{err: &ServerError{printable(text)}}
}

// maxPermissionText is more than the subject and the queue group of one of our
// operations take, with all their bytes escaped.
const maxPermissionText = 5 * maxSubject

// maxServerText is how much of what a server says is passed on: it ends in logs.
const maxServerText = 1024

// printable makes text harmless to whoever prints it.
func printable(text string) string {
	if len(text) > maxServerText {
		text = text[:maxServerText] + "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// parsePermission reads the forms of a permissions violation. Subjects in it
// are quoted as Go does.
func parsePermission(text, lower string) (serverError, bool) {
	const (
		publish   = "permissions violation for publish to "
		reply     = "permissions violation for publish with reply of "
		subscribe = "permissions violation for subscription to "
	)
	pe := &PermissionError{Operation: "publish"}
	e := serverError{err: pe}
	var rest string
	switch {
	case strings.HasPrefix(lower, publish):
		rest = text[len(publish):]
	case strings.HasPrefix(lower, reply):
		rest = text[len(reply):]
	case strings.HasPrefix(lower, subscribe):
		pe.Operation = "subscription"
		rest = text[len(subscribe):]
	default:
		return e, false
	}
	if len(text) > maxPermissionText {
		return e, false
	}
	pe.Subject, rest = cutQuoted(rest)
	if i := strings.Index(rest, "using queue "); i >= 0 {
		pe.Queue, rest = cutQuoted(rest[i+len("using queue "):])
	}
	if i := strings.Index(rest, "(sid "); i >= 0 {
		s, _ := cutQuoted(rest[i+len("(sid "):])
		e.sid, _ = strconv.ParseUint(s, 10, 64)
	}
	return e, true
}

// cutQuoted reads the quoted string that starts s.
func cutQuoted(s string) (value, rest string) {
	q, err := strconv.QuotedPrefix(s)
	if err != nil {
		return "", s
	}
	value, _ = strconv.Unquote(q)
	return value, s[len(q):]
}

// serverRefused deals with an -ERR that leaves the connection open: it ends the
// subscription or the request that it is about, and is reported.
func (nc *Conn) serverRefused(e serverError) {
	pe, ok := e.err.(*PermissionError)
	switch {
	case ok && pe.Operation == "subscription":
		if nc.refuseSubscription(e, pe) {
			return // SubscriptionEnded tells of it
		}
	case ok:
		if nc.reqs.refused(pe) {
			return // the request returns it
		}
	case errors.Is(e.err, ErrMaxSubscriptions):
		// It does not say which. The server's list and ours differ now until
		// the next link, so the user has to know.
	}
	nc.asyncError(e.err)
}

// refuseSubscription ends the subscription that the server refused. Without an
// id it is the oldest one of that subject and queue group, since the server
// answers in order.
func (nc *Conn) refuseSubscription(e serverError, pe *PermissionError) bool {
	var found *Subscription
	if e.sid != 0 {
		found = nc.reg.dir.Load().find(e.sid)
	} else {
		for _, s := range nc.reg.activeSubs() {
			if s.subject == pe.Subject && s.queue == pe.Queue {
				found = s
				break
			}
		}
	}
	if found == nil {
		return false
	}
	if found.internal() {
		nc.reg.remove(found)
		found.end(pe, true)
	}
	switch found.kind {
	case kindMux:
		nc.reqs.muxRefused(found, pe)
		return false
	case kindInbox:
		nc.reqs.refuse(found.request, pe)
		return true // the request returns it
	}
	nc.reg.remove(found)
	nc.last.Store(&e.err)
	found.end(pe, false)
	return true
}

// isAlert reports whether err is a TLS alert, from the peer or to it. With TLS
// 1.3 a client hears of a refused certificate only when it reads.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}

// classify makes a link's end an error of this package. refused is what the
// server said when it did not accept the credentials.
func classify(err error) (refused string, out error) {
	var (
		se      *link.ServerError
		ce      *credentialsError
		upgrade *transport.UpgradeError
		frame   *transport.FrameError
	)
	switch {
	case err == nil:
		return "", nil
	case errors.As(err, &ce):
		// Before all others: what is wrapped is the user's, whatever it looks like.
		if errors.Is(ce, ErrAuthorization) {
			refused = ErrAuthorization.Error()
		}
		return refused, fmt.Errorf("nats: %w", err)
	case errors.Is(err, link.ErrTooLong):
		return "", fmt.Errorf("%w: %w", ErrMaxControlLine, err)
	case errors.As(err, &se):
		e := parseServerError(se.Text)
		if e.auth {
			refused = printable(se.Text)
		}
		return refused, e.err
	case errors.Is(err, link.ErrStale):
		return "", ErrStaleConnection
	case errors.Is(err, link.ErrWriteTimeout):
		return "", fmt.Errorf("%w: %w", ErrStaleConnection, err)
	case errors.Is(err, link.ErrNoTLS):
		return "", ErrSecureNotOffered
	case errors.As(err, &upgrade) && (upgrade.Status == http.StatusUnauthorized || upgrade.Status == http.StatusForbidden):
		return upgrade.Error(), fmt.Errorf("%w: %w", ErrAuthorization, err)
	case errors.As(err, &frame), errors.Is(err, transport.ErrNotWebSocket):
		return "", fmt.Errorf("%w: %w", ErrProtocol, err)
	case errors.Is(err, link.ErrTLS), errors.Is(err, link.ErrInjected), isAlert(err):
		return "", fmt.Errorf("%w: %w", ErrTLS, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "", fmt.Errorf("nats: %w", err)
	}
	for _, known := range []error{
		ErrAuthorization, ErrAuthExpired, ErrAuthRevoked, ErrAccountAuthExpired,
	} {
		if errors.Is(err, known) {
			return known.Error(), err
		}
	}
	if p := protocolError(err); p != err {
		return "", p
	}
	if errors.Is(err, io.EOF) {
		return "", fmt.Errorf("%w: the server closed the connection: %w", ErrDisconnected, err)
	}
	if strings.HasPrefix(err.Error(), "nats: ") {
		return "", err
	}
	return "", fmt.Errorf("%w: %w", ErrDisconnected, err)
}
