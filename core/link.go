package nats

import (
	"context"
	"errors"

	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/subject"
)

// Link is one life of a Conn's link to a server. It is for helpers on top that
// keep what they publish until it is answered: what is published on a Link leaves
// on it or never, and when it has ended it tells what did, so that they can send
// the rest again in the order that they want. Safe for concurrent use.
type Link struct {
	nc    *Conn
	epoch uint64

	ended chan struct{} // closed when what follows is set
	left  uint64
	err   error
}

// Link returns the link in use, or nil, and a channel that is closed when that,
// or the Conn's Status, changes.
func (nc *Conn) Link() (l *Link, changed <-chan struct{}) {
	if !nc.made() {
		return nil, closedChan
	}
	nc.mu.Lock()
	defer nc.mu.Unlock()
	if nc.link != nil {
		l = nc.shared
	}
	return l, nc.changed
}

// PublishMsg is Conn.PublishMsg on this link: with ErrDisconnected when it is not
// in use any more, whatever WhenDisconnected says. at is where the message stands
// among those of the link.
func (l *Link) PublishMsg(ctx context.Context, m Msg) (at uint64, err error) {
	switch {
	case l == nil || l.nc == nil:
		return 0, errNilLink
	case ctx == nil:
		return 0, errNilContext
	}
	if l.nc.cfg.tracer == nil {
		return l.publish(ctx, m)
	}
	return l.publishTraced(ctx, m)
}

func (l *Link) publishTraced(ctx context.Context, m Msg) (at uint64, err error) {
	op := &Operation{
		Kind: OpPublish, Conn: l.nc, Subject: m.Subject, Header: &m.Header, Size: m.Size(), Count: 1,
	}
	ctx = l.nc.cfg.tracer.Start(ctx, op)
	at, err = l.publish(ctx, m)
	l.nc.cfg.tracer.End(ctx, op, err)
	return at, err
}

var errNilLink = &OptionError{"Link", "is nil or no Conn made it"}

func (l *Link) publish(ctx context.Context, m Msg) (at uint64, err error) {
	nc := l.nc
	header, err := nc.checkMsg(m)
	if err != nil {
		return 0, opError("publish to", m.Subject, err)
	}
	for {
		at, retry, err := nc.out.PublishOn(l.epoch, m.Subject, m.Reply, header, m.Data)
		if errors.Is(err, outbox.ErrDown) && subject.CheckPublish(m.Subject) != "" {
			err = outbox.ErrSubject // which it looks at only on a link
		}
		if retry == nil {
			return at, nc.publishError(m.Subject, err)
		}
		select {
		case <-retry:
		case <-ctx.Done():
			return 0, unsent{opError("publish to", m.Subject, context.Cause(ctx))}
		}
	}
}

// Ended is closed when the link has ended and it is known what has left. What
// had arrived on it is in the subscriptions by then.
func (l *Link) Ended() <-chan struct{} {
	if l == nil || l.nc == nil {
		return closedChan
	}
	return l.ended
}

// Left tells of a link that has ended: what PublishMsg put before left has left
// on it, the rest never will. err is ErrDisconnected or ErrClosed if the link was
// lost; nil if the Conn went over to another in good order: then the server has
// confirmed all that left, and answers still arrive.
func (l *Link) Left() (left uint64, err error) {
	if l == nil || l.nc == nil {
		return 0, errNilLink
	}
	select {
	case <-l.ended:
		return l.left, l.err
	default:
		return 0, nil
	}
}

// endLink ends the Link of a link that is gone, if it ever was in use.
func (nc *Conn) endLink(left uint64, err error) {
	nc.mu.Lock()
	l := nc.shared
	nc.shared = nil
	nc.mu.Unlock()
	if l != nil {
		l.left, l.err = left, err
		close(l.ended)
	}
}

// OnDisconnect returns what WhenDisconnected was set to: for helpers on top.
func (nc *Conn) OnDisconnect() DisconnectedPolicy {
	if !nc.made() {
		return DisconnectedFail
	}
	return nc.cfg.whenDown
}
