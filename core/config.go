package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"time"

	"github.com/perigee-go/nats/core/internal/keepalive"
	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/reconnect"
)

// config is what the options say. It does not change after Connect.
type config struct {
	servers          []*reconnect.Server
	inProcess        InProcessProvider
	dialer           Dialer
	keepOrder        bool
	ignoreDiscovered bool
	timeout          time.Duration

	webSocket webSocketConfig

	secure   bool
	tlsFirst bool
	tls      *tls.Config
	cert     func() (tls.Certificate, error)
	roots    func() (*x509.CertPool, error)

	name                      string
	noEcho, verbose, pedantic bool
	userInfo                  func() (string, string)
	userInfoBy                string // which option set it
	token                     func() string
	tokenBy                   string
	signed                    func(nonce []byte) (signed, error)
	signedBy                  string
	needNonce                 bool // signed is of no use without
	auth                      func(context.Context, AuthRequest) (Auth, error)
	inboxPrefix               string

	retryFirst, noReconnect bool
	maxRounds, abortOnAuth  int
	minDelay, maxDelay      time.Duration
	customDelay             func(int) time.Duration
	migrate                 bool
	choose                  func([]Server, ServerInfo) (string, time.Duration)
	reconnectBuf, writeBuf  int
	whenDown                DisconnectedPolicy
	writeTimeout            time.Duration
	pingInterval            time.Duration
	maxPings                int
	requestTimeout          time.Duration
	drainTimeout            time.Duration
	maxInbound              int

	onEvent   func(*Conn, Event)
	logger    **slog.Logger // nil: not set
	tracer    Tracer
	recoverer func(Msg, any)

	sub subConfig // defaults of subscriptions
}

// subConfig is what the options of a subscription say.
type subConfig struct {
	queue                 string
	queueSet              bool
	max                   uint64
	concurrency           int
	onReader              bool
	limitMsgs, limitBytes int
	overflow              OverflowPolicy
	onEvent               func(*Conn, Event)
}

func defaults() config {
	return config{
		timeout:        5 * time.Second,
		inboxPrefix:    "_INBOX",
		maxRounds:      -1,
		maxDelay:       5 * time.Second,
		reconnectBuf:   8 << 20,
		writeBuf:       1 << 20,
		writeTimeout:   10 * time.Second,
		pingInterval:   10 * time.Second,
		maxPings:       2,
		requestTimeout: 5 * time.Second,
		drainTimeout:   30 * time.Second,
		maxInbound:     64 << 20,
		sub:            subConfig{concurrency: 1, limitMsgs: 500_000, limitBytes: 64 << 20},
	}
}

// configure applies and validates everything at once.
func configure(url string, opts []Option) (*config, error) {
	c := defaults()
	var errs []error
	if url == "" {
		url = DefaultURL
	}
	servers, err := reconnect.ParseURLs(url)
	if err != nil {
		errs = append(errs, &OptionError{"url", err.Error()})
	}
	c.servers = servers
	for _, o := range opts {
		name, problem := "", ""
		switch o := o.(type) {
		case connOption:
			name, problem = o.name, o.apply(&c)
		case connSubOption:
			name, problem = o.name, o.conn(&c)
		default:
			name, problem = "nil", "an option is nil"
		}
		if problem != "" {
			errs = append(errs, &OptionError{name, problem})
		}
	}
	if reconnect.Mixed(c.servers) {
		errs = append(errs, errMixed)
	}
	if c.webSocket.header != nil && c.webSocket.headerFunc != nil {
		errs = append(errs, &OptionError{"WebSocketConnectionHeaders", "cannot stand beside WebSocketConnectionHeadersHandler"})
	}
	if c.userInfo != nil && c.token != nil {
		errs = append(errs, &OptionError{"Token", "cannot stand beside UserInfo"})
	}
	return &c, errors.Join(errs...)
}

// configure returns the subscription's settings over the defaults.
func (c subConfig) configure(opts []SubOption) (subConfig, error) {
	var errs []error
	c.onEvent = nil
	for _, o := range opts {
		name, problem := "", ""
		switch o := o.(type) {
		case subOption:
			name, problem = o.name, o.apply(&c)
		case connSubOption:
			name, problem = o.name, o.sub(&c)
		default:
			name, problem = "nil", "an option is nil"
		}
		switch {
		case problem == "":
		case name == "Queue":
			errs = append(errs, &SubjectError{Subject: c.queue, Problem: problem, queue: true})
		default:
			errs = append(errs, &OptionError{name, problem})
		}
	}
	if c.onReader && c.concurrency > 1 {
		errs = append(errs, &OptionError{"OnReader", "cannot stand beside Concurrency"})
	}
	return c, errors.Join(errs...)
}

func (c *config) outbox() outbox.Config {
	return outbox.Config{Limit: c.writeBuf, DownLimit: c.reconnectBuf, Policy: c.whenDown.outbox()}
}

func (c *config) machine() reconnect.Config {
	return reconnect.Config{
		OnePass: !c.retryFirst, NoReconnect: c.noReconnect, MaxRounds: c.maxRounds,
		MinDelay: c.minDelay, MaxDelay: c.maxDelay, AbortOnAuth: c.abortOnAuth,
	}
}

func (c *config) keepAlive() keepalive.Config {
	return keepalive.Config{Interval: c.pingInterval, MaxOutstanding: c.maxPings}
}

// log returns the logger, nil if silence is wanted.
func (c *config) log() *slog.Logger {
	if c.logger == nil {
		return slog.Default()
	}
	return *c.logger
}
