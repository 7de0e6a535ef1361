package natstest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// defaultWait bounds waits of a cluster whose context has no deadline. An
// election takes some seconds.
const defaultWait = 30 * time.Second

// WaitReady waits until the servers that are up are connected with each other
// and, with JetStream, have a leader that sees them all and are up to date with
// it. It does not wait for the streams' own leaders; see WaitStreamLeader. A
// context without a deadline gets 30 s.
func (c *Cluster) WaitReady(ctx context.Context) error {
	return c.wait(ctx, "ready", c.ready)
}

// MetaLeader returns the server that leads JetStream, or nil if none does at
// the moment.
func (c *Cluster) MetaLeader() *Server {
	return c.find((*server.Server).JetStreamIsLeader)
}

// WaitMetaLeader waits until a server leads JetStream. A context without a
// deadline gets 30 s.
func (c *Cluster) WaitMetaLeader(ctx context.Context) (*Server, error) {
	return c.waitFor(ctx, "a meta leader", c.MetaLeader)
}

// StreamLeader returns the server that leads the stream of this name in the
// default account, or nil if none does at the moment.
func (c *Cluster) StreamLeader(stream string) *Server {
	return c.StreamLeaderIn(server.DEFAULT_GLOBAL_ACCOUNT, stream)
}

// StreamLeaderIn is StreamLeader for a stream in this account.
func (c *Cluster) StreamLeaderIn(account, stream string) *Server {
	return c.find(func(s *server.Server) bool { return s.JetStreamIsStreamLeader(account, stream) })
}

// WaitStreamLeader waits until a server leads the stream of this name in the
// default account. A context without a deadline gets 30 s.
func (c *Cluster) WaitStreamLeader(ctx context.Context, stream string) (*Server, error) {
	return c.waitFor(ctx, "a leader of stream "+stream, func() *Server { return c.StreamLeader(stream) })
}

// ConsumerLeader returns the server that leads the consumer of this stream in
// the default account, or nil if none does at the moment.
func (c *Cluster) ConsumerLeader(stream, consumer string) *Server {
	return c.find(func(s *server.Server) bool {
		return s.JetStreamIsConsumerLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream, consumer)
	})
}

func (c *Cluster) find(is func(*server.Server) bool) *Server {
	for _, s := range c.running() {
		if is(s.Embedded()) {
			return s
		}
	}
	return nil
}

func (c *Cluster) waitFor(ctx context.Context, what string, find func() *Server) (*Server, error) {
	var found *Server
	err := c.wait(ctx, what, func() bool {
		found = find()
		return found != nil
	})
	return found, err
}

func (c *Cluster) wait(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	if err := poll(ctx, done); err != nil {
		return fmt.Errorf("natstest: cluster %s: wait for %s (%s): %w", c.name, what, c.describe(), err)
	}
	return nil
}

func (c *Cluster) ready() bool {
	up := c.running()
	for _, s := range up {
		l := s.life()
		if l.srv.NumRoutes() < (len(up)-1)*l.routesPerPeer {
			return false
		}
	}
	return len(up) == 0 || !up[0].Embedded().JetStreamEnabled() || c.metaReady(up)
}

// metaReady reports whether the meta group has a leader that all follow. Peers
// are known to the leader alone.
func (c *Cluster) metaReady(up []*Server) bool {
	leader := c.MetaLeader()
	if leader == nil {
		return false
	}
	peers := leader.Embedded().JetStreamClusterPeers()
	for _, s := range up {
		if !slices.Contains(peers, s.Name()) || !s.Embedded().JetStreamIsCurrent() {
			return false
		}
	}
	return true
}

func withDefaultTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, defaultWait)
}
