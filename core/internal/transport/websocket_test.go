package transport

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/simnet"
)

const agreed = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"

// wsPair is a client that has been upgraded, whose connection is counted, and
// the raw other end. What early holds comes in one piece with the answer.
func wsPair(t testing.TB, compress bool, early string) (*WebSocket, *counting, *simnet.Conn) {
	t.Helper()
	a, b := simnet.PipeSize(8 << 20)
	count := &counting{Conn: a}
	go func() {
		req, err := http.ReadRequest(bufio.NewReader(b))
		if err != nil {
			return
		}
		answer := fakeserver.Accept(req)
		if compress {
			answer += agreed
		}
		_, _ = io.WriteString(b, answer+"\r\n"+early)
	}()
	c, err := Upgrade(context.Background(), count, nil, WebSocketConfig{Host: "h", Target: "/", Compress: compress})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		c.Release()
		_ = b.Close()
	})
	return c, count, b
}

// cutUp makes frames of data, in a way that seed says: empty ones, split
// messages, compressed ones, control frames everywhere.
func cutUp(data []byte, seed []byte, compress bool) []byte {
	var out []byte
	var key [32]byte
	copy(key[:], seed)
	next := rand.New(rand.NewChaCha8(key)).IntN
	control := func() {
		switch next(6) {
		case 0:
			out = append(out, fakeserver.WSData(fakeserver.WSPing, true, make([]byte, next(126)))...)
		case 1:
			out = append(out, fakeserver.WSData(fakeserver.WSPong, true, nil)...)
		}
	}
	sizes := []int{0, 1, 2, 10, 125, 126, 1000, 5000, 70_000}
	piece := func() []byte {
		n := min(sizes[next(len(sizes))], len(data))
		p := data[:n]
		data = data[n:]
		return p
	}
	for len(data) > 0 {
		control()
		message, first := piece(), byte(fakeserver.WSBinary)
		if compress && next(2) == 0 {
			message, first = fakeserver.Deflate(message), first|0x40
		}
		for range next(4) { // frames of one message
			n := min(next(300), len(message))
			out = append(append(out, fakeserver.WSHead(first, int64(n))...), message[:n]...)
			message, first = message[n:], fakeserver.WSContinue
			control()
		}
		out = append(append(out, fakeserver.WSHead(first|0x80, int64(len(message)))...), message...)
	}
	return out
}

// readAll takes everything, in turns the plain way and what has arrived.
func readAll(c *WebSocket, size int) ([]byte, error) {
	var got []byte
	buf := make([]byte, size)
	for {
		n, err := c.Read(buf)
		got = append(got, buf[:n]...)
		for n > 0 && err == nil {
			n, err = c.ReadMore(buf)
			got = append(got, buf[:n]...)
		}
		if err != nil {
			return got, err
		}
		c.Shrink()
	}
}

// testCuts sends data in frames, the connection cut into chunks, and reads it.
func testCuts(t *testing.T, data, seed []byte, compress bool, chunk, size int) {
	t.Helper()
	c, count, server := wsPair(t, compress, "")
	if chunk > 0 {
		count.Conn.(*simnet.Conn).Chunk(chunk)
	}
	stream := cutUp(data, seed, compress)
	go func() {
		_, _ = server.Write(append(stream, fakeserver.WSClosing(1001, "end")...))
		_, _ = io.Copy(io.Discard, server) // pongs
	}()
	got, err := readAll(c, size)
	var closed *ClosedError
	if !errors.As(err, &closed) || !bytes.Equal(got, data) {
		t.Errorf("seed %x, chunks of %d, buffer of %d: %d bytes of %d, equal: %v, %v", seed, chunk, size, len(got), len(data), bytes.Equal(got, data), err)
	}
}

// Whatever the frames and however they arrive: the stream is the same.
func TestFramesReadTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		data := make([]byte, r.IntN(100_000))
		for k := range data {
			data[k] = byte(k * k >> 7)
		}
		seed := make([]byte, 20)
		for k := range seed {
			seed[k] = byte(r.Uint32())
		}
		chunk := []int{0, 0, 1, 2, 3, 13, 1000, 4096, 9000}[r.IntN(9)]
		if chunk == 1 {
			data = data[:len(data)/20]
		}
		testCuts(t, data, seed, i%2 == 0, chunk, []int{1, 7, 100, 8192, 1 << 20}[r.IntN(5)])
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("hello"), []byte{1, 2, 3}, true, uint8(1), uint16(10))
	f.Add(bytes.Repeat([]byte("x"), 10_000), []byte{0}, false, uint8(0), uint16(0))
	f.Fuzz(func(t *testing.T, data, seed []byte, compress bool, chunk uint8, size uint16) {
		testCuts(t, data[:min(len(data), 20_000)], seed, compress, int(chunk), int(size)+1)
	})
}

// FuzzHostile: bytes of a server that is not one end with an error, and nothing
// of the client hangs or is kept.
func FuzzHostile(f *testing.F) {
	for _, b := range [][]byte{{0x82, 0x83}, {0x82, 127, 0xff}, {0xc2, 3, 1, 2, 3}, fakeserver.WSDeflated([]byte("hello")), fakeserver.WSClosing(1000, "")} {
		f.Add(b, true)
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, b []byte, compress bool) {
		c, _, server := wsPair(t, compress, "")
		go func() {
			_, _ = server.Write(b)
			_ = server.CloseWrite()
			_, _ = io.Copy(io.Discard, server)
		}()
		if _, err := readAll(c, 100); err == nil {
			t.Error("no error at the end")
		}
	})
}

// ReadMore gives what has arrived and never waits for the rest: the stream comes
// byte by byte, and in a bubble waiting for nothing is a deadlock.
func TestWebSocketReadMoreDoesNotWait(t *testing.T) {
	for _, compress := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, _, server := wsPair(t, compress, "")
			data := bytes.Repeat([]byte("0123456789"), 120)
			stream := cutUp(data, []byte{5, 1, 9, 200, 3, 77}, compress)
			var got []byte
			buf := make([]byte, 50)
			for i := range stream {
				_, _ = server.Write(stream[i : i+1])
				// Something has to be read first: ReadMore does not ask the connection.
				if err := c.f.fill(); err != nil {
					t.Fatal(err)
				}
				for {
					n, err := c.ReadMore(buf)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, buf[:n]...)
					if n == 0 {
						break
					}
				}
			}
			if len(got) < len(data) && !compress {
				t.Errorf("%d bytes of %d", len(got), len(data))
			}
			// A compressed message of several frames is left to Read.
			_, _ = server.Write(fakeserver.WSClosing(1000, ""))
			rest, _ := readAll(c, 50)
			got = append(got, rest...)
			if !bytes.Equal(got, data) {
				t.Error("not the same bytes")
			}
		})
	}
}

// Read returns what there is of a frame, not when all has come.
func TestReadReturnsPartOfAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		head := fakeserver.WSHead(0x80|fakeserver.WSBinary, 1<<20)
		c, _, server := wsPair(t, false, string(head)+"one")
		buf := make([]byte, 1000)
		for _, want := range []string{"one", "two", "x"} {
			if want != "one" {
				_, _ = io.WriteString(server, want)
			}
			n, err := io.ReadAtLeast(c, buf, len(want))
			if string(buf[:n]) != want || err != nil {
				t.Fatalf("%q, %v", buf[:n], err)
			}
		}
	})
}

// Many frames take few system calls, both ways, and come in few pieces.
func TestFramesSaveCalls(t *testing.T) {
	c, count, server := wsPair(t, false, "")
	count.reads.Store(0)
	count.writes.Store(0)
	_, _ = server.Write(bytes.Repeat(fakeserver.WSData(fakeserver.WSBinary, true, []byte("PING\r\n")), 1000))
	buf := make([]byte, 6000)
	n, err := c.Read(buf)
	for err == nil && n < len(buf) {
		k, merr := c.ReadMore(buf[n:])
		if n, err = n+k, merr; k == 0 {
			break
		}
	}
	if n < 900*6 || err != nil || count.reads.Load() > 2 {
		t.Errorf("%d bytes of 1,000 frames at once, %v, with %d reads", n, err, count.reads.Load())
	}
	if n, err := c.WriteAll(make([]byte, 1<<20)); n != 1<<20 || err != nil || count.writes.Load() != 1 {
		t.Errorf("%d bytes, %v, with %d writes", n, err, count.writes.Load())
	}
}

// Answers to pings wait behind a write that is stuck, but not any number of
// them; later ones are answered again.
func TestPongsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := simnet.PipeSize(1000)
		req := make(chan *http.Request, 1)
		in := bufio.NewReader(b)
		go func() {
			r, err := http.ReadRequest(in)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(b, fakeserver.Accept(r)+"\r\n")
			req <- r
		}()
		c, err := Upgrade(t.Context(), a, nil, WebSocketConfig{Host: "h", Target: "/"})
		if err != nil {
			t.Fatal(err)
		}
		<-req
		written := make(chan error)
		go func() {
			_, err := c.WriteAll(make([]byte, 10_000))
			written <- err
		}()
		synctest.Wait()
		go func() { _, _ = readAll(c, 100) }()
		ping := fakeserver.WSData(fakeserver.WSPing, true, []byte("x"))
		for range 10 * maxPongs {
			_, _ = b.Write(ping)
		}
		synctest.Wait()
		go func() { _, _ = io.CopyN(io.Discard, in, 10_000+8+maxPongs*7) }()
		if err := <-written; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := in.Buffered(); n != 0 {
			t.Errorf("%d bytes more", n)
		}
		_, _ = b.Write(ping)
		pong := make([]byte, 7)
		if _, err := io.ReadFull(in, pong); err != nil || pong[0] != 0x80|fakeserver.WSPong {
			t.Errorf("% x, %v", pong, err)
		}
		_ = c.Close()
		synctest.Wait()
		c.Release()
		_ = b.Close()
	})
}

// Farewell is heard, and waits for nobody.
func TestFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, server := wsPair(t, false, "")
		c.Farewell()
		b := make([]byte, 8)
		if _, err := io.ReadFull(server, b); err != nil || b[0] != 0x88 || b[1] != 0x82 || b[6]^b[2] != 0x03 || b[7]^b[3] != 0xe8 {
			t.Errorf("% x, %v", b, err)
		}
		began := time.Now()
		for range 8 << 20 / 8 {
			if _, err := c.f.out.to(closingFrame()); err != nil {
				break // full
			}
		}
		c.Farewell()
		if took := time.Since(began); took > farewell {
			t.Errorf("took %v", took)
		}
	})
}

// An upgrade ends with its context.
func TestUpgradeEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := simnet.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := Upgrade(ctx, a, nil, WebSocketConfig{Host: "h", Target: "/"})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		_, _ = a.Close(), b.Close()
	})
}

// After a write that failed nobody knows what was read.
func TestWebSocketWriteFails(t *testing.T) {
	c, count, _ := wsPair(t, true, "")
	_ = count.Close()
	for range 2 {
		if n, err := c.WriteAll([]byte("x")); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Error(n, err)
		}
	}
}

func TestErrorTexts(t *testing.T) {
	for want, err := range map[string]error{
		"404 Not Found": &UpgradeError{404}, "599": &UpgradeError{599}, "301 Moved Permanently; redirects": &UpgradeError{301},
		"masks": &FrameError{errMasked},
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v", err)
		}
	}
}
