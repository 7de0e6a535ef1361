package nats

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// bubble runs a test on fake time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// pass lets fake time pass, and then everything settle.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// log records events.
type eventLog struct {
	mu     sync.Mutex
	events []Event
	hook   func(*Conn, Event)
}

func (l *eventLog) option() Option {
	return EventHandler(func(nc *Conn, e Event) {
		l.mu.Lock()
		l.events = append(l.events, e)
		hook := l.hook
		l.mu.Unlock()
		if hook != nil {
			hook(nc, e)
		}
	})
}

func (l *eventLog) all() []Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.events)
}

// kinds is the events' types in order.
func (l *eventLog) kinds() string {
	var ks []string
	for _, e := range l.all() {
		ks = append(ks, strings.TrimPrefix(fmt.Sprintf("%T", e), "nats."))
	}
	return strings.Join(ks, " ")
}

// of picks the events of one type.
func of[E Event](l *eventLog) []E {
	var out []E
	for _, e := range l.all() {
		if e, ok := e.(E); ok {
			out = append(out, e)
		}
	}
	return out
}

// one is the only event of a type.
func one[E Event](t *testing.T, l *eventLog) E {
	t.Helper()
	es := of[E](l)
	if len(es) != 1 {
		var e E
		t.Fatalf("%d events %T, want 1; all: %v", len(es), e, l.all())
	}
	return es[0]
}

// connect makes a Conn to the hosts of n, closes it at the test's end and
// checks its books.
func connect(t *testing.T, n *fakeserver.Net, opts ...Option) *Conn {
	t.Helper()
	return connectTo(t, n, "nats://server:4222", opts...)
}

func connectTo(t *testing.T, n *fakeserver.Net, url string, opts ...Option) *Conn {
	t.Helper()
	nc, err := Connect(t.Context(), url, options(n, opts)...)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	finish(t, nc)
	synctest.Wait()
	return nc
}

func options(n *fakeserver.Net, opts []Option) []Option {
	return append([]Option{UseDialer(n), Logger(nil), DontRandomize()}, opts...)
}

// finish closes nc at the test's end.
func finish(t *testing.T, nc *Conn) {
	t.Cleanup(func() {
		_ = nc.Close()
		synctest.Wait()
		checkLedger(t, nc)
	})
}

// checkLedger holds the counters against the identities of reliability 4.3. The
// connection is at rest.
func checkLedger(t *testing.T, nc *Conn) {
	t.Helper()
	s := nc.Stats()
	if sum := s.OutConfirmed + s.OutInFlight + s.OutBuffered + s.OutDropped + s.OutUnknown; s.OutMsgs != sum {
		t.Errorf("accepted %d, but the places hold %d: %+v", s.OutMsgs, sum, s)
	}
	if sum := s.InDelivered + s.InDropped + s.InOrphaned + s.InReplies + s.InPending; s.InMsgs != sum {
		t.Errorf("received %d, but the places hold %d: %+v", s.InMsgs, sum, s)
	}
	sum := s.Answered + s.NoResponders + s.TimedOut + s.Cancelled + s.RequestsUnknown + s.RequestsOpen
	if s.Requests != sum {
		t.Errorf("%d requests, but the outcomes are %d: %+v", s.Requests, sum, s)
	}
	for _, sub := range nc.reg.all() {
		checkSub(t, sub)
	}
	if nc.Status() == StatusClosed && s.OutInFlight+s.OutBuffered+s.InPending+s.RequestsOpen != 0 {
		t.Errorf("closed, and there is something left: %+v", s)
	}
}

func checkSub(t *testing.T, sub *Subscription) {
	t.Helper()
	s := sub.Stats()
	if s.Received != s.Delivered+s.Dropped+uint64(s.PendingMsgs) || s.PendingMsgs < 0 || s.PendingBytes < 0 {
		t.Errorf("subscription to %q: %+v does not add up", sub.Subject(), s)
	}
}

// must fails the test if err is not nil.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// isErr fails the test if err is not each of the targets.
func isErr(t *testing.T, err error, targets ...error) {
	t.Helper()
	for _, target := range targets {
		if !errors.Is(err, target) {
			t.Errorf("error is %v, want one that is %v", err, target)
		}
	}
}

func flush(t *testing.T, nc *Conn) {
	t.Helper()
	must(t, nc.Flush(t.Context()))
	synctest.Wait()
}

// lose cuts the link and waits until the client has noticed.
func lose(s *fakeserver.Server) {
	s.Peer().Cut()
	synctest.Wait()
}

func names(ops []fakeserver.Op) string {
	var out []string
	for _, o := range ops {
		out = append(out, o.Line)
	}
	return strings.Join(out, " | ")
}

// in is a context that ends after d.
func in(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// collector gathers messages of a handler.
type collector struct {
	mu   sync.Mutex
	msgs []Msg
}

func (c *collector) handle(m Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.msgs = append(c.msgs, m)
}

func (c *collector) data() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, m := range c.msgs {
		out = append(out, string(m.Data))
	}
	return strings.Join(out, " ")
}

func (c *collector) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.msgs)
}

var errDeadline = context.DeadlineExceeded

func goexit() { runtime.Goexit() }
