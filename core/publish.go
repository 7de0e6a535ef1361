package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/subject"
)

// maxSubject keeps control lines within the 4,096 bytes that servers accept by
// default, with room for the operation and its numbers.
const maxSubject = 4096 - 64

const tooLong = "longer than a server's control line may be"

// Publish sends data to subject. data is copied. It returns when the message is
// handed over: Flush tells that the server has it. It waits only for room: on a
// live link while WriteBufferSize bytes wait, and for as long as the peer takes
// bytes within WriteTimeout; without a link as WhenDisconnected says.
//
// Bad input is refused before a byte leaves: *SubjectError, ErrMaxPayload.
// Other errors: ErrReconnectBufExceeded, ErrDisconnected, ErrClosed.
func (nc *Conn) Publish(subject string, data []byte) error {
	if !nc.made() {
		return errNilConn
	}
	if nc.cfg.tracer != nil {
		return nc.publishMsg(context.Background(), Msg{Subject: subject, Data: data})
	}
	if err := nc.checkSize(subject, 0, len(data)); err != nil {
		return opError("publish to", subject, err)
	}
	retry, err := nc.out.Publish(subject, "", "", data)
	if retry == nil && err == nil {
		return nil
	}
	return nc.publishSlow(context.Background(), Msg{Subject: subject, Data: data}, "", retry, err)
}

// PublishRequest sends data to subject with a reply subject, for answers that
// somebody else waits for.
func (nc *Conn) PublishRequest(subject, reply string, data []byte) error {
	return nc.PublishMsg(context.Background(), Msg{Subject: subject, Reply: reply, Data: data})
}

// PublishMsg sends m's subject, reply, header and data, as Publish does. ctx
// bounds the wait for room and carries the trace. m is not changed and may be
// used again. Further errors: *HeaderError, ErrHeadersNotSupported, ctx's.
func (nc *Conn) PublishMsg(ctx context.Context, m Msg) error {
	if !nc.made() {
		return errNilConn
	}
	if ctx == nil {
		return errNilContext
	}
	return nc.publishMsg(ctx, m)
}

func (nc *Conn) publishMsg(ctx context.Context, m Msg) error {
	if nc.cfg.tracer != nil {
		return nc.publishTraced(ctx, m)
	}
	return nc.publishPlain(ctx, m)
}

func (nc *Conn) publishTraced(ctx context.Context, m Msg) error {
	op := &Operation{
		Kind: OpPublish, Conn: nc, Subject: m.Subject, Header: &m.Header, Size: m.Size(), Count: 1,
	}
	ctx = nc.cfg.tracer.Start(ctx, op)
	err := nc.publishPlain(ctx, m)
	nc.cfg.tracer.End(ctx, op, err)
	return err
}

func (nc *Conn) publishPlain(ctx context.Context, m Msg) error {
	header, err := nc.checkMsg(m)
	if err != nil {
		return opError("publish to", m.Subject, err)
	}
	retry, err := nc.out.Publish(m.Subject, m.Reply, header, m.Data)
	if retry == nil && err == nil {
		return nil
	}
	return nc.publishSlow(ctx, m, header, retry, err)
}

// checkMsg holds a message against everything but its subject, which the outbox
// checks, and returns its header block.
func (nc *Conn) checkMsg(m Msg) (header string, err error) {
	if m.Header.wire != "" {
		if header, err = m.Header.outgoing(); err != nil {
			return "", err
		}
		if info := nc.info.Load(); header != "" && info != nil && !info.Headers {
			return "", ErrHeadersNotSupported
		}
	}
	if m.Reply != "" {
		if p := subject.CheckPublish(m.Reply); p != "" {
			return "", &SubjectError{Subject: m.Reply, Problem: "as a reply: " + p}
		}
	}
	return header, nc.checkSize(m.Subject, len(m.Reply), len(header)+len(m.Data))
}

// checkSize holds a message against the limits of the present server.
func (nc *Conn) checkSize(subj string, reply, size int) error {
	if max := nc.maxPayload.Load(); int64(size) > max && max > 0 {
		return fmt.Errorf("%w: %d bytes, the server takes %d", ErrMaxPayload, size, max)
	}
	return checkLine(subj, reply)
}

// checkLine holds a subject, and the length of what stands beside it, against the
// length of a control line.
func checkLine(subj string, beside int) error {
	if len(subj)+beside > maxSubject {
		return &SubjectError{Subject: shorten(subj), Problem: tooLong}
	}
	return nil
}

// publishSlow is a publish that was refused or has to wait for room.
func (nc *Conn) publishSlow(ctx context.Context, m Msg, header string, retry <-chan struct{}, err error) error {
	var bounded bool
	for err == nil && retry != nil {
		if nc.cfg.whenDown == DisconnectedBlock && !bounded && nc.liveLink() == nil {
			var cancel context.CancelFunc
			ctx, cancel = withTimeout(ctx, nc.cfg.requestTimeout)
			defer cancel()
			bounded = true
		}
		select {
		case <-retry:
		case <-ctx.Done():
			return unsent{opError("publish to", m.Subject, context.Cause(ctx))}
		}
		retry, err = nc.out.Publish(m.Subject, m.Reply, header, m.Data)
	}
	return nc.publishError(m.Subject, err)
}

// publishError makes the outbox's refusals errors of this package.
func (nc *Conn) publishError(subj string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, outbox.ErrSubject):
		return opError("publish to", subj, &SubjectError{Subject: subj, Problem: subject.CheckPublish(subj)})
	case errors.Is(err, outbox.ErrFull):
		return unsent{opError("publish to", subj, ErrReconnectBufExceeded)}
	case errors.Is(err, outbox.ErrDown):
		return unsent{opError("publish to", subj, ErrDisconnected)}
	}
	return unsent{opError("publish to", subj, err)}
}
