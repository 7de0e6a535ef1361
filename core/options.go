package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/reconnect"
	"github.com/perigee-go/nats/core/internal/subject"
)

// Option configures a Conn. It is given to Connect only. Options are recorded
// first and validated once; all complaints come back joined, each an
// *OptionError. A later option wins over an earlier one of the same name.
type Option interface{ connOption() }

// SubOption configures one Subscription. It is given to Subscribe,
// SubscribeSync and SubscribeChan.
type SubOption interface{ subOption() }

// ConnSubOption is a default for every subscription when given to Connect, and
// an override when given to Subscribe and its siblings.
type ConnSubOption interface {
	Option
	SubOption
}

// connOption sets fields of the config and says what is wrong with its value.
type connOption struct {
	name  string
	apply func(*config) (problem string)
}

func (connOption) connOption() {}

type subOption struct {
	name  string
	apply func(*subConfig) (problem string)
}

func (subOption) subOption() {}

type connSubOption struct {
	name string
	conn func(*config) (problem string)
	sub  func(*subConfig) (problem string)
}

func (connSubOption) connOption() {}
func (connSubOption) subOption()  {}

func option(name string, apply func(*config)) Option {
	return connOption{name, func(c *config) string { apply(c); return "" }}
}

// --- servers and dialing ---

// Servers adds servers to Connect's URL, each in the same form.
func Servers(urls ...string) Option {
	urls = slices.Clone(urls)
	return connOption{"Servers", func(c *config) string {
		for _, u := range urls {
			servers, err := reconnect.ParseURLs(u)
			if err != nil {
				return err.Error()
			}
			c.servers = append(c.servers, servers...)
		}
		return ""
	}}
}

// InProcess takes connections from p instead of dialing: typically an embedded
// *server.Server. TLS is not used on them. The URL is not dialed, but its user
// info counts.
func InProcess(p InProcessProvider) Option {
	return connOption{"InProcess", func(c *config) string {
		if p == nil {
			return "the provider is nil"
		}
		c.inProcess = p
		return ""
	}}
}

// UseDialer opens connections with d: proxies, a source address, multipath TCP,
// tests. If d also has a method TLSDone() bool that returns true, no TLS is laid
// over its connections.
func UseDialer(d Dialer) Option {
	return connOption{"UseDialer", func(c *config) string {
		if d == nil {
			return "the dialer is nil"
		}
		c.dialer = d
		return ""
	}}
}

// DontRandomize keeps the servers in the given order. By default they are
// shuffled once, so that clients spread over a cluster.
func DontRandomize() Option { return option("DontRandomize", func(c *config) { c.keepOrder = true }) }

// IgnoreDiscoveredServers connects only to servers that the user named.
func IgnoreDiscoveredServers() Option {
	return option("IgnoreDiscoveredServers", func(c *config) { c.ignoreDiscovered = true })
}

// Timeout bounds one attempt to connect: dial, TLS, INFO, CONNECT and PONG; the
// re-subscribes have as much again. The addresses of a host name share it; they
// are tried beside each other, 250 ms apart. Default 5 s.
func Timeout(d time.Duration) Option {
	return positive("Timeout", d, func(c *config) { c.timeout = d })
}

func positive(name string, d time.Duration, apply func(*config)) Option {
	return connOption{name, func(c *config) string {
		if d <= 0 {
			return "must be positive, is " + d.String()
		}
		apply(c)
		return ""
	}}
}

// --- TLS ---

// Secure requires TLS, whatever the server says. At most one configuration may
// be given; it is cloned. Without a ServerName in it, the certificate must be
// for the host of the URL.
func Secure(cfg ...*tls.Config) Option {
	many := len(cfg) > 1
	var clone *tls.Config
	if len(cfg) > 0 {
		clone = cfg[0].Clone() // which takes nil
	}
	return connOption{"Secure", func(c *config) string {
		if many {
			return "takes at most one TLS configuration"
		}
		c.secure = true
		if clone != nil {
			c.tls = clone
		}
		return ""
	}}
}

// RootCAs trusts the certificates in the PEM files instead of the system's. They
// are read again at each attempt to connect. It implies Secure.
func RootCAs(files ...string) Option {
	files = slices.Clone(files)
	return connOption{"RootCAs", func(c *config) string {
		if len(files) == 0 {
			return "names no file"
		}
		c.secure = true
		c.roots = func() (*x509.CertPool, error) {
			pool := x509.NewCertPool()
			for _, f := range files {
				if err := checkFileName(f); err != nil {
					return nil, err
				}
				pem, err := os.ReadFile(f)
				if err != nil {
					return nil, err
				}
				if !pool.AppendCertsFromPEM(pem) {
					return nil, fmt.Errorf("%s holds no PEM certificate", f)
				}
			}
			return pool, nil
		}
		_, err := c.roots()
		return text(err)
	}}
}

// ClientCert presents the certificate to the server. The files are read again at
// each attempt to connect, so they may be rotated. It implies Secure.
func ClientCert(certFile, keyFile string) Option {
	return connOption{"ClientCert", func(c *config) string {
		c.secure = true
		c.cert = func() (tls.Certificate, error) { return tls.LoadX509KeyPair(certFile, keyFile) }
		if err := errors.Join(checkFileName(certFile), checkFileName(keyFile)); err != nil {
			return err.Error()
		}
		_, err := c.cert()
		return text(err)
	}}
}

// ClientTLSConfig asks for the certificate and the trusted roots at each attempt
// to connect; either may be nil. It implies Secure.
func ClientTLSConfig(cert func() (tls.Certificate, error), roots func() (*x509.CertPool, error)) Option {
	return connOption{"ClientTLSConfig", func(c *config) string {
		if cert == nil && roots == nil {
			return "needs a certificate or roots"
		}
		c.secure = true
		if cert != nil {
			c.cert = cert
		}
		if roots != nil {
			c.roots = roots
		}
		return ""
	}}
}

// TLSHandshakeFirst begins with TLS instead of waiting for INFO. The server must
// be configured for it. It implies Secure.
func TLSHandshakeFirst() Option {
	return option("TLSHandshakeFirst", func(c *config) { c.secure, c.tlsFirst = true, true })
}

// checkFileName refuses what belongs into a file: a private key in the place of
// its file's name, an easy mistake, would stand in the error.
func checkFileName(name string) error {
	if strings.ContainsAny(name, "\r\n") || strings.Contains(name, "-----BEGIN") {
		return errors.New("this is not the name of a file; is it what belongs into one?")
	}
	return nil
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// --- identity ---

// Name is shown in the server's list of connections.
func Name(s string) Option { return option("Name", func(c *config) { c.name = s }) }

// NoEcho keeps the connection's own messages from its subscriptions.
func NoEcho() Option { return option("NoEcho", func(c *config) { c.noEcho = true }) }

// Verbose makes the server answer each operation with +OK; for debugging only.
func Verbose() Option { return option("Verbose", func(c *config) { c.verbose = true }) }

// Pedantic makes the server check subjects strictly.
func Pedantic() Option { return option("Pedantic", func(c *config) { c.pedantic = true }) }

func needFunc(isNil bool) string {
	if isNil {
		return "the function is nil"
	}
	return ""
}

// --- life of the connection ---

// RetryOnFailedConnect makes Connect return at once. The Conn is then
// StatusConnecting: publishes are buffered, requests wait, and it tries for as
// long as a lost connection would be tried for.
func RetryOnFailedConnect(on bool) Option {
	return option("RetryOnFailedConnect", func(c *config) { c.retryFirst = on })
}

// NoReconnect closes the Conn when its first link is lost.
func NoReconnect() Option { return option("NoReconnect", func(c *config) { c.noReconnect = true }) }

// MaxReconnects closes the Conn after n rounds over all servers failed in a row.
// A link, however short, begins the count anew. 0 is NoReconnect; below 0, the
// default, there is no end.
func MaxReconnects(n int) Option { return option("MaxReconnects", func(c *config) { c.maxRounds = n }) }

// ReconnectBackoff bounds the wait between two rounds over all servers: a random
// time between half of a bound, but at least min, and all of it; the bound
// doubles from 100 ms to max. The first attempt after a loss is made at once, and
// there are never more than 20 in a second. Default 0 and 5 s.
func ReconnectBackoff(min, max time.Duration) Option {
	return connOption{"ReconnectBackoff", func(c *config) string {
		if min < 0 || max < min {
			return fmt.Sprintf("needs 0 <= min <= max, has %v and %v", min, max)
		}
		c.minDelay, c.maxDelay = min, max
		return ""
	}}
}

// CustomReconnectDelay is asked for the wait after each failed round over all
// servers; attempt counts them from 1. It replaces ReconnectBackoff.
func CustomReconnectDelay(f func(attempt int) time.Duration) Option {
	return connOption{"CustomReconnectDelay", func(c *config) string {
		c.customDelay = f
		return needFunc(f == nil)
	}}
}

// AbortOnAuthError closes the Conn when one server refused the credentials with
// the same words this many times in a row. By default it never gives up, but
// asks that server less and less often, down to once a minute.
func AbortOnAuthError(times int) Option {
	return connOption{"AbortOnAuthError", func(c *config) string {
		if times < 1 {
			return "must be at least 1"
		}
		c.abortOnAuth = times
		return ""
	}}
}

// ReconnectBufSize is how many outgoing bytes are kept while no link is up.
// Default 8 MiB.
func ReconnectBufSize(bytes int) Option {
	return connOption{"ReconnectBufSize", func(c *config) string {
		if bytes < 0 {
			return "must not be negative; WhenDisconnected(DisconnectedFail) refuses instead of keeping"
		}
		c.reconnectBuf = bytes
		return ""
	}}
}

// WhenDisconnected says what Publish does while no link is up. Default
// DisconnectedBuffer.
func WhenDisconnected(p DisconnectedPolicy) Option {
	return connOption{"WhenDisconnected", func(c *config) string {
		if p < DisconnectedBuffer || p > DisconnectedFail {
			return fmt.Sprintf("no such policy: %d", int(p))
		}
		c.whenDown = p
		return ""
	}}
}

// DisconnectedPolicy says what Publish does while no link is up.
type DisconnectedPolicy int

const (
	// DisconnectedBuffer keeps up to ReconnectBufSize bytes, then fails with
	// ErrReconnectBufExceeded at once.
	DisconnectedBuffer DisconnectedPolicy = iota
	// DisconnectedBlock keeps as much and then waits for room: Publish at most
	// RequestTimeout, PublishMsg until its ctx ends.
	DisconnectedBlock
	// DisconnectedFail fails with ErrDisconnected at once.
	DisconnectedFail
)

func (p DisconnectedPolicy) outbox() outbox.Policy {
	return [...]outbox.Policy{outbox.Buffer, outbox.Block, outbox.Fail}[p]
}

// WriteBufferSize is how many outgoing bytes may wait on a live link before
// Publish waits for room. Default 1 MiB.
func WriteBufferSize(bytes int) Option {
	return connOption{"WriteBufferSize", func(c *config) string {
		if bytes < 1 {
			return "must be positive"
		}
		c.writeBuf = bytes
		return ""
	}}
}

// WriteTimeout is how long one socket write may take before the link counts as
// dead. A peer that is slow gets little at a time, so one that takes bytes at
// all is not mistaken for dead. Default 10 s.
func WriteTimeout(d time.Duration) Option {
	return positive("WriteTimeout", d, func(c *config) { c.writeTimeout = d })
}

// PingInterval is how long nothing may arrive before a PING asks whether the
// link is alive. Default 10 s; 0 or less switches that off.
func PingInterval(d time.Duration) Option {
	return option("PingInterval", func(c *config) { c.pingInterval = d })
}

// MaxPingsOutstanding is for how many PingIntervals a PING may stay unanswered
// before the link counts as dead. Default 2: with the default interval, a dead
// link is found within 30 s.
func MaxPingsOutstanding(n int) Option {
	return connOption{"MaxPingsOutstanding", func(c *config) string {
		if n < 1 {
			return "must be at least 1"
		}
		c.maxPings = n
		return ""
	}}
}

// RequestTimeout bounds Request, Flush, RTT and Barrier when their ctx has no
// deadline. Default 5 s.
func RequestTimeout(d time.Duration) Option {
	return positive("RequestTimeout", d, func(c *config) { c.requestTimeout = d })
}

// DrainTimeout bounds Drain when its ctx has no deadline. Default 30 s.
func DrainTimeout(d time.Duration) Option {
	return positive("DrainTimeout", d, func(c *config) { c.drainTimeout = d })
}

// CustomInboxPrefix replaces "_INBOX" as the first tokens of inboxes.
func CustomInboxPrefix(prefix string) Option {
	return connOption{"CustomInboxPrefix", func(c *config) string {
		if p := subject.CheckPublish(prefix); p != "" {
			return fmt.Sprintf("%q: %s", prefix, p)
		}
		if len(prefix) > maxSubject/4 {
			return tooLong // with the rest of the inbox, in a line with a subject
		}
		c.inboxPrefix = prefix
		return ""
	}}
}

// MaxInboundPayload is the largest message, header and payload, that is taken
// from a server: a guard against a bad one. A larger one ends the link. Default
// 64 MiB, which is the most that servers can be configured for. Frames of a
// WebSocket may be longer: they are taken in pieces.
func MaxInboundPayload(bytes int) Option {
	return connOption{"MaxInboundPayload", func(c *config) string {
		if bytes < 1 || bytes > 999_999_999 {
			return "must be from 1 to 999,999,999"
		}
		c.maxInbound = bytes
		return ""
	}}
}

// --- what we hear ---

// EventHandler is told what happens, in order, on one goroutine of the Conn. On
// Connect it hears everything; on Subscribe, what concerns that subscription
// and the link, of which the Logger is told too. A handler may call anything.
// When more than 4,096 events wait for it, new ones are dropped and counted in
// Stats.
func EventHandler(f func(*Conn, Event)) ConnSubOption {
	return connSubOption{"EventHandler",
		func(c *config) string { c.onEvent = f; return needFunc(f == nil) },
		func(c *subConfig) string { c.onEvent = f; return needFunc(f == nil) },
	}
}

// Logger takes what no EventHandler does: lost links, slow consumers,
// asynchronous errors, one line an episode. Default slog.Default(); nil is
// silent.
func Logger(l *slog.Logger) Option { return option("Logger", func(c *config) { c.logger = &l }) }

// UseTracer tells t of the start and end of every operation. nil, the default,
// costs nothing.
func UseTracer(t Tracer) Option { return option("UseTracer", func(c *config) { c.tracer = t }) }

// RecoverHandlers hands panics of message handlers to f instead of letting them
// end the process, which is the default. The subscription goes on with the next
// message.
func RecoverHandlers(f func(m Msg, recovered any)) Option {
	return connOption{"RecoverHandlers", func(c *config) string {
		c.recoverer = f
		return needFunc(f == nil)
	}}
}

// --- interfaces a user may implement ---

// Dialer opens the byte stream to a server. *net.Dialer is one. See UseDialer
// for TLSDone.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// InProcessProvider hands out in-memory connections to a server; *server.Server
// of nats-server is one.
type InProcessProvider interface{ InProcessConn() (net.Conn, error) }
