package nats

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// TestRequestTimeoutsAreExact: one timer serves all requests without a deadline,
// and each of them ends in its own time, whatever becomes of those around it.
func TestRequestTimeoutsAreExact(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const timeout = 3 * time.Second
		n, s := fakeserver.One()
		s.On("PUB", func(p *fakeserver.Peer, o *fakeserver.Op) bool {
			if o.Subject == "echo" {
				s.Deliver(o.Reply, "", "", "here")
			}
			return true
		})
		nc := connect(t, n, RequestTimeout(timeout))
		var wg sync.WaitGroup
		wait := func() {
			over := make(chan struct{})
			go func() { wg.Wait(); close(over) }()
			select {
			case <-over:
			case <-time.After(10 * timeout):
				_ = nc.Close() // ends those that nothing else does
				<-over
			}
		}
		begin := func(answered bool) {
			subject := "silence"
			if answered {
				subject = "echo"
			}
			start := time.Now()
			wg.Go(func() {
				_, err := nc.Request(context.Background(), subject, nil)
				took := time.Since(start)
				switch {
				case answered && err != nil:
					t.Errorf("an answered request failed: %v", err)
				case !answered && (!errors.Is(err, context.DeadlineExceeded) || took != timeout):
					t.Errorf("a request ended after %v with %v", took, err)
				}
			})
		}
		for i := range 500 {
			begin(i%3 == 0)
			pass(rand.N(20 * time.Millisecond))
			if i == 250 { // none is left, and the alarm has gone off for nothing
				wait()
				pass(2 * timeout)
			}
		}
		wait()
		if st := nc.Stats(); st.TimedOut != 333 || st.Answered != 167 || st.RequestsOpen != 0 {
			t.Errorf("books %+v", st)
		}
	})
}

// TestOverdueLine plays with the line alone.
func TestOverdueLine(t *testing.T) {
	var now, alarm time.Duration
	alarms := 0
	var r requests
	r.init("_INBOX", time.Second, func() time.Duration { return now })
	r.alarm = func(d time.Duration) { alarm = now + d; alarms++ }
	r.mux.Store(&Subscription{})
	open := map[*pending]time.Duration{} // until
	for range 20_000 {
		now += rand.N(20 * time.Millisecond)
		for r.set && now >= alarm { // it goes off when it has to, not later
			later := now
			now = alarm
			r.expire()
			now = later
		}
		for p, until := range open {
			switch {
			case until <= now && p.open:
				t.Fatalf("at %v a request is open that was to end at %v; the alarm is set: %v", now, until, r.set)
			case !p.open:
				if o := <-p.done; !SafeToRetry(o.err) || !errors.Is(o.err, context.DeadlineExceeded) {
					t.Fatalf("it ended with %v", o.err)
				}
			case rand.IntN(60) == 0:
				r.abandon(p, context.Canceled)
			default:
				continue
			}
			r.release(p)
			delete(open, p)
		}
		for range rand.IntN(3) {
			p := r.begin("x", rand.IntN(4) > 0)
			if p.watched {
				open[p] = now + r.timeout
			} else {
				r.abandon(p, context.Canceled)
				r.release(p)
			}
		}
		length := 0
		for p := r.first; p != nil; p = p.after {
			if length++; p.after == nil && r.last != p || p.after != nil && p.after.before != p {
				t.Fatal("the line is broken")
			}
		}
		if length != len(open) || !r.set && length > 0 {
			t.Fatalf("%d stand in the line, %d are open; the alarm is set: %v", length, len(open), r.set)
		}
	}
	if r.count.timedOut == 0 || alarms < 10 {
		t.Errorf("%d timed out by %d alarms", r.count.timedOut, alarms)
	}
}
