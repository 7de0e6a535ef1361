package link

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/outbox"
	"github.com/perigee-go/nats/core/internal/wire"
)

// noise makes n bytes that look like operations here and there.
func noise(rng *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "MSG a 1 5\r\nPING\r\nx"[rng.IntN(18)]
	}
	return string(b)
}

func msg(subject string, sid int, reply, header, data string) (frame, event string) {
	if reply != "" {
		frame = reply + " "
	}
	if header != "" {
		frame = fmt.Sprintf("HMSG %s %d %s%d %d\r\n%s%s\r\n", subject, sid, frame, len(header), len(header)+len(data), header, data)
	} else {
		frame = fmt.Sprintf("MSG %s %d %s%d\r\n%s\r\n", subject, sid, frame, len(data), data)
	}
	return frame, fmt.Sprintf("MSG %s %d %s %q %s", subject, sid, reply, header, digest([]byte(data)))
}

// session is a stream of everything, and what the sink must be told.
func session(rng *rand.Rand, sizes ...int) (stream string, events []string) {
	add := func(frame, event string) {
		stream += frame
		if event != "" {
			events = append(events, event)
		}
	}
	for i, n := range sizes {
		reply, header := "", ""
		if i%2 == 0 {
			reply = "_R." + strings.Repeat("r", rng.IntN(50))
		}
		if i%3 == 0 {
			header = "NATS/1.0\r\nA: 1\r\n\r\n"
		}
		add(msg("s."+strings.Repeat("x", rng.IntN(40)), i+1, reply, header, noise(rng, n)))
		switch i % 5 {
		case 1:
			add("PING\r\n", "")
		case 2:
			add("-ERR 'trouble'\r\n", "-ERR trouble")
		case 3:
			add("INFO {\"server_id\":\"X\",\"connect_urls\":[\"b:2\"]} \r\n", "INFO X [b:2]")
		case 4:
			add("+OK\r\n", "")
		}
	}
	return stream, events
}

func checkEvents(t *testing.T, what string, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Fatalf("%s: event %d of %d is %q, want %q (of %d)", what, i, len(got), g, w, len(want))
		}
	}
}

func TestReadOfAllSizes(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	sizes := []int{
		0, 1, minRead - 100, minRead, minRead + 100, ownBuffer - 60, ownBuffer - 50, ownBuffer - 40, ownBuffer - 30, ownBuffer - 20,
		ownBuffer, ownBuffer + 1, 20000, 3, 100000, 300000, 7, maxAhead - 50, maxAhead, maxAhead + 1, 5, 3 << 20, 0, 50, 2 * minRead, 10,
	}
	stream, want := session(rng, sizes...)
	for _, chunk := range []int{0, 1 << 20, 100000, 16384, 8192, 4099} {
		live(t, func(t *testing.T, r *rig) {
			r.sim.Chunk(chunk)
			for at := 0; at < len(stream); {
				n := min(1+rng.IntN(100000), len(stream)-at)
				if rng.IntN(3) == 0 {
					n = min(1+rng.IntN(50), len(stream)-at)
				}
				r.srv.send(stream[at : at+n])
				at += n
				if rng.IntN(4) == 0 {
					synctest.Wait()
				}
			}
			synctest.Wait()
			checkEvents(t, fmt.Sprint("chunks of ", chunk), r.sink.take(), want)
			if r.sink.large < 5 {
				t.Errorf("%d messages had a buffer of their own", r.sink.large)
			}
		})
	}
}

// A large message may end anywhere in a read, and what follows belongs to the
// next operation.
func TestLargeAtEveryCut(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	frame, event := msg("s.large", 7, "_R.1", "NATS/1.0\r\nA: 1\r\n\r\n", noise(rng, ownBuffer+4000))
	small, smallEvent := msg("s", 8, "", "", "after")
	stream := frame + small
	cuts := []int{1, 5, 10, 20, 30, 40, 50, 60, 100, 8000, 8191, 8192, 8193, 16000, 200000, len(frame) - 3, len(frame) - 2, len(frame) - 1, len(frame), len(frame) + 1, len(frame) + 5, len(stream) - 1}
	live(t, func(t *testing.T, r *rig) {
		for i, a := range cuts {
			for _, b := range cuts[i:] {
				for _, part := range []string{stream[:a], stream[a:b], stream[b:]} {
					r.srv.send(part)
					synctest.Wait()
				}
				checkEvents(t, fmt.Sprint("cut at ", a, ", ", b), r.sink.take(), []string{event, smallEvent})
			}
		}
	})
}

// A9: what came behind the handshake's PONG in one read is not lost.
func TestBytesBehindThePong(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	stream, want := session(rng, 5, 0, 3, 70, 9)
	for cut := range len(stream) + 1 {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			err := r.open(func(s *server) {
				s.send(infoLine)
				s.await("PING")
				s.send("PONG\r\n" + stream[:cut])
			})
			if err != nil {
				t.Fatal(err)
			}
			r.out.Attach(1, nil, nil)
			r.l.Start(1)
			r.out.Open(1)
			synctest.Wait()
			r.srv.send(stream[cut:])
			synctest.Wait()
			checkEvents(t, fmt.Sprint("cut at ", cut), r.sink.take(), want)
			r.l.End(io.EOF)
			_ = r.l.Wait()
		})
	}
}

// A PONG confirms what came before it: the sink has that first.
func TestMessagesBeforeThePong(t *testing.T) {
	for _, size := range []int{1, 100, 40000, ownBuffer + 1} {
		live(t, func(t *testing.T, r *rig) {
			done := make(chan outbox.Pong, 1)
			if err := r.out.Ping(done); err != nil {
				t.Fatal(err)
			}
			r.srv.await("PING")
			batches := 0
			r.sink.onBatch = func() {
				r.sink.mu.Lock()
				n := len(r.sink.events)
				r.sink.mu.Unlock()
				if batches++; n <= 10 && len(done) > 0 { // one more follows the PONG
					t.Error("the PONG was faster than a message before it")
				}
			}
			var all string
			for range 10 {
				frame, _ := msg("a", 1, "", "", strings.Repeat("x", size))
				all += frame
			}
			go r.srv.send(all + "PONG\r\nMSG a 1 0\r\n\r\n")
			p := <-done
			if p.Err != nil {
				t.Error(p.Err)
			}
			if got := r.sink.take(); len(got) < 10 {
				t.Errorf("%d messages were there when the PONG was", len(got))
			}
			synctest.Wait()
		})
	}
}

// W-80: PINGs are answered.
func TestPingIsAnswered(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		r.srv.send("PING\r\nPING\r\nMSG a 1 0\r\n\r\nPING\r\n")
		for range 3 {
			if l := r.srv.line(); l != "PONG" {
				t.Errorf("%q", l)
			}
		}
	})
}

func TestBufferGrowsAndShrinks(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		frame, _ := msg("a", 1, "", "", strings.Repeat("x", 100))
		burst := strings.Repeat(frame, 20000)
		r.srv.send(burst)
		synctest.Wait()
		if n := len(r.l.buf); n < 64<<10 || n > maxRead {
			t.Errorf("after a burst the buffer has %d bytes", n)
		}
		// It stays while there is traffic now and then, not for long after.
		for range 4 {
			time.Sleep(quiet)
			r.srv.send(frame)
			synctest.Wait()
		}
		if n := len(r.l.buf); n != minRead {
			t.Errorf("in quiet times the buffer has %d bytes", n)
		}
	})
}

// Messages somewhat larger than the smallest buffer, now and then, do not make
// two new buffers each.
func TestBufferDoesNotThrash(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		frame, _ := msg("a", 1, "", "", strings.Repeat("x", 10000))
		step := func() {
			r.srv.send(frame)
			synctest.Wait()
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		step()
		before := &r.l.buf[0]
		for range 10 {
			step()
		}
		if &r.l.buf[0] != before {
			t.Error("the buffer was replaced")
		}
		time.Sleep(2 * quiet)
		small, _ := msg("a", 1, "", "", "x")
		r.srv.send(small)
		synctest.Wait()
		if len(r.l.buf) != minRead {
			t.Errorf("in quiet times the buffer has %d bytes", len(r.l.buf))
		}
	})
}

// B3: a size is not yet a message.
func TestAnnouncedSizesAreNotAllocated(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r.srv.send("MSG a 1 67108864\r\n")
		for range 200 {
			r.srv.send("x")
			synctest.Wait()
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
			t.Errorf("%d bytes were allocated for 200 that arrived", n)
		}
	})
	live(t, func(t *testing.T, r *rig) {
		r.srv.send("MSG a 1 67108865\r\n")
		if err := r.reason(); !isViolation(err) {
			t.Errorf("%v", err)
		}
	})
}

func TestMaxPayloadOfTheUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.MaxPayload = 100
		r.start()
		good, event := msg("a", 1, "", "", strings.Repeat("x", 100))
		bad, _ := msg("a", 1, "", "", strings.Repeat("x", 101))
		r.srv.send(good + bad)
		if err := r.reason(); !isViolation(err) {
			t.Errorf("%v", err)
		}
		checkEvents(t, "events", r.sink.take(), []string{event})
	})
}

// The first cause wins, and it is the one that says most.
func TestEndReasons(t *testing.T) {
	errUser, errFatal := errors.New("the user's"), errors.New("fatal")
	fatal := func(text string) error {
		if text == "fatal" {
			return errFatal
		}
		return nil
	}
	large := "MSG a 1 400000\r\n" + strings.Repeat("x", 30000)
	for name, c := range map[string]struct {
		script func(r *rig)
		want   func(error) bool
	}{
		"EOF":                          {func(r *rig) { _ = r.srv.sim.Close() }, is(io.EOF)},
		"half close":                   {func(r *rig) { _ = r.srv.sim.CloseWrite() }, is(io.EOF)},
		"reset":                        {func(r *rig) { r.srv.sim.Cut(nil) }, is(syscall.ECONNRESET)},
		"violation":                    {func(r *rig) { r.srv.send("WHAT?\r\n") }, isViolation},
		"violation, then EOF":          {func(r *rig) { r.srv.send("WHAT?\r\n"); _ = r.srv.sim.Close() }, isViolation},
		"bad INFO":                     {func(r *rig) { r.srv.send("INFO {\r\n") }, isViolation},
		"payload too long":             {func(r *rig) { r.srv.send("MSG a 1 2\r\nabc\r\n") }, isViolation},
		"large payload too long":       {func(r *rig) { r.srv.send("MSG a 1 300000\r\n" + strings.Repeat("x", 300003)) }, isViolation},
		"EOF in a message":             {func(r *rig) { r.srv.send("MSG a 1 9\r\nabc"); _ = r.srv.sim.Close() }, is(io.EOF)},
		"EOF in a large message":       {func(r *rig) { r.srv.send(large); _ = r.srv.sim.Close() }, is(io.EOF)},
		"-ERR, EOF":                    {func(r *rig) { r.srv.send("-ERR 'fatal'\r\n"); _ = r.srv.sim.Close() }, is(errFatal)},
		"-ERR, EOF in a large message": {func(r *rig) { r.srv.send("-ERR 'fatal'\r\n" + large); _ = r.srv.sim.Close() }, is(errFatal)},
		"harmless -ERR, EOF":           {func(r *rig) { r.srv.send("-ERR 'x'\r\n"); _ = r.srv.sim.Close() }, is(io.EOF)},
		"End":                          {func(r *rig) { r.l.End(errUser); _ = r.srv.sim.Close() }, is(errUser)},
		"End twice":                    {func(r *rig) { r.l.End(errUser); r.l.End(errFatal) }, is(errUser)},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, func(t *testing.T, r *rig) {
				r.sink.reason = fatal
				start := time.Now()
				c.script(r)
				if err := r.reason(); !c.want(err) {
					t.Errorf("%v", err)
				}
				if took := time.Since(start); took > 0 {
					t.Errorf("after %v", took)
				}
				r.l.End(errUser)
				if err := r.l.Wait(); !c.want(err) {
					t.Errorf("changed to %v", err)
				}
			})
		})
	}
}

// What was complete when the link ended has been handed over.
func TestMessagesBeforeTheEnd(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		a, ea := msg("a", 1, "", "", "1")
		b, eb := msg("b", 2, "", "", strings.Repeat("x", 300000))
		r.srv.send(a + b + a + "rubbish\r\n" + a)
		if err := r.reason(); !isViolation(err) {
			t.Errorf("%v", err)
		}
		checkEvents(t, "events", r.sink.take(), []string{ea, eb, ea})
	})
}

// A sink that keeps large messages keeps them unchanged.
func TestLargeIsTheSinks(t *testing.T) {
	k := &keeper{}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.Sink = k
		r.start()
		for i := range 20 {
			frame, _ := msg("a", 1, "r", "", strings.Repeat(string(rune('a'+i)), 300000))
			r.srv.send(frame[:5000])
			synctest.Wait()
			r.srv.send(frame[5000:])
			synctest.Wait()
		}
		r.l.End(io.EOF)
		_ = r.l.Wait()
		_ = r.srv.sim.Close()
	})
	for i, b := range k.kept {
		if !bytes.Equal(b, bytes.Repeat([]byte{byte('a' + i)}, 300000)) {
			t.Errorf("message %d was changed", i)
		}
	}
	if len(k.kept) != 20 {
		t.Errorf("%d large messages", len(k.kept))
	}
}

// A sink that keeps none gets large messages in the read buffer, which grows as
// far as they need it, whatever is the longest line.
func TestLargeThatNobodyKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		k := &borrower{}
		r.cfg.Sink = k
		r.start()
		for _, size := range []int{ownBuffer, longestLine - 100, longestLine, longestLine + 1, maxAhead + 1, 3 << 20, 5<<20 + 3} {
			frame, event := msg("a", 1, "r", "", strings.Repeat("x", size))
			go r.srv.send(frame)
			<-time.After(time.Second)
			synctest.Wait()
			checkEvents(t, fmt.Sprint(size, " bytes"), k.take(), []string{event})
		}
		r.l.End(io.EOF)
		_ = r.l.Wait()
		_ = r.srv.sim.Close()
	})
}

type borrower struct{ sink }

func (*borrower) Room([]byte, int, *wire.Frame) (int, bool) { return 0, false }

type keeper struct {
	sink
	kept [][]byte
}

func (k *keeper) Room([]byte, int, *wire.Frame) (int, bool) { return 15, true }

func (k *keeper) Large(line, body []byte, f *wire.Frame) {
	k.kept = append(k.kept, body[:f.Size])
	copy(body[f.Size:], "the room behind")
}
