package outbox

import (
	"bytes"

	"github.com/perigee-go/nats/core/internal/wire"
)

// Attach begins a new epoch: the writer of a new link may take prefix, the
// lines that must leave before anything else, and a PING behind them if there
// are any. Accepted frames stay until Open.
func (o *Outbox) Attach(epoch uint64, prefix []byte, synced chan<- Pong) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode == Closed {
		return
	}
	o.mode, o.epoch, o.attached = Syncing, epoch, true
	o.begin()
	if len(prefix) > 0 {
		o.ctl = append(prefix, wire.PingLine...)
		o.pings = []ping{{ctl: true, appended: o.ledger.written, done: synced}}
		o.wakeWriter()
	}
}

// Discard drops the waiting messages whose header and payload are larger than
// max, and returns how many. They were accepted for a server that takes more
// than the next one: that would end each link at the same message. It is called
// between two links.
func (o *Outbox) Discard(max int) (dropped int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.discard(max)
}

func (o *Outbox) discard(max int) (dropped int) {
	if o.mode != Down || o.attached || len(o.buf) <= max {
		return 0
	}
	kept := o.buf[:0]
	for b := o.buf; len(b) > 0; {
		kind, n := wire.ScanClient(b)
		if n == 0 { // cannot be: we rendered it
			break
		}
		if size := n - len("\r\n") - 1 - bytes.IndexByte(b, '\n'); kind == wire.ClientPub && size > max {
			dropped++
		} else {
			kept = append(kept, b[:n]...)
		}
		b = b[n:]
	}
	o.buf = kept
	o.ledger.appended -= uint64(dropped)
	o.ledger.dropped += uint64(dropped)
	o.releaseRoom()
	return dropped
}

// Open lets accepted frames leave on the link of epoch.
func (o *Outbox) Open(epoch uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode != Syncing || o.epoch != epoch {
		return
	}
	o.mode = Live
	o.releaseRoom()
	o.wakeWriter()
}

// Halt is called when the link of epoch is at its end, before its goroutines
// are: from now on what is accepted is kept, and nobody waits for a writer that
// is gone. Detach follows.
func (o *Outbox) Halt(epoch uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.epoch == epoch && (o.mode == Live || o.mode == Syncing || o.mode == Holding) {
		o.mode = Down
		o.releaseRoom()
	}
}

// Detach ends the epoch after its writer has ended. Frames of which no byte was
// handed over stay for the next link; so does the one frame that was handed
// over in part if resume is set: on plain TCP a server acts only on a whole
// frame. Without resume the failed write is lost whole. Control lines go: the
// next link makes its own. withdraw is asked for each message that would stay,
// by its offset in the stream, and takes back those it says true for.
//
// What PublishOn accepted is taken back without a question. It returns the end of
// what left, in the same offsets, and how many messages became unknown.
func (o *Outbox) Detach(resume bool, withdraw func(start uint64) bool) (left, unknown uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode == Closed || !o.attached {
		return 0, 0
	}
	return o.detach(resume, withdraw)
}

func (o *Outbox) detach(resume bool, withdraw func(start uint64) bool) (left, unknown uint64) {
	o.attached = false
	start := o.pos // of the first frame that stays
	var rest []byte
	if o.out != nil && !o.outCtl {
		start -= uint64(len(o.out))
		n := o.firstUnsent(resume)
		start += uint64(n)
		rest = o.out[n:]
	}
	unknown = o.ledger.lose()
	bound := o.bound
	o.bound = nil

	kept := make([]byte, 0, len(rest)+len(o.buf))
	at := start
	for _, b := range [][]byte{rest, o.buf} {
		for len(b) > 0 {
			kind, n := wire.ScanClient(b)
			if n == 0 { // cannot be: we rendered it
				break
			}
			if kind == wire.ClientPub {
				if isBound(&bound, at) || withdraw != nil && withdraw(at) {
					o.ledger.appended--
					o.ledger.dropped++
				} else {
					kept = append(kept, b[:n]...)
				}
			}
			b, at = b[n:], at+uint64(n)
		}
	}
	o.ledger.taken = o.ledger.written

	o.mode = Down
	o.buf, o.out, o.ctl, o.spare = kept, nil, nil, nil
	o.failPings(ErrDown)
	o.releaseRoom()
	return start, unknown
}

// firstUnsent returns where in out the first frame starts that is to be sent
// again, and counts the messages before it as written; lock held. What a PONG
// has confirmed while the write was under way was sent.
func (o *Outbox) firstUnsent(resume bool) int {
	sent := len(o.out)
	switch {
	case resume && o.failed >= 0:
		sent = o.failed
	case resume && o.left:
		sent = o.begun
	}
	pos, msgs := 0, o.ledger.before
	for pos < len(o.out) {
		kind, n := wire.ScanClient(o.out[pos:])
		if n == 0 || pos+n > sent && msgs >= o.ledger.settled {
			break
		}
		if kind == wire.ClientPub {
			msgs++
		}
		pos += n
	}
	o.ledger.written = msgs
	return pos
}

// failPings answers everybody who waits for a PONG; lock held. Their channels
// have a slot.
func (o *Outbox) failPings(err error) {
	for _, p := range o.pings {
		if p.done != nil {
			p.done <- Pong{Err: err}
		}
	}
	o.pings = nil
	o.sincePing, o.unasked = 0, false
}

// Close ends the outbox: what waits is dropped, what is in flight or in the
// writer's hands is unknown.
// Everything after it fails with err. It returns both counts; a second call
// changes nothing.
func (o *Outbox) Close(err error) (dropped, unknown uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode == Closed {
		return 0, 0
	}
	l := &o.ledger
	l.written = l.taken // what a writer has in hand may leave yet
	unknown = l.lose()
	dropped = l.appended - l.written
	l.dropped += dropped
	l.written, l.settled, l.taken = l.appended, l.appended, l.appended

	o.mode, o.err = Closed, err
	o.buf, o.out, o.ctl, o.spare = nil, nil, nil, nil
	o.failPings(err)
	o.releaseRoom()
	o.wakeWriter()
	return dropped, unknown
}
