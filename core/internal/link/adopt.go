package link

import "github.com/perigee-go/nats/core/internal/outbox"

// Adopt changes the outbox under a link that runs. The one it began with had
// only control lines; what its writer has not taken of them leaves first. The
// change comes with the rest: how the old link's part ends.
func (l *Link) Adopt(to *outbox.Outbox, c outbox.Change) (left uint64, dropped int, unknown uint64) {
	l.adopting.Lock()
	defer l.adopting.Unlock()
	old := l.out.Load()
	lines, pongs := old.Surrender()
	c.Epoch, c.Pongs = l.epoch, pongs
	c.Lines = append(lines, c.Lines...)
	left, dropped, unknown = to.Change(c)
	l.out.Store(to)
	old.Nudge() // the writer may sleep there
	return left, dropped, unknown
}
