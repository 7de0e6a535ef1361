package basic

import (
	"net"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
)

// A source address with a port of its own: the server sees that port.
func TestSourcePort(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	// A port that was free a moment ago may be taken; then another will do.
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.3:0")
		if err != nil {
			t.Skip(err) // no such address on this system
		}
		source := l.Addr().(*net.TCPAddr)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		d := &net.Dialer{LocalAddr: source}
		if probe, err := d.DialContext(t.Context(), "tcp", srv.Addr()); err != nil {
			continue
		} else if err := probe.(*net.TCPConn).SetLinger(0); err != nil { // a reset leaves the port free
			t.Fatal(err)
		} else {
			_ = probe.Close()
		}
		nc := ledger.Connect(t, srv.URL(), nats.UseDialer(d))
		works(t, nc)
		list, err := srv.Embedded().Connz(nil)
		if err != nil || len(list.Conns) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if c := list.Conns[0]; nc.LocalAddr().String() != source.String() || c.Port != source.Port || c.IP != source.IP.String() {
			t.Errorf("from %v, wanted %v; the server sees %s:%d", nc.LocalAddr(), source, c.IP, c.Port)
		}
		return
	}
	t.Skip("no port stays free here")
}
