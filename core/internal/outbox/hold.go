package outbox

// A link can be left for another in good order. Hold lets what was accepted
// leave on the old one, with a PING behind it; what is accepted after that
// waits. When the PONG is there nothing is in flight, and Change goes over to the
// new link's epoch. Until then that link runs on an outbox of its own, for its
// control lines, whose Surrender says what it leaves behind.

// Hold appends the lines and a PING to the stream of the live link of epoch, and
// lets nothing leave behind them until Change. done is as for Ping. It reports
// false if that link is not live.
func (o *Outbox) Hold(epoch uint64, lines []byte, done chan<- Pong) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode != Live || o.epoch != epoch {
		return false
	}
	o.buf = append(o.buf, lines...)
	o.appendPing(ping{done: done})
	o.mode, o.cut, o.cutMsgs = Holding, len(o.buf), o.ledger.appended
	o.wakeWriter()
	return true
}

// takeHeld hands out what is still to leave before the change; lock held.
func (o *Outbox) takeHeld() []byte {
	o.forget(o.pos)
	o.out, o.outCtl = o.buf[:o.cut], false
	o.pos += uint64(o.cut)
	o.buf = append(o.spare[:0], o.buf[o.cut:]...)
	o.spare = nil
	o.cut = 0
	o.ledger.before, o.ledger.taken = o.ledger.taken, o.cutMsgs
	return o.out
}

// Flows returns a channel that is closed when messages may leave again: at once,
// unless the outbox holds them.
func (o *Outbox) Flows() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode == Holding {
		return o.waitRoom()
	}
	c := make(chan struct{})
	close(c)
	return c
}

// Surrender ends an outbox that only ever had control lines. It returns those
// that the writer did not take yet, and how many PONGs are still to come.
func (o *Outbox) Surrender() (lines []byte, pongs int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines = append(append(lines, o.ctl...), o.buf...)
	pongs = len(o.pings)
	o.mode, o.err = Closed, ErrDown
	o.buf, o.ctl, o.spare = nil, nil, nil
	o.failPings(ErrDown)
	o.releaseRoom()
	return lines, pongs
}

// Nudge makes the writer look again, whatever waits.
func (o *Outbox) Nudge() { o.kick() }

// Change is what to do when one link's place is taken by another that has run
// before.
type Change struct {
	Epoch    uint64 // of the new link
	Lines    []byte // leave first
	Pongs    int    // that are still to come, for PINGs that others made
	Capacity int    // the new server's max_payload; 0: none
	Resume   bool   // and Withdraw: see Detach
	Withdraw func(start uint64) bool
}

// Change is Detach, Discard, Attach and Open in one step. It returns what Detach
// does, and how many messages were dropped because they are too large.
func (o *Outbox) Change(c Change) (left uint64, dropped int, unknown uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mode == Closed || !o.attached {
		return 0, 0, 0
	}
	left, unknown = o.detach(c.Resume, c.Withdraw)
	if c.Capacity > 0 {
		dropped = o.discard(c.Capacity)
	}
	o.mode, o.epoch, o.attached = Live, c.Epoch, true
	o.begin()
	o.foreign = c.Pongs
	o.buf = append(c.Lines[:len(c.Lines):len(c.Lines)], o.buf...)
	o.releaseRoom()
	o.wakeWriter()
	return left, dropped, unknown
}

// begin sets what counts anew with each epoch; lock held.
func (o *Outbox) begin() {
	o.failed, o.begun, o.left, o.pos = -1, 0, false, 0
	o.sincePing, o.unasked, o.foreign, o.cut = 0, false, 0, 0
	o.bound = nil
}
