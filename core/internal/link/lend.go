package link

import "github.com/perigee-go/nats/core/internal/outbox"

// A request with nothing beside it has one goroutine less on its way if the
// caller writes it. Borrow, Lend and Return are what it calls, in this order;
// between them it may do what does not wait.

// Borrow reports whether the caller may write now. If this link cannot lend the
// writer's place, or somebody else has it, nothing was done.
func (l *Link) Borrow() bool {
	// The end of a link waits for this lock, and keeps it: a batch is never in
	// a borrower's hands when its fate is decided. Nothing behind it waits.
	return l.prompt != nil && l.lending.TryLock()
}

// Lend accepts a request as Outbox.Request does. If nothing waits, batch is for
// the caller to write.
func (l *Link) Lend(subj, reply, header string, data []byte) (at outbox.Position, batch []byte, retry <-chan struct{}, err error) {
	l.lentAt = l.now()
	return l.out.Load().Lend(l.lentAt, subj, reply, header, data)
}

// Return writes what Lend gave, as much as the kernel takes, and gives the place
// back. It does not wait.
func (l *Link) Return(batch []byte) {
	if batch != nil {
		n := l.prompt.Write(batch)
		l.out.Load().GiveBack(n, l.lentAt)
	}
	l.lending.Unlock()
}
