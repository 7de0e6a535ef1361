package basic

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/test/internal/ledger"
)

// hooked calls a user's code before and after dialing.
type hooked struct {
	before func(address string) error
	after  func(net.Conn)
	net.Dialer
}

func (d *hooked) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := d.before(address); err != nil {
		return nil, err
	}
	c, err := d.Dialer.DialContext(ctx, network, address)
	if err == nil {
		d.after(c)
	}
	return c, err
}

func works(t testing.TB, nc *nats.Conn) {
	t.Helper()
	sub, err := nc.SubscribeSync("works")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("works", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestParityDialerHooks(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	stop := errors.New("not now")
	var dialed, opened atomic.Int64
	var deny atomic.Bool
	d := &hooked{
		before: func(address string) error {
			dialed.Add(1)
			if address != srv.Addr() {
				t.Errorf("dialing %q", address)
			}
			if deny.Load() {
				return stop
			}
			return nil
		},
		after: func(c net.Conn) {
			opened.Add(1)
			if c.RemoteAddr().String() != srv.Addr() {
				t.Errorf("dialed %v", c.RemoteAddr())
			}
		},
	}
	nc := ledger.Connect(t, srv.URL(), nats.UseDialer(d))
	works(t, nc)
	if err := nc.Reconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if dialed.Load() != 2 || opened.Load() != 2 {
		t.Errorf("%d dials, %d connections", dialed.Load(), opened.Load())
	}
	deny.Store(true)
	_, err := nats.Connect(t.Context(), srv.URL(), nats.UseDialer(d), nats.Logger(nil))
	if !errors.Is(err, stop) || !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("the dialer's error is lost: %v", err)
	}
}

// What is set on a net.Dialer is in force: the source address, Multipath TCP,
// and whatever Control does to the socket.
func TestParityNetDialer(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t)
	const source = "127.0.0.2"
	if l, err := net.Listen("tcp", source+":0"); err != nil {
		t.Skip(err) // no such address on this system
	} else {
		_ = l.Close()
	}
	var sockets atomic.Int64
	d := &net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)},
		Control: func(network, address string, _ syscall.RawConn) error {
			if sockets.Add(1); address != srv.Addr() || !strings.HasPrefix(network, "tcp") {
				t.Errorf("%s %s", network, address)
			}
			return nil
		},
	}
	nc := ledger.Connect(t, srv.URL(), nats.UseDialer(d))
	works(t, nc)
	if ip := nc.LocalAddr().(*net.TCPAddr).IP.String(); ip != source || nc.ServerInfo().ClientIP != source {
		t.Errorf("from %s; the server sees %s", ip, nc.ServerInfo().ClientIP)
	}
	if sockets.Load() == 0 {
		t.Error("Control was not called")
	}
}

func TestParityMultipathTCP(t *testing.T) {
	t.Parallel()
	// The server's listener has to speak it as well, which is the default of Go's.
	srv := ledger.Run(t)
	d := &hooked{before: func(string) error { return nil }}
	d.SetMultipathTCP(true)
	var open func() (bool, error)
	d.after = func(c net.Conn) { open = c.(*net.TCPConn).MultipathTCP }
	nc := ledger.Connect(t, srv.URL(), nats.UseDialer(d))
	works(t, nc)
	on, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if enabled, err := os.ReadFile("/proc/sys/net/mptcp/enabled"); err == nil && strings.TrimSpace(string(enabled)) == "1" && !on {
		t.Error("this system has Multipath TCP, and it is not used")
	} else if !on {
		t.Skip("no Multipath TCP on this system")
	}
}

// resolver is a name server that answers every name with ::1 and 127.0.0.1.
type resolver struct {
	asked atomic.Int64
	done  sync.WaitGroup
}

func (r *resolver) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	r.done.Go(func() {
		defer server.Close()
		for {
			// A pipe is no net.PacketConn, so messages have a length before them.
			size := make([]byte, 2)
			if _, err := server.Read(size); err != nil {
				return
			}
			q := make([]byte, binary.BigEndian.Uint16(size))
			if _, err := server.Read(q); err != nil {
				return
			}
			r.asked.Add(1)
			if _, err := server.Write(r.answer(q)); err != nil {
				return
			}
		}
	})
	return client, nil
}

func (r *resolver) answer(q []byte) []byte {
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	end += 5
	ip, kind := net.IPv6loopback, binary.BigEndian.Uint16(q[end-4:])
	if kind == 1 {
		ip = net.IPv4(127, 0, 0, 1).To4()
	}
	a := append([]byte{0, 0}, q[:end]...)
	msg := a[2:]
	msg[2], msg[3] = 0x84, 0                                                   // an answer with authority
	copy(msg[4:], []byte{0, 1, 0, 1, 0, 0, 0, 0})                              // one question, one answer
	a = append(a, 0xC0, 12, 0, byte(kind), 0, 1, 0, 0, 0, 0, 0, byte(len(ip))) // its name, not to be kept
	a = append(a, ip...)
	binary.BigEndian.PutUint16(a, uint16(len(a)-2))
	return a
}

// A name stands for all its addresses, and is resolved anew at each attempt.
func TestParityNamesAndAddresses(t *testing.T) {
	t.Parallel()
	srv := ledger.Run(t) // on 127.0.0.1 alone
	_, port, err := net.SplitHostPort(srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	r := &resolver{}
	t.Cleanup(r.done.Wait)
	var mu sync.Mutex
	var tried []string
	d := &net.Dialer{
		FallbackDelay: -1, // one address after the other
		Resolver:      &net.Resolver{PreferGo: true, Dial: r.dial},
		Control: func(_, address string, _ syscall.RawConn) error {
			mu.Lock()
			defer mu.Unlock()
			tried = append(tried, address)
			return nil
		},
	}
	url := "nats://cluster.example.:" + port
	nc := ledger.Connect(t, url, nats.UseDialer(d))
	works(t, nc)
	first := r.asked.Load()
	if first == 0 || nc.ConnectedURL() != url || nc.RemoteAddr().String() != srv.Addr() {
		t.Errorf("asked %d times; at %q, %v", first, nc.ConnectedURL(), nc.RemoteAddr())
	}
	if err := nc.Reconnect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again := r.asked.Load(); again != 2*first {
		t.Errorf("asked %d times, then %d", first, again-first)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(tried, " "); !strings.Contains(got, srv.Addr()) || strings.Contains(got, "[::1]") && len(tried) != 4 {
		t.Errorf("tried %s", got)
	}
}
