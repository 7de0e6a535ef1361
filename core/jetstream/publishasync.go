package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unsafe"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/subject"
	"github.com/perigee-go/nats/core/internal/window"
)

// PublishAsync is Publish without the wait for the receipt: the future has it
// later. It waits for room, in the window of PublishAsyncMaxPending and on the
// link, as long as ctx lives; the rest is bounded by AckTimeout. An error means
// that the message did not leave. data is copied.
//
// What one goroutine publishes with a handle is stored in its order. What is tried
// again, as by Publish, holds up what comes after it; and if something that was
// published after it is stored already, it fails instead. So use a handle for each
// stream, rather than one for streams that have nothing to do with each other.
//
// While no link is up, WhenDisconnected says what happens: it waits in the window
// until there is one, within AckTimeout; or PublishAsync waits, or fails. What was
// on its way when a link is lost is an ErrOutcomeUnknown, told at once, unless it
// has an id, by MsgID or AutoMsgID: then it is sent again on the next link, in
// order, and stored once.
func (js *JetStream) PublishAsync(ctx context.Context, subject string, data []byte, opts ...PublishOption) (*PubAckFuture, error) {
	return js.PublishMsgAsync(ctx, nats.Msg{Subject: subject, Data: data}, opts...)
}

// PublishMsgAsync is PublishAsync for a message with a header. m.Reply is not
// used; m is not changed, and may be changed and used again at once.
func (js *JetStream) PublishMsgAsync(ctx context.Context, m nats.Msg, opts ...PublishOption) (*PubAckFuture, error) {
	if err := js.ready(ctx); err != nil {
		return nil, err
	}
	return js.async.publish(ctx, m, opts)
}

// PublishAsyncPending is how many asynchronous publishes are not settled.
func (js *JetStream) PublishAsyncPending() int {
	if js == nil || js.async == nil {
		return 0
	}
	p := js.async
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.machine.Open()
}

// WaitPublished returns when everything that was published asynchronously before
// is settled, whatever the receipts said, and PublishAsyncHandler was told of it.
// Every future settles, so it ends by itself; if ctx ends first its error is
// returned. Not from the handler, which it waits for.
func (js *JetStream) WaitPublished(ctx context.Context) error {
	if err := js.ready(ctx); err != nil {
		return err
	}
	return opError(js.async.wait(ctx), "wait for receipts", "")
}

// outgoing is a publish with all that options say.
type outgoing struct {
	msg      nats.Msg
	config   *publishConfig
	attempts window.Attempts
	trace    *publishTrace
}

// prepare checks a publish and applies its options. Nothing that the caller can
// change is in the result, but for the data.
func (p *publisher) prepare(ctx context.Context, m nats.Msg, opts []PublishOption) (o outgoing, err error) {
	m.Reply = ""
	o.config = &p.js.cfg.publish
	if len(opts) > 0 || o.config.autoID || m.Header.Err() != nil || m.Header.Len() > 0 {
		if m, o.config, o.attempts, err = p.prepareHeader(m, opts); err != nil {
			return o, opError(err, "publish to", m.Subject)
		}
	}
	if tracer := p.js.nc.Tracer(); tracer != nil {
		m, o.trace = beginTrace(ctx, tracer, p.js.nc, m)
	}
	o.msg = m
	o.attempts.Policy = &o.config.retry
	return o, nil
}

func (p *publisher) prepareHeader(m nats.Msg, opts []PublishOption) (nats.Msg, *publishConfig, window.Attempts, error) {
	var a window.Attempts
	config := &p.js.cfg.publish
	own := false // the header's memory is ours
	if len(opts) > 0 {
		pub, err := newPublication(config, m.Subject, opts)
		if err != nil {
			return m, nil, a, err
		}
		config, own = &pub.publishConfig, len(pub.fields) > 0
		if m, err = pub.applyTo(m); err != nil {
			return m, nil, a, err
		}
	}
	if err := m.Header.Err(); err != nil {
		return m, nil, a, err
	}
	_, a.Named = m.Header.Lookup(MsgIDHeader)
	if config.autoID && !a.Named {
		m.Header.Set(MsgIDHeader, p.js.newID())
		a.Named, own = true, true
	}
	a.Expects = expects(m.Header)
	if !own {
		m.Header = m.Header.Clone()
	}
	return m, config, a, nil
}

// publish is the way of a message into the window, and usually on to the link.
func (p *publisher) publish(ctx context.Context, m nats.Msg, opts []PublishOption) (*PubAckFuture, error) {
	if ctx.Err() != nil {
		return nil, opError(notSent{context.Cause(ctx)}, "publish to", m.Subject)
	}
	o, err := p.prepare(ctx, m, opts)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	if err := p.admit(ctx, &o); err != nil {
		p.mu.Unlock()
		o.trace.end(err)
		return nil, opError(err, "publish to", m.Subject)
	}
	now := p.now()
	i, direct := p.machine.Add(now, now+o.config.ackTimeout, o.attempts)
	f := p.newFuture(&o)
	s := p.slot(i)
	s.future, s.trace, s.err = f, o.trace, nil
	if !direct {
		p.wakeRunner()
		p.mu.Unlock()
		return f, nil
	}
	token, link := p.machine.Token(i), p.link
	out := o.msg
	out.Reply = s.replyFor(p.prefix, token)
	s.begun = p.js.sequences.begin()
	p.mu.Unlock()

	at, err := link.PublishMsg(o.trace.context(ctx), out)

	p.mu.Lock()
	refused := p.handed(token, link, at, err, now, true)
	p.settleDone()
	p.wakeIfReady()
	p.mu.Unlock()
	if refused != nil {
		o.trace.end(refused)
		return nil, refused
	}
	return f, nil
}

// handed tells the machine how a hand-over went; mu held. An error ends the
// publish. own says that the caller of PublishAsync does it, who gets the error.
func (p *publisher) handed(t window.Token, link *nats.Link, at uint64, err error, now timeOf, own bool) error {
	m := p.machine
	switch {
	case err == nil && m.Current(t):
		if m.Late(t) {
			now = p.now()
		}
		m.Handed(t, at, now)
	case err == nil:
		left, cause := link.Left()
		p.lostBy = cause
		m.HandedOver(t, at < left, cause != nil, p.now())
		p.wakeRunner()
	case errors.Is(err, nats.ErrDisconnected) && !(own && p.js.nc.OnDisconnect() == nats.DisconnectedFail):
		m.Unhanded(t, true)
		p.wakeRunner()
	case errors.Is(err, errNoRoom):
		m.Unhanded(t, false)
	default:
		m.Remove(t)
		p.changed()
		return err
	}
	return nil
}

// admit waits until there is a place in the window, and a link if it needs one;
// mu held, and given up meanwhile.
func (p *publisher) admit(ctx context.Context, o *outgoing) error {
	for {
		if p.failure != nil {
			return p.failure
		}
		if p.sub == nil || !p.running {
			if err := p.check(o); err != nil {
				return err // before a byte leaves
			}
			if err := p.begin(); err != nil {
				return err
			}
			continue
		}
		var late bool
		var err error
		switch policy := p.js.nc.OnDisconnect(); {
		case p.machine.Open() >= p.js.cfg.window:
			room, limit := p.awaitRoom()
			late, err = p.waitFor(ctx, room, limit)
			p.eager = p.eager || late
		case p.backlog() >= p.js.cfg.window && !inHandler():
			_, err = p.waitFor(ctx, await(&p.told), 0)
		case p.link == nil && policy == nats.DisconnectedFail:
			err = notSent{nats.ErrDisconnected}
		case p.link == nil && policy == nats.DisconnectedBlock:
			err = p.waitForLink(ctx)
		default:
			if p.machine.Direct() {
				return nil // the link checks it
			}
			return p.check(o)
		}
		if err != nil {
			return err
		}
	}
}

// waitForLink is bounded as a publish without a link is.
func (p *publisher) waitForLink(ctx context.Context) error {
	limit := time.Duration(0)
	if _, ok := ctx.Deadline(); !ok {
		limit = p.js.nc.RequestTimeout()
	}
	late, err := p.waitFor(ctx, await(&p.up), limit)
	if late {
		err = notSent{both{nats.ErrDisconnected, defaultTimeout(limit)}}
	}
	return err
}

// maxLine is the longest subject, with its reply subject, that fits a server's
// control line.
const maxLine = 4096 - 64

// check is what a link checks, for what does not go there at once.
func (p *publisher) check(o *outgoing) error {
	subj := o.msg.Subject
	problem := subject.CheckPublish(subj)
	if problem == "" && len(subj)+len(p.prefix)+window.MaxToken > maxLine {
		subj, problem = subj[:min(len(subj), 64)], "longer than a server's control line may be"
	}
	if problem != "" {
		return &nats.SubjectError{Subject: subj, Problem: problem}
	}
	if max := p.js.nc.ServerInfo().MaxPayload; max > 0 && int64(o.msg.Size()) > max {
		return fmt.Errorf("%w: %d bytes, the server takes %d", nats.ErrMaxPayload, o.msg.Size(), max)
	}
	return nil
}

// replyFor writes the reply subject of an attempt into the slot's own memory,
// which is not changed until the attempt was handed over and the slot is used
// again.
func (s *pubSlot) replyFor(prefix string, t window.Token) string {
	if cap(s.reply) == 0 {
		s.reply = append(make([]byte, 0, len(prefix)+window.MaxToken), prefix...)
	}
	s.reply = t.Append(s.reply[:len(prefix)])
	return unsafe.String(unsafe.SliceData(s.reply), len(s.reply))
}

// notSent is an error of a publish of which no byte left.
type notSent struct{ error }

func (e notSent) Unwrap() error     { return e.error }
func (e notSent) SafeToRetry() bool { return true }
