package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/perigee-go/nats/core/internal/wire"
)

// live is an outbox with a link that is up.
func live(cfg Config) *Outbox {
	if cfg.Limit == 0 {
		cfg.Limit = 1 << 20
	}
	if cfg.DownLimit == 0 {
		cfg.DownLimit = 1 << 20
	}
	o := New(cfg)
	o.Attach(1, nil, nil)
	o.Open(1)
	return o
}

func publish(t *testing.T, o *Outbox, subject, data string) {
	t.Helper()
	if retry, err := o.Publish(subject, "", "", []byte(data)); retry != nil || err != nil {
		t.Fatalf("publish: wait %v, error %v", retry != nil, err)
	}
}

// total adds up the ledger.
func total(t *testing.T, o *Outbox) Counts {
	t.Helper()
	c := o.Counts()
	if c.Accepted != c.Confirmed+c.InFlight+c.Buffered+c.Dropped+c.Unknown {
		t.Fatalf("the ledger does not add up: %+v", c)
	}
	if c.Accepted > 1<<40 || c.Buffered > 1<<40 || c.InFlight > 1<<40 || c.Unknown > 1<<40 {
		t.Fatalf("a count went below zero: %+v", c)
	}
	return c
}

func TestPolicies(t *testing.T) {
	msg := make([]byte, 100)
	need := wire.PubSize("a", "", "", msg)
	for _, c := range []struct {
		name   string
		policy Policy
		mode   Mode
		fit    int // messages that are accepted
		wait   bool
		err    error
	}{
		{"buffer, down", Buffer, Down, 3, false, ErrFull},
		{"buffer, syncing", Buffer, Syncing, 3, true, nil},
		{"buffer, live", Buffer, Live, 5, true, nil},
		{"block, down", Block, Down, 3, true, nil},
		{"block, syncing", Block, Syncing, 3, true, nil},
		{"block, live", Block, Live, 5, true, nil},
		{"fail, down", Fail, Down, 0, false, ErrDown},
		{"fail, syncing", Fail, Syncing, 3, true, nil},
		{"fail, live", Fail, Live, 5, true, nil},
		{"closed", Block, Closed, 0, false, errEnd},
	} {
		t.Run(c.name, func(t *testing.T) {
			frame := len(wire.AppendPub(nil, "a", "", "", msg))
			o := New(Config{Limit: 4*frame + need, DownLimit: 2*frame + need, Policy: c.policy})
			if c.mode == Syncing || c.mode == Live {
				o.Attach(1, nil, nil)
			}
			if c.mode == Live {
				o.Open(1)
			}
			if c.mode == Closed {
				o.Close(errEnd)
			}
			for i := range 10 {
				retry, err := o.Publish("a", "", "", msg)
				if i < c.fit {
					if retry != nil || err != nil {
						t.Fatalf("message %d: wait %v, error %v", i, retry != nil, err)
					}
					continue
				}
				if (retry != nil) != c.wait || !errors.Is(err, c.err) {
					t.Fatalf("message %d: wait %v, error %v", i, retry != nil, err)
				}
			}
			if got := total(t, o); got.Accepted != uint64(c.fit) || got.AcceptedBytes != uint64(100*c.fit) {
				t.Errorf("%+v", got)
			}
		})
	}
}

var errEnd = errors.New("the end")

// A message larger than the limit goes alone rather than never.
func TestLargerThanTheLimit(t *testing.T) {
	o := live(Config{Limit: 1000})
	publish(t, o, "a", strings.Repeat("x", 5000))
	retry, err := o.Publish("a", "", "", nil)
	if retry == nil || err != nil {
		t.Fatal("a second message found room")
	}
	o.Take(1)
	<-retry
	publish(t, o, "a", "")
}

func TestIllegalSubjects(t *testing.T) {
	o := live(Config{})
	for _, s := range []string{"", " ", "a b", "a.", ".a", "a..b", "a.*", ">", "a\r\nPUB b 0\r\n\r\n", "a\x00"} {
		if _, err := o.Publish(s, "", "", nil); !errors.Is(err, ErrSubject) {
			t.Errorf("Publish to %q: %v", s, err)
		}
		if _, _, err := o.Request(s, "r", "", nil); !errors.Is(err, ErrSubject) {
			t.Errorf("Request to %q: %v", s, err)
		}
	}
	if c := total(t, o); c.Accepted != 0 {
		t.Errorf("%+v", c)
	}
}

// A subject may be borrowed: its bytes change when the read buffer is used
// again. What was legal there is not legal for ever.
func TestBorrowedSubject(t *testing.T) {
	for _, n := range []int{3, 64, 65, 200} {
		o := live(Config{})
		b := bytes.Repeat([]byte("a"), n)
		s := unsafe.String(&b[0], len(b))
		for range 2 {
			publish(t, o, s, "")
		}
		b[1] = '\n'
		if _, err := o.Publish(s, "", "", nil); !errors.Is(err, ErrSubject) {
			t.Errorf("%d bytes: %q was accepted: %v", n, s, err)
		}
		if _, _, err := o.Request(s, "", "", nil); !errors.Is(err, ErrSubject) {
			t.Errorf("%d bytes: %q was accepted: %v", n, s, err)
		}
		b[1] = 'b'
		publish(t, o, s, "")
		if got := o.Take(1); !bytes.Contains(got, b) {
			t.Errorf("%d bytes: the new subject did not go out: %q", n, got)
		}
	}
}

// A write fails after each number of bytes: whole frames are unknown, the one
// in the middle is sent again or not, and nothing crosses that should not.
func TestFailAtEveryOffset(t *testing.T) {
	header := "NATS/1.0\r\nA: 1\r\n\r\n"
	script := func() *Outbox {
		o := live(Config{})
		publish(t, o, "a", "first")
		o.Control(1, []byte("SUB x 1\r\n"))
		_, _ = o.Publish("b", "r", header, []byte("\r\nPING\r\n"))
		_ = o.Ping(make(chan Pong, 1))
		publish(t, o, "c", "")
		publish(t, o, "d", "PUB e 5\r\n")
		return o
	}
	whole := string(script().Take(1))
	frames := []string{
		"PUB a 5\r\nfirst\r\n", "SUB x 1\r\n", "HPUB b r 18 26\r\n" + header + "\r\nPING\r\n\r\n", "PING\r\n",
		"PUB c 0\r\n\r\n", "PUB d 9\r\nPUB e 5\r\n\r\n",
	}
	if whole != strings.Join(frames, "") {
		t.Fatalf("%q", whole)
	}
	for _, resume := range []bool{true, false} {
		for n := range len(whole) + 1 {
			o := script()
			o.Take(1)
			publish(t, o, "later", "")
			o.Failed(n)
			left, unknown := o.Detach(resume, nil)

			wantLeft, wantUnknown, again := 0, 0, ""
			for _, f := range frames {
				isMessage := strings.Contains(f[:5], "PUB")
				if wantLeft+len(f) <= n && again == "" || !resume {
					wantLeft += len(f)
					if isMessage {
						wantUnknown++
					}
				} else if again += f; !isMessage {
					again = strings.TrimSuffix(again, f)
					if again == "" {
						again = "\x00"
					}
				}
			}
			again = strings.TrimPrefix(again, "\x00")
			if int(left) != wantLeft || int(unknown) != wantUnknown {
				t.Fatalf("resume %v, %d bytes: %d left, %d unknown; want %d, %d", resume, n, left, unknown, wantLeft, wantUnknown)
			}
			if c := total(t, o); c.Unknown != uint64(wantUnknown) || c.Buffered != uint64(5-wantUnknown) {
				t.Fatalf("resume %v, %d bytes: %+v", resume, n, c)
			}
			o.Attach(2, nil, nil)
			o.Open(2)
			if got := string(o.Take(2)); got != again+"PUB later 0\r\n\r\n" {
				t.Fatalf("resume %v, %d bytes: the next link gets %q, want %q", resume, n, got, again)
			}
			o.Wrote(3)
			o.Detach(true, nil)
			if c := total(t, o); c.Unknown != 5 || c.Buffered != 0 {
				t.Fatalf("%+v", c)
			}
		}
	}
}

// The server answers a PING before the write that holds it has failed.
func TestPongBeforeFailure(t *testing.T) {
	o := live(Config{})
	publish(t, o, "a", "1")
	publish(t, o, "a", "2")
	done := make(chan Pong, 1)
	_ = o.Ping(done)
	publish(t, o, "a", "3")
	b := o.Take(1)
	n := bytes.Index(b, []byte("PING\r\n")) + len("PING\r\n")
	o.Pong(1, 5)
	if p := <-done; p != (Pong{RTT: 4}) { // since the writer took it
		t.Errorf("%+v", p)
	}
	if c := total(t, o); c.Confirmed != 2 || c.Buffered != 1 {
		t.Errorf("%+v", c)
	}
	o.Failed(n + 3)
	if _, unknown := o.Detach(true, nil); unknown != 0 {
		t.Errorf("%d unknown", unknown)
	}
	if c := total(t, o); c.Confirmed != 2 || c.Buffered != 1 || c.Unknown != 0 {
		t.Errorf("%+v", c)
	}
	o.Attach(2, nil, nil)
	o.Open(2)
	if got := string(o.Take(1)); got != "PUB a 1\r\n3\r\n" {
		t.Errorf("sent again: %q", got)
	}
}

// A server that answers what it cannot have read makes no count go below zero.
func TestPongOfALiar(t *testing.T) {
	for n := range 40 {
		o := live(Config{})
		publish(t, o, "a", "1")
		o.Control(1, []byte("SUB a 1\r\n"))
		publish(t, o, "a", "2")
		_ = o.Ping(make(chan Pong, 1))
		publish(t, o, "a", "3")
		o.Take(1)
		o.Pong(1, 5)
		o.Pong(1, 6)
		o.Failed(n)
		o.Detach(true, func(uint64) bool { return true })
		c := total(t, o)
		if c.Confirmed != 2 || c.Confirmed+c.Dropped+c.Unknown != 3 {
			t.Errorf("%d bytes: %+v", n, c)
		}
	}
}

// Close may come while a writer has messages in hand: nobody knows about them.
func TestCloseDuringAWrite(t *testing.T) {
	o := live(Config{})
	publish(t, o, "a", "1")
	o.Take(1)
	publish(t, o, "a", "2")
	if dropped, unknown := o.Close(errEnd); dropped != 1 || unknown != 1 {
		t.Errorf("%d dropped, %d unknown", dropped, unknown)
	}
	o.Wrote(2)
	o.Failed(0)
	o.Detach(true, nil)
	if c := total(t, o); c.Dropped != 1 || c.Unknown != 1 || c.Buffered+c.InFlight+c.Confirmed != 0 {
		t.Errorf("%+v", c)
	}
}

func TestPingEveryMebibyte(t *testing.T) {
	o := live(Config{Limit: 8 << 20})
	data := make([]byte, 10<<10)
	sent, since, pings := 0, 0, 0
	for sent < 10<<20 {
		for range 1 + sent%7 {
			publish(t, o, "a", string(data))
		}
		b := o.Take(1)
		sent += len(b)
		since += len(b)
		if bytes.HasSuffix(b, []byte("\r\nPING\r\n")) {
			pings++
			since = 0
		}
		if since >= 1<<20 {
			t.Fatalf("%d bytes without a PING", since)
		}
		o.Wrote(2)
	}
	if pings < 8 || pings > 10 {
		t.Errorf("%d PINGs in 10 MiB", pings)
	}
	for range pings {
		o.Pong(1, 3)
	}
	c := total(t, o)
	if c.Confirmed == 0 || c.InFlight*uint64(len(data)) > 1<<20 {
		t.Errorf("%+v", c)
	}
}

// Messages that no PING follows are reported once, by the Wrote that makes them
// so; a PING behind them is enough.
func TestUnasked(t *testing.T) {
	o := live(Config{})
	publish(t, o, "a", "")
	o.Take(5)
	if l := o.Liveness(); l.Unasked {
		t.Error("nothing is written yet")
	}
	if !o.Wrote(7) {
		t.Error("the first messages are not reported")
	}
	if l := o.Liveness(); l != (Liveness{Unasked: true, UnaskedAt: 7}) {
		t.Errorf("%+v", l)
	}
	publish(t, o, "a", "")
	o.Take(8)
	if o.Wrote(9) {
		t.Error("reported twice")
	}
	if l := o.Liveness(); l.UnaskedAt != 7 {
		t.Errorf("since %v", l.UnaskedAt)
	}
	o.KeepAlive(1)
	if l := o.Liveness(); l != (Liveness{Outstanding: true, UnaskedAt: 7}) {
		t.Errorf("%+v", l)
	}
	o.Take(10)
	if o.Wrote(11) {
		t.Error("a PING alone wants no PING")
	}
	if l := o.Liveness(); !l.Outstanding || l.OldestPing != 11 {
		t.Errorf("%+v", l)
	}
	o.Pong(1, 12)
	// A flush asks for itself.
	publish(t, o, "a", "")
	_ = o.Ping(make(chan Pong, 1))
	o.Take(13)
	if o.Wrote(14) {
		t.Error("a flush is followed by another PING")
	}
	// Not so what comes behind its PING.
	publish(t, o, "a", "")
	_ = o.Ping(make(chan Pong, 1))
	publish(t, o, "a", "")
	o.Take(15)
	if !o.Wrote(16) {
		t.Error("the message behind the PING is not reported")
	}
}

func TestControlLinesKeepTheirPlace(t *testing.T) {
	o := New(Config{Limit: 1 << 20, DownLimit: 1 << 20})
	publish(t, o, "kept", "")
	o.Control(0, []byte("SUB down 1\r\n"))
	synced := make(chan Pong, 1)
	o.Attach(1, []byte("SUB a 1\r\nSUB b 2\r\n"), synced)
	o.Control(1, []byte("SUB c 3\r\n"))
	if got := string(o.Take(1)); got != "SUB a 1\r\nSUB b 2\r\nPING\r\nSUB c 3\r\n" {
		t.Errorf("%q", got)
	}
	o.Wrote(2)
	o.Control(1, []byte("PONG\r\n"))
	if got := string(o.Take(3)); got != "PONG\r\n" {
		t.Errorf("%q", got)
	}
	o.Wrote(4)
	if got := o.Take(5); got != nil {
		t.Errorf("before Open: %q", got)
	}
	o.Pong(1, 6)
	if p := <-synced; p != (Pong{RTT: 4}) {
		t.Errorf("%+v", p)
	}
	o.Control(1, []byte("UNSUB 1\r\n"))
	o.Open(1)
	publish(t, o, "x", "")
	o.Control(1, []byte("UNSUB 2\r\n"))
	if got := string(o.Take(7)); got != "UNSUB 1\r\n" {
		t.Errorf("%q", got)
	}
	o.Wrote(8)
	if got := string(o.Take(9)); got != "PUB kept 0\r\n\r\nPUB x 0\r\n\r\nUNSUB 2\r\n" {
		t.Errorf("%q", got)
	}
}

func TestShrink(t *testing.T) {
	o := live(Config{Limit: 4 << 20})
	publish(t, o, "a", strings.Repeat("x", 500<<10))
	o.Take(1)
	o.Wrote(1)
	if cap(o.spare) < 500<<10 {
		t.Errorf("a spare buffer of %d", cap(o.spare))
	}
	o.Shrink()
	if cap(o.spare) > minBuffer || cap(o.buf) > minBuffer {
		t.Errorf("%d and %d bytes are kept", cap(o.spare), cap(o.buf))
	}
	publish(t, o, "a", strings.Repeat("x", 3<<20))
	o.Shrink()
	if c := total(t, o); c.Buffered != 1 {
		t.Errorf("%+v", c)
	}
	if b := o.Take(1); len(b) < 3<<20 {
		t.Errorf("%d bytes", len(b))
	}
	o.Wrote(1)
	if cap(o.spare) > keepBuffer {
		t.Errorf("a spare buffer of %d", cap(o.spare))
	}
}

// Publishers, requesters, flushers, a writer and links that come and go, all at
// once. In the bubble a lost wake-up is a deadlock, which fails the test.
func TestConcurrently(t *testing.T) {
	const publishers, each = 8, 3000
	for _, policy := range []Policy{Buffer, Block} {
		synctest.Test(t, func(t *testing.T) {
			o := New(Config{Limit: 20000, DownLimit: 10000, Policy: policy})
			stop := make(chan struct{})
			var got []byte // by the server
			var links sync.WaitGroup
			links.Go(func() {
				for epoch := uint64(1); ; epoch++ {
					ended := make(chan struct{})
					answers := make(chan int, 1<<16) // PINGs the server read
					synced := make(chan Pong, 1)
					o.Attach(epoch, []byte("SUB a 1\r\n"), synced)
					failAt := int(epoch*7919) % 60000
					var wg sync.WaitGroup
					wg.Go(func() { // the reader
						for n := range answers {
							for range n {
								o.Pong(epoch, time.Duration(epoch))
							}
						}
					})
					wg.Go(func() { // the writer
						defer close(ended)
						defer close(answers)
						sent := 0
						for {
							b := o.Take(1)
							if b == nil {
								select {
								case <-o.Wake():
									continue
								case <-stop:
									return
								}
							}
							select {
							case <-stop:
							default:
								if sent+len(b) > failAt {
									n := failAt - sent
									got = append(got, wholeFrames(b, n)...)
									o.Failed(n)
									return
								}
							}
							sent += len(b)
							got = append(got, b...)
							o.Wrote(1)
							answers <- bytes.Count(b, []byte("PING\r\n"))
						}
					})
					select {
					case p := <-synced:
						if p.Err == nil {
							o.Open(epoch)
						}
					case <-ended:
					}
					<-ended
					o.Halt(epoch)
					wg.Wait()
					o.Detach(true, nil)
					select {
					case <-stop:
						return
					default:
					}
				}
			})
			var wg sync.WaitGroup
			accepted := make([]int, publishers)
			for id := range publishers {
				wg.Go(func() {
					subject := fmt.Sprintf("p%d", id)
					for i := range each {
						data := fmt.Appendf(nil, "%d:%d", id, i)
						for {
							retry, err := o.Publish(subject, "", "", data)
							if errors.Is(err, ErrFull) {
								time.Sleep(time.Millisecond)
								continue
							}
							if err != nil {
								t.Error(err)
								return
							}
							if retry == nil {
								accepted[id]++
								break
							}
							<-retry
						}
						if i%100 == 0 {
							done := make(chan Pong, 1)
							if o.Ping(done) == nil {
								<-done
							}
						}
						if i%10 == 0 {
							_, _, _ = o.Request(subject, "r", "", data)
						}
						_ = o.Liveness()
						_ = o.Counts()
					}
				})
			}
			wg.Wait()
			close(stop)
			links.Wait()
			o.Close(errEnd)
			c := total(t, o)
			if c.Buffered != 0 || c.InFlight != 0 || c.Confirmed == 0 || c.Unknown == 0 {
				t.Errorf("%+v", c)
			}
			// Each publisher's messages are in order, none twice.
			last := map[string]int{}
			for b := got; len(b) > 0; {
				kind, n := wire.ScanClient(b)
				if n == 0 {
					t.Fatalf("%.40q is no frame", b)
				}
				if kind == wire.ClientPub && !bytes.Contains(b[:n], []byte(" r ")) {
					var id string
					var size, from, i int
					_, _ = fmt.Sscanf(string(b[:n]), "PUB %s %d\r\n%d:%d", &id, &size, &from, &i)
					if i != 0 && last[id] >= i {
						t.Fatalf("%s: %d after %d", id, i, last[id])
					}
					last[id] = i
				}
				b = b[n:]
			}
		})
	}
}

// wholeFrames is what a server acts on of the first n bytes.
func wholeFrames(b []byte, n int) []byte {
	at := 0
	for at < n {
		_, k := wire.ScanClient(b[at:n])
		if k == 0 {
			break
		}
		at += k
	}
	return b[:at]
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	o := live(Config{})
	data := make([]byte, 128)
	subjects := []string{"orders.eu", "orders.us", strings.Repeat("long.", 30) + "x"}
	step := func() {
		for i := range 100 {
			_, _ = o.Publish(subjects[i%len(subjects)], "", "", data)
		}
		_, _, _ = o.Request("orders.eu", "r.1", wire.EmptyHeader, data)
		o.Take(1)
		o.Wrote(2)
	}
	for range 10 {
		step()
	}
	if n := testing.AllocsPerRun(100, step); n > 0.1 { // a PING each MiB
		t.Errorf("%v allocations for 101 messages", n)
	}
}

func benchmarkPublish(b *testing.B, size int, subjects ...string) {
	o := live(Config{Limit: 4 << 20})
	data := make([]byte, size)
	b.ReportAllocs()
	b.SetBytes(int64(size))
	i := 0
	for b.Loop() {
		retry, err := o.Publish(subjects[i%len(subjects)], "", "", data)
		if retry != nil || err != nil {
			b.Fatal(err)
		}
		if i++; i%500 == 0 {
			o.Take(1)
			o.Wrote(2)
			o.Pong(1, 3)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{16, 128} {
		b.Run(fmt.Sprintf("same subject/%dB", size), func(b *testing.B) { benchmarkPublish(b, size, "orders.eu.created") })
		b.Run(fmt.Sprintf("two subjects/%dB", size), func(b *testing.B) {
			benchmarkPublish(b, size, "orders.eu.created", "orders.us.created")
		})
	}
}

func BenchmarkPublishParallel(b *testing.B) {
	o := live(Config{Limit: 4 << 20})
	data := make([]byte, 128)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if o.Take(1) != nil {
				o.Wrote(2)
				o.Pong(1, 3)
				continue
			}
			select {
			case <-o.Wake():
			case <-stop:
				return
			}
		}
	})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			for {
				retry, err := o.Publish("orders.eu.created", "", "", data)
				if err != nil {
					b.Error(err)
				}
				if retry == nil {
					break
				}
				<-retry
			}
		}
	})
	close(stop)
	wg.Wait()
}

func BenchmarkDetach(b *testing.B) {
	data := make([]byte, 128)
	for b.Loop() {
		o := live(Config{Limit: 4 << 20})
		for range 10000 {
			_, _ = o.Publish("a", "", "", data)
		}
		o.Take(1)
		o.Failed(500 << 10)
		o.Detach(true, nil)
	}
}
