package link

import (
	"runtime"
	"time"

	"github.com/perigee-go/nats/core/internal/keepalive"
	"github.com/perigee-go/nats/core/internal/outbox"
)

// One socket write is as long as the peer is quick: so a slow one that takes
// bytes is told from one that takes none, and a quick one gets much at once.
const (
	minWrite  = 16 << 10
	maxWrite  = 1 << 20
	quickly   = 10 * time.Millisecond
	slowly    = time.Second
	startWith = 64 << 10
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

// keepAlive asks for the decision, acts on it and sets the timer for the next.
func (l *Link) keepAlive(tick *time.Timer) (next time.Duration, dead bool) {
	live := l.out.Load().Liveness()
	now := l.now()
	d := keepalive.Decide(l.cfg.KeepAlive, input(live, now, time.Duration(l.lastIn.Load())))
	if d.Dead {
		return 0, true
	}
	if d.Ping {
		l.out.Load().KeepAlive(l.epoch)
	}
	if d.Next == 0 {
		d.Next = now + time.Hour
	}
	tick.Reset(max(d.Next-now, time.Millisecond))
	return d.Next, false
}

// isDead reports whether the keep-alive has given the peer up.
func (l *Link) isDead() bool {
	live := l.out.Load().Liveness()
	return keepalive.Decide(l.cfg.KeepAlive, input(live, l.now(), time.Duration(l.lastIn.Load()))).Dead
}

func input(live outbox.Liveness, now, lastIn time.Duration) keepalive.Input {
	return keepalive.Input{
		Now: now, LastInbound: lastIn,
		Outstanding: live.Outstanding, OldestPing: live.OldestPing,
		Unasked: live.Unasked, UnaskedAt: live.UnaskedAt,
	}
}

// write hands b to the kernel, watched by the watchdog, and returns how much
// left.
func (l *Link) write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		if done > 0 && l.isDead() {
			return done, ErrStale // takes bytes and never answers
		}
		piece := b[done:min(done+l.piece, len(b))]
		began := l.now()
		l.writing.Store(max(int64(began), 1))
		if !l.watching.Swap(true) {
			l.watchdog.Reset(l.cfg.WriteTimeout)
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
// way began, costs nothing.
func (l *Link) bark() {
	l.watching.Store(false)
	began := time.Duration(l.writing.Load())
	if began == 0 {
		return // the next write sets it again
	}
	waited := l.now() - began
	if waited >= l.cfg.WriteTimeout {
		l.end(ErrWriteTimeout)
		return
	}
	if !l.watching.Swap(true) {
		l.watchdog.Reset(l.cfg.WriteTimeout - waited)
	}
}
