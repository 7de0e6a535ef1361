package faults

import (
	"context"
	"errors"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

const mib = 1 << 20

// peak watches how much of the process is in memory.
type peak struct {
	before, most int64
	stop, done   chan struct{}
}

// startPeak begins with what there is now: other tests have left something.
func startPeak(t *testing.T) *peak {
	t.Helper()
	debug.FreeOSMemory()
	p := &peak{before: resident(t), stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			p.most = max(p.most, resident(t))
			select {
			case <-tick.C:
			case <-p.stop:
				return
			}
		}
	}()
	return p
}

// grown ends the watch: by how much the process was larger than at its start.
func (p *peak) grown() int64 {
	close(p.stop)
	<-p.done
	return p.most - p.before
}

// A consumer that takes a message a second is offered a gigabyte. What does not
// fit is dropped and counted, and memory stays within the limit.
func TestFigure23SlowConsumerMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has a memory of its own")
	}
	const size, limit = 1000, 64 * mib
	offered := figure.Size(1, 10) << 30 / size
	srv := natstest.RunProcess(t)
	nc, pub := ledger.Connect(t, srv.URL()), ledger.Connect(t, srv.URL(), nats.Name("publisher"))
	sub, err := nc.SubscribeSync("flood", nats.PendingLimits(-1, limit))
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := startPeak(t)
	ctx, cancel := context.WithCancel(t.Context())
	taken := make(chan int)
	go func() { taken <- takeSlowly(ctx, sub) }()
	data := make([]byte, size)
	for i := range offered {
		if err := pub.Publish("flood", data); err != nil {
			t.Fatal(err)
		}
		if i%2000 == 1999 { // in step, so that the server drops nobody
			for _, c := range []*nats.Conn{pub, nc} {
				if err := c.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, c := range []*nats.Conn{pub, nc} {
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	grown := p.grown()
	cancel()
	n := <-taken
	st := sub.Stats()
	if st.Received != uint64(offered) || st.Received != st.Delivered+st.Dropped+uint64(st.PendingMsgs) || st.Delivered != uint64(n) {
		t.Errorf("%d offered, %d taken: %+v", offered, n, st)
	}
	if st.PendingBytes > limit || st.Dropped == 0 {
		t.Errorf("a limit of %d bytes: %+v", limit, st)
	}
	const bound = limit*3/2 + 30*mib
	if grown > bound {
		t.Errorf("the process grew by %d MiB; %d are promised", grown/mib, bound/mib)
	}
	figure.Print(t, 23, "1.5 x limit + 30 MiB, counts exact",
		"%d MiB offered, limit %d MiB: memory grew by %d MiB (bound %d); %d received = %d delivered + %d dropped + %d pending",
		int64(offered)*size/mib, limit/mib, grown/mib, bound/mib, st.Received, st.Delivered, st.Dropped, st.PendingMsgs)
}

// takeSlowly takes a message a second. That some were dropped before it is told
// as an error, and no reason to stop.
func takeSlowly(ctx context.Context, sub *nats.Subscription) (n int) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		_, err := sub.Next(ctx)
		if errors.Is(err, nats.ErrSlowConsumer) {
			continue
		}
		if err != nil {
			return n
		}
		n++
		select {
		case <-tick.C:
		case <-ctx.Done():
			return n
		}
	}
}

// heap is what is reachable.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers let go of
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// An idle connection costs little: goroutines and memory are counted over many.
// What wakes it is counted in package nats, on fake time.
func TestFigure24IdleConnection(t *testing.T) {
	const count = 200
	srv := natstest.RunProcess(t)
	conns := make([]*nats.Conn, 0, count)
	goroutines, before := runtime.NumGoroutine(), heap()
	for range count {
		nc, err := nats.Connect(t.Context(), srv.URL(), nats.Logger(nil))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, nc)
	}
	for _, nc := range conns {
		if err := nc.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	goroutines = runtime.NumGoroutine() - goroutines
	grown := (heap() - before) / count
	if goroutines > 4*count || grown > 96<<10 {
		t.Errorf("%d connections: %d goroutines, %d KiB each", count, goroutines, grown>>10)
	}
	figure.Print(t, 24, "4 goroutines, 96 KiB", "%d idle connections: %.1f goroutines and %d KiB of heap each",
		count, float64(goroutines)/count, grown>>10)
	for _, nc := range conns {
		if err := nc.Close(); err != nil {
			t.Error(err)
		}
		ledger.Closed(t, nc)
	}
}

// What is used again and again does not pile up: the heap after all rounds is
// that after a tenth of them.
func TestFigure25NothingPilesUp(t *testing.T) {
	srv := natstest.RunProcess(t)
	nc := ledger.Connect(t, srv.URL())
	if _, err := nc.Subscribe("echo", func(m nats.Msg) { _ = m.Respond(m.Data) }); err != nil {
		t.Fatal(err)
	}
	for _, use := range []struct {
		name  string
		count int
		once  func() error
	}{
		{"connects", figure.Size(10_000, 50_000), func() error {
			nc, err := nats.Connect(t.Context(), srv.URL(), nats.Logger(nil))
			if err != nil {
				return err
			}
			return nc.Close()
		}},
		{"requests", figure.Size(10_000, 200_000), func() error {
			_, err := nc.Request(t.Context(), "echo", []byte("x"))
			return err
		}},
		{"unanswered requests", figure.Size(10_000, 200_000), func() error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := nc.Request(ctx, "echo", nil); err == nil {
				t.Error("a request outlived its context")
			}
			return nil
		}},
		{"subscriptions", figure.Size(10_000, 200_000), func() error {
			sub, err := nc.SubscribeSync("some.subject")
			if err != nil {
				return err
			}
			return sub.Unsubscribe()
		}},
	} {
		early := int64(0)
		for i := range use.count {
			if i == use.count/10 {
				if err := nc.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				early = heap()
			}
			if err := use.once(); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		grown := heap() - early
		if grown > mib {
			t.Errorf("%d %s: the heap grew by %d KiB", use.count, use.name, grown>>10)
		}
		figure.Print(t, 25, "1 MiB", "%d %s: the heap is %d KiB larger than after %d", use.count, use.name, grown>>10, use.count/10)
	}
}
