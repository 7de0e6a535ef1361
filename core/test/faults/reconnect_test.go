package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// restart brings the server down and up again, with f in between.
func restart(t testing.TB, srv *natstest.Server, events *ledger.Events, f func()) {
	t.Helper()
	srv.Shutdown()
	ledger.Wait[nats.Disconnected](t, events)
	f()
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	ledger.Wait[nats.Reconnected](t, events)
}

func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), handler)
	plain, err := nc.SubscribeSync("plain.*")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.SubscribeSync("queue", nats.Queue("q")); err != nil {
		t.Fatal(err)
	}
	gone, err := nc.SubscribeSync("gone")
	if err != nil {
		t.Fatal(err)
	}
	few, err := nc.SubscribeSync("few", nats.AutoUnsubscribe(3))
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("few", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	restart(t, srv, events, func() {
		if s := nc.Status(); s != nats.StatusReconnecting {
			t.Errorf("status %v", s)
		}
		if nc.ConnectedURL() != "" || nc.RemoteAddr() != nil {
			t.Error("still says that it is connected")
		}
		for i := range 100 {
			if err := nc.Publish(fmt.Sprintf("plain.%d", i), nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := gone.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
		if _, err := nc.SubscribeSync("fresh"); err != nil {
			t.Fatal(err)
		}
	})
	for i := range 100 {
		m, err := plain.Next(t.Context())
		if err != nil || m.Subject != fmt.Sprintf("plain.%d", i) {
			t.Fatalf("%d: %q %v", i, m.Subject, err)
		}
	}
	ledger.SameSubscriptions(t, srv, nc, "plain.*", "queue q", "fresh", "few")
	for range 5 {
		if err := nc.Publish("few", nil); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := nats.Collect(few.Messages(t.Context())); err != nil || len(all) != 3 {
		t.Errorf("AutoUnsubscribe(3) gave %d messages, %v", len(all), err)
	}
	ledger.SameSubscriptions(t, srv, nc, "plain.*", "queue q", "fresh")
}

func TestPoliciesWithoutLink(t *testing.T) {
	t.Parallel()
	down := func(t *testing.T, opts ...nats.Option) (*natstest.Server, *nats.Conn) {
		srv := ledger.Run(t)
		events, handler := ledger.NewEvents()
		nc := ledger.Connect(t, srv.URL(), append(opts, handler)...)
		srv.Shutdown()
		ledger.Wait[nats.Disconnected](t, events)
		return srv, nc
	}
	t.Run("buffer", func(t *testing.T) {
		_, nc := down(t, nats.ReconnectBufSize(1000))
		n := 0
		var err error
		for ; err == nil; n++ {
			err = nc.Publish("x", make([]byte, 100))
		}
		if !errors.Is(err, nats.ErrReconnectBufExceeded) || !nats.SafeToRetry(err) || n < 6 || n > 10 {
			t.Errorf("after %d: %v", n, err)
		}
		var loss *nats.LossError
		if err := nc.Close(); !errors.As(err, &loss) || loss.Unsent != n-1 {
			t.Errorf("close: %v", err)
		}
	})
	t.Run("fail", func(t *testing.T) {
		_, nc := down(t, nats.WhenDisconnected(nats.DisconnectedFail))
		if err := nc.Publish("x", nil); !errors.Is(err, nats.ErrDisconnected) || !nats.SafeToRetry(err) {
			t.Error(err)
		}
	})
	t.Run("block", func(t *testing.T) {
		srv, nc := down(t, nats.WhenDisconnected(nats.DisconnectedBlock), nats.ReconnectBufSize(1000))
		published := make(chan error, 1)
		go func() {
			for range 100 {
				if err := nc.Publish("x", make([]byte, 100)); err != nil {
					published <- err
					return
				}
			}
			published <- nil
		}()
		if err := srv.Restart(); err != nil {
			t.Fatal(err)
		}
		if err := <-published; err != nil {
			t.Error(err)
		}
	})
	t.Run("block ends with ctx", func(t *testing.T) {
		_, nc := down(t, nats.WhenDisconnected(nats.DisconnectedBlock), nats.ReconnectBufSize(10))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		err := nc.PublishMsg(ctx, nats.Msg{Subject: "x", Data: make([]byte, 100)})
		if !errors.Is(err, context.DeadlineExceeded) || !nats.SafeToRetry(err) {
			t.Error(err)
		}
	})
}

func TestRequestsAcrossLoss(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), handler)
	arrived := make(chan struct{}, 1)
	if _, err := nc.Subscribe("slow", func(nats.Msg) { arrived <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := nc.Request(t.Context(), "slow", nil)
		failed <- err
	}()
	<-arrived
	var waited chan error
	restart(t, srv, events, func() {
		// It had left: its fate is unknown, and that is known at once.
		if err := <-failed; !errors.Is(err, nats.ErrDisconnected) || !errors.Is(err, nats.ErrOutcomeUnknown) || nats.SafeToRetry(err) {
			t.Error(err)
		}
		// A request made now waits for a link, within its context.
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := nc.Request(ctx, "slow", nil); !errors.Is(err, context.DeadlineExceeded) || !nats.SafeToRetry(err) {
			t.Error(err)
		}
		if _, err := nc.Subscribe("quick", func(m nats.Msg) { _ = m.Respond(nil) }); err != nil {
			t.Error(err)
		}
		waited = make(chan error, 1)
		go func() {
			_, err := nc.Request(t.Context(), "quick", nil)
			waited <- err
		}()
	})
	if err := <-waited; err != nil {
		t.Error(err)
	}
	st := nc.Stats()
	if st.RequestsUnknown != 1 || st.TimedOut != 1 || st.Answered != 1 || st.RequestsOpen != 0 {
		t.Errorf("%+v", st)
	}
}

func TestFirstConnect(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	srv.Shutdown()
	_, err := nats.Connect(t.Context(), srv.URL()+",nats://127.0.0.1:1", nats.Logger(nil))
	var ce *nats.ConnectError
	if !errors.As(err, &ce) || len(ce.Attempts) != 2 || !errors.Is(err, nats.ErrNoServers) || !strings.Contains(err.Error(), srv.URL()) {
		t.Errorf("%v", err)
	}
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), handler, nats.RetryOnFailedConnect(true))
	if s := nc.Status(); s != nats.StatusConnecting {
		t.Errorf("status %v", s)
	}
	sub, err := nc.SubscribeSync("early")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("early", []byte("bird")); err != nil {
		t.Fatal(err)
	}
	ledger.Wait[nats.ConnectFailed](t, events)
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	ledger.Wait[nats.Connected](t, events)
	if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != "bird" {
		t.Error(m, err)
	}
}

func TestGivingUp(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]nats.Option{
		"NoReconnect": nats.NoReconnect(), "MaxReconnects(0)": nats.MaxReconnects(0), "MaxReconnects(2)": nats.MaxReconnects(2),
	} {
		t.Run(name, func(t *testing.T) {
			srv := ledger.Run(t)
			events, handler := ledger.NewEvents()
			nc := ledger.Connect(t, srv.URL(), handler, opt, nats.ReconnectBackoff(0, time.Millisecond))
			srv.Shutdown()
			ledger.Wait[nats.Closed](t, events)
			<-nc.Done()
			if nc.Err() == nil {
				t.Error("no reason")
			}
			if err := nc.Publish("x", nil); !errors.Is(err, nats.ErrClosed) {
				t.Error(err)
			}
		})
	}
}

func TestReconnectOnDemand(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), handler)
	sub, err := nc.SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := nc.Publish("x", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
		if err := nc.Reconnect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != fmt.Sprint(i) {
			t.Fatal(m, err)
		}
	}
	if e := ledger.Wait[nats.Disconnected](t, events); e.Err != nil || e.Unknown != 0 {
		t.Errorf("%v", e)
	}
	ledger.SameSubscriptions(t, srv, nc, "x")
}

func TestLameDuckIsTold(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t, natstest.LameDuck(300*time.Millisecond, 50*time.Millisecond))
	events, handler := ledger.NewEvents()
	ledger.Connect(t, srv.URL(), handler)
	down := srv.LameDuck()
	if e := ledger.Wait[nats.LameDuck](t, events); e.Server.URL != srv.URL() {
		t.Errorf("%v", e)
	}
	ledger.Wait[nats.Disconnected](t, events)
	<-down
}

func TestClusterFailover(t *testing.T) {
	cluster := ledger.RunCluster(t, 3, natstest.NoJetStream())
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, cluster.Server(0).URL(), handler)
	e := ledger.Wait[nats.ServersDiscovered](t, events)
	if len(e.Added) != 2 || !e.Added[0].Discovered {
		t.Errorf("%+v", e)
	}
	sub, err := nc.SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	cluster.Server(0).Shutdown()
	r := ledger.Wait[nats.Reconnected](t, events)
	if r.Server.URL == cluster.Server(0).URL() || !r.Server.Discovered {
		t.Errorf("%+v", r)
	}
	if err := nc.Publish("x", []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if m, err := sub.Next(t.Context()); err != nil || string(m.Data) != "still here" {
		t.Error(m, err)
	}
	if pool := nc.Servers(); len(pool) != 3 {
		t.Errorf("%+v", pool)
	}
}

// A server process that is stopped (SIGSTOP) is a link that is half open. It is
// found by the keep-alive.
func TestStoppedServerIsFound(t *testing.T) {
	t.Parallel()
	srv := natstest.RunProcess(t)
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), handler, nats.PingInterval(50*time.Millisecond), nats.MaxPingsOutstanding(2))
	if err := srv.Pause(); errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if e := ledger.Wait[nats.Disconnected](t, events); !errors.Is(e.Err, nats.ErrStaleConnection) {
		t.Errorf("%v", e)
	}
	if err := srv.Resume(); err != nil {
		t.Fatal(err)
	}
	ledger.Wait[nats.Reconnected](t, events)
	if err := nc.Flush(t.Context()); err != nil {
		t.Error(err)
	}
}

// A peer that takes no bytes holds nobody: calls end with their contexts, the
// link with WriteTimeout, and what was accepted is sent on the next one.
func TestStalledPeer(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	proxy := natstest.RunProxy(t, srv.Addr())
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, proxy.URL(), handler, nats.WriteTimeout(300*time.Millisecond), nats.WriteBufferSize(64<<10))
	proxy.Stall(natstest.ClientToServer)
	// How much the kernel takes before it takes no more is its own affair.
	var late atomic.Int64
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			err := nc.PublishMsg(ctx, nats.Msg{Subject: "x", Data: make([]byte, 32<<10)})
			cancel()
			switch {
			case err == nil:
			case errors.Is(err, nats.ErrReconnectBufExceeded):
				return
			case errors.Is(err, context.DeadlineExceeded) && nats.SafeToRetry(err):
				late.Add(1)
			default:
				t.Error(err)
				return
			}
		}
	})
	e := ledger.Wait[nats.Disconnected](t, events)
	close(stop)
	publishing.Wait()
	if !errors.Is(e.Err, nats.ErrStaleConnection) || late.Load() == 0 {
		t.Errorf("%v; %d publishes ended with their context", e, late.Load())
	}
	if err := proxy.Heal(); err != nil {
		t.Fatal(err)
	}
	ledger.Wait[nats.Reconnected](t, events)
	for nc.Flush(t.Context()) != nil {
	}
	st := nc.Stats()
	t.Logf("%+v", st)
	ledger.Sums(t, st)
}
