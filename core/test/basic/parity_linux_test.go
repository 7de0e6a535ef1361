package basic

import (
	"net"
	"syscall"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
)

// Small messages are not held back to be sent together.
func TestParityNoDelay(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	d := &hooked{before: func(string) error { return nil }}
	var conn *net.TCPConn
	d.after = func(c net.Conn) { conn = c.(*net.TCPConn) }
	nc := ledger.Connect(t, srv.URL(), nats.UseDialer(d))
	works(t, nc)
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var value int
	var failed error
	err = raw.Control(func(fd uintptr) {
		value, failed = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY)
	})
	if err != nil || failed != nil || value == 0 {
		t.Errorf("TCP_NODELAY is %d, %v, %v", value, err, failed)
	}
}
