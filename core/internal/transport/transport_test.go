package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/leakcheck"
	"github.com/perigee-go/nats/core/internal/simnet"
)

func TestMain(m *testing.M) { os.Exit(leakcheck.Main(m)) }

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d(ctx, network, address)
}

func TestDial(t *testing.T) {
	want := errors.New("no")
	_, err := Dial(t.Context(), dialer(func(_ context.Context, network, address string) (net.Conn, error) {
		if network != "tcp" || address != "a:1" {
			t.Error(network, address)
		}
		return nil, want
	}), "a:1")
	if err != want {
		t.Error(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip(err)
	}
	defer func() { _ = l.Close() }()
	c, err := Dial(t.Context(), nil, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := Dial(ctx, nil, l.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("dialled although the context was done")
	}
}

// slowContext is done a moment after its deadline, as contexts are whose timer
// is slower than the poller's.
type slowContext struct{ context.Context }

func (c slowContext) Deadline() (time.Time, bool) {
	d, ok := c.Context.Deadline()
	return d.Add(-time.Millisecond), ok
}

// The system may see the end of the time before the context does. The error is
// the context's all the same; a time limit of the dialer's own stays as it is.
func TestDialEndsWithItsTime(t *testing.T) {
	for name, c := range map[string]struct {
		after time.Duration
		ours  bool
	}{
		"the context's": {time.Second, true}, "the dialer's": {time.Second / 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cause := errors.New("enough")
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second+time.Millisecond, cause)
				defer cancel()
				timeout := &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
				_, err := Dial(slowContext{ctx}, dialer(func(context.Context, string, string) (net.Conn, error) {
					<-time.After(c.after)
					return nil, timeout
				}), "a:1")
				if !errors.Is(err, timeout) || errors.Is(err, cause) != c.ours {
					t.Error(err)
				}
			})
		})
	}
}

func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := simnet.Pipe()
		defer func() { _, _ = a.Close(), b.Close() }()
		cause := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		release := Bound(ctx, a)
		start := time.Now()
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Error(err, time.Since(start))
		}
		if _, err := a.Write(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		if err := release(); err != cause {
			t.Error(err)
		}
	})
	// Lifted in time, it leaves no deadline.
	synctest.Test(t, func(t *testing.T) {
		a, b := simnet.Pipe()
		defer func() { _, _ = a.Close(), b.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := Bound(ctx, a)(); err != nil {
			t.Error(err)
		}
		go func() {
			time.Sleep(2 * time.Second)
			_, _ = b.Write([]byte("x"))
		}()
		if n, err := a.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Error(n, err)
		}
	})
}

func TestHandshake(t *testing.T) {
	ca, err := fakeserver.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	srv, err := ca.Server("sim")
	if err != nil {
		t.Fatal(err)
	}
	for name, ok := range map[string]bool{"sim": true, "other": false} {
		synctest.Test(t, func(t *testing.T) {
			a, b := simnet.Pipe()
			go func() { _, _ = io.Copy(io.Discard, tls.Server(b, srv)); _ = b.Close() }()
			cfg := ca.Client()
			cfg.ServerName = name
			c, err := Handshake(t.Context(), a, cfg)
			if (err == nil) != ok || (c != nil) != ok {
				t.Errorf("%s: %v", name, err)
			}
			_ = a.Close()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		a, b := simnet.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Handshake(ctx, a, ca.Client()); err == nil {
			t.Error("no error")
		}
		_, _ = a.Close(), b.Close()
	})
}
