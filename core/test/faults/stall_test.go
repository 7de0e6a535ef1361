package faults

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/figure"
	"github.com/perigee-go/nats/core/test/internal/ledger"
	"github.com/perigee-go/nats/orbit/natstest"
)

// moody dials until it is told to hang.
type moody struct{ hangs atomic.Bool }

func (d *moody) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if d.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return (&net.Dialer{}).DialContext(ctx, network, address)
}

// publishTimes publishes until an error, and says how long the calls took that
// had none: the longest but one in a thousand, and how many there were.
func publishTimes(publish func() error) (most time.Duration, count int, err error) {
	var took []time.Duration
	for {
		begun := time.Now()
		if err = publish(); err != nil {
			break
		}
		took = append(took, time.Since(begun))
	}
	if len(took) == 0 {
		return 0, 0, err
	}
	slices.Sort(took)
	return took[len(took)-1-len(took)/1000], len(took), err
}

// Publish waits neither for somebody's dialing nor for a peer that does not
// read, until what may be kept is full. Then it fails with a typed error, or
// waits as long as its context says.
func TestFigure09PublishDoesNotWait(t *testing.T) {
	srv := ledger.Run(t)
	data := make([]byte, 64)

	dialer := &moody{}
	events, handler := ledger.NewEvents()
	nc := ledger.Connect(t, srv.URL(), handler, nats.UseDialer(dialer))
	dialer.hangs.Store(true)
	srv.Disconnect(nc.Name())
	ledger.Wait[nats.Disconnected](t, events)
	dialing, count, err := publishTimes(func() error { return nc.Publish("x", data) })
	if !errors.Is(err, nats.ErrReconnectBufExceeded) || !nats.SafeToRetry(err) || dialing > 10*time.Millisecond {
		t.Errorf("while dialing, after %d in %v: %v", count, dialing, err)
	}
	figure.Print(t, 9, "p99.9 1ms, then a typed error", "Publish while a dial hangs: p99.9 %v over %d calls, then: %v", dialing, count, err)

	proxy := natstest.RunProxy(t, srv.Addr())
	nc = ledger.Connect(t, proxy.URL(), nats.Name("stalled"))
	proxy.Stall(natstest.Both)
	defer proxy.Resume(natstest.Both)
	var over time.Duration
	stalled, count, err := publishTimes(func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		begun := time.Now()
		err := nc.PublishMsg(ctx, nats.Msg{Subject: "x", Data: data})
		over = time.Since(begun) - 100*time.Millisecond
		return err
	})
	if !errors.Is(err, context.DeadlineExceeded) || !nats.SafeToRetry(err) || stalled > 10*time.Millisecond || over > 500*time.Millisecond {
		t.Errorf("stalled, after %d in %v: %v, %v over its context", count, stalled, err, over)
	}
	figure.Print(t, 9, "p99.9 1ms, then the context", "PublishMsg while the peer does not read: p99.9 %v over %d calls, then its context and %v", stalled, count, over)
}

// With a peer that has stopped reading, every call that waits ends with its
// context, and Close within its 2 s.
func TestCallsBeforeAStalledPeer(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	proxy := natstest.RunProxy(t, srv.Addr())
	nc := ledger.Connect(t, proxy.URL())
	sub, err := nc.SubscribeSync("x")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Stall(natstest.Both)
	for filled := error(nil); filled == nil; {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		filled = nc.PublishMsg(ctx, nats.Msg{Subject: "y", Data: make([]byte, 32<<10)})
		cancel()
	}
	const bound = 100 * time.Millisecond
	late := func(name string, call func(context.Context) error) {
		ctx, cancel := context.WithTimeout(t.Context(), bound)
		defer cancel()
		begun := time.Now()
		err := call(ctx)
		over := time.Since(begun) - bound
		if !errors.Is(err, context.DeadlineExceeded) || over > 500*time.Millisecond {
			t.Errorf("%s: %v, %v over its context", name, err, over)
		}
		t.Logf("%s: %v over its context", name, over)
	}
	late("PublishMsg", func(ctx context.Context) error {
		return nc.PublishMsg(ctx, nats.Msg{Subject: "y", Data: make([]byte, 32<<10)})
	})
	late("Request", func(ctx context.Context) error { _, err := nc.Request(ctx, "y", nil); return err })
	late("Flush", nc.Flush)
	late("RTT", func(ctx context.Context) error { _, err := nc.RTT(ctx); return err })
	late("Next", func(ctx context.Context) error { _, err := sub.Next(ctx); return err })
	late("Subscription.Drain", sub.Drain)
	begun := time.Now()
	for name, call := range map[string]func(){
		"Status": func() { _ = nc.Status() }, "Stats": func() { _ = nc.Stats() }, "Buffered": func() { _ = nc.Buffered() },
		"Servers": func() { _ = nc.Servers() }, "NumSubscriptions": func() { _ = nc.NumSubscriptions() },
		"SubscribeSync": func() {
			if _, err := nc.SubscribeSync("z"); err != nil {
				t.Error(err)
			}
		},
	} {
		if call(); time.Since(begun) > 500*time.Millisecond {
			t.Errorf("%s waits", name)
		}
	}
	begun = time.Now()
	var loss *nats.LossError
	if err := nc.Close(); !errors.As(err, &loss) {
		t.Errorf("Close says that nothing was lost: %v", err)
	}
	over := time.Since(begun) - 2*time.Second
	if over > time.Second {
		t.Errorf("Close: %v beyond its 2 s", over)
	}
	t.Logf("Close: %v beyond its 2 s", over)
}

// A link that is deaf one way only, whichever, is found by the keep-alive of the
// client, and what was on its way is accounted for.
func TestDeafLink(t *testing.T) {
	t.Parallel()
	for _, way := range []natstest.Direction{natstest.ClientToServer, natstest.ServerToClient} {
		t.Run(way.String(), func(t *testing.T) {
			t.Parallel()
			srv := ledger.Run(t)
			proxy := natstest.RunProxy(t, srv.Addr())
			events, handler := ledger.NewEvents()
			const interval = 100 * time.Millisecond
			nc := ledger.Connect(t, proxy.URL(), handler, nats.PingInterval(interval))
			sub, err := nc.SubscribeSync("x")
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			proxy.Stall(way)
			begun := time.Now()
			if err := nc.Publish("x", []byte("into the void")); err != nil {
				t.Fatal(err)
			}
			e := ledger.Wait[nats.Disconnected](t, events)
			took := time.Since(begun)
			if !errors.Is(e.Err, nats.ErrStaleConnection) || e.Unknown != 1 || took < interval || took > 30*interval {
				t.Errorf("after %v: %v", took, e)
			}
			t.Logf("found after %v, promised %v", took, 3*interval)
			if err := proxy.Heal(); err != nil {
				t.Fatal(err)
			}
			ledger.Wait[nats.Reconnected](t, events)
			if err := nc.Publish("x", []byte("back")); err != nil {
				t.Fatal(err)
			}
			for m, err := range sub.Messages(t.Context()) { // the lost one may yet come from the server
				if err != nil {
					t.Fatal(err)
				}
				if string(m.Data) == "back" {
					break
				}
			}
			ledger.SameSubscriptions(t, srv, nc, "x")
		})
	}
}
