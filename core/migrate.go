package nats

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/perigee-go/nats/core/internal/link"
	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/reconnect"
	"github.com/perigee-go/nats/core/internal/wire"
)

// MigrateOnLameDuck makes the Conn leave a server that goes into lame duck mode
// by making the link to another one first. Requests and publishes do not notice:
// what was published is confirmed by the old server before the new one gets the
// next message, and replies come on either. Queue subscriptions miss nothing.
// Plain subscriptions take from the old link until the new one has all
// subscriptions, then from the new one: a message that the two servers deliver
// at that very moment may come from neither or from both. Handlers on the reader,
// and subscriptions with AutoUnsubscribe, change over when the old link has ended.
//
// It needs another server in the pool; if there is none, and when the old server
// closes before it is done, the Conn reconnects as usual. When it is done it tells
// Disconnected, without an error, and Reconnected. Off by default.
func MigrateOnLameDuck() Option {
	return option("MigrateOnLameDuck", func(c *config) { c.migrate = true })
}

const (
	// migrateWithin is how long a Conn may wait at first: all clients of a
	// server hear of its end at once.
	migrateWithin = 500 * time.Millisecond
	// settleFor is how long both links are up, so that the whole cluster
	// knows of the new one's subscriptions before the old one's end.
	settleFor = 200 * time.Millisecond
	// migrateAgain is the wait after no server could be reached.
	migrateAgain = time.Second
)

// migration is one attempt to leave a link for another.
type migration struct {
	nc   *Conn
	old  *link.Link
	from *reconnect.Server

	srv   *reconnect.Server
	l     *link.Link
	epoch uint64
	out   *outbox.Outbox // under l until the change
	rcv   *receiver
	info  *wire.Info
}

// migrate makes another link and changes over to it. It returns false when old
// has to be seen to its end.
func (nc *Conn) migrate(from *reconnect.Server, old *link.Link) (*migration, bool) {
	m := &migration{nc: nc, old: old, from: from}
	wait := time.Duration(rand.Float64() * float64(migrateWithin))
	for {
		if !m.wait(wait) {
			return nil, false
		}
		for _, srv := range m.candidates() {
			err := m.arrive(srv)
			if err == nil {
				m.takeOver()
				return m, true
			}
			if !m.going() {
				return nil, false
			}
			nc.attemptFailed(srv, err)
		}
		wait = migrateAgain
	}
}

// going reports whether there is still something to migrate.
func (m *migration) going() bool {
	select {
	case <-m.old.Ended():
		return false
	default:
		return m.nc.ctx.Err() == nil
	}
}

func (m *migration) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return m.going()
	case <-m.old.Ended():
	case <-m.nc.ctx.Done():
	}
	return false
}

// candidates are the servers to try: the user's choice, or all others in order.
func (m *migration) candidates() []*reconnect.Server {
	if m.nc.cfg.choose != nil {
		srv, wait, ok := m.nc.ask(m.old.Ended())
		switch {
		case !m.going() || ok && srv != m.from && !m.wait(wait):
			return nil
		case ok && srv != m.from:
			return []*reconnect.Server{srv}
		}
	}
	m.nc.mu.Lock()
	defer m.nc.mu.Unlock()
	all := slices.Clone(m.nc.machine.Pool().Servers())
	return slices.DeleteFunc(all, func(s *reconnect.Server) bool { return s == m.from || s.Barred(m.nc.now()) })
}

// arrive brings up a link to srv with all subscriptions, beside the old one.
func (m *migration) arrive(srv *reconnect.Server) error {
	nc := m.nc
	m.srv, m.epoch = srv, nc.epoch+1
	m.out = outbox.New(outbox.Config{})
	m.rcv = &receiver{nc: nc}
	m.rcv.role.Store(arriving)
	nc.mu.Lock()
	target := *srv
	nc.mu.Unlock()
	l, err := nc.open(&target, m.out, m.rcv)
	if err != nil {
		return err
	}
	m.l, m.info = l, l.Info()
	m.out.Attach(m.epoch, nil, nil)
	l.Start(m.epoch)
	m.out.Open(m.epoch)
	nc.reg.shadow(m.out, m.epoch)
	if err = m.sync(); err == nil {
		err = m.settle()
	}
	if err != nil {
		nc.reg.unshadow()
		l.End(err)
		var gone bool
		if gone, err = nc.awaitGone(l); gone {
			m.rcv.finish()
		}
	}
	return err
}

func (m *migration) sync() error {
	synced := make(chan outbox.Pong, 1)
	if err := m.out.Ping(synced); err != nil {
		return err
	}
	return m.nc.awaitSync(m.l, synced)
}

func (m *migration) settle() error {
	t := time.NewTimer(settleFor)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-m.l.Ended():
	case <-m.old.Ended():
	case <-m.nc.ctx.Done():
	}
	return ErrDisconnected
}

// takeOver ends the old link in good order and puts the new one in its place.
func (m *migration) takeOver() {
	nc := m.nc
	m.rcv.role.Store(taking)
	nc.rcv.role.Store(leaving)
	left := m.emptyOld()

	nc.lender.Store(nil)
	m.old.End(errReconnect)
	_ = nc.awaitEnd(m.old)
	nc.rcv.reset()
	nc.setInfo(m.info)
	change := outbox.Change{Capacity: int(m.info.MaxPayload), Resume: m.old.Resumable()}
	var end uint64
	var dropped int
	var unknown uint64
	over := func() {
		nc.reg.takeOver(m.epoch, func() { m.rcv.role.Store(alone) }, func(lines []byte) {
			change.Lines = lines
			end, dropped, unknown = m.l.Adopt(nc.out, change)
		})
	}
	if left { // nothing is in flight; replies can come on the new link
		over()
		nc.reqs.carry(nc.epoch, m.epoch)
	} else {
		nc.reqs.linkLost(nc.epoch, ErrDisconnected, func(withdraw func(uint64) bool) {
			change.Withdraw = withdraw
			over()
		})
	}
	if left {
		nc.endLink(end, nil)
	} else {
		nc.endLink(end, ErrDisconnected)
	}
	nc.epoch = m.epoch
	nc.rcv = m.rcv
	// The reader may be at it, too: what it knew last counts.
	for info := m.rcv.lastInfo.Load(); info != nil && info != nc.info.Load(); info = m.rcv.lastInfo.Load() {
		nc.setInfo(info)
	}
	if dropped > 0 {
		nc.tooLarge(dropped, m.info.MaxPayload)
	}

	nc.mu.Lock()
	server := nc.server
	nc.mu.Unlock()
	server.Current = false
	nc.emit(Disconnected{server, nil, int(unknown)})
}

// emptyOld lets what was published leave on the old link, and what its server
// has for us arrive. It reports whether all did.
func (m *migration) emptyOld() bool {
	done := make(chan outbox.Pong, 1)
	if !m.nc.out.Hold(m.nc.epoch, m.nc.reg.leave(), done) {
		return false
	}
	ctx, cancel := context.WithTimeout(m.nc.ctx, m.nc.cfg.timeout)
	defer cancel()
	select {
	case p := <-done:
		return p.Err == nil
	case <-m.old.Ended():
	case <-ctx.Done():
	}
	return false
}

// tooLarge tells of messages that waited and that the next server does not take.
func (nc *Conn) tooLarge(n int, limit int64) {
	nc.asyncError(fmt.Errorf("%w: %d messages that waited were dropped, the server takes %d bytes", ErrMaxPayload, n, limit))
}
