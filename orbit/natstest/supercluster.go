package natstest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// SuperCluster is several clusters in this process that are connected by
// gateways. Faults are made to its servers one by one, or to a Cluster of it.
// All methods are safe for concurrent use.
type SuperCluster struct {
	servers
	clusters []*Cluster
}

// RunSuperCluster starts n clusters, at least 2, of m servers each and stops
// them when the test and its subtests are done. It returns when each cluster is
// connected with each other one, both ways, and, with JetStream, which is on
// unless NoJetStream is among the options, one leader sees all servers: that
// takes some seconds. It calls t.Fatal if that fails, so it must be called from
// the test's goroutine.
//
// The options hold for every server. Name is the super-cluster's name, the
// clusters are called name-0, name-1 and so on, and their servers name-0-0.
// StoreDir is the parent of the servers' stores; Port is refused.
func RunSuperCluster(t testing.TB, n, m int, opts ...Option) *SuperCluster {
	t.Helper()
	s, err := StartSuperCluster(n, m, opts...)
	if err != nil {
		t.Fatal(err)
	}
	s.attach(t)
	return s
}

// StartSuperCluster is RunSuperCluster for programs: it returns the error
// instead, and the caller calls Stop.
func StartSuperCluster(n, m int, opts ...Option) (*SuperCluster, error) {
	s := &SuperCluster{}
	if err := s.start(n, m, newSettings(opts)); err != nil {
		s.Stop()
		return nil, fmt.Errorf("natstest: start super-cluster: %w", err)
	}
	return s, nil
}

func (s *SuperCluster) start(n, m int, set *settings) error {
	set.complainIf(n < 2, "a super-cluster needs at least 2 clusters, not %d", n)
	set.complainIf(m < 1, "a cluster needs at least 1 server, not %d", m)
	if err := s.prepare(set); err != nil {
		return err
	}
	for i := range n {
		if err := s.addCluster(fmt.Sprintf("%s-%d", set.Name, i), n, m, set); err != nil {
			return err
		}
	}
	if err := meet(s.parts); err != nil {
		return err
	}
	// The server waits a second, and its first election fails meanwhile. There
	// is no option for it; the setting is that of all servers in the process.
	server.SetGatewaysSolicitDelay(gatewayDelay)
	return s.launch()
}

// gatewayDelay is what the servers are given to start before they are sought.
const gatewayDelay = 100 * time.Millisecond

// addCluster makes the servers of one of n clusters without starting them.
func (s *SuperCluster) addCluster(name string, n, m int, common *settings) error {
	set := *common
	set.Name = name
	set.Cluster.Gateways = make([]gateway, n) // each server gets a gateway port; see meet
	c := &Cluster{}
	c.certificates, c.super = s.certificates, &s.group
	err := c.make(m, &set, newServer)
	s.clusters = append(s.clusters, c)
	s.parts = append(s.parts, &c.group)
	s.nodes = append(s.nodes, c.nodes...)
	return err
}

// meet tells all nodes where the gateways of all clusters are.
func meet[N node](clusters []*group[N]) error {
	var gateways []gateway
	for _, c := range clusters {
		g := gateway{Cluster: c.name}
		for _, n := range c.nodes {
			_, u, err := peerURLs(n.settings())
			if err != nil {
				return err
			}
			g.URLs = append(g.URLs, u)
		}
		gateways = append(gateways, g)
	}
	for _, c := range clusters {
		for _, n := range c.nodes {
			n.settings().Cluster.Gateways = gateways
		}
	}
	return nil
}

// bridged reports whether each node that is up has a gateway connection to each
// other cluster that is, and whether these know it.
func bridged[N node](clusters []*group[N], up map[N]status) bool {
	for _, from := range clusters {
		for _, to := range clusters {
			senders, receivers := from.among(up), to.among(up)
			if from == to || len(senders) == 0 || len(receivers) == 0 {
				continue
			}
			arrived := 0
			for _, s := range receivers {
				arrived += s.Inbound[from.name]
			}
			left := func(s status) bool { return !slices.Contains(s.Outbound, to.name) }
			if arrived < len(senders) || slices.ContainsFunc(senders, left) {
				return false
			}
		}
	}
	return true
}

// Clusters returns the clusters in the order in which they were made. The slice
// is the caller's.
func (s *SuperCluster) Clusters() []*Cluster { return slices.Clone(s.clusters) }

// Cluster returns cluster i, counted from 0. It panics if there is none.
func (s *SuperCluster) Cluster(i int) *Cluster { return s.clusters[i] }
