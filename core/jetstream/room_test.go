package jetstream

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// A fetch whose request finds no room, because the peer takes nothing, keeps to
// its time and to its context.
func TestNoRoomForAPull(t *testing.T) { // reliability G10
	for name, f := range map[string]func(ctx context.Context, c *Consumer) error{
		"fetch": func(_ context.Context, c *Consumer) (last error) {
			for _, err := range c.Fetch(context.Background(), 1, MaxWait(time.Second)) {
				last = err
			}
			return last
		},
		"context": func(ctx context.Context, c *Consumer) (last error) {
			for _, err := range c.Fetch(ctx, 1) {
				last = err
			}
			return last
		},
		"next": func(ctx context.Context, c *Consumer) error { _, err := c.Next(ctx); return err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := fakeserver.One()
				s.SetInfo("jetstream", true).SetInfo("api_lvl", 5)
				nc, err := nats.Connect(t.Context(), "nats://server:4222", nats.UseDialer(n), nats.Logger(nil),
					nats.WriteBufferSize(2000), nats.WriteTimeout(20*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					_ = nc.Close()
					synctest.Wait()
				}()
				js, err := New(nc)
				if err != nil {
					t.Fatal(err)
				}
				s.Capacity(1000)
				s.Peer().StallReads(true)
				full(t, nc)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				took := elapsed(func() { err = f(ctx, js.StreamHandle("S").ConsumerHandle("C")) })
				if took > 3*time.Second || err == nil || name != "fetch" && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v after %v", err, took)
				}
			})
		})
	}
}

// full publishes until there is no room for anything.
func full(t *testing.T, nc *nats.Conn) {
	for size := 500; size > 0; {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if nc.PublishMsg(ctx, nats.Msg{Subject: "x", Data: make([]byte, size)}) != nil {
			size /= 2
		}
		cancel()
	}
}
