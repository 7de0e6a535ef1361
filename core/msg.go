package nats

import (
	"bytes"
	"context"
	"strings"

	"github.com/perigee-go/nats/core/internal/wire"
)

// Msg is a message, in or out: a value of 80 bytes. All memory in it belongs to
// the holder, who may keep it, change it and append to it. Several small
// messages may share one allocation of at most 4 KiB; Clone detaches one that is
// kept for long.
type Msg struct {
	Subject string
	Reply   string
	Header  Header
	Data    []byte

	origin *origin
}

// origin is where a message came from, shared by all messages of a
// subscription.
type origin struct {
	nc      *Conn
	sub     *Subscription
	respond func(Msg) error // Bind
	ctx     context.Context // the Tracer's
}

// NewMsg returns a message to subject; Msg{Subject: subject} is the same.
func NewMsg(subject string) Msg { return Msg{Subject: subject} }

// Respond publishes data to the reply subject. It fails with ErrMsgNoReply,
// with ErrMsgNotBound for a message that did not arrive here, and as
// Conn.Publish does. Safe for concurrent use.
func (m Msg) Respond(data []byte) error { return m.RespondMsg(Msg{Data: data}) }

// RespondMsg publishes r's header, data and reply to m's reply subject. r's
// subject is ignored, r is not changed.
func (m Msg) RespondMsg(r Msg) error {
	switch {
	case m.origin == nil:
		return opError("respond to", m.Subject, ErrMsgNotBound)
	case m.Reply == "":
		return opError("respond to", m.Subject, ErrMsgNoReply)
	}
	r.Subject = m.Reply
	if m.origin.respond != nil {
		return m.origin.respond(r)
	}
	if m.origin.nc == nil {
		return opError("respond to", m.Subject, ErrMsgNotBound)
	}
	return m.origin.nc.publishMsg(m.Context(), r)
}

// Sub returns the subscription the message arrived on; nil for an outgoing
// message and for a reply to Request.
func (m Msg) Sub() *Subscription {
	if m.origin == nil {
		return nil
	}
	return m.origin.sub
}

// Context returns the Tracer's context of the delivery; without a Tracer it is
// context.Background.
func (m Msg) Context() context.Context {
	if m.origin == nil || m.origin.ctx == nil {
		return context.Background()
	}
	return m.origin.ctx
}

// InlineStatus reads the status that a server wrote into the first line of the
// header block, as in "NATS/1.0 503". Code 0 means none. It never looks at
// header fields: those are users'.
func (m Msg) InlineStatus() (code int, text string) { return wire.HeaderStatus(m.Header.block()) }

// Clone returns a copy with memory of its own, as little as the message needs.
func (m Msg) Clone() Msg {
	m.Subject, m.Reply = strings.Clone(m.Subject), strings.Clone(m.Reply)
	m.Header = m.Header.Clone()
	m.Data = bytes.Clone(m.Data)
	return m
}

// Equal reports whether subject, reply, header fields and data are the same.
func (m Msg) Equal(o Msg) bool {
	return m.Subject == o.Subject && m.Reply == o.Reply && bytes.Equal(m.Data, o.Data) &&
		m.Header.block() == o.Header.block()
}

// Size is what counts against max_payload and pending limits: header and data.
func (m Msg) Size() int { return len(m.Header.block()) + len(m.Data) }

// Bind returns a copy whose Respond and RespondMsg call respond instead of
// publishing: for tests of handlers and for middleware.
func (m Msg) Bind(respond func(Msg) error) Msg {
	o := origin{respond: respond}
	if m.origin != nil {
		o.nc, o.sub, o.ctx = m.origin.nc, m.origin.sub, m.origin.ctx
	}
	m.origin = &o
	return m
}
