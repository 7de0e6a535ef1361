package natstest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ProcessCluster is a cluster whose servers have a process each, see Process:
// for kill -9 of a leader, and for a leader that is there and does not answer.
// All methods are safe for concurrent use. Methods that ask the servers treat
// one that is paused as one that leads nothing.
type ProcessCluster struct {
	group[*Process]
}

// RunProcessCluster is RunCluster with a process for each server. Logger and
// ServerOptions are refused. It takes about as long.
func RunProcessCluster(t testing.TB, n int, opts ...Option) *ProcessCluster {
	t.Helper()
	c, err := StartProcessCluster(n, opts...)
	if err != nil {
		t.Fatal(err)
	}
	c.attach(t)
	return c
}

// StartProcessCluster is RunProcessCluster for programs: it returns the error
// instead, and the caller calls Stop.
func StartProcessCluster(n int, opts ...Option) (*ProcessCluster, error) {
	c := &ProcessCluster{}
	if err := c.start(n, newProcessSettings(opts), newProcess); err != nil {
		c.Stop()
		return nil, fmt.Errorf("natstest: start cluster of processes: %w", err)
	}
	return c, nil
}

// askTimeout bounds a question to a process that may be paused.
const askTimeout = time.Second

// Processes returns the servers in the order in which they were made. The slice
// is the caller's.
func (c *ProcessCluster) Processes() []*Process { return slices.Clone(c.nodes) }

// Process returns server i, counted from 0. It panics if there is none.
func (c *ProcessCluster) Process(i int) *Process { return c.nodes[i] }

// MetaLeader returns the server that leads JetStream, or nil if none does at
// the moment. It waits a second at most for each server's answer.
func (c *ProcessCluster) MetaLeader() *Process { return c.metaLeader(context.Background()) }

// WaitMetaLeader waits until a server leads JetStream. A context without a
// deadline gets 30 s.
func (c *ProcessCluster) WaitMetaLeader(ctx context.Context) (*Process, error) {
	return c.waitFor(ctx, "a meta leader", c.metaLeader)
}

// StreamLeader returns the server that leads the stream of this name in the
// default account, or nil if none does at the moment. It waits a second at most
// for each server's answer.
func (c *ProcessCluster) StreamLeader(stream string) *Process {
	return c.StreamLeaderIn(server.DEFAULT_GLOBAL_ACCOUNT, stream)
}

// StreamLeaderIn is StreamLeader for a stream in this account, which is given by
// name or, with an Operator, by public key.
func (c *ProcessCluster) StreamLeaderIn(account, stream string) *Process {
	return c.leader(context.Background(), question{Account: account, Stream: stream})
}

// WaitStreamLeader waits until a server leads the stream of this name in the
// default account. A context without a deadline gets 30 s.
func (c *ProcessCluster) WaitStreamLeader(ctx context.Context, stream string) (*Process, error) {
	return c.WaitStreamLeaderIn(ctx, server.DEFAULT_GLOBAL_ACCOUNT, stream)
}

// WaitStreamLeaderIn is WaitStreamLeader for a stream in this account.
func (c *ProcessCluster) WaitStreamLeaderIn(ctx context.Context, account, stream string) (*Process, error) {
	q := question{Account: account, Stream: stream}
	return c.waitFor(ctx, "a leader of stream "+stream, func(ctx context.Context) *Process { return c.leader(ctx, q) })
}

// ConsumerLeader returns the server that leads the consumer of this stream in
// the default account, or nil if none does at the moment. It waits a second at
// most for each server's answer.
func (c *ProcessCluster) ConsumerLeader(stream, consumer string) *Process {
	q := question{Account: server.DEFAULT_GLOBAL_ACCOUNT, Stream: stream, Consumer: consumer}
	return c.leader(context.Background(), q)
}
