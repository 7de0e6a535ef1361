package natstest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Cluster is several servers in this process that are connected by routes. Its
// servers are started, stopped and asked one by one; it is what is common to
// them. All methods are safe for concurrent use.
type Cluster struct {
	certFiles
	name    string
	servers []*Server
	res     *resources // what the servers share

	stop sync.Once
	t    testing.TB
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
	c.t = t
	for _, s := range c.servers {
		s.t = t
	}
	t.Cleanup(c.Stop)
	return c
}

// StartCluster is RunCluster for programs: it returns the error instead, and
// the caller calls Stop.
func StartCluster(n int, opts ...Option) (*Cluster, error) {
	c := &Cluster{res: &resources{}}
	if err := c.start(n, newSettings(opts)); err != nil {
		c.Stop()
		return nil, fmt.Errorf("natstest: start cluster: %w", err)
	}
	return c, nil
}

// Name returns the name of the cluster.
func (c *Cluster) Name() string { return c.name }

// Servers returns the servers in the order in which they were made. The slice
// is the caller's.
func (c *Cluster) Servers() []*Server { return append([]*Server(nil), c.servers...) }

// Server returns server i, counted from 0. It panics if there is none.
func (c *Cluster) Server(i int) *Server { return c.servers[i] }

// URL returns the URLs of all servers, running or not, separated by commas.
func (c *Cluster) URL() string {
	urls := make([]string, len(c.servers))
	for i, s := range c.servers {
		urls[i] = s.URL()
	}
	return strings.Join(urls, ",")
}

// Stop ends all servers for good and removes what was temporary. It may be
// called more than once, and RunCluster calls it.
func (c *Cluster) Stop() {
	c.stop.Do(func() {
		c.each(func(s *Server) error { s.Stop(); return nil })
		if err := c.res.release(); err != nil && c.t != nil {
			c.t.Errorf("natstest: stop cluster %s: %v", c.name, err)
		}
	})
}

// RollingRestart restarts one server after the other as an operator would: lame
// duck mode, a new start, and on with the next one when the cluster is complete
// again, see WaitReady. A context without a deadline gets 30 s for each server.
func (c *Cluster) RollingRestart(ctx context.Context) error {
	for _, s := range c.servers {
		if err := c.rollServer(ctx, s); err != nil {
			return fmt.Errorf("natstest: rolling restart of cluster %s: %w", c.name, err)
		}
	}
	return nil
}

func (c *Cluster) rollServer(ctx context.Context, s *Server) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	select {
	case <-s.LameDuck():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := s.Restart(); err != nil {
		return err
	}
	return c.WaitReady(ctx)
}

// start does all of StartCluster. What it has made when it fails, Stop ends.
func (c *Cluster) start(n int, set *settings) error {
	set.complainIf(n < 2, "a cluster needs at least 2 servers, not %d", n)
	set.complainIf(set.Port > 0, "Port cannot be shared by several servers")
	if err := set.err(); err != nil {
		return err
	}
	if set.Name == "" {
		set.Name = "natstest-" + strings.ToLower(rand.Text()[:8])
	}
	c.name = set.Name
	set.Cluster.Name = set.Name
	set.JetStream = !set.NoJetStream
	if set.TLS {
		if err := c.res.provisionCerts(set); err != nil {
			return err
		}
		c.certFiles = certFiles{set.CertDir}
	}
	if err := c.makeServers(n, set); err != nil {
		return err
	}
	if err := c.each((*Server).Restart); err != nil {
		return err
	}
	return c.WaitReady(context.Background())
}

// makeServers makes the servers without starting them, because each must be
// told the route ports of all.
func (c *Cluster) makeServers(n int, common *settings) error {
	var routes []string
	for i := range n {
		set := *common
		set.Name = fmt.Sprintf("%s-%d", common.Name, i)
		if set.StoreDir != "" {
			set.StoreDir = filepath.Join(set.StoreDir, set.Name)
		}
		s, err := newServer(&set)
		if err != nil {
			return fmt.Errorf("server %s: %w", set.Name, err)
		}
		c.servers = append(c.servers, s)
		o, err := set.serverOptions()
		if err != nil {
			return fmt.Errorf("server %s: %w", set.Name, err)
		}
		addr := &net.TCPAddr{IP: net.ParseIP(o.Cluster.Host), Port: o.Cluster.Port}
		routes = append(routes, "nats://"+reachable(addr))
	}
	for i, s := range c.servers {
		s.set.Cluster.Routes = routesToOthers(routes, i)
	}
	return nil
}

func routesToOthers(routes []string, self int) []string {
	others := append([]string(nil), routes[:self]...)
	return append(others, routes[self+1:]...)
}

// each does the same to all servers at the same time.
func (c *Cluster) each(do func(*Server) error) error {
	errs := make([]error, len(c.servers))
	var wg sync.WaitGroup
	for i, s := range c.servers {
		wg.Go(func() { errs[i] = do(s) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// running returns the servers that are up.
func (c *Cluster) running() []*Server {
	var up []*Server
	for _, s := range c.servers {
		if s.Running() {
			up = append(up, s)
		}
	}
	return up
}

// describe says which servers are up, for errors.
func (c *Cluster) describe() string {
	return strconv.Itoa(len(c.running())) + " of " + strconv.Itoa(len(c.servers)) + " servers running"
}
