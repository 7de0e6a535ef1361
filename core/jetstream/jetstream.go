package jetstream

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync/atomic"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// JetStream is a light handle of JetStream over a connection: an API prefix and
// defaults. A program needs one for each domain it talks to. Safe for concurrent
// use.
type JetStream struct {
	nc  *nats.Conn
	cfg config

	level     atomic.Int64 // the highest API level a server has told
	sequences *sequences   // of acknowledged publishes
	idPrefix  string       // of automatic message ids
	ids       atomic.Uint64

	// A handle may be printed at any time, so what has maps is behind a pointer.
	sessions *sessions  // that consume
	async    *publisher // of asynchronous publishes
}

var errNilConn = &OptionError{"nc", "is nil"}

// New makes a handle over nc. It asks nothing of the server: AccountInfo tells
// whether there is JetStream.
func New(nc *nats.Conn, opts ...Option) (*JetStream, error) {
	if nc == nil {
		return nil, errNilConn
	}
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	js := &JetStream{nc: nc, cfg: cfg, idPrefix: rand.Text() + "-", sequences: new(sequences), sessions: new(sessions)}
	js.async = newPublisher(js)
	return js, nil
}

// Conn returns the connection.
func (js *JetStream) Conn() *nats.Conn {
	if js == nil {
		return nil
	}
	return js.nc
}

// DefaultTimeout is what bounds a call whose context has no deadline.
func (js *JetStream) DefaultTimeout() time.Duration {
	if js == nil {
		return 0
	}
	return js.cfg.timeout
}

// APISubject puts the API prefix in front of subject: "STREAM.INFO.ORDERS".
func (js *JetStream) APISubject(subject string) string {
	if js == nil {
		return subject
	}
	return js.cfg.prefix + subject
}

// bound gives ctx the default timeout if it has no deadline.
func (js *JetStream) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return withDefault(ctx, js.cfg.timeout)
}

// withDefault gives ctx a timeout if it has no deadline.
func withDefault(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, timeout, defaultTimeout(timeout))
}

// newID returns a message id, or a name, that nobody else has.
func (js *JetStream) newID() string {
	return js.idPrefix + strconv.FormatUint(js.ids.Add(1), 36)
}

// AccountInfo asks what the account has and may have. Without JetStream it
// fails with ErrJetStreamNotEnabled.
func (js *JetStream) AccountInfo(ctx context.Context) (*AccountInfo, error) {
	var info AccountInfo
	if err := js.api(ctx, call{op: "account info"}, "INFO", nil, &info); err != nil {
		return nil, err
	}
	js.sawLevel(info.API.Level)
	return &info, nil
}

// Stats is what a handle has counted. For the connection's ledger, nats.Stats, all
// of it was delivered.
type Stats struct {
	// PullDropped is what came to the inbox of a session and was dropped, because
	// no consumer and no server had sent it. Each was told as an ErrNotJSMessage.
	PullDropped uint64
}

// Stats returns what the handle has counted so far.
func (js *JetStream) Stats() Stats {
	if js == nil || js.sessions == nil {
		return Stats{}
	}
	return Stats{PullDropped: js.sessions.dropped.Load()}
}
