package link

import (
	"runtime"
	"time"

	"github.com/perigee-go/nats/core/internal/keepalive"
)

// One socket write is as long as the peer is quick: so a slow one that takes
// bytes is told from one that takes none, and a quick one gets much at once.
const (
	minWrite  = 16 << 10
	maxWrite  = 1 << 20
	quickly   = 10 * time.Millisecond
	slowly    = time.Second
	startWith = 64 << 10

	// leastTick keeps a user's tiny intervals from being a loop.
	leastTick = 100 * time.Microsecond
)

// adapt sets the length of the next write after one that took so long.
func (l *Link) adapt(written int, took time.Duration) {
	switch {
	case took < quickly && written == l.piece:
		l.piece = min(2*l.piece, maxWrite)
	case took > slowly:
		l.piece = max(l.piece/4, minWrite)
	}
}

// writeLoop writes what the outbox has and asks for PINGs when they are due. It
// returns nil when somebody else ended the link.
func (l *Link) writeLoop() error {
	tick := time.NewTimer(time.Hour)
	defer tick.Stop()
	next, dead := l.keepAlive(tick)
	woken := false
	for !dead {
		out := l.out.Load()
		b := out.Take(l.now())
		if b == nil {
			if woken { // a borrower wrote, and the clock is ours to set
				woken = false
				next, dead = l.keepAlive(tick)
				continue
			}
			select {
			case <-out.Wake():
				woken = true
				// Whoever woke us is likely to have more: let it.
				runtime.Gosched()
			case <-tick.C:
				next, dead = l.keepAlive(tick)
				l.out.Load().Shrink()
			case <-l.ended:
				return nil
			}
			continue
		}
		woken = false
		if n, err := l.write(b); err != nil {
			out.Failed(n)
			return err
		}
		now := l.now()
		if out.Wrote(now) && next > now+keepalive.ConfirmAfter {
			next = now + keepalive.ConfirmAfter
			tick.Reset(keepalive.ConfirmAfter)
		}
		select {
		case <-tick.C:
			next, dead = l.keepAlive(tick)
		case <-l.ended:
			return nil
		default:
		}
	}
	return ErrStale
}

// decide asks for the keep-alive's decision.
func (l *Link) decide(now time.Duration) keepalive.Decision {
	live := l.out.Load().Liveness()
	return keepalive.Decide(l.cfg.KeepAlive, keepalive.Input{
		Now: now, LastInbound: time.Duration(l.lastIn.Load()),
		Outstanding: live.Outstanding, OldestPing: live.OldestPing,
		Unasked: live.Unasked, UnaskedAt: live.UnaskedAt,
	})
}

// keepAlive acts on the decision and sets the timer for the next.
func (l *Link) keepAlive(tick *time.Timer) (next time.Duration, dead bool) {
	now := l.now()
	d := l.decide(now)
	if d.Dead {
		return 0, true
	}
	if d.Ping {
		l.out.Load().KeepAlive(l.epoch)
	}
	if d.Next == 0 {
		d.Next = now + time.Hour
	}
	tick.Reset(max(d.Next-now, leastTick))
	return d.Next, false
}

// write hands b to the kernel, watched by the watchdog, and returns how much
// left.
func (l *Link) write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		if done > 0 && l.decide(l.now()).Dead {
			return done, ErrStale // takes bytes and never answers
		}
		piece := b[done:min(done+l.piece, len(b))]
		began := l.now()
		l.writing.Store(max(int64(began), 1))
		if !l.watching.Load() {
			l.watch(began, l.cfg.WriteTimeout, l.decide(began))
		}
		var n int
		var err error
		if l.layer != nil {
			n, err = l.layer.WriteAll(piece)
		} else {
			n, err = l.conn.Write(piece)
		}
		l.writing.Store(0)
		done += n
		if err != nil {
			select {
			case <-l.ended:
				err = l.err // a watchdog, a reader or the user closed the connection
			default:
			}
			return done, err
		}
		l.adapt(n, l.now()-began)
	}
	return done, nil
}

// bark is the watchdog. A deadline on every write would cost more than the write
// of a small message; one timer a while, which looks at when the write under
// way began, costs nothing. It also sees to the keep-alive, which the writer
// cannot do while it is stuck.
func (l *Link) bark() {
	l.watching.Store(false)
	began := time.Duration(l.writing.Load())
	if began == 0 {
		return // the next write sets it again
	}
	now := l.now()
	left := began + l.cfg.WriteTimeout - now
	d := l.decide(now)
	switch {
	case left <= 0:
		l.end(ErrWriteTimeout)
	case d.Dead:
		l.end(ErrStale)
	default:
		l.watch(now, left, d)
	}
}

// watch sets the watchdog: after left, or when the keep-alive is to look again.
func (l *Link) watch(now, left time.Duration, d keepalive.Decision) {
	if l.watching.Swap(true) {
		return
	}
	if d.Next > 0 {
		left = min(left, d.Next-now)
	}
	l.watchdog.Reset(max(left, leastTick))
}
