package link

import "github.com/perigee-go/nats/core/internal/outbox"

// Lend accepts a request as Outbox.Request does and, if nothing waits and the
// kernel takes it at once, lets the caller write it: a request with nothing
// beside it then has one goroutine less on its way. If ok is false nothing was
// done: this link cannot, or somebody else is at it. If it is true, WriteLent
// must follow; between the two the caller may do what does not wait.
func (l *Link) Lend(subj, reply, header string, data []byte) (at outbox.Position, batch []byte, retry <-chan struct{}, err error, ok bool) {
	// The end of a link waits for this lock, and keeps it: a batch is never in
	// a borrower's hands when its fate is decided. Nothing behind it waits.
	if l.prompt == nil || !l.lending.TryLock() {
		return at, nil, nil, nil, false
	}
	l.lentAt = l.now()
	at, batch, retry, err = l.out.Load().Lend(l.lentAt, subj, reply, header, data)
	return at, batch, retry, err, true
}

// WriteLent writes what Lend gave, as much as the kernel takes. It does not
// wait.
func (l *Link) WriteLent(batch []byte) {
	if batch != nil {
		n := l.prompt.Write(batch)
		l.out.Load().GiveBack(n, l.lentAt)
	}
	l.lending.Unlock()
}
