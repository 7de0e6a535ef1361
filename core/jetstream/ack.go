package jetstream

import (
	"context"
	"strconv"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// AckKind is what the server is told of a message, as it is sent.
type AckKind string

const (
	// AckAck: done with it.
	AckAck AckKind = "+ACK"
	// AckNak: deliver it again.
	AckNak AckKind = "-NAK"
	// AckInProgress: it takes longer. Not a verdict.
	AckInProgress AckKind = "+WPI"
	// AckTerm: never deliver it again.
	AckTerm AckKind = "+TERM"
)

// The verdicts, to point at, and what is sent.
var (
	verdictAck, verdictNak, verdictTerm = AckAck, AckNak, AckTerm

	bodyAck, bodyNak, bodyTerm = []byte(AckAck), []byte(AckNak), []byte(AckTerm)
	bodyInProgress             = []byte(AckInProgress)
)

// Ack tells the server that the message is done with. It hands over bytes and
// does not wait: if the link is lost before they arrive, the message comes
// again. AckSync waits. The first verdict counts, any further one fails with
// ErrMsgAlreadyAckd; one that could not be handed over is none.
func (m *Msg) Ack() error { return m.settle("ack", &verdictAck, bodyAck) }

// Nak asks for the message again, now.
func (m *Msg) Nak() error { return m.settle("nak", &verdictNak, bodyNak) }

// NakWithDelay asks for the message again, after d.
func (m *Msg) NakWithDelay(d time.Duration) error {
	body := append([]byte(AckNak), ` {"delay":`...)
	body = strconv.AppendInt(body, max(int64(d), 0), 10)
	return m.settle("nak", &verdictNak, append(body, '}'))
}

// Term tells the server never to deliver the message again, however often it was
// delivered.
func (m *Msg) Term() error { return m.settle("term", &verdictTerm, bodyTerm) }

// TermWithReason is Term with a text for the advisory that the server publishes.
func (m *Msg) TermWithReason(reason string) error {
	body := bodyTerm
	if reason != "" {
		body = append([]byte(AckTerm+" "), reason...)
	}
	return m.settle("term", &verdictTerm, body)
}

// InProgress gives the message another AckWait. It is no verdict and may be
// called often.
func (m *Msg) InProgress() error {
	switch {
	case m.nobodys():
		return opError(nats.ErrMsgNotBound, "in progress", "")
	case m.state.verdict.Load() != nil:
		return opError(ErrMsgAlreadyAckd, "in progress", "")
	}
	return opError(m.state.send(AckInProgress, bodyInProgress), "in progress", "")
}

// AckSync is Ack, and returns when the server has confirmed it. A ctx without a
// deadline gets DefaultTimeout. After an error the message may have been
// acknowledged or not, and AckSync may be called again.
func (m *Msg) AckSync(ctx context.Context) error {
	const op = "ack"
	switch {
	case ctx == nil:
		return errNilContext
	case m.nobodys():
		return opError(nats.ErrMsgNotBound, op, "")
	case !m.state.verdict.CompareAndSwap(nil, &verdictAck):
		return opError(ErrMsgAlreadyAckd, op, "")
	}
	s := m.state
	err := s.confirm(ctx)
	if err != nil {
		s.verdict.Store(nil)
	}
	return opError(err, op, "")
}

// Acked returns the verdict so far.
func (m *Msg) Acked() (kind AckKind, ok bool) {
	if m.nobodys() {
		return "", false
	}
	v := m.state.verdict.Load()
	if v == nil {
		return "", false
	}
	return *v, true
}

// settle sends a verdict, if it is the first.
func (m *Msg) settle(op string, verdict *AckKind, body []byte) error {
	switch {
	case m.nobodys():
		return opError(nats.ErrMsgNotBound, op, "")
	case !m.state.verdict.CompareAndSwap(nil, verdict):
		return opError(ErrMsgAlreadyAckd, op, "")
	}
	err := m.state.send(*verdict, body)
	if err != nil {
		m.state.verdict.Store(nil)
	}
	return opError(err, op, "")
}

// send hands an acknowledgement over.
func (s *ackState) send(kind AckKind, body []byte) error {
	if s.ack != nil {
		return s.ack(context.Background(), kind, body)
	}
	ctx := s.core.Context()
	end := s.trace(&ctx, body)
	err := s.core.Respond(body)
	end(ctx, err)
	return err
}

// confirm sends an acknowledgement and waits for the server's answer.
func (s *ackState) confirm(ctx context.Context) error {
	ctx, cancel := withDefault(ctx, s.timeout)
	defer cancel()
	if s.ack != nil {
		return s.ack(ctx, AckAck, bodyAck)
	}
	sub := s.core.Sub()
	if sub == nil { // Bind: there is nobody else to ask
		return s.core.Respond(bodyAck)
	}
	end := s.trace(&ctx, bodyAck)
	_, err := sub.Conn().RequestMsg(ctx, nats.Msg{Subject: s.core.Reply, Data: bodyAck})
	end(ctx, err)
	return err
}

func noTrace(context.Context, error) {}

// trace tells the Tracer of the start, and returns how to tell it of the end.
func (s *ackState) trace(ctx *context.Context, body []byte) (end func(context.Context, error)) {
	sub := s.core.Sub()
	if sub == nil || sub.Conn().Tracer() == nil {
		return noTrace
	}
	tracer := sub.Conn().Tracer()
	op := &nats.Operation{Kind: nats.OpAck, Conn: sub.Conn(), Subject: s.core.Reply, Size: len(body), Count: 1}
	if meta, ok := parseAckSubject(s.core.Reply); ok {
		op.Stream, op.Consumer = meta.Stream, meta.Consumer
	}
	*ctx = tracer.Start(*ctx, op)
	return func(ctx context.Context, err error) { tracer.End(ctx, op, err) }
}
