package natstest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// defaultWait bounds waits for a cluster whose context has no deadline. An
// election takes some seconds.
const defaultWait = 30 * time.Second

// group is a cluster of nodes, or all nodes of a super-cluster. Its exported
// methods are those of Cluster, ProcessCluster and SuperCluster.
type group[N node] struct {
	certificates
	name  string
	nodes []N
	res   *resources // what the nodes share; nil if that is the super-cluster's

	parts []*group[N] // the clusters of a super-cluster
	super *group[N]   // which the cluster is part of, or nil

	stop sync.Once
	t    testing.TB // nil if nobody but the caller stops it
}

// Name returns the name of the cluster.
func (g *group[N]) Name() string { return g.name }

// URL returns the URLs of all servers, running or not, separated by commas.
func (g *group[N]) URL() string { return g.urls(N.URL) }

func (g *group[N]) urls(of func(N) string) string {
	var urls []string
	for _, n := range g.nodes {
		if u := of(n); u != "" {
			urls = append(urls, u)
		}
	}
	return strings.Join(urls, ",")
}

// WaitReady waits until the servers that are up are connected with each other
// and, with JetStream, have a leader that sees them all and are up to date with
// it. In a super-cluster this goes for all its servers, whose clusters are
// connected both ways. It does not wait for the streams' own leaders; see
// WaitStreamLeader. A context without a deadline gets 30 s.
func (g *group[N]) WaitReady(ctx context.Context) error {
	return g.wait(ctx, "the servers to be ready", g.ready)
}

// RollingRestart restarts one server after the other as an operator would: lame
// duck mode, a new start, and on with the next one when the cluster is complete
// again, see WaitReady. A context without a deadline gets 30 s for each server.
func (g *group[N]) RollingRestart(ctx context.Context) error {
	for _, n := range g.nodes {
		if err := g.roll(ctx, n); err != nil {
			return fmt.Errorf("natstest: rolling restart of cluster %s: %w", g.name, err)
		}
	}
	return nil
}

// Stop ends all servers for good and removes what was temporary. It may be
// called more than once, and the Run functions call it.
func (g *group[N]) Stop() {
	g.stop.Do(func() {
		_ = g.each(func(n N) error { n.Stop(); return nil })
		if g.res == nil {
			return
		}
		if err := g.res.release(); err != nil && g.t != nil {
			g.t.Errorf("natstest: stop cluster %s: %v", g.name, err)
		}
	})
}

// attach makes the cluster the test's.
func (g *group[N]) attach(t testing.TB) {
	g.t = t
	for _, n := range g.nodes {
		n.attach(t)
	}
	t.Cleanup(g.Stop)
}

// start makes and starts n nodes. What it has made when it fails, Stop ends.
func (g *group[N]) start(n int, set *settings, newNode func(*settings) (N, error)) error {
	set.complainIf(n < 2, "a cluster needs at least 2 servers, not %d", n)
	if err := g.prepare(set); err != nil {
		return err
	}
	if err := g.make(n, set, newNode); err != nil {
		return err
	}
	return g.launch()
}

// prepare checks the settings and makes what the nodes share.
func (g *group[N]) prepare(set *settings) error {
	g.res = &resources{}
	set.complainIf(set.Port > 0, "Port cannot be shared by several servers")
	if err := set.err(); err != nil {
		return err
	}
	if set.Name == "" {
		set.Name = randomName()
	}
	g.name = set.Name
	set.JetStream = !set.NoJetStream
	if set.TLS {
		if err := g.res.provisionCerts(set); err != nil {
			return err
		}
	}
	var err error
	g.certificates, err = loadCerts(set.CertDir)
	return err
}

func (g *group[N]) launch() error {
	if err := g.each(N.Restart); err != nil {
		return err
	}
	if err := g.WaitReady(context.Background()); err != nil {
		return err
	}
	return g.each(waitHubs[N])
}

// make makes the nodes of a cluster without starting them, because each must be
// told the route ports of all.
func (g *group[N]) make(n int, common *settings, newNode func(*settings) (N, error)) error {
	g.name = common.Name
	var routes []string
	for i := range n {
		set := *common
		set.Name = fmt.Sprintf("%s-%d", common.Name, i)
		set.Cluster.Name = common.Name
		if set.StoreDir != "" {
			set.StoreDir = filepath.Join(set.StoreDir, set.Name)
		}
		node, err := newNode(&set)
		if err != nil {
			return fmt.Errorf("server %s: %w", set.Name, err)
		}
		g.nodes = append(g.nodes, node)
		route, _, err := peerURLs(node.settings())
		if err != nil {
			return err
		}
		routes = append(routes, route)
	}
	for i, node := range g.nodes {
		node.settings().Cluster.Routes = slices.Concat(routes[:i], routes[i+1:])
	}
	return nil
}

// each does the same to all nodes at the same time.
func (g *group[N]) each(do func(N) error) error { return atOnce(g.nodes, do) }

func atOnce[N any](nodes []N, do func(N) error) error {
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { errs[i] = do(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (g *group[N]) roll(ctx context.Context, n N) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	select {
	case <-n.LameDuck():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := n.Restart(); err != nil {
		return err
	}
	return g.WaitReady(ctx)
}

func (g *group[N]) running() []N {
	return slices.DeleteFunc(slices.Clone(g.nodes), func(n N) bool { return !n.Running() })
}

// ready is the condition of WaitReady.
func (g *group[N]) ready(ctx context.Context) bool {
	if g.super != nil { // a cluster in it is not ready alone
		return g.super.ready(ctx)
	}
	up := map[N]status{}
	for _, n := range g.running() {
		s, err := n.status(ctx, question{})
		if err != nil {
			return false
		}
		up[n] = s
	}
	if len(g.parts) == 0 {
		return g.routed(up) && led(up)
	}
	for _, c := range g.parts {
		if !c.routed(up) {
			return false
		}
	}
	return bridged(g.parts, up) && led(up)
}

// routed reports whether the nodes of a cluster that are up have their routes.
func (g *group[N]) routed(up map[N]status) bool {
	here := g.among(up)
	for _, s := range here {
		if s.Routes < (len(here)-1)*s.RoutesPerPeer {
			return false
		}
	}
	return true
}

// among returns the status of the nodes of g that are up.
func (g *group[N]) among(up map[N]status) []status {
	var here []status
	for _, n := range g.nodes {
		if s, ok := up[n]; ok {
			here = append(here, s)
		}
	}
	return here
}

// led reports whether JetStream, if there is any, has a leader that sees all
// nodes, and these are up to date with it.
func led[N node](up map[N]status) bool {
	var names, peers []string
	jetStream, allCurrent := false, true
	for n, s := range up {
		names = append(names, n.Name())
		jetStream = jetStream || s.JetStream
		allCurrent = allCurrent && s.Current
		if s.MetaLeader {
			peers = s.Peers // known to the leader alone
		}
	}
	if !jetStream {
		return true
	}
	unseen := slices.DeleteFunc(names, func(name string) bool { return slices.Contains(peers, name) })
	return allCurrent && len(unseen) == 0
}

// find returns the first running node whose status is as wanted, or the zero N.
func (g *group[N]) find(ctx context.Context, q question, wanted func(status) bool) N {
	for _, n := range g.running() {
		if s, err := n.status(ctx, q); err == nil && wanted(s) {
			return n
		}
	}
	var none N
	return none
}

func (g *group[N]) metaLeader(ctx context.Context) N {
	if g.super != nil { // which has one for all its clusters
		return g.super.metaLeader(ctx)
	}
	return g.find(ctx, question{}, func(s status) bool { return s.MetaLeader })
}

// leader returns who leads the stream or consumer of the question.
func (g *group[N]) leader(ctx context.Context, q question) N {
	return g.find(ctx, q, func(s status) bool { return s.Leads })
}

// waitFor waits until find finds somebody.
func (g *group[N]) waitFor(ctx context.Context, what string, find func(context.Context) N) (N, error) {
	var found, none N
	err := g.wait(ctx, what, func(ctx context.Context) bool {
		found = find(ctx)
		return found != none
	})
	return found, err
}

func (g *group[N]) wait(ctx context.Context, what string, done func(context.Context) bool) error {
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	if err := poll(ctx, func() bool { return done(ctx) }); err != nil {
		return fmt.Errorf("natstest: cluster %s: wait for %s (%d of %d are running): %w",
			g.name, what, len(g.running()), len(g.nodes), err)
	}
	return nil
}

func withDefaultTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, defaultWait)
}

func randomName() string { return "natstest-" + strings.ToLower(rand.Text()[:8]) }
