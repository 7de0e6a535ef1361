package natstest_test

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/perigee-go/nats/orbit/natstest"
)

// TestProxyConcurrently does everything to a proxy at the same time. It looks
// for races, deadlocks and leaks, not for results.
func TestProxyConcurrently(t *testing.T) {
	t.Parallel()
	natstest.CheckLeaks(t)
	srv := natstest.Run(t)
	proxy := natstest.RunProxy(t, srv.URL())
	faults := []func(){
		func() { proxy.CutNow() },
		func() { proxy.CutAfter(natstest.Both, 100) },
		func() { proxy.CutIn(natstest.ClientToServer, 10) },
		func() { proxy.Delay(natstest.Both, time.Millisecond); proxy.Delay(natstest.Both, 0) },
		func() { proxy.Throttle(natstest.ServerToClient, 1e6); proxy.Throttle(natstest.Both, 0) },
		func() { proxy.Stall(natstest.Both); proxy.Resume(natstest.Both) },
		func() { proxy.HalfClose(natstest.ClientToServer) },
		func() { proxy.Record(natstest.Both); proxy.Recorded(natstest.ServerToClient) },
		func() { _ = proxy.Refuse(true); _ = proxy.Refuse(false) },
		func() { proxy.Reject(true); proxy.Reject(false) },
		func() { proxy.CutWithReset(true); proxy.CutWithReset(false) },
		func() { _ = proxy.SetUpstream(srv.Addr()) },
		func() { _ = proxy.Heal() },
		func() { proxy.Forwarded(natstest.Both); proxy.Connections(); proxy.Accepted() },
	}
	end := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { chatter(proxy.Addr(), end) })
	}
	for _, fault := range faults {
		wg.Go(func() {
			for range 100 {
				fault()
			}
		})
	}
	timer := time.AfterFunc(500*time.Millisecond, func() { close(end) })
	defer timer.Stop()
	wg.Wait()
	if err := proxy.Heal(); err != nil {
		t.Fatal(err)
	}
	connect(t, proxy.Addr())
}

// chatter connects and pings until the end, whatever comes between.
func chatter(addr string, end <-chan struct{}) {
	for {
		select {
		case <-end:
			return
		default:
		}
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(50 * time.Millisecond))
		_, _ = io.WriteString(conn, "CONNECT {}\r\nPING\r\nPING\r\nPING\r\n")
		_, _ = io.CopyN(io.Discard, conn, 1000)
		conn.Close()
	}
}

// TestServerConcurrently does the same to a server.
func TestServerConcurrently(t *testing.T) {
	t.Parallel()
	natstest.CheckLeaks(t)
	srv := natstest.Run(t, natstest.JetStream())
	deeds := []func(){
		srv.Kill, srv.Shutdown,
		func() { _ = srv.Restart() },
		func() { <-srv.LameDuck() },
		func() { _ = srv.Reload("jetstream: enabled") },
		func() { _ = srv.Reconfigure(natstest.MaxPayload(1000)) },
		func() { srv.NumLeafNodes(); srv.DisconnectLeafNodes() },
		func() { srv.Subscriptions(); srv.NumClients(); srv.Disconnect() },
		func() { srv.Running(); srv.ID(); srv.Name(); srv.URL() },
		func() {
			if conn, err := srv.InProcessConn(); err == nil {
				conn.Close()
			}
		},
	}
	var wg sync.WaitGroup
	for _, deed := range deeds {
		wg.Go(func() {
			for range 5 {
				deed()
			}
		})
	}
	wg.Wait()
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	connect(t, srv.Addr())
}

// TestOperatorConcurrently changes accounts while servers come and go.
func TestOperatorConcurrently(t *testing.T) {
	t.Parallel()
	natstest.CheckLeaks(t)
	op := natstest.NewOperator()
	memory, full := natstest.Run(t, op), natstest.Run(t, op, natstest.FullResolver())
	account := op.Account("A")
	user := account.User("u")
	deeds := []func(i int){
		func(int) { _ = memory.Restart() },
		func(int) { full.Kill(); _ = full.Restart() },
		func(i int) { _ = account.Update(func(c *jwt.AccountClaims) { c.Limits.Payload = int64(100 + i) }) },
		func(int) { _ = account.Revoke(user) },
		func(i int) { op.Account(strings.Repeat("x", i+1)) },
		func(i int) { _ = op.Account(strings.Repeat("y", i+1)).Delete() },
		func(i int) { _ = memory.Reconfigure(natstest.MaxPayload(1000 + i)) },
	}
	var wg sync.WaitGroup
	for _, deed := range deeds {
		wg.Go(func() {
			for i := range 5 {
				deed(i)
			}
		})
	}
	wg.Wait()
	for _, srv := range []*natstest.Server{memory, full} {
		if err := srv.Restart(); err != nil {
			t.Fatal(err)
		}
		if got := turnedAway(t, srv.Addr(), user); !strings.HasPrefix(got, "-ERR") {
			t.Errorf("%q", got)
		}
		for _, name := range []string{"x", "xxxxx"} {
			enter(t, srv.Addr(), op.Account(name).User("u"))
		}
	}
}

func BenchmarkRun(b *testing.B) {
	for _, bm := range []struct {
		name string
		opts []natstest.Option
	}{
		{"bare", nil},
		{"jetstream", []natstest.Option{natstest.JetStream()}},
		{"tls", []natstest.Option{natstest.TLS()}},
	} {
		b.Run(bm.name, func(b *testing.B) {
			for b.Loop() {
				srv, err := natstest.Start(bm.opts...)
				if err != nil {
					b.Fatal(err)
				}
				srv.Stop()
			}
		})
	}
	b.Run("process", func(b *testing.B) {
		for b.Loop() {
			p, err := natstest.StartProcess()
			if err != nil {
				b.Fatal(err)
			}
			p.Stop()
		}
	})
}
