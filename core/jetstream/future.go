package jetstream

import (
	"context"
	"sync"

	nats "github.com/perigee-go/nats/core"
)

// PubAckFuture is the receipt of an asynchronous publish, before it is there. It
// always settles, once: with the receipt, with an error, or with
// nats.ErrOutcomeUnknown beside an error; at the latest after AckTimeout, and when
// the connection is closed. Safe for concurrent use.
type PubAckFuture struct {
	msg  nats.Msg
	made bool

	mu      sync.Mutex // guards all below
	settled bool
	done    chan struct{} // nil: nobody asked
	stream  string
	domain  string
	seq     uint64
	dup     bool
	more    *PubAck // the whole receipt, if it has more than that
	err     error
}

// NewPubAckFuture makes a future of m, and the function that settles it: the first
// call does. It is for tests, and for other ways to publish.
func NewPubAckFuture(m nats.Msg) (f *PubAckFuture, settle func(PubAck, error)) {
	f = &PubAckFuture{msg: m, made: true}
	return f, f.settle
}

// Msg returns what was published, with the header fields of options. The data is
// a copy of what was given.
func (f *PubAckFuture) Msg() nats.Msg {
	if f == nil {
		return nats.Msg{}
	}
	return f.msg
}

// Wait returns the receipt or the error when the future settles, or ctx's error,
// which says nothing of the publish. It ends by itself after AckTimeout.
func (f *PubAckFuture) Wait(ctx context.Context) (PubAck, error) {
	if ctx == nil {
		return PubAck{}, errNilContext
	}
	if ack, err, ok := f.Result(); ok {
		return ack, err // whether ctx lives or not: it is there
	}
	select {
	case <-f.Done():
	case <-ctx.Done():
		if ack, err, ok := f.Result(); ok {
			return ack, err
		}
		return PubAck{}, opError(context.Cause(ctx), "wait for the receipt of a publish to", f.msg.Subject)
	}
	ack, err, _ := f.Result()
	return ack, err
}

// Done is closed when the future has settled.
func (f *PubAckFuture) Done() <-chan struct{} {
	if f == nil || !f.made {
		return alreadyOver
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.done != nil:
	case f.settled:
		return alreadyOver
	default:
		f.done = make(chan struct{})
	}
	return f.done
}

// Result returns what Wait does, without waiting: ok is false until the future
// has settled.
func (f *PubAckFuture) Result() (ack PubAck, err error, ok bool) {
	if f == nil || !f.made {
		return PubAck{}, errNoHandle, true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.more != nil {
		return *f.more, f.err, true
	}
	return PubAck{Stream: f.stream, Domain: f.domain, Sequence: f.seq, Duplicate: f.dup}, f.err, f.settled
}

func (f *PubAckFuture) settle(ack PubAck, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.settled {
		return
	}
	f.settled, f.err = true, err
	f.stream, f.domain, f.seq, f.dup = ack.Stream, ack.Domain, ack.Sequence, ack.Duplicate
	if ack.Value != "" || ack.BatchID != "" || ack.BatchSize != 0 {
		whole := ack
		f.more = &whole
	}
	if f.done != nil {
		close(f.done)
	}
}
