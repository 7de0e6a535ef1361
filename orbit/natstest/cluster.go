package natstest

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster is several servers in this process that are connected by routes. The
// servers are started, stopped and asked one by one; the cluster is what they
// have in common. All methods are safe for concurrent use.
type Cluster struct {
	servers
}

// servers are those of a cluster or a super-cluster. The exported methods are
// those of Cluster and SuperCluster.
type servers struct {
	group[*Server]
}

// RunCluster starts a cluster of n servers, at least 2, and stops it when the
// test and its subtests are done. It returns when the servers know each other
// and, with JetStream, which is on unless NoJetStream is among the options,
// have a leader that sees them all: some hundred milliseconds. It calls t.Fatal
// if that fails, so it must be called from the test's goroutine.
//
// The options hold for every server. Name is the cluster's name, StoreDir the
// parent of the servers' stores; Port is refused.
func RunCluster(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	c, err := StartCluster(n, opts...)
	if err != nil {
		t.Fatal(err)
	}
	c.attach(t)
	return c
}

// StartCluster is RunCluster for programs: it returns the error instead, and
// the caller calls Stop.
func StartCluster(n int, opts ...Option) (*Cluster, error) {
	c := &Cluster{}
	if err := c.start(n, newSettings(opts), newServer); err != nil {
		c.Stop()
		return nil, fmt.Errorf("natstest: start cluster: %w", err)
	}
	return c, nil
}

// Servers returns the servers in the order in which they were made, those of a
// super-cluster cluster by cluster. The slice is the caller's.
func (c *servers) Servers() []*Server { return slices.Clone(c.nodes) }

// Server returns server i of Servers, counted from 0. It panics if there is none.
func (c *servers) Server(i int) *Server { return c.nodes[i] }

// MetaLeader returns the server that leads JetStream, or nil if none does at
// the moment. For a cluster of a super-cluster it may be a server of another
// cluster.
func (c *servers) MetaLeader() *Server { return c.metaLeader(context.Background()) }

// WaitMetaLeader waits until a server leads JetStream. A context without a
// deadline gets 30 s.
func (c *servers) WaitMetaLeader(ctx context.Context) (*Server, error) {
	return c.waitFor(ctx, "a meta leader", c.metaLeader)
}

// StreamLeader returns the server that leads the stream of this name in the
// default account, or nil if none does at the moment.
func (c *servers) StreamLeader(stream string) *Server {
	return c.StreamLeaderIn(server.DEFAULT_GLOBAL_ACCOUNT, stream)
}

// StreamLeaderIn is StreamLeader for a stream in this account, which is given by
// name or, with an Operator, by public key.
func (c *servers) StreamLeaderIn(account, stream string) *Server {
	return c.leader(context.Background(), question{Account: account, Stream: stream})
}

// WaitStreamLeader waits until a server leads the stream of this name in the
// default account. A context without a deadline gets 30 s.
func (c *servers) WaitStreamLeader(ctx context.Context, stream string) (*Server, error) {
	return c.WaitStreamLeaderIn(ctx, server.DEFAULT_GLOBAL_ACCOUNT, stream)
}

// WaitStreamLeaderIn is WaitStreamLeader for a stream in this account.
func (c *servers) WaitStreamLeaderIn(ctx context.Context, account, stream string) (*Server, error) {
	q := question{Account: account, Stream: stream}
	return c.waitFor(ctx, "a leader of stream "+stream, func(ctx context.Context) *Server { return c.leader(ctx, q) })
}

// ConsumerLeader returns the server that leads the consumer of this stream in
// the default account, or nil if none does at the moment.
func (c *servers) ConsumerLeader(stream, consumer string) *Server {
	q := question{Account: server.DEFAULT_GLOBAL_ACCOUNT, Stream: stream, Consumer: consumer}
	return c.leader(context.Background(), q)
}
