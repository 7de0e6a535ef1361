// Package outbox holds the bytes that wait to leave on a connection, in the
// order in which they were accepted, and keeps the ledger of what became of
// each message.
//
// It does not know sockets. A writer takes what waits, writes it and reports
// how that went; while it writes, publishers fill the other buffer, so batches
// grow by themselves under load and no lock is held across I/O. Links come and
// go by epochs: Attach, Open and Detach move the outbox from one to the next.
package outbox

import (
	"errors"
	"sync"
	"time"

	"github.com/perigee-go/nats/core/internal/subject"
	"github.com/perigee-go/nats/core/internal/wire"
)

// Mode says where accepted frames go.
type Mode uint8

const (
	Down    Mode = iota // no link: frames are kept
	Syncing             // a link is up, only control lines leave until Open
	Live                // everything leaves
	Holding             // what was accepted before Hold leaves, the rest waits for Change
	Closed              // nothing is accepted any more
)

// Policy says what Publish does while there is no link.
type Policy uint8

const (
	Buffer Policy = iota // keep up to Config.DownLimit bytes
	Block                // the same, but wait for room
	Fail                 // refuse
)

// Refusals of Publish, Request and Ping.
var (
	ErrSubject = errors.New("outbox: illegal subject")
	ErrDown    = errors.New("outbox: no link")
	ErrFull    = errors.New("outbox: full")
	ErrHeld    = errors.New("outbox: between two links") // wait for Flows
)

const (
	minBuffer = 8 << 10
	// pingBytes is how much is written before a PING asks for confirmation.
	pingBytes = 1 << 20
	// keepBuffer is the largest buffer that is used again, while the connection
	// is not quiet.
	keepBuffer = 2 << 20
)

// Config is fixed for the life of an Outbox.
type Config struct {
	Limit     int // bytes waiting on a live link before Publish has to wait
	DownLimit int // bytes kept without a link
	Policy    Policy
}

// Outbox is safe for concurrent use; Take, Wrote and Failed are for one writer,
// GiveBack for who got a batch from Lend.
type Outbox struct {
	cfg  Config
	wake chan struct{} // one slot: the parked writer is to look again

	mu       sync.Mutex // guards everything below
	mode     Mode
	epoch    uint64
	attached bool  // there is a link, at its end maybe; until Detach
	err      error // Closed: why

	ctl    []byte // leaves before buf: the re-subscribes of a new link
	buf    []byte // accepted frames
	out    []byte // what the writer has in hand
	outCtl bool   // out is control lines, not a part of the stream
	failed int    // bytes of out that left before its write failed; -1: none failed
	spare  []byte

	begun  int           // bytes of out that a borrower wrote; see Lend
	left   bool          // and the writer did not take the rest yet
	parked bool          // the writer sleeps
	lent   bool          // somebody else is at its place
	room   chan struct{} // closed when waiting publishers should try again; nil: nobody waits

	pos     uint64 // offset of buf[0] in the epoch's stream
	cut     int    // Holding: how much of buf leaves yet
	cutMsgs uint64 // and the count of messages before
	foreign int    // PONGs to come that were asked for elsewhere
	bound   []span // of the epoch's stream, in order: what PublishOn accepted and may not have left

	lastValid    [64]byte // the last subject found legal; see legal
	lastValidLen int

	tookAt    time.Duration // when the writer was last here
	pings     []ping        // sent or about to be, in order
	sincePing int           // bytes taken since the last PING
	unasked   bool          // messages were written and no PING followed them
	writtenAt time.Duration

	ledger ledger
}

// New makes an outbox without a link.
func New(cfg Config) *Outbox {
	return &Outbox{cfg: cfg, wake: make(chan struct{}, 1), failed: -1}
}

// Wake returns the channel on which the writer waits when Take gave it nothing.
func (o *Outbox) Wake() <-chan struct{} { return o.wake }

// Publish accepts one message. If there is no room it returns a channel that is
// closed when trying again makes sense. header is a complete block or empty;
// data is copied. The reply and the sizes have been checked by the caller.
func (o *Outbox) Publish(subj, reply, header string, data []byte) (retry <-chan struct{}, err error) {
	o.mu.Lock()
	if !o.legal(subj) {
		o.mu.Unlock()
		return nil, ErrSubject
	}
	if o.mode != Live {
		if retry, err = o.admit(subj, reply, header, data); retry != nil || err != nil {
			o.mu.Unlock()
			return retry, err
		}
	}
	need := len(o.buf) + wire.PubSize(subj, reply, header, data)
	if need > cap(o.buf) || need > o.cfg.Limit {
		if retry = o.makeRoom(need); retry != nil {
			o.mu.Unlock()
			return retry, nil
		}
	}
	o.buf = wire.AppendPub(o.buf, subj, reply, header, data)
	o.ledger.accept(len(header) + len(data))
	kick := o.parked && o.mode == Live
	if kick {
		o.parked = false
	}
	o.mu.Unlock()
	if kick {
		o.kick()
	}
	return nil, nil
}

// legal checks a subject to publish to. Programs publish to the same few
// subjects: one that equals the last legal one needs no second look. What is
// compared with is a copy, because a subject may be borrowed from a buffer that
// is used again.
func (o *Outbox) legal(s string) bool {
	if string(o.lastValid[:o.lastValidLen]) == s && s != "" {
		return true
	}
	if subject.CheckPublish(s) != "" {
		return false
	}
	if len(s) <= len(o.lastValid) {
		o.lastValidLen = copy(o.lastValid[:], s)
	}
	return true
}

// admit decides about a message while the stream does not flow; lock held.
func (o *Outbox) admit(subj, reply, header string, data []byte) (<-chan struct{}, error) {
	switch {
	case o.mode == Closed:
		return nil, o.err
	case o.mode == Down && o.cfg.Policy == Fail:
		return nil, ErrDown
	case len(o.buf)+wire.PubSize(subj, reply, header, data) <= o.cfg.DownLimit:
		return nil, nil
	case o.cfg.Policy == Block || o.mode == Syncing || o.mode == Holding:
		return o.waitRoom(), nil
	}
	return nil, ErrFull
}

// makeRoom lets the buffer grow to need bytes, or returns the channel to wait
// on; lock held.
func (o *Outbox) makeRoom(need int) <-chan struct{} {
	if o.mode == Live && need > o.cfg.Limit && len(o.buf) > 0 {
		return o.waitRoom()
	}
	if need <= cap(o.buf) {
		return nil
	}
	n := max(minBuffer, 2*cap(o.buf))
	if o.mode == Live && n > o.cfg.Limit {
		n = o.cfg.Limit
	}
	b := make([]byte, len(o.buf), max(n, need))
	copy(b, o.buf)
	o.buf = b
	return nil
}

func (o *Outbox) waitRoom() <-chan struct{} {
	if o.room == nil {
		o.room = make(chan struct{})
	}
	return o.room
}

// releaseRoom makes all waiting publishers try again; lock held.
func (o *Outbox) releaseRoom() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

func (o *Outbox) kick() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// wakeWriter wakes the writer if it sleeps; lock held. The channel has a slot,
// so this never blocks.
func (o *Outbox) wakeWriter() {
	if o.parked {
		o.parked = false
		o.kick()
	}
}

// Position is where a frame stands in the stream of one epoch.
type Position struct{ Epoch, Start uint64 }

// Request accepts a message only on a live link, and says where it stands.
// Without a link it is ErrDown; retry is as for Publish.
func (o *Outbox) Request(subj, reply, header string, data []byte) (at Position, retry <-chan struct{}, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	at, retry, err = o.request(subj, reply, header, data)
	if retry == nil && err == nil {
		o.wakeWriter()
	}
	return at, retry, err
}

// Control appends a SUB, UNSUB or PONG line for the link of epoch. On any other
// link, or none, it is dropped: a new link re-subscribes by itself.
func (o *Outbox) Control(epoch uint64, line []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.epoch != epoch {
		return
	}
	switch o.mode {
	case Live:
		o.buf = append(o.buf, line...)
	case Syncing:
		o.ctl = append(o.ctl, line...)
	default:
		return
	}
	o.wakeWriter()
}

// Buffered returns the bytes that no write was begun for.
func (o *Outbox) Buffered() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.buf) + len(o.ctl)
}
