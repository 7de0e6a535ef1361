package outbox

import (
	"time"

	"github.com/perigee-go/nats/core/internal/wire"
)

// The writer's place can be lent: whoever has a message that nobody waits
// behind writes it on its own goroutine, and spares the way over the writer's.
// The borrower makes one attempt to write what it got and gives the place back;
// what did not leave then is the writer's to go on with.

// Lend is Request for who can write at once. If the writer sleeps, the caller
// gets what waits, the message with it, in batch: then GiveBack must follow. If
// batch is nil the writer has been woken, as after Request.
func (o *Outbox) Lend(now time.Duration, subj, reply, header string, data []byte) (at Position, batch []byte, retry <-chan struct{}, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, retry, err = o.request(subj, reply, header, data)
	if retry != nil || err != nil {
		return at, nil, retry, err
	}
	if !o.parked || len(o.ctl) > 0 || len(o.buf) > maxLent {
		o.wakeWriter()
		return at, nil, nil, nil
	}
	o.parked, o.lent = false, true
	return at, o.take(now), nil, nil
}

// maxLent is the most that a borrower gets: longer batches are the writer's,
// which watches how the peer takes them.
const maxLent = 64 << 10

// GiveBack returns the writer's place after the first n bytes of the batch left.
func (o *Outbox) GiveBack(n int, now time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lent = false
	if o.out == nil { // closed meanwhile
		o.parked = true
		o.wakeWriter()
		return
	}
	if n < len(o.out) {
		o.begun, o.left = n, true
		o.kick()
		return
	}
	o.parked = true
	if o.wrote(now) || len(o.buf)+len(o.ctl) > 0 {
		o.wakeWriter() // to take it, or to set its clock
	}
}

// request appends a message to the stream of a live link; lock held.
func (o *Outbox) request(subj, reply, header string, data []byte) (at Position, retry <-chan struct{}, err error) {
	switch o.mode {
	case Closed:
		return at, nil, o.err
	case Down, Syncing:
		return at, nil, ErrDown
	case Holding:
		return at, o.waitRoom(), nil
	}
	if !o.legal(subj) {
		return at, nil, ErrSubject
	}
	if retry = o.makeRoom(len(o.buf) + wire.PubSize(subj, reply, header, data)); retry != nil {
		return at, retry, nil
	}
	at = Position{o.epoch, o.pos + uint64(len(o.buf))}
	o.buf = wire.AppendPub(o.buf, subj, reply, header, data)
	o.ledger.accept(len(header) + len(data))
	return at, nil, nil
}
