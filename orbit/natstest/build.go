package natstest

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	defaultHost          = "127.0.0.1"
	defaultLameDuck      = 500 * time.Millisecond
	defaultLameDuckGrace = 100 * time.Millisecond
)

// serverOptions makes the options of one life of a server. They are made anew
// for each life because the server writes into the ones it was given.
func (s *settings) serverOptions() (*server.Options, error) {
	o := &server.Options{}
	if err := s.readConfig(o); err != nil {
		return nil, err
	}
	s.setNetwork(o)
	s.setJetStream(o)
	s.setAuth(o)
	s.setLimits(o)
	if err := s.setTrust(o); err != nil {
		return nil, err
	}
	if err := s.setTLS(o); err != nil {
		return nil, err
	}
	if err := s.setCluster(o); err != nil {
		return nil, err
	}
	if err := s.setLeaf(o); err != nil {
		return nil, err
	}
	o.NoSigs = true // the signals of the test binary are not the server's
	o.NoLog = true  // the logger is set by hand, see newLogger
	for _, change := range s.changes {
		change(o)
	}
	s.pinPorts(o)
	sortForReload(o)
	return o, nil
}

// sortForReload brings lists into the order that a reload sorts them into. The
// server sorts those it works with in place, while other goroutines of it read
// them; what is sorted already is not written to.
func sortForReload(o *server.Options) {
	slices.SortFunc(o.Routes, func(a, b *url.URL) int { return cmp.Compare(a.String(), b.String()) })
	slices.SortFunc(o.Gateway.Gateways, func(a, b *server.RemoteGatewayOpts) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(o.Users, func(a, b *server.User) int { return cmp.Compare(a.Username, b.Username) })
	slices.SortFunc(o.Nkeys, func(a, b *server.NkeyUser) int { return cmp.Compare(a.Nkey, b.Nkey) })
}

func (s *settings) readConfig(o *server.Options) error {
	var err error
	switch {
	case s.ConfigFile != "":
		err = o.ProcessConfigFile(s.ConfigFile)
	case s.Config != "":
		err = o.ProcessConfigString(s.Config)
	}
	// The server reports warnings as an error, too; its own main goes on.
	if w, ok := err.(interface{ Errors() []error }); ok && len(w.Errors()) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}

func (s *settings) setNetwork(o *server.Options) {
	setIf(&o.Host, s.Host)
	setDefault(&o.Host, defaultHost)
	setIf(&o.Port, s.Port)
	setDefault(&o.Port, -1)
	setIf(&o.ServerName, s.Name)
	if s.WebSocket {
		setDefault(&o.Websocket.Port, -1)
	}
	// A PING two seconds after the connect helps nobody who counts bytes.
	o.DisableShortFirstPing = true
}

func (s *settings) setJetStream(o *server.Options) {
	o.JetStream = (o.JetStream || s.JetStream) && !s.NoJetStream
	setIf(&o.StoreDir, s.StoreDir)
	setIf(&o.JetStreamDomain, s.JetStreamDomain)
}

func (s *settings) setAuth(o *server.Options) {
	if s.User != "" {
		o.Username, o.Password = s.User, s.Password
	}
	setIf(&o.Authorization, s.Token)
	s.setUsers(o)
}

func (s *settings) setLimits(o *server.Options) {
	setIf(&o.MaxPayload, s.MaxPayload)
	setIf(&o.PingInterval, s.PingInterval)
	setIf(&o.MaxPingsOut, s.MaxPingsOut)
	if s.LameDuckDuration > 0 {
		o.LameDuckDuration, o.LameDuckGracePeriod = s.LameDuckDuration, s.LameDuckGrace
	}
	if o.LameDuckDuration == 0 && o.LameDuckGracePeriod == 0 {
		o.LameDuckDuration, o.LameDuckGracePeriod = defaultLameDuck, defaultLameDuckGrace
	}
	o.Debug = o.Debug || s.Debug
	o.Trace = o.Trace || s.Trace
}

func (s *settings) setTLS(o *server.Options) error {
	if s.TLS {
		config, err := s.serverTLSConfig()
		if err != nil {
			return fmt.Errorf("certificates: %w", err)
		}
		if s.TLSVerify {
			config.ClientAuth = tls.RequireAndVerifyClientCert
		}
		o.TLS, o.TLSConfig = true, config
		o.TLSVerify = s.TLSVerify
		o.TLSHandshakeFirst = s.TLSFirst
		o.AllowNonTLS = s.AllowNonTLS
	}
	if s.WebSocket && o.Websocket.TLSConfig == nil {
		o.Websocket.TLSConfig = o.TLSConfig.Clone()
		o.Websocket.NoTLS = o.TLSConfig == nil
	}
	return nil
}

func (s *settings) serverTLSConfig() (*tls.Config, error) {
	certs, err := loadCerts(s.CertDir)
	if err != nil {
		return nil, err
	}
	return certs.serverTLSConfig()
}

func (s *settings) setCluster(o *server.Options) error {
	if s.Cluster.Name == "" {
		return nil
	}
	o.Cluster.Name, o.Cluster.Port = s.Cluster.Name, -1
	routes, err := parseURLs(s.Cluster.Routes)
	if err != nil {
		return fmt.Errorf("route: %w", err)
	}
	o.Routes = append(o.Routes, routes...)
	if len(s.Cluster.Gateways) == 0 {
		return nil
	}
	o.Gateway.Name, o.Gateway.Port = s.Cluster.Name, -1
	for _, g := range s.Cluster.Gateways {
		urls, err := parseURLs(g.URLs)
		if err != nil {
			return fmt.Errorf("gateway: %w", err)
		}
		o.Gateway.Gateways = append(o.Gateway.Gateways, &server.RemoteGatewayOpts{Name: g.Cluster, URLs: urls})
	}
	return nil
}

func parseURLs(texts []string) ([]*url.URL, error) {
	var urls []*url.URL
	for _, text := range texts {
		u, err := url.Parse(text)
		if err != nil {
			return nil, errors.New("not a URL") // which may hold a password
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// listener is where one of a server's listeners is configured.
type listener struct {
	host *string
	port *int
}

func listeners(o *server.Options) []listener {
	return []listener{
		{&o.Host, &o.Port},
		{&o.Cluster.Host, &o.Cluster.Port},
		{&o.Websocket.Host, &o.Websocket.Port},
		{&o.LeafNode.Host, &o.LeafNode.Port},
		{&o.Gateway.Host, &o.Gateway.Port},
		{&o.MQTT.Host, &o.MQTT.Port},
		{&o.HTTPHost, &o.HTTPPort},
		{&o.HTTPHost, &o.HTTPSPort},
	}
}

// pinPorts replaces each "any free port" with the one that was leased for it,
// so that a server comes back where it was. Pinned is in the order of
// listeners, zero where nothing was leased.
func (s *settings) pinPorts(o *server.Options) {
	for i, l := range listeners(o) {
		if *l.port == 0 {
			continue
		}
		setDefault(l.host, o.Host)
		if *l.port == -1 && i < len(s.Pinned) && s.Pinned[i] != 0 {
			*l.port = s.Pinned[i]
		}
	}
}

// setIf overwrites *field with value unless value is zero.
func setIf[T comparable](field *T, value T) {
	var zero T
	if value != zero {
		*field = value
	}
}

// setDefault sets *field to value if it is zero.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
