package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/sim"
)

// simReq is a Conn.Request.
type simReq struct {
	c     *simClient
	p     *pending
	id    int
	data  []byte
	retry <-chan struct{}
}

func (k *simWork) request(o sim.Op) {
	gap := o.For / time.Duration(2*o.N)
	for i := range o.N {
		k.c.after(time.Duration(i)*gap, func() { k.requestOnce(o.Mode) })
	}
}

func (k *simWork) requestOnce(mode int) {
	c, nc := k.c, k.c.nc
	if c.closing {
		return
	}
	r := &simReq{c: c, id: c.run.newRequest()}
	subj := [...]string{"svc.echo", "svc.echo", "svc.a", "void", "sink.a", sim.DenyPrefix + "r"}[mode%6]
	r.data = fmt.Appendf(nil, "r%d of %d", r.id, c.id)
	for r.p == nil {
		if err := nc.muxRequests(); err != nil {
			c.w.Fail("client %d requests: %v", c.id, err)
			return
		}
		r.p = nc.reqs.begin(subj, true)
	}
	r.send()
	k.reqs = append(k.reqs, r)
}

// send is the first half of Conn.request.
func (r *simReq) send() {
	nc := r.c.nc
	retry, err := nc.reqs.send(nc.out, nil, r.p, "", r.data)
	for err != nil && errors.Is(err, outbox.ErrDown) {
		if retry, err = nc.linkOrChange(); retry == nil && err == nil {
			retry, err = nc.reqs.send(nc.out, nil, r.p, "", r.data)
		}
	}
	switch {
	case err != nil:
		r.giveUp(unsent{err})
	default:
		r.retry = retry
	}
}

func (r *simReq) giveUp(cause error) {
	if r.c.nc.reqs.abandon(r.p, cause) {
		r.p.done <- outcome{err: cause}
	}
}

func (r *simReq) poll() (over bool) {
	if r.retry != nil && hasClosed(r.retry) {
		r.retry = nil
		r.send()
	}
	select {
	case o := <-r.p.done:
		r.finish(o)
		return true
	default:
	}
	return false
}

// finish looks at what the request returns.
func (r *simReq) finish(o outcome) {
	c := r.c
	c.nc.reqs.release(r.p)
	c.w.Trace("request ends", c.id, int64(r.id))
	var (
		none    *NoRespondersError
		refused *PermissionError
	)
	switch {
	case o.err == nil:
		if string(o.msg.Data) != string(r.data) {
			c.w.Fail("client %d: request %q was answered by %q", c.id, r.data, o.msg.Data)
		}
		c.w.Sometimes("a request was answered")
	case SafeToRetry(o.err):
		c.w.Sometimes("a request can be made again")
		if c.run.reqs[r.id].arrived {
			c.w.Fail("client %d: request %d arrived, and is safe to retry: %v", c.id, r.id, o.err)
		}
		c.run.reqs[r.id].safe = true
	case errors.Is(o.err, ErrOutcomeUnknown):
		c.w.Sometimes("the outcome of a request is unknown")
		c.run.reqs[r.id].unknown = true
	case errors.As(o.err, &none):
		c.w.Sometimes("nobody answers")
	case errors.As(o.err, &refused):
		c.w.Sometimes("a request was refused")
	case errors.Is(o.err, context.DeadlineExceeded):
		c.w.Sometimes("a request timed out")
	default:
		c.w.Fail("client %d: request %d ends with %v", c.id, r.id, o.err)
	}
}
