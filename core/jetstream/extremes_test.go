package jetstream

import (
	"context"
	"encoding/json"
	"math"
	"testing"
	"testing/synctest"
	"time"

	nats "github.com/perigee-go/nats/core"
)

const (
	most     = math.MaxInt
	mostTime = time.Duration(math.MaxInt64)
)

// TestExtremes: what is allowed is allowed up to the last number: sessions ask
// for something that makes sense, wait, and get their message.
func TestExtremes(t *testing.T) {
	next := func(c *Consumer, opts ...PullOption) func(context.Context) (*Msg, error) {
		return func(ctx context.Context) (*Msg, error) {
			r, err := c.Receiver(opts...)
			if err != nil {
				return nil, err
			}
			defer r.Stop()
			return r.Next(ctx)
		}
	}
	fetch := func(c *Consumer, n int, opts ...FetchOption) func(context.Context) (*Msg, error) {
		return func(ctx context.Context) (msg *Msg, err error) {
			for m, err := range c.Fetch(ctx, n, opts...) {
				return m, err
			}
			return nil, ErrNoMessages
		}
	}
	for name, call := range map[string]func(c *Consumer) func(context.Context) (*Msg, error){
		"MaxMessages": func(c *Consumer) func(context.Context) (*Msg, error) { return next(c, MaxMessages(most)) },
		"MaxMessages, MaxBytes": func(c *Consumer) func(context.Context) (*Msg, error) {
			return next(c, MaxMessages(most), MaxBytes(most))
		},
		"Threshold": func(c *Consumer) func(context.Context) (*Msg, error) {
			return next(c, MaxMessages(most), Threshold(most-1))
		},
		"MaxBytes": func(c *Consumer) func(context.Context) (*Msg, error) { return next(c, MaxBytes(most)) },
		"Expiry":   func(c *Consumer) func(context.Context) (*Msg, error) { return next(c, Expiry(mostTime)) },
		"Heartbeat": func(c *Consumer) func(context.Context) (*Msg, error) {
			return next(c, Expiry(mostTime), Heartbeat(mostTime/2))
		},
		"no Heartbeat": func(c *Consumer) func(context.Context) (*Msg, error) { return next(c, Heartbeat(math.MinInt64)) },
		"StopAfter":    func(c *Consumer) func(context.Context) (*Msg, error) { return next(c, StopAfter(most)) },
		"Fetch":        func(c *Consumer) func(context.Context) (*Msg, error) { return fetch(c, most) },
		"MaxWait":      func(c *Consumer) func(context.Context) (*Msg, error) { return fetch(c, 1, MaxWait(mostTime)) },
		"MaxWait, Heartbeat": func(c *Consumer) func(context.Context) (*Msg, error) {
			return fetch(c, most, MaxBytes(most), MaxWait(mostTime), Heartbeat(mostTime/2))
		},
		"Next": func(c *Consumer) func(context.Context) (*Msg, error) {
			return func(ctx context.Context) (*Msg, error) { return c.Next(ctx, MaxWait(mostTime)) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, silent, func(t *testing.T, r *rig) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				defer time.AfterFunc(time.Hour, cancel).Stop()
				done := make(chan error, 1)
				go func() { done <- only(call(r.StreamHandle("S").ConsumerHandle("C"))(ctx)) }()
				pass(100 * time.Millisecond)
				pulls := r.pulls()
				if len(pulls) != 1 {
					t.Fatalf("%d pulls", len(pulls))
				}
				for _, o := range pulls {
					var body struct{ Batch, Expires, Heartbeat int64 }
					if err := json.Unmarshal(o.Data, &body); err != nil || body.Batch < 1 || body.Expires < 1 || body.Heartbeat < 0 {
						t.Errorf("asked for %s", o.Data)
					}
				}
				// Another one, once this was refused; and no flood of them.
				r.status(pulls[0], "409 Leadership Change\r\nNats-Pending-Messages: 18446744073709551615\r\nNats-Pending-Bytes: 18446744073709551615")
				pass(10 * time.Second)
				if n := len(r.pulls()); n > 8 {
					t.Fatalf("%d pulls in 10 s", n)
				}
				pulls = r.pulls()
				r.message(pulls[len(pulls)-1], 1, "")
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestExtremeDelays: acknowledgements and timeouts take any duration.
func TestExtremeDelays(t *testing.T) {
	scripted(t, silent, func(t *testing.T, r *rig) {
		for d, want := range map[time.Duration]string{
			0: `-NAK {"delay":0}`, -1: `-NAK {"delay":0}`, math.MinInt64: `-NAK {"delay":0}`, mostTime: `-NAK {"delay":9223372036854775807}`,
		} {
			var got string
			m := NewMsg(nats.Msg{}, MsgMetadata{}, func(_ context.Context, _ AckKind, body []byte) error { got = string(body); return nil })
			if err := m.NakWithDelay(d); err != nil || got != want {
				t.Errorf("%v: %s, %v", d, got, err)
			}
		}
		js, err := New(r.Conn(), DefaultTimeout(mostTime), RetryWait(mostTime), RetryAttempts(most))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- only(js.AccountInfo(ctx)) }()
		go func() { done <- only(js.Publish(ctx, "s", nil)) }()
		pass(time.Hour)
		if n := len(done); n > 0 {
			t.Errorf("%d are over", n)
		}
		cancel()
		synctest.Wait()
		for range 2 {
			if err := <-done; err == nil {
				t.Error("it works")
			}
		}
	})
}
