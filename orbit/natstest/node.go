package natstest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// node is a server of a cluster, wherever it runs.
type node interface {
	comparable
	Name() string
	URL() string
	WebSocketURL() string
	LeafURL() string
	Running() bool
	Restart() error
	LameDuck() <-chan struct{}
	Stop()
	reconfigure([]Option) error

	// status asks the server how it stands. It fails if the server is down or
	// does not answer.
	status(context.Context, question) (status, error)
	settings() *settings // before the first start
	attach(testing.TB)
}

// question is what a node is asked beyond the general. The stream and the
// consumer may be "".
type question struct {
	Account, Stream, Consumer string
}

// status is how a server stands.
type status struct {
	Routes, RoutesPerPeer int
	JetStream             bool
	MetaLeader            bool
	Current               bool     // up to date with the meta leader
	Peers                 []string // as the meta leader sees them
	Leads                 bool     // the stream or consumer of the question
	LeafNodes             int
	Hubs                  int            // leaf node connections that the server made
	Outbound              []string       // clusters that the server's gateway connections go to
	Inbound               map[string]int // gateway connections from clusters
}

func statusOf(srv *server.Server, routesPerPeer int, q question) status {
	s := status{
		Routes:        srv.NumRoutes(),
		RoutesPerPeer: routesPerPeer,
		JetStream:     srv.JetStreamEnabled(),
	}
	if srv.JetStreamIsClustered() {
		s.MetaLeader = srv.JetStreamIsLeader()
		s.Current = srv.JetStreamIsCurrent() // panics in others
		s.Peers = srv.JetStreamClusterPeers()
	}
	if leafz, err := srv.Leafz(nil); err == nil {
		s.LeafNodes = len(leafz.Leafs)
		for _, leaf := range leafz.Leafs {
			if leaf.IsSpoke {
				s.Hubs++
			}
		}
	}
	if gatewayz, err := srv.Gatewayz(nil); err == nil {
		s.Outbound = slices.Collect(maps.Keys(gatewayz.OutboundGateways))
		s.Inbound = map[string]int{}
		for cluster, connections := range gatewayz.InboundGateways {
			s.Inbound[cluster] = len(connections)
		}
	}
	switch {
	case q.Consumer != "":
		s.Leads = srv.JetStreamIsConsumerLeader(q.Account, q.Stream, q.Consumer)
	case q.Stream != "":
		s.Leads = srv.JetStreamIsStreamLeader(q.Account, q.Stream)
	}
	return s
}

func (s *Server) status(_ context.Context, q question) (status, error) {
	l := s.life()
	if !l.srv.Running() {
		return status{}, ErrDown
	}
	return statusOf(l.srv, l.routesPerPeer, q), nil
}

func (s *Server) settings() *settings { return s.set }

func (s *Server) attach(t testing.TB) { s.t = t }

func (p *Process) status(ctx context.Context, q question) (status, error) {
	return p.child().status(ctx, q)
}

func (p *Process) settings() *settings { return p.set }

func (p *Process) attach(t testing.TB) { p.t = t }

// peerURLs are where the server of these settings takes routes and gateway
// connections; the latter is "" if it does not.
func peerURLs(set *settings) (route, gateway string, err error) {
	o, err := set.serverOptions()
	if err != nil {
		return "", "", fmt.Errorf("server %s: %w", set.Name, err)
	}
	route = "nats://" + reachable(&net.TCPAddr{IP: net.ParseIP(o.Cluster.Host), Port: o.Cluster.Port})
	if o.Gateway.Port != 0 {
		gateway = "nats://" + reachable(&net.TCPAddr{IP: net.ParseIP(o.Gateway.Host), Port: o.Gateway.Port})
	}
	return route, gateway, nil
}
