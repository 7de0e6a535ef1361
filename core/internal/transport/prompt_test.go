//go:build unix

package transport

import (
	"bytes"
	"io"
	"net"
	"testing"
)

func pair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

// TestPrompt: what it says left arrives, and a peer that reads nothing does not
// hold it.
func TestPrompt(t *testing.T) {
	a, b := pair(t)
	p := NewPrompt(a)
	block := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	sent := 0
	for {
		n := p.Write(block[sent%16:][:1<<20-16])
		if sent += n; n == 0 {
			break // full
		}
	}
	if sent == 0 || sent%16 == 0 && sent > 1<<30 {
		t.Fatalf("%d bytes left", sent)
	}
	if err := a.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(b)
	if err != nil || len(got) != sent {
		t.Fatalf("%d of %d bytes arrived: %v", len(got), sent, err)
	}
	for i := range got {
		if got[i] != block[i%16] {
			t.Fatalf("byte %d is %q", i, got[i])
		}
	}
	if n := p.Write(block); n != 0 {
		t.Errorf("%d bytes left after the end", n)
	}
	_ = a.Close()
	if n := p.Write(block); n != 0 {
		t.Errorf("%d bytes left after Close", n)
	}
}

func TestPromptAllocations(t *testing.T) {
	a, b := pair(t)
	go func() { _, _ = io.Copy(io.Discard, b) }()
	p := NewPrompt(a)
	data := []byte("PUB a 1\r\n1\r\n")
	if n := testing.AllocsPerRun(100, func() { p.Write(data) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestPromptNeedsTheKernel: what wraps a connection is not written past.
func TestPromptNeedsTheKernel(t *testing.T) {
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	tcp, _ := pair(t)
	for _, c := range []net.Conn{a, struct{ net.Conn }{tcp}} {
		if NewPrompt(c) != nil {
			t.Errorf("%T", c)
		}
	}
}
