package link

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/keepalive"
	"github.com/perigee-go/nats/core/internal/outbox"
)

func TestWritesAreBatched(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		// While the writer is at its first message the others gather.
		r.sim.StallWrites(true)
		r.publish("a", "first")
		synctest.Wait()
		for i := range 1000 {
			r.publish("a", fmt.Sprint(i))
		}
		r.sim.StallWrites(false)
		synctest.Wait()
		if n := r.conn.writes.Load(); n > 3 {
			t.Errorf("%d writes for 1001 messages", n)
		}
	})
}

// The order on the wire, and all of it, with pieces of every size.
func TestEverythingIsWritten(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		var want strings.Builder
		got := make(chan string)
		go func() {
			var all strings.Builder
			buf := make([]byte, 777)
			for {
				n, err := r.srv.sim.Read(buf)
				all.Write(buf[:n])
				if err != nil {
					got <- all.String()
					return
				}
			}
		}()
		for i := range 60 {
			data := strings.Repeat(fmt.Sprint(i%10), 1+i*i*50)
			fmt.Fprintf(&want, "PUB a.%d %d\r\n%s\r\n", i, len(data), data)
			for {
				retry, err := r.out.Publish(fmt.Sprint("a.", i), "", "", []byte(data))
				if err != nil {
					t.Fatal(err)
				}
				if retry == nil {
					break
				}
				<-retry
			}
			if i%7 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		_ = r.sim.Close()
		all := strings.ReplaceAll(<-got, "\r\nPING\r\n", "\r\n")
		if all != want.String() {
			t.Errorf("%d bytes arrived, want %d, or others", len(all), want.Len())
		}
		_ = r.reason()
	})
}

// A write that fails is reported to the outbox with what left.
func TestWriteFails(t *testing.T) {
	frame := "PUB a 5\r\n12345\r\n"
	boom := errors.New("boom")
	for n := range 3*len(frame) + 1 {
		live(t, func(t *testing.T, r *rig) {
			r.sim.FailWrites(n, boom)
			r.sim.StallWrites(true)
			r.publish("a", "12345")
			synctest.Wait()
			r.publish("a", "12345")
			r.publish("a", "12345")
			r.sim.StallWrites(false)
			if n == 3*len(frame) {
				synctest.Wait()
				r.publish("a", "12345")
			}
			if err := r.reason(); !errors.Is(err, boom) {
				t.Errorf("%d bytes: %v", n, err)
			}
			total := uint64(3)
			if n == 3*len(frame) {
				total = 4
			}
			whole := uint64(n / len(frame))
			_, unknown := r.out.Detach(r.l.Resumable(), nil)
			if c := r.out.Counts(); unknown != whole || c.Buffered != total-whole {
				t.Errorf("%d bytes: %d unknown, %+v", n, unknown, c)
			}
		})
	}
}

// C20: a write error comes first and is what is reported, but for the server's
// own word, which may still lie in the socket.
func TestWriteErrorAndReason(t *testing.T) {
	errFatal := errors.New("fatal")
	for name, c := range map[string]struct {
		server func(r *rig)
		want   error
		within time.Duration
	}{
		"silence":           {func(*rig) {}, syscall.EPIPE, lingerForReason},
		"-ERR, then EOF":    {func(r *rig) { r.srv.send("-ERR 'fatal'\r\n"); _ = r.srv.sim.CloseWrite() }, errFatal, 0},
		"-ERR, no EOF":      {func(r *rig) { r.srv.send("-ERR 'fatal'\r\n") }, errFatal, lingerForReason},
		"EOF":               {func(r *rig) { _ = r.srv.sim.CloseWrite() }, syscall.EPIPE, 0},
		"half a message":    {func(r *rig) { r.srv.send("MSG a 1 50000\r\n" + strings.Repeat("x", 20000)) }, syscall.EPIPE, lingerForReason},
		"messages, silence": {func(r *rig) { r.srv.send("MSG a 1 1\r\nx\r\n") }, syscall.EPIPE, lingerForReason},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				live(t, func(t *testing.T, r *rig) {
					r.sink.reason = func(string) error { return errFatal }
					r.sim.StallReads(true)
					c.server(r)
					start := time.Now()
					r.sim.FailWrites(0, syscall.EPIPE)
					r.publish("a", "x")
					synctest.Wait()
					r.sim.StallReads(false)
					if err := r.reason(); !errors.Is(err, c.want) {
						t.Errorf("%v, want %v", err, c.want)
					}
					if took := time.Since(start); took != c.within {
						t.Errorf("after %v, want %v", took, c.within)
					}
				})
			}
		})
	}
}

// A peer that takes no bytes ends the link after the write timeout.
func TestWriteTimeout(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		time.Sleep(3 * time.Second)
		start := time.Now()
		r.publish("a", strings.Repeat("x", 1<<20))
		if err := r.reason(); !errors.Is(err, ErrWriteTimeout) {
			t.Errorf("%v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("after %v", took)
		}
		_, unknown := r.out.Detach(true, nil)
		if c := r.out.Counts(); unknown != 0 || c.Buffered != 1 {
			t.Errorf("%d unknown, %+v", unknown, c)
		}
	})
}

// The watchdog's timer may be set for an older write: it is not fooled.
func TestWriteTimeoutAfterQuickWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.KeepAlive = keepalive.Config{} // nobody answers the PINGs
		r.start()
		go func() { _, _ = io.Copy(io.Discard, r.srv.sim) }()
		for range 16 { // at 0 s, 1 s … 15 s
			r.publish("a", "12345")
			time.Sleep(time.Second)
		}
		r.sim.StallWrites(true)
		start := time.Now()
		r.publish("a", "x")
		if err := r.reason(); !errors.Is(err, ErrWriteTimeout) {
			t.Errorf("%v", err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("after %v", took)
		}
		_ = r.srv.sim.Close()
	})
}

// A slow peer is not a dead one.
func TestSlowPeer(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		stop := make(chan struct{})
		go func() {
			buf := make([]byte, 50<<10)
			for {
				n, err := io.ReadFull(r.srv.sim, buf)
				if err != nil {
					return
				}
				for range strings.Count(string(buf[:n]), "PING\r\n") {
					r.srv.send("PONG\r\n")
				}
				select {
				case <-time.After(time.Second):
				case <-stop:
					return
				}
			}
		}()
		for range 3 {
			r.publish("a", strings.Repeat("x", 500<<10))
		}
		select {
		case <-r.l.Ended():
			t.Errorf("ended: %v", r.l.err)
		case <-time.After(15 * time.Second):
		}
		close(stop)
	})
}

// answer makes the server read and answer PINGs after a delay.
func answer(r *rig, delay time.Duration, stop <-chan struct{}) (pings *atomic.Int32) {
	pings = new(atomic.Int32)
	go func() {
		for {
			l := r.srv.line()
			if l == "" {
				return
			}
			if l != "PING" {
				continue
			}
			pings.Add(1)
			select {
			case <-time.After(delay):
				r.srv.send("PONG\r\n")
			case <-stop:
				return
			}
		}
	}()
	return pings
}

// C10: a half-open link is found within 30 s, whatever goes on.
//
//perigee:allow live runs it in a bubble
func TestHalfOpenLink(t *testing.T) {
	for name, c := range map[string]struct {
		during func(r *rig, stop chan struct{})
		want   time.Duration
	}{
		"silence": {func(*rig, chan struct{}) {}, 30 * time.Second},
		"bytes arrive": {func(r *rig, stop chan struct{}) {
			go every(time.Second, stop, func() { r.srv.send("MSG a 1 1\r\nx\r\n") })
			r.publish("a", "x") // confirmation is asked for, and never comes
		}, 21 * time.Second},
		"publishing": {func(r *rig, stop chan struct{}) {
			go every(time.Second/3, stop, func() { _, _ = r.out.Publish("a", "", "", []byte("x")) })
		}, 22 * time.Second},
		"the peer pings": {func(r *rig, stop chan struct{}) {
			go every(5*time.Second, stop, func() { r.srv.send("PING\r\n") })
			r.publish("a", "x")
		}, 21 * time.Second},
		"the writer is stuck": {func(r *rig, _ chan struct{}) {
			time.Sleep(29 * time.Second)
			r.publish("a", strings.Repeat("x", 1<<20))
		}, 30 * time.Second},
		"the writer is stuck, with quick writes before": {func(r *rig, _ chan struct{}) {
			for range 20 {
				time.Sleep(time.Second)
				r.publish("a", "x")
			}
			r.publish("a", strings.Repeat("x", 1<<20))
		}, 22 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, func(t *testing.T, r *rig) {
				stop := make(chan struct{})
				start := time.Now()
				c.during(r, stop)
				if err := r.reason(); !errors.Is(err, ErrStale) {
					t.Errorf("%v", err)
				}
				close(stop)
				if took := time.Since(start); took > 30*time.Second || took > c.want {
					t.Errorf("after %v, want %v", took, c.want)
				}
			})
		})
	}
}

func every(d time.Duration, stop <-chan struct{}, f func()) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			f()
		case <-stop:
			return
		}
	}
}

// No false alarm, however slow the answers, as long as they come in time.
func TestNoFalseAlarm(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Second, 9 * time.Second, 11 * time.Second, 19 * time.Second} {
		for _, busy := range []bool{false, true} {
			live(t, func(t *testing.T, r *rig) {
				stop := make(chan struct{})
				pings := answer(r, delay, stop)
				if busy {
					go every(777*time.Millisecond, stop, func() { r.srv.send("MSG a 1 1\r\nx\r\n") })
					if delay == 0 {
						go every(333*time.Millisecond, stop, func() { _, _ = r.out.Publish("a", "", "", []byte("x")) })
					}
				}
				select {
				case <-r.l.Ended():
					t.Errorf("delay %v, busy %v: %v", delay, busy, r.l.err)
				case <-time.After(10 * time.Minute):
				}
				if !busy && pings.Load() < 20 || busy && delay > 0 && pings.Load() > 0 {
					t.Errorf("delay %v, busy %v: %d PINGs", delay, busy, pings.Load())
				}
				close(stop)
			})
		}
	}
}

// Messages are confirmed a second after they were written; a quiet link is left
// alone otherwise.
func TestConfirmation(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		stop := make(chan struct{})
		pings := answer(r, 10*time.Millisecond, stop)
		r.publish("a", "x")
		time.Sleep(keepalive.ConfirmAfter + 50*time.Millisecond)
		if c := r.out.Counts(); c.Confirmed != 1 || pings.Load() != 1 {
			t.Errorf("%+v, %d PINGs", c, pings.Load())
		}
		// A flush confirms, too, and is not asked again.
		r.publish("a", "x")
		done := make(chan outbox.Pong, 1)
		_ = r.out.Ping(done)
		if p := <-done; p.Err != nil || p.RTT != 10*time.Millisecond {
			t.Errorf("%+v", p)
		}
		time.Sleep(5 * time.Second)
		if c := r.out.Counts(); c.Confirmed != 2 || pings.Load() != 2 {
			t.Errorf("%+v, %d PINGs", c, pings.Load())
		}
		close(stop)
	})
}

// Without keep-alive nothing ends a silent link, and confirmation still works.
func TestNoKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.KeepAlive = keepalive.Config{}
		r.start()
		stop := make(chan struct{})
		pings := answer(r, 0, stop)
		time.Sleep(time.Hour)
		if pings.Load() != 0 {
			t.Errorf("%d PINGs", pings.Load())
		}
		r.publish("a", "x")
		time.Sleep(2 * time.Second)
		if c := r.out.Counts(); c.Confirmed != 1 {
			t.Errorf("%+v", c)
		}
		r.l.End(io.EOF)
		_ = r.l.Wait()
		close(stop)
	})
}

// A quiet link gives its buffers back.
func TestBuffersAreGivenBack(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		stop := make(chan struct{})
		answer(r, 0, stop)
		r.publish("a", strings.Repeat("x", 500<<10))
		time.Sleep(time.Minute)
		close(stop)
	})
}

// A link may be ended by anybody while its writer is in the middle of a write.
func TestEndDuringAWrite(t *testing.T) {
	live(t, func(t *testing.T, r *rig) {
		r.publish("a", strings.Repeat("x", 1<<20))
		synctest.Wait()
		r.l.End(os.ErrClosed)
		if err := r.reason(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%v", err)
		}
		_, unknown := r.out.Detach(true, nil)
		if c := r.out.Counts(); unknown != 0 || c.Buffered != 1 {
			t.Errorf("%d unknown, %+v", unknown, c)
		}
	})
}

// Over TLS nobody knows what of a failed write left.
func TestFailedWriteOverTLS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cfg.TLS = TLSFirst
		if err := r.open(func(s *server) { _ = s.startTLS(); s.greet() }); err != nil {
			t.Fatal(err)
		}
		r.out.Attach(1, nil, nil)
		r.l.Start(1)
		r.out.Open(1)
		r.sim.StallWrites(true)
		r.publish("a", "1")
		synctest.Wait()
		r.publish("a", "2")
		r.sim.Cut(nil)
		if err := r.reason(); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v", err)
		}
		_, unknown := r.out.Detach(r.l.Resumable(), nil)
		if c := r.out.Counts(); unknown != 1 || c.Buffered != 1 || r.l.Resumable() {
			t.Errorf("%d unknown, %+v", unknown, c)
		}
	})
}
