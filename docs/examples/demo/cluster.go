package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// rollingRestart restarts every server of the cluster, one after the other,
// while requests are answered and jobs are done: each server tells its clients
// before it goes, and they move with all they have.
func rollingRestart(ctx context.Context, d *demo) error {
	l := &clusterLoad{subject: d.subject, done: make(map[string]int)}
	defer l.close()
	for i := range d.cluster.Servers() {
		if err := l.join(ctx, d.cluster.Server(i).URL()); err != nil {
			return err
		}
	}
	if err := l.start(ctx); err != nil {
		return err
	}
	begin := time.Now()
	if err := d.cluster.RollingRestart(ctx); err != nil {
		return err
	}
	took := time.Since(begin)
	if err := l.stop(ctx); err != nil {
		return err
	}
	moves, unknown := l.moves()
	d.out.line("restarted", "%d servers in %s", len(d.cluster.Servers()), duration(took))
	d.out.line("moved", "%d links of %d connections, each before its server closed", moves, len(l.conns))
	d.out.line("requests", "%s, of which %d failed", count(int(l.requests.Load())), l.failed.Load())
	d.out.line("jobs", "%s published, %s done once, %d twice", count(int(l.published.Load())), count(l.once()), l.twice())
	switch {
	case l.failed.Load() > 0:
		return fmt.Errorf("%d requests failed: %w", l.failed.Load(), l.failure())
	case l.once() != int(l.published.Load()) || unknown > 0:
		return fmt.Errorf("%d of %d jobs were done once, %d have an unknown fate", l.once(), l.published.Load(), unknown)
	case moves < uint64(len(l.conns)):
		return fmt.Errorf("%d moves of %d connections", moves, len(l.conns))
	}
	return nil
}

// A clusterLoad is clients of all servers of a cluster that work together: each
// does jobs, answers requests, publishes jobs and asks.
type clusterLoad struct {
	subject func(string) string
	conns   []*nats.Conn
	wg      sync.WaitGroup
	quit    context.CancelFunc

	requests, failed, published atomic.Int64

	mu   sync.Mutex
	done map[string]int // how often each job was done
	err  error
}

func (l *clusterLoad) join(ctx context.Context, url string) error {
	nc, err := nats.Connect(ctx, url, nats.MigrateOnLameDuck(), nats.Logger(nil))
	if err != nil {
		return err
	}
	l.conns = append(l.conns, nc)
	_, err = nc.Subscribe(l.subject("job"), func(m nats.Msg) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.done[string(m.Data)]++
	}, nats.Queue("workers"))
	if err != nil {
		return err
	}
	_, err = nc.Subscribe(l.subject("ask"), func(m nats.Msg) { _ = m.Respond(m.Data) }, nats.Queue("helpers"))
	if err != nil {
		return err
	}
	return nc.Flush(ctx)
}

// start begins when every server knows somebody who answers.
func (l *clusterLoad) start(ctx context.Context) error {
	for _, nc := range l.conns {
		if _, err := nc.Request(ctx, l.subject("ask"), nil); err != nil {
			return err
		}
	}
	ctx, l.quit = context.WithCancel(ctx)
	for i, nc := range l.conns {
		l.every(ctx, func(n int) {
			if err := nc.Publish(l.subject("job"), fmt.Appendf(nil, "%d.%d", i, n)); err != nil {
				l.note(err)
				return
			}
			l.published.Add(1)
		})
		l.every(ctx, func(int) {
			l.requests.Add(1)
			// Not ctx: a request that has begun may end.
			if _, err := nc.Request(context.WithoutCancel(ctx), l.subject("ask"), []byte("?")); err != nil {
				l.failed.Add(1)
				l.note(err)
			}
		})
	}
	return nil
}

// every calls f a thousand times a second.
func (l *clusterLoad) every(ctx context.Context, f func(n int)) {
	l.wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-tick.C:
				f(n)
			case <-ctx.Done():
				return
			}
		}
	})
}

// stop ends the load and returns when what was published is done.
func (l *clusterLoad) stop(ctx context.Context) error {
	l.quit()
	l.wg.Wait()
	var errs []error
	for _, nc := range l.conns { // first all have published, then all have received
		errs = append(errs, nc.Flush(ctx))
	}
	for _, nc := range l.conns {
		errs = append(errs, nc.Drain(ctx))
	}
	return errors.Join(errs...)
}

func (l *clusterLoad) close() {
	if l.quit != nil {
		l.quit()
		l.wg.Wait()
	}
	for _, nc := range l.conns {
		nc.Close()
	}
}

func (l *clusterLoad) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *clusterLoad) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *clusterLoad) once() int  { return l.times(func(n int) bool { return n == 1 }) }
func (l *clusterLoad) twice() int { return l.times(func(n int) bool { return n > 1 }) }

// times counts the jobs that were done as often as fits says.
func (l *clusterLoad) times(fits func(n int) bool) (jobs int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range l.done {
		if fits(n) {
			jobs++
		}
	}
	return jobs
}

// moves sums up how often the connections changed their server, and what has an
// unknown fate.
func (l *clusterLoad) moves() (moves, unknown uint64) {
	for _, nc := range l.conns {
		st := nc.Stats()
		moves += st.Reconnects
		unknown += st.OutUnknown + st.OutDropped
	}
	return moves, unknown
}
