package nats

import (
	"context"
	"errors"

	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/subject"
)

// Request sends data to subject and returns the first reply. A ctx without a
// deadline gets RequestTimeout. While no link is up it waits for one.
//
// It fails at once with *NoRespondersError when nobody listens, with
// *PermissionError when the server refuses it, and when the link is lost: with
// ErrDisconnected if the request had not left (SafeToRetry is true), with
// ErrOutcomeUnknown beside it if it had. Other errors are ctx's, ErrClosed, and
// Publish's. It still works while the Conn drains, for the handlers' sake.
func (nc *Conn) Request(ctx context.Context, subject string, data []byte) (Msg, error) {
	return nc.RequestMsg(ctx, Msg{Subject: subject, Data: data})
}

// RequestMsg is Request with m's header and data. With m.Reply set, that is used
// as an inbox of the request's own instead of the shared one. m is not changed.
func (nc *Conn) RequestMsg(ctx context.Context, m Msg) (Msg, error) {
	if !nc.made() {
		return Msg{}, errNilConn
	}
	if ctx == nil {
		return Msg{}, errNilContext
	}
	if nc.cfg.tracer == nil {
		return nc.requestPlain(ctx, m)
	}
	op := &Operation{
		Kind: OpRequest, Conn: nc, Subject: m.Subject, Header: &m.Header, Size: m.Size(), Count: 1,
	}
	ctx = nc.cfg.tracer.Start(ctx, op)
	reply, err := nc.requestPlain(ctx, m)
	nc.cfg.tracer.End(ctx, op, err)
	return reply, err
}

func (nc *Conn) requestPlain(ctx context.Context, m Msg) (Msg, error) {
	header, err := nc.checkRequest(m)
	if err != nil {
		return Msg{}, opError("request", m.Subject, err)
	}
	if err := ctx.Err(); err != nil {
		return Msg{}, unsent{opError("request", m.Subject, err)}
	}
	_, bounded := ctx.Deadline()
	p, own, err := nc.beginRequest(m, !bounded)
	if err != nil {
		return Msg{}, unsent{opError("request", m.Subject, err)}
	}
	reply, err := nc.request(ctx, p, header, m.Data)
	nc.reqs.release(p)
	if own != nil {
		_ = own.Unsubscribe()
	}
	if err != nil {
		return Msg{}, nc.requestError(m.Subject, err)
	}
	reply.origin = &nc.reqOrigin
	return reply, nil
}

// checkRequest holds a request against everything that a message has to be, and
// returns its header block.
func (nc *Conn) checkRequest(m Msg) (header string, err error) {
	if p := subject.CheckPublish(m.Subject); p != "" {
		return "", &SubjectError{Subject: m.Subject, Problem: p}
	}
	if m.Reply == "" {
		if err := checkLine(m.Subject, nc.reqs.replyLen()); err != nil {
			return "", err
		}
	}
	return nc.checkMsg(m)
}

// beginRequest opens a request on the shared inbox or one of its own.
// own is the subscription to that. timed says that RequestTimeout ends it.
func (nc *Conn) beginRequest(m Msg, timed bool) (p *pending, own *Subscription, err error) {
	for m.Reply == "" {
		if err := nc.muxRequests(); err != nil {
			return nil, nil, err
		}
		if p := nc.reqs.begin(m.Subject, timed); p != nil {
			return p, nil, nil
		}
	}
	p = nc.reqs.beginOwn(m.Subject, m.Reply, timed)
	s := &Subscription{kind: kindInbox, subject: m.Reply, concurrency: 1, request: p}
	s.max.Store(1)
	if err := nc.register(s, true); err != nil {
		nc.reqs.abandon(p, err)
		nc.reqs.release(p)
		return nil, nil, err
	}
	return p, s, nil
}

// muxRequests subscribes to replies, once.
func (nc *Conn) muxRequests() error {
	r := &nc.reqs
	if r.mux.Load() != nil {
		return nil
	}
	r.muxing.Lock()
	defer r.muxing.Unlock()
	if r.mux.Load() != nil {
		return nil
	}
	s := &Subscription{kind: kindMux, subject: r.prefix + "*", concurrency: 1}
	if err := nc.register(s, true); err != nil {
		return err
	}
	// The server may have refused it by now. Whoever tells ends it first and
	// looks at mux then; here it is the other way round, so one of them sees it.
	r.mux.Store(s)
	if err := s.Err(); err != nil {
		r.mux.CompareAndSwap(s, nil)
		return err
	}
	return nil
}

// request sends an open request, when there is a link, and waits for its
// outcome; a timeout is one.
func (nc *Conn) request(ctx context.Context, p *pending, header string, data []byte) (Msg, error) {
	for {
		retry, err := nc.reqs.send(nc.out, nc.lender.Load(), p, header, data)
		if retry == nil && err == nil {
			break
		}
		if errors.Is(err, outbox.ErrDown) {
			retry, err = nc.linkOrChange()
			if retry == nil && err == nil {
				continue
			}
		}
		if err != nil {
			return nc.giveUpRequest(p, unsent{err}) // it was not accepted
		}
		select {
		case <-retry:
		case o := <-p.done:
			return o.msg, o.err
		case <-ctx.Done():
			return nc.giveUpRequest(p, unsent{context.Cause(ctx)})
		}
	}
	if ctx.Done() == nil { // cheaper than a select
		o := <-p.done
		return o.msg, o.err
	}
	select {
	case o := <-p.done:
		return o.msg, o.err
	case <-ctx.Done():
		return nc.giveUpRequest(p, context.Cause(ctx))
	}
}

// linkOrChange returns nil when a link is up, else a channel that is closed at
// the next change of status.
func (nc *Conn) linkOrChange() (<-chan struct{}, error) {
	nc.mu.Lock()
	defer nc.mu.Unlock()
	switch {
	case nc.closed:
		return nil, ErrClosed
	case nc.link != nil:
		return nil, nil
	}
	return nc.changed, nil
}

// giveUpRequest ends the request for cause, unless its outcome was faster.
func (nc *Conn) giveUpRequest(p *pending, cause error) (Msg, error) {
	if nc.reqs.abandon(p, cause) {
		return Msg{}, cause
	}
	o := <-p.done
	return o.msg, o.err
}

func (nc *Conn) requestError(subj string, err error) error {
	var nr *NoRespondersError
	if errors.As(err, &nr) {
		return err // says everything
	}
	return opError("request", subj, err)
}
