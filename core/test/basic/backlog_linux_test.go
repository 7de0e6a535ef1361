package basic

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// A program that listens and never accepts: at first the system answers for it,
// and nothing follows; when its queue is full, not even the system answers.
func TestListenerThatNeverAccepts(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), 0) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	const timeout = 200 * time.Millisecond
	ends := func(where string) {
		start := time.Now()
		_, err := nats.Connect(t.Context(), "nats://"+l.Addr().String(), nats.Timeout(timeout), nats.Logger(nil))
		d := time.Since(start)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, nats.ErrNoServers) || d < timeout || d > 10*timeout {
			t.Errorf("%s: after %v: %v", where, d, err)
		}
	}
	ends("with room in the queue")
	for n := 0; ; n++ {
		c, err := net.DialTimeout("tcp", l.Addr().String(), timeout)
		if err != nil {
			break
		}
		defer c.Close()
		if n == 100 {
			t.Skip("this system's queue has no end")
		}
	}
	ends("with a full queue")
}
