package outbox

// ledger counts messages. Each accepted one is in exactly one place, and they
// go through the places in order, so cumulative counts of the stream say it:
//
//	settled <= written <= taken <= appended
//
// Between appended and written they are buffered, between written and settled
// in flight. What is settled was confirmed, or is unknown or dropped.
type ledger struct {
	accepted, acceptedBytes     uint64
	confirmed, dropped, unknown uint64

	appended, taken, written, settled uint64

	// before is the count of the stream's messages before those that the
	// writer has in hand.
	before uint64
}

func (l *ledger) accept(bytes int) {
	l.accepted++
	l.acceptedBytes += uint64(bytes)
	l.appended++
}

// confirm settles the stream's messages up to the cumulative count upTo.
func (l *ledger) confirm(upTo uint64) {
	if upTo > l.settled {
		l.confirmed += upTo - l.settled
		l.settled = upTo
		l.written = max(l.written, upTo)
	}
}

// lose settles what was written as unknown.
func (l *ledger) lose() uint64 {
	n := l.written - l.settled
	l.unknown += n
	l.settled = l.written
	return n
}

// Counts is a snapshot of the ledger. Accepted is the sum of Confirmed,
// InFlight, Buffered, Dropped and Unknown, always.
type Counts struct {
	Accepted, AcceptedBytes                         uint64
	Confirmed, InFlight, Buffered, Dropped, Unknown uint64
}

// Counts returns the ledger.
func (o *Outbox) Counts() Counts {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := &o.ledger
	return Counts{
		Accepted: l.accepted, AcceptedBytes: l.acceptedBytes,
		Confirmed: l.confirmed, Dropped: l.dropped, Unknown: l.unknown,
		InFlight: l.written - l.settled, Buffered: l.appended - l.written,
	}
}
