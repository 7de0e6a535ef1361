package simnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/leakcheck"
)

func TestMain(m *testing.M) { os.Exit(leakcheck.Main(m)) }

var _ net.Conn = (*Conn)(nil)

func bubble(t *testing.T, f func(t *testing.T, a, b *Conn)) {
	synctest.Test(t, func(t *testing.T) {
		a, b := PipeSize(10)
		f(t, a, b)
		_ = a.Close()
		_ = b.Close()
	})
}

func expect(t *testing.T, what string, n int, err error, wantN int, want error) {
	t.Helper()
	if n != wantN || !errors.Is(err, want) {
		t.Fatalf("%s: %d, %v; want %d, %v", what, n, err, wantN, want)
	}
}

func TestBufferBlocksWriters(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		n, err := a.Write([]byte("0123456789"))
		expect(t, "write into the buffer", n, err, 10, nil)
		if b.Buffered() != 10 {
			t.Error(b.Buffered())
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			n, err := a.Write([]byte("abcdefghijklmnopqrstuvwxyz"))
			expect(t, "a large write", n, err, 26, nil)
		}()
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("the write did not block")
		default:
		}
		got := make([]byte, 36)
		if _, err := io.ReadFull(b, got); err != nil || string(got) != "0123456789abcdefghijklmnopqrstuvwxyz" {
			t.Errorf("%q, %v", got, err)
		}
		<-done
	})
}

func TestDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		start := time.Now()
		buf := make([]byte, 5)
		_ = a.SetReadDeadline(start.Add(time.Second))
		n, err := a.Read(buf)
		expect(t, "read", n, err, 0, os.ErrDeadlineExceeded)
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		// Moved while somebody waits.
		_ = a.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(time.Second)
			_ = a.SetReadDeadline(time.Unix(1, 0))
		}()
		n, err = a.Read(buf)
		expect(t, "read with a moved deadline", n, err, 0, os.ErrDeadlineExceeded)
		_ = a.SetWriteDeadline(time.Now().Add(time.Second))
		n, err = a.Write(make([]byte, 15))
		expect(t, "write", n, err, 10, os.ErrDeadlineExceeded)
		// And it works again afterwards.
		_ = a.SetDeadline(time.Time{})
		_, _ = b.Write([]byte("hello"))
		n, err = a.Read(buf)
		expect(t, "read", n, err, 5, nil)
	})
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		_, _ = a.Write([]byte("left"))
		_, _ = b.Write([]byte("lost"))
		blocked := make(chan error, 1)
		go func() {
			_, err := a.Write(make([]byte, 100))
			blocked <- err
		}()
		synctest.Wait()
		_ = a.Close()
		if err := <-blocked; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		buf := make([]byte, 100)
		n, err := a.Read(buf)
		expect(t, "read of a closed end", n, err, 0, net.ErrClosed)
		n, err = b.Write(buf)
		expect(t, "write to a closed end", n, err, 0, syscall.EPIPE)
		n, err = b.Read(buf)
		expect(t, "read of the rest", n, err, 10, nil)
		n, err = b.Read(buf)
		expect(t, "read of the end", n, err, 0, io.EOF)
		n, err = a.Write(buf)
		expect(t, "write of a closed end", n, err, 0, net.ErrClosed)
		_ = b.Close()
		for _, c := range []*Conn{a, b} {
			n, err = c.Write(buf)
			expect(t, "write of a closed end", n, err, 0, net.ErrClosed)
			n, err = c.Read(buf)
			expect(t, "read of a closed end", n, err, 0, net.ErrClosed)
		}
		a.Cut(nil)
		n, err = b.Read(buf)
		expect(t, "read of a closed end", n, err, 0, net.ErrClosed)
	})
}

func TestHalfClose(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		_, _ = a.Write([]byte("last"))
		_ = a.CloseWrite()
		got, err := io.ReadAll(b)
		if string(got) != "last" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		_, err = a.Write([]byte("x"))
		expect(t, "write after CloseWrite", 0, err, 0, syscall.EPIPE)
		n, err := b.Write([]byte("answer"))
		expect(t, "write of the other", n, err, 6, nil)
		buf := make([]byte, 10)
		n, err = a.Read(buf)
		expect(t, "read", n, err, 6, nil)
	})
}

func TestCut(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		_, _ = a.Write([]byte("lost"))
		b.Cut(nil)
		for _, c := range []*Conn{a, b} {
			n, err := c.Read(make([]byte, 1))
			expect(t, "read", n, err, 0, syscall.ECONNRESET)
			n, err = c.Write(make([]byte, 1))
			expect(t, "write", n, err, 0, syscall.ECONNRESET)
		}
	})
}

func TestStall(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		b.StallReads(true)
		_, _ = a.Write([]byte("late"))
		_ = b.SetReadDeadline(time.Now().Add(time.Second))
		buf := make([]byte, 10)
		n, err := b.Read(buf)
		expect(t, "a stalled read", n, err, 0, os.ErrDeadlineExceeded)
		_ = b.SetReadDeadline(time.Time{})
		b.StallReads(false)
		n, err = b.Read(buf)
		expect(t, "read", n, err, 4, nil)

		a.StallWrites(true)
		_ = a.SetWriteDeadline(time.Now().Add(time.Second))
		n, err = a.Write([]byte("x"))
		expect(t, "a stalled write", n, err, 0, os.ErrDeadlineExceeded)
		_ = a.SetWriteDeadline(time.Time{})
		go func() {
			time.Sleep(time.Second)
			a.StallWrites(false)
		}()
		n, err = a.Write([]byte("x"))
		expect(t, "write", n, err, 1, nil)
	})
}

func TestFailWritesAndChunk(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *Conn) {
		boom := errors.New("boom")
		a.FailWrites(7, boom)
		n, err := a.Write([]byte("0123"))
		expect(t, "write", n, err, 4, nil)
		n, err = a.Write([]byte("456789"))
		expect(t, "write", n, err, 3, boom)
		n, err = a.Write([]byte("x"))
		expect(t, "write", n, err, 0, boom)
		b.Chunk(2)
		var got bytes.Buffer
		buf := make([]byte, 10)
		for got.Len() < 7 {
			n, err := b.Read(buf)
			if n > 2 || err != nil {
				t.Fatal(n, err)
			}
			got.Write(buf[:n])
		}
		if got.String() != "0123456" {
			t.Error(got.String())
		}
		n, err = b.Read(nil)
		expect(t, "read of nothing", n, err, 0, nil)
		if a.LocalAddr().String() != b.RemoteAddr().String() || a.LocalAddr().Network() != "sim" {
			t.Error(a.LocalAddr(), b.RemoteAddr())
		}
	})
}
