package fakeserver

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func dial(t *testing.T, n *Net, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := n.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, bufio.NewReader(c)
}

func line(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil || !strings.HasPrefix(s, want) {
		t.Fatalf("read %q, %v; want %q", s, err, want)
	}
}

func TestBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := One()
		c, r := dial(t, n, "server:4222")
		line(t, r, "INFO {")
		_, err := io.WriteString(c, "CONNECT {\"headers\":true,\"no_responders\":true}\r\nPING\r\n"+
			"SUB a.* 1\r\nSUB b q 2\r\nSUB b q 3\r\nSUB in 4\r\nUNSUB 4 2\r\n"+
			"PUB a.x 2\r\nhi\r\nHPUB b r 12 14\r\nNATS/1.0\r\n\r\nyo\r\nPUB nobody in 0\r\n\r\nPING\r\n")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"PONG", "MSG a.x 1 2", "hi", "HMSG b 3 r 12 14", "NATS/1.0", "\r\n", "yo",
			"HMSG in 4 38 38", "NATS/1.0 503", "Nats-Subject: nobody", "\r\n", "\r\n", "PONG",
		} {
			line(t, r, want)
		}
		if got := s.Peer().Subs(); len(got) != 4 || got[3].Max != 2 || got[3].Delivered != 1 {
			t.Errorf("subscriptions %v", got)
		}
		if got := len(s.Ops("PUB")); got != 3 {
			t.Errorf("%d PUBs on record", got)
		}
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := One()
		s.Capacity(8)
		c, r := dial(t, n, "server:4222")
		line(t, r, "INFO {")

		s.Peer().StallReads(true)
		_ = c.SetDeadline(time.Now().Add(time.Second))
		k, err := io.WriteString(c, "0123456789")
		if k != 8 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a stalled write gave %d, %v", k, err)
		}
		_ = c.SetDeadline(time.Time{})
		s.Peer().StallReads(false)
		s.Peer().CutAfter(3, false)
		if k, err = io.WriteString(c, "abcdef"); k != 3 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a cut write gave %d, %v", k, err)
		}
		if _, err = c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a read after the cut gave %v", err)
		}
		synctest.Wait()
		if got := s.Peer().Raw(); got != "01234567abc" {
			t.Errorf("the server has %q", got)
		}

		s.Refuse(true)
		if _, err := n.DialContext(t.Context(), "tcp", "server:4222"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refused: %v", err)
		}
		s.Refuse(false)
		s.Hang(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.DialContext(ctx, "tcp", "server:4222"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hanging: %v", err)
		}
		if got := len(n.Dials()); got != 3 {
			t.Errorf("%d dials on record", got)
		}
	})
}

func TestCloseLetsTheRestArrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := One()
		s.Script(func(p *Peer) { p.Send("bye\r\n") })
		_, r := dial(t, n, "server:4222")
		line(t, r, "bye")
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("then %v", err)
		}
	})
}
