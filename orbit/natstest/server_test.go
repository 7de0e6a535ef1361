package natstest_test

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/perigee-go/nats/orbit/natstest"
)

func TestRunIsReadyAndPlain(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t)
	p := connect(t, srv.Addr())
	if p.info.Auth || p.info.TLS || p.info.JetStream {
		t.Errorf("INFO %+v", p.info)
	}
	if want := "nats://" + srv.Addr(); srv.URL() != want {
		t.Errorf("URL %q, want %q", srv.URL(), want)
	}
	if p.info.ID != srv.ID() || p.info.Name != srv.Name() {
		t.Errorf("ID %s, name %s; INFO %+v", srv.ID(), srv.Name(), p.info)
	}
	if srv.Addr() != fmt.Sprintf("127.0.0.1:%d", srv.Port()) {
		t.Errorf("address %s, port %d", srv.Addr(), srv.Port())
	}
}

func TestRestartKeepsAddressNameAndStore(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.JetStream())
	addr, name, id := srv.Addr(), srv.Name(), srv.ID()
	p := connect(t, addr)
	if got := p.request("$JS.API.STREAM.CREATE.S", `{"name":"S","subjects":["s"]}`); strings.Contains(got, "error") {
		t.Fatal(got)
	}
	if got := p.request("s", "one"); !strings.Contains(got, `"seq":1`) {
		t.Fatal(got)
	}
	srv.Shutdown()
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if srv.Running() {
		t.Error("running after Shutdown")
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	if srv.Addr() != addr || srv.Name() != name || srv.ID() == id {
		t.Errorf("%s %s %s after restart, was %s %s %s", srv.Addr(), srv.Name(), srv.ID(), addr, name, id)
	}
	if got := connect(t, addr).request("s", "two"); !strings.Contains(got, `"seq":2`) {
		t.Error(got)
	}
}

func TestStopRemovesTheTemporaryStoreAndIsIdempotent(t *testing.T) {
	t.Parallel()
	srv, err := natstest.Start(natstest.JetStream())
	if err != nil {
		t.Fatal(err)
	}
	dir := srv.StoreDir()
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
	srv.Stop()
	srv.Stop()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("store %s after Stop: %v", dir, err)
	}
	if err := srv.Restart(); err == nil {
		t.Error("Restart after Stop succeeded")
	}
}

func TestInProcessConn(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t)
	conn, err := srv.InProcessConn()
	if err != nil {
		t.Fatal(err)
	}
	greet(t, conn).login()
	srv.Shutdown()
	if _, err := srv.InProcessConn(); err == nil {
		t.Error("a connection to a server that is down")
	}
}

func TestHostIPv6(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("no IPv6 here")
	}
	l.Close()
	srv := natstest.Run(t, natstest.Host("::1"))
	if !strings.HasPrefix(srv.URL(), "nats://[::1]:") {
		t.Errorf("URL %s", srv.URL())
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	connect(t, srv.Addr())
}

// TestRestartWaitsForALateListener closes a listener at the server's address
// late, as a process that is just being started does with its copy of one.
func TestRestartWaitsForALateListener(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("ports are not held here")
	}
	t.Parallel()
	srv := natstest.Run(t)
	srv.Shutdown()
	late, err := net.Listen("tcp", srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { late.Close() })
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	connect(t, srv.Addr())
}

// TestPortIsHeldWhileDown makes many listeners while a server is down: none may
// get its port.
func TestPortIsHeldWhileDown(t *testing.T) {
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("ports are not held here")
	}
	t.Parallel()
	srv := natstest.Run(t)
	srv.Shutdown()
	for range 500 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if l.Addr().String() == srv.Addr() {
			t.Fatal("somebody got the port of a server that is down")
		}
	}
	if conn, err := net.Dial("tcp", srv.Addr()); err == nil {
		conn.Close()
		t.Error("somebody answers for a server that is down")
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	connect(t, srv.Addr())
}
