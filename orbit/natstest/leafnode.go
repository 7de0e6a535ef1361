package natstest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// LeafNodes makes the server a hub: leaf nodes may connect, on a port of their
// own and with TLS when the server has TLS. See LeafURL.
func LeafNodes() Option {
	return optionFunc(func(s *settings) { s.LeafNodes = true })
}

// Hub is where a leaf node connects to.
type Hub struct {
	// URL is what LeafURL of the hub returns, or the URL of a [Proxy] before it.
	// It may be several URLs, separated by commas: the leaf node uses one at a
	// time and no others that it hears of.
	URL string
	// User and Password, or Credentials, say who the leaf node is at the hub,
	// and with this the hub's account. Neither is needed if the hub asks nobody.
	User, Password string
	Credentials    *Credentials
	// Account is the account of the leaf node's own that is connected, by name
	// or, with an Operator, by public key. "" stands for the default account,
	// which servers of an operator do not have.
	Account string
	// CAFile, CertFile and KeyFile are for hubs with TLS: CAFile of the hub and,
	// if it has TLSVerify, what its ClientCertFiles returns.
	CAFile, CertFile, KeyFile string
}

// LeafNode makes the server a leaf node of this hub, and of one more hub each
// time it is given. Run and its relatives return when the server is connected
// to all; Restart does not wait for hubs, see WaitLeafNodes. In a cluster each
// server is connected. A leaf node that loses its hub tries again ten times a
// second.
func LeafNode(hub Hub) Option {
	return optionFunc(func(s *settings) {
		remote := leafRemote{Hub: hub}
		if hub.Credentials != nil {
			remote.Creds, remote.Credentials = hub.Credentials.Bytes(), nil
		}
		s.Leaf = append(s.Leaf[:len(s.Leaf):len(s.Leaf)], remote)
		s.complainIf(hub.URL == "", "LeafNode: no URL of a hub")
		s.complainIf((hub.CertFile == "") != (hub.KeyFile == ""), "LeafNode: certificate and key need each other")
		s.complainIf(hub.User != "" && hub.Credentials != nil, "LeafNode: User and Credentials exclude each other")
	})
}

// leafRemote is a Hub that can travel to a server process.
type leafRemote struct {
	Hub
	Creds     []byte
	CredsFile string // where a server finds them
}

const leafReconnect = 100 * time.Millisecond

// provisionLeaf writes the credentials for hubs.
func (r *resources) provisionLeaf(set *settings) error {
	remotes := make([]leafRemote, len(set.Leaf))
	for i, remote := range set.Leaf {
		if remote.Creds != nil {
			dir, err := r.temp()
			if err != nil {
				return err
			}
			remote.CredsFile = filepath.Join(dir, fmt.Sprintf("hub-%d.creds", i))
			if err := os.WriteFile(remote.CredsFile, remote.Creds, 0o600); err != nil {
				return fmt.Errorf("leaf node: %w", err)
			}
		}
		remotes[i] = remote
	}
	set.Leaf = remotes // which clusters must not share
	return nil
}

func (s *settings) setLeaf(o *server.Options) error {
	if s.LeafNodes {
		setDefault(&o.LeafNode.Port, -1)
		if o.LeafNode.TLSConfig == nil {
			o.LeafNode.TLSConfig = o.TLSConfig.Clone()
		}
	}
	if len(s.Leaf) > 0 {
		setDefault(&o.LeafNode.ReconnectInterval, leafReconnect)
	}
	for _, remote := range s.Leaf {
		r, err := remote.options()
		if err != nil {
			return fmt.Errorf("leaf node: %w", err)
		}
		o.LeafNode.Remotes = append(o.LeafNode.Remotes, r)
	}
	return nil
}

func (l leafRemote) options() (*server.RemoteLeafOpts, error) {
	urls, err := parseURLs(strings.Split(l.URL, ","))
	if err != nil {
		return nil, err
	}
	r := &server.RemoteLeafOpts{
		URLs: urls, LocalAccount: l.Account, Credentials: l.CredsFile, IgnoreDiscoveredServers: true,
	}
	for _, u := range urls {
		r.TLS = r.TLS || u.Scheme == "tls"
		if l.User != "" {
			u.User = url.UserPassword(l.User, l.Password)
		}
	}
	if l.CAFile == "" && l.CertFile == "" {
		return r, nil
	}
	r.TLS, r.TLSConfig = true, &tls.Config{MinVersion: tls.VersionTLS12}
	if l.CAFile != "" {
		text, err := os.ReadFile(l.CAFile)
		if err != nil {
			return nil, err
		}
		r.TLSConfig.RootCAs = x509.NewCertPool()
		if !r.TLSConfig.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate", l.CAFile)
		}
	}
	if l.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(l.CertFile, l.KeyFile)
		if err != nil {
			return nil, err
		}
		r.TLSConfig.Certificates = []tls.Certificate{cert}
	}
	return r, nil
}

// waitHubs waits until a node is connected to its hubs.
func waitHubs[N node](n N) error {
	hubs := len(n.settings().Leaf)
	if hubs == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	connected := false
	err := poll(ctx, func() bool {
		s, err := n.status(ctx, question{})
		connected = err == nil && s.Hubs >= hubs
		return connected || !n.Running()
	})
	switch {
	case err != nil:
		return fmt.Errorf("server %s: not connected to its hub after %v", n.Name(), readyTimeout)
	case !connected:
		return fmt.Errorf("server %s: %w", n.Name(), ErrDown)
	}
	return nil
}

// NumLeafNodes returns the number of leaf node connections: those of a hub to
// leaf nodes and that of a leaf node to each hub.
func (s *Server) NumLeafNodes() int { return s.Embedded().NumLeafNodes() }

// DisconnectLeafNodes closes all leaf node connections of the server, at once
// and without a word. It returns how many there were. Leaf nodes come back by
// themselves.
func (s *Server) DisconnectLeafNodes() int {
	srv := s.Embedded()
	leafz, err := srv.Leafz(nil)
	if err != nil {
		return 0
	}
	n := 0
	for _, leaf := range leafz.Leafs {
		if srv.DisconnectClientByID(leaf.ID) == nil {
			n++
		}
	}
	return n
}

// WaitLeafNodes waits until the server has n leaf node connections, see
// NumLeafNodes. A context without a deadline gets 30 s.
func (s *Server) WaitLeafNodes(ctx context.Context, n int) error { return waitLeafNodes(ctx, s, n) }

// WaitLeafNodes waits until the server has n leaf node connections, as
// Server.WaitLeafNodes does.
func (p *Process) WaitLeafNodes(ctx context.Context, n int) error { return waitLeafNodes(ctx, p, n) }

func waitLeafNodes[N node](ctx context.Context, one N, n int) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	var now int
	err := poll(ctx, func() bool {
		s, err := one.status(ctx, question{})
		now = s.LeafNodes
		return err == nil && now == n
	})
	if err != nil {
		return fmt.Errorf("natstest: server %s: wait for %d leaf node connections (there are %d): %w", one.Name(), n, now, err)
	}
	return nil
}

// WaitLeafNodes waits until the servers that are up have n leaf node
// connections together, see Server.NumLeafNodes. A context without a deadline
// gets 30 s.
func (g *group[N]) WaitLeafNodes(ctx context.Context, n int) error {
	return g.wait(ctx, fmt.Sprintf("%d leaf node connections", n), func(ctx context.Context) bool {
		sum := 0
		for _, one := range g.running() {
			s, err := one.status(ctx, question{})
			if err != nil {
				return false
			}
			sum += s.LeafNodes
		}
		return sum == n
	})
}

// LeafURL returns the URLs for leaf nodes of all servers, separated by commas.
func (g *group[N]) LeafURL() string { return g.urls(N.LeafURL) }

// WebSocketURL returns the WebSocket URLs of all servers, separated by commas,
// or "" without WebSocket listeners.
func (g *group[N]) WebSocketURL() string { return g.urls(N.WebSocketURL) }

// LeafURL returns the URL for leaf nodes: nats-leaf://host:port or, with TLS,
// tls://host:port; or "" without a listener for them.
func (s *Server) LeafURL() string { return s.life().leafURL }

// LeafURL returns the URL for leaf nodes, as Server.LeafURL does.
func (p *Process) LeafURL() string { return p.child().report.LeafURL }
