package nats

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/reconnect"
)

// Connect dials the servers of url, in random order, until one accepts the
// connection; each is tried at most once. url is a server, or several with
// commas between: scheme, user info (user:password or a token), host and port,
// as in "tls://me:secret@nats.example.com:4222". The scheme is nats, the
// default, or tls, with port 4222; or ws or wss for WebSocket, with ports 80 and
// 443, and then there may be path and query too. Empty is DefaultURL.
//
// ctx bounds the connecting only, not the connection; each attempt is bounded by
// Timeout besides. It fails with an *OptionError for each bad option, joined;
// ErrMixingWebsocketSchemes if only some of the servers are WebSockets; a
// *ConnectError that unwraps to every attempt's error; or ctx's error beside
// that. With RetryOnFailedConnect it returns at once.
func Connect(ctx context.Context, url string, opts ...Option) (*Conn, error) {
	if ctx == nil {
		return nil, errNilContext
	}
	cfg, err := configure(url, opts)
	if err != nil {
		return nil, err
	}
	pool := reconnect.NewPool(cfg.servers)
	if !cfg.keepOrder {
		pool.Shuffle(rand.Shuffle)
	}
	nc := newConn(cfg, pool)
	go nc.supervise()
	if cfg.retryFirst {
		return nc, nil
	}
	if err := nc.awaitFirst(ctx); err != nil {
		return nil, err
	}
	return nc, nil
}

// newConn makes a Conn that nobody supervises yet.
func newConn(cfg *config, pool *reconnect.Pool) *Conn {
	base := time.Now()
	nc := &Conn{
		cfg:        cfg,
		clock:      func() time.Duration { return time.Since(base) },
		chance:     rand.Float64,
		out:        outbox.New(cfg.outbox()),
		inbox:      newInboxes(cfg.inboxPrefix),
		poke:       make(chan struct{}, 1),
		move:       make(chan struct{}, 1),
		supervised: make(chan struct{}),
		done:       make(chan struct{}),
		told:       make(chan struct{}),
		changed:    make(chan struct{}),
		machine:    reconnect.NewMachine(cfg.machine(), pool),
	}
	nc.reg.init()
	nc.reqs.init(cfg.inboxPrefix, cfg.requestTimeout, nc.now)
	nc.reg.out = nc.out
	nc.rcv = &receiver{nc: nc}
	nc.reqOrigin.nc = nc
	nc.ctx, nc.stop = context.WithCancel(context.Background())
	return nc
}

// awaitFirst waits for the first link, or for the reason why there is none.
func (nc *Conn) awaitFirst(ctx context.Context) error {
	err := nc.awaitLink(ctx)
	if err == nil {
		return nil
	}
	nc.mu.Lock()
	ce := &ConnectError{}
	for _, s := range nc.machine.Pool().Servers() {
		if s.Attempts > 0 {
			ce.Attempts = append(ce.Attempts, publicServer(s, false))
		}
	}
	nc.mu.Unlock()
	nc.stop()
	<-nc.supervised
	if errors.Is(err, ErrClosed) {
		return ce
	}
	if len(ce.Attempts) == 0 {
		return opError("connect", nc.cfg.servers[0].URL(), err)
	}
	return errors.Join(err, ce)
}
