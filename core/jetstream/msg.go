package jetstream

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// usualTimeout is DefaultTimeout where no handle says otherwise.
const usualTimeout = 5 * time.Second

// Msg is a message of a consumer: a pointer, because it carries what became of
// it. The fields belong to the holder, who may change and keep them.
type Msg struct {
	Subject string
	Header  nats.Header
	Data    []byte

	state *ackState
}

// ackState is what the server needs to hear of a message.
type ackState struct {
	core    nats.Msg // as it came
	timeout time.Duration
	verdict atomic.Pointer[AckKind]
	meta    atomic.Pointer[MsgMetadata]
	ack     func(ctx context.Context, kind AckKind, body []byte) error // of NewMsg
}

// delivery is a message with its state, in one piece of memory.
type delivery struct {
	msg   Msg
	state ackState
}

func newMsg(m nats.Msg, timeout time.Duration) *Msg {
	d := &delivery{
		msg:   Msg{Subject: m.Subject, Header: m.Header, Data: m.Data},
		state: ackState{core: m, timeout: timeout},
	}
	d.msg.state = &d.state
	return &d.msg
}

// FromMsg makes a Msg of a message that a consumer delivered to a plain
// subscription. ErrNotJSMessage if it did not.
func FromMsg(m nats.Msg) (*Msg, error) {
	if !isAckSubject(m.Reply) {
		return nil, ErrNotJSMessage
	}
	return newMsg(m, usualTimeout), nil
}

// NewMsg makes a Msg whose acknowledgements go to ack: for tests of handlers and
// for middleware. body is what the server would get. AckSync passes its context
// on and waits for ack's return, all others pass one without end. A nil ack
// accepts everything.
func NewMsg(m nats.Msg, meta MsgMetadata, ack func(ctx context.Context, kind AckKind, body []byte) error) *Msg {
	if ack == nil {
		ack = func(context.Context, AckKind, []byte) error { return nil }
	}
	msg := newMsg(m, usualTimeout)
	msg.state.ack = ack
	msg.state.meta.Store(&meta)
	return msg
}

// nobodys reports whether no consumer sent the message, and NewMsg did not make it.
func (m *Msg) nobodys() bool { return m == nil || m.state == nil }

// Reply returns the subject that acknowledgements go to.
func (m *Msg) Reply() string {
	if m.nobodys() {
		return ""
	}
	return m.state.core.Reply
}

// Msg returns the message as one of Core NATS. What is published to its reply
// subject is an acknowledgement.
func (m *Msg) Msg() nats.Msg {
	var c nats.Msg
	if !m.nobodys() {
		c = m.state.core
	}
	if m != nil {
		c.Subject, c.Header, c.Data = m.Subject, m.Header, m.Data
	}
	return c
}

// DropContent lets go of subject, header and data, and of their memory: for a
// message that is acknowledged much later. What is left can be acknowledged, and
// has its Metadata. Not together with other calls on m.
func (m *Msg) DropContent() {
	if m == nil {
		return
	}
	m.Subject, m.Header, m.Data = "", nats.Header{}, nil
	if m.state == nil {
		return
	}
	c := &m.state.core
	c.Subject, c.Header, c.Data = "", nats.Header{}, nil
	c.Reply = strings.Clone(c.Reply) // it stood in the same memory
	if m.state.ack == nil {
		m.state.meta.Store(nil) // so did its names; it is read anew
	}
}

// Context returns the Tracer's context of the delivery; without a Tracer it is
// context.Background.
func (m *Msg) Context() context.Context {
	if m.nobodys() {
		return context.Background()
	}
	return m.state.core.Context()
}

// size is what counts against MaxBytes, as the server counts it.
func (m *Msg) size() int { return wireSize(&m.state.core) }

func wireSize(m *nats.Msg) int { return len(m.Subject) + len(m.Reply) + m.Size() }
