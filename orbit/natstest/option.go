package natstest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Option shapes a server, a cluster or a server process. Options are recorded
// in the order given, a later one wins over an earlier one, and all complaints
// about them are returned together by the call that starts the server.
type Option interface {
	apply(*settings)
}

type optionFunc func(*settings)

func (f optionFunc) apply(s *settings) { f(s) }

// JetStream enables JetStream. The store is a temporary directory that Stop
// removes, unless StoreDir names one. Clusters have it on anyway.
func JetStream() Option {
	return optionFunc(func(s *settings) { s.JetStream = true })
}

// NoJetStream leaves JetStream out of a cluster, which then starts faster.
func NoJetStream() Option {
	return optionFunc(func(s *settings) { s.JetStream, s.NoJetStream = false, true })
}

// StoreDir enables JetStream with a store in dir that survives Stop. The
// servers of a cluster take a subdirectory each, named after the server.
func StoreDir(dir string) Option {
	return optionFunc(func(s *settings) {
		s.JetStream, s.StoreDir = true, dir
		s.complainIf(dir == "", "StoreDir: empty directory name")
	})
}

// JetStreamDomain enables JetStream in this domain. Servers that leaf nodes
// connect need different ones to be two JetStreams.
func JetStreamDomain(name string) Option {
	return optionFunc(func(s *settings) {
		s.JetStream, s.JetStreamDomain = true, name
		s.complainIf(name == "", "JetStreamDomain: empty name")
	})
}

// UserPassword makes the server ask for this one user name and password.
func UserPassword(user, password string) Option {
	return optionFunc(func(s *settings) {
		s.User, s.Password, s.Users = user, password, nil
		s.complainIf(user == "", "UserPassword: empty user name")
	})
}

// Token makes the server ask for this token.
func Token(token string) Option {
	return optionFunc(func(s *settings) {
		s.Token, s.Users = token, nil
		s.complainIf(token == "", "Token: empty token")
	})
}

// TLS makes the server require TLS with a certificate for localhost, 127.0.0.1
// and ::1, signed by a certificate authority made for this server (or cluster)
// alone. The CA and a client certificate are to be had from the server: see
// CA, CAFile, ClientCert, ClientCertFiles and ClientTLSConfig.
func TLS() Option {
	return optionFunc(func(s *settings) { s.TLS = true })
}

// TLSVerify is TLS, and clients must present a certificate signed by the
// server's CA, such as ClientCert.
func TLSVerify() Option {
	return optionFunc(func(s *settings) { s.TLS, s.TLSVerify = true, true })
}

// TLSHandshakeFirst is TLS, and the handshake comes before the server's INFO.
// Clients that wait for INFO first get nothing.
func TLSHandshakeFirst() Option {
	return optionFunc(func(s *settings) { s.TLS, s.TLSFirst = true, true })
}

// AllowNonTLS is TLS for those who want it: the server offers it in INFO and
// takes plain connections as well. URL then has the scheme nats.
func AllowNonTLS() Option {
	return optionFunc(func(s *settings) { s.TLS, s.AllowNonTLS = true, true })
}

// WebSocket adds a WebSocket listener on a free port, with TLS when the server
// has TLS. See WebSocketURL.
func WebSocket() Option {
	return optionFunc(func(s *settings) { s.WebSocket = true })
}

// Config starts from the text of a server configuration; every other option
// is laid on top of it. What the text does not say gets natstest's defaults:
// 127.0.0.1, a free port, a temporary store.
func Config(text string) Option {
	return optionFunc(func(s *settings) { s.Config, s.ConfigFile = text, "" })
}

// ConfigFile is Config with the text in a file, to which the file's includes
// are relative.
func ConfigFile(path string) Option {
	return optionFunc(func(s *settings) {
		s.Config, s.ConfigFile = "", path
		s.complainIf(path == "", "ConfigFile: empty path")
	})
}

// Port makes the server listen on this port. The default is a free one, which
// the server keeps to itself until Stop, also while it is down. Not for
// clusters.
func Port(n int) Option {
	return optionFunc(func(s *settings) {
		s.Port = n
		s.complainIf(n != -1 && (n < 1 || n > 65535), "Port: %d is not a port", n)
	})
}

// Host makes the server listen on this address; the default is 127.0.0.1.
func Host(address string) Option {
	return optionFunc(func(s *settings) {
		s.Host = address
		s.complainIf(address == "", "Host: empty address")
	})
}

// Name sets the server's name; in a cluster it is the cluster's name, and the
// servers are called name-0, name-1 and so on. The default is made of a random
// word, so that it differs between servers.
func Name(name string) Option {
	return optionFunc(func(s *settings) {
		s.Name = name
		s.complainIf(name == "", "Name: empty name")
	})
}

// MaxPayload sets the largest message payload that the server takes, in bytes.
// The server's default is 1 MiB.
func MaxPayload(bytes int) Option {
	return optionFunc(func(s *settings) {
		s.MaxPayload = int32(bytes)
		s.complainIf(bytes < 1 || bytes > maxPayloadLimit, "MaxPayload: %d is out of range", bytes)
	})
}

const maxPayloadLimit = 64 << 20 // the server refuses more than its max_pending, which is 64 MiB

// PingInterval sets how often the server pings a quiet client, and how many
// unanswered pings end the connection. The server's defaults are 2 minutes
// and 2.
func PingInterval(interval time.Duration, maxOut int) Option {
	return optionFunc(func(s *settings) {
		s.PingInterval, s.MaxPingsOut = interval, maxOut
		s.complainIf(interval <= 0 || maxOut < 1, "PingInterval: interval and count must be positive")
	})
}

// LameDuck sets how long lame duck mode takes: after the grace period the
// server closes its clients one by one over what is left of the duration (and
// over one second if nothing is left). The default is 500 ms with 100 ms of
// grace, far less than the server's own.
func LameDuck(duration, grace time.Duration) Option {
	return optionFunc(func(s *settings) {
		s.LameDuckDuration, s.LameDuckGrace = duration, grace
		s.complainIf(grace <= 0 || grace >= duration, "LameDuck: need 0 < grace < duration")
	})
}

// LogTo writes the server's log to w, one line per Write, by default at the
// server's notice level; Write is called by one goroutine at a time, until
// Stop returns. There is no log otherwise. With a test's own output, as in
// LogTo(t.Output()), the log shows up with the test.
func LogTo(w io.Writer) Option {
	return optionFunc(func(s *settings) {
		s.logTo = &lockedWriter{w: w}
		s.complainIf(w == nil, "LogTo: nil writer")
	})
}

// Debug adds the server's debug lines to the log.
func Debug() Option {
	return optionFunc(func(s *settings) { s.Debug = true })
}

// Trace adds the protocol as the server sees it to the log, passwords and
// payloads included.
func Trace() Option {
	return optionFunc(func(s *settings) { s.Trace = true })
}

// Logger hands the server's log to l, which must be safe for concurrent use.
// A Fatalf that returns is welcome: natstest turns it into an error. Not for
// processes.
func Logger(l server.Logger) Option {
	return optionFunc(func(s *settings) {
		s.logger = l
		s.complainIf(l == nil, "Logger: nil logger")
	})
}

// ServerOptions is the way to all else that a server can be told: change gets
// the finished options before the server is made, once for each start and each
// Reload, and must set the same each time. Not for processes, which cannot be
// handed a function.
func ServerOptions(change func(*server.Options)) Option {
	return optionFunc(func(s *settings) {
		s.changes = append(s.changes, change)
		s.complainIf(change == nil, "ServerOptions: nil function")
	})
}

// settings is what the options recorded. The exported fields travel as JSON to
// a server process; the others cannot.
type settings struct {
	Name, Host               string
	Port                     int
	Config, ConfigFile       string
	User, Password, Token    string
	Users                    []User
	Trust                    *trust // as of the last start or change; see refreshTrust
	FullResolver             bool
	ResolverDir              string
	JetStreamDomain          string
	LeafNodes                bool
	Leaf                     []leafRemote
	JetStream, NoJetStream   bool
	StoreDir                 string
	TLS, TLSVerify, TLSFirst bool
	AllowNonTLS              bool
	WebSocket                bool
	Pinned                   []int // see pinPorts
	MaxPayload               int32
	PingInterval             time.Duration
	MaxPingsOut              int
	LameDuckDuration         time.Duration
	LameDuckGrace            time.Duration
	Debug, Trace             bool
	CertDir                  string
	Cluster                  clusterSettings

	logTo      io.Writer
	logger     server.Logger
	operator   *Operator
	changes    []func(*server.Options)
	complaints []error
}

// clusterSettings is a server's place in a cluster; the zero value is a server
// on its own.
type clusterSettings struct {
	Name     string
	Routes   []string
	Gateways []gateway // of all clusters of a super-cluster, the own one included
}

// gateway is where the servers of a cluster take gateway connections.
type gateway struct {
	Cluster string
	URLs    []string
}

func newSettings(opts []Option) *settings {
	s := &settings{}
	s.add(opts)
	return s
}

// with returns settings with further options on top.
func (s *settings) with(opts []Option) *settings {
	next := *s
	next.changes = slices.Clip(s.changes)
	next.add(opts)
	return &next
}

func (s *settings) add(opts []Option) {
	for _, o := range opts {
		if o == nil {
			s.complainIf(true, "nil Option")
			continue
		}
		o.apply(s)
	}
	s.complainIf(s.Token != "" && s.User != "", "Token and UserPassword exclude each other")
	s.complainIf(s.logTo != nil && s.logger != nil, "LogTo and Logger exclude each other")
	s.complainIf(s.operator != nil && (s.Token != "" || s.User != "" || s.Users != nil),
		"an Operator excludes Token, UserPassword and Users")
	s.complainIf(s.operator == nil && s.FullResolver, "FullResolver needs an Operator")
}

func (s *settings) complainIf(wrong bool, format string, args ...any) {
	if wrong {
		s.complaints = append(s.complaints, fmt.Errorf(format, args...))
	}
}

func (s *settings) err() error { return errors.Join(s.complaints...) }
