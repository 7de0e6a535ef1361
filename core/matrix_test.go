package nats

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The re-entrancy matrix: every method of Conn, Subscription and Msg, found by
// reflection, in every state of a Conn, from every callback, and on values that
// nobody made. A new method is in it by itself, or fails the test for want of an
// argument.

const (
	// pastContext is what a call may outlive its context by.
	pastContext = 50 * time.Millisecond
	// pastEnd is what Close, beyond its flushing, and Unsubscribe may take.
	pastEnd = 100 * time.Millisecond
)

// method is one of a receiver's.
type method struct {
	recv string // Conn, Subscription or Msg
	reflect.Method
}

func (m method) String() string { return m.recv + "." + m.Name }

// takesContext reports whether the first argument is one.
func (m method) takesContext() bool {
	return m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[context.Context]()
}

func methodsOf(recv string, t reflect.Type) []method {
	var out []method
	for i := range t.NumMethod() {
		out = append(out, method{recv, t.Method(i)})
	}
	return out
}

// matrixMethods are the rows.
func matrixMethods() []method {
	return slices.Concat(
		methodsOf("Conn", reflect.TypeFor[*Conn]()),
		methodsOf("Subscription", reflect.TypeFor[*Subscription]()),
		methodsOf("Msg", reflect.TypeFor[Msg]()),
	)
}

// target is what methods are called on.
type target struct {
	nc  *Conn
	sub *Subscription
	msg Msg
}

func newTarget(nc *Conn, sub *Subscription) target {
	return target{nc, sub, Msg{Subject: "m", Reply: "r", Data: []byte("x"), origin: &origin{nc: nc, sub: sub}}}
}

func (x target) receiver(m method) reflect.Value {
	switch m.recv {
	case "Conn":
		return reflect.ValueOf(x.nc)
	case "Subscription":
		return reflect.ValueOf(x.sub)
	}
	return reflect.ValueOf(x.msg)
}

// argument makes one of a type; ok is false for a type that it does not know.
func argument(t reflect.Type, ctx context.Context) (v reflect.Value, ok bool) {
	if t == reflect.TypeFor[context.Context]() {
		if ctx == nil {
			return reflect.Zero(t), true
		}
		return reflect.ValueOf(ctx), true
	}
	for _, known := range []any{
		"x", []byte("data"), 5, Msg{Subject: "x", Data: []byte("data")}, []string{"server:4222"},
		func(Msg) {}, func(Msg) error { return nil }, func(context.Context) error { return nil },
		(chan<- Msg)(make(chan Msg, 4)), []SubOption(nil),
	} {
		if reflect.TypeOf(known) == t {
			return reflect.ValueOf(known), true
		}
	}
	return reflect.Value{}, false
}

// invoke calls a method and uses what comes back: sequences are ranged over to
// their end, functions called. It returns the last error.
func invoke(t *testing.T, x target, m method, ctx context.Context) (err error) {
	args := []reflect.Value{x.receiver(m)}
	for i := 1; i < m.Type.NumIn(); i++ {
		a, ok := argument(m.Type.In(i), ctx)
		if !ok {
			t.Errorf("%v: no value of %v is known to call it with", m, m.Type.In(i))
			return nil
		}
		args = append(args, a)
	}
	call := m.Func.Call
	if m.Type.IsVariadic() {
		call = m.Func.CallSlice
	}
	for _, r := range call(args) {
		switch v := r.Interface().(type) {
		case error:
			err = v
		case func():
			v()
		case iter.Seq2[Msg, error]:
			_, err = Collect(v)
		case iter.Seq2[Event, error]:
			_, err = Collect(v)
		}
	}
	return err
}

// matrix runs calls, one at a time, and keeps what they took.
type matrix struct {
	mu         sync.Mutex
	calls      int
	contexts   int           // calls with a context
	worst      time.Duration // beyond the context
	worstBy    string
	worstEnd   time.Duration // Close beyond its flushing, Unsubscribe
	worstEndBy string
}

// call makes one call under a watchdog, on fake time. within is how long the
// call's context lasts.
func (x *matrix) call(t *testing.T, where string, tg target, m method, ctx context.Context, within time.Duration) error {
	limit := within + pastContext
	if !m.takesContext() {
		limit = limitWithoutContext(m, where)
	}
	watchdog := time.AfterFunc(time.Hour, func() { panic(fmt.Sprintf("%s: %v hangs\n%s", where, m, stacks())) })
	defer watchdog.Stop()
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%s: %v panics: %v", where, m, r)
		}
	}()
	start := time.Now()
	err := invoke(t, tg, m, ctx)
	took := time.Since(start)
	if took > limit {
		t.Errorf("%s: %v took %v, may take %v", where, m, took, limit)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.calls++
	if m.takesContext() {
		x.contexts++
		if beyond := took - within; beyond > x.worst {
			x.worst, x.worstBy = beyond, where+": "+m.String()
		}
	}
	if beyond, ok := endOf(m, took); ok && beyond > x.worstEnd {
		x.worstEnd, x.worstEndBy = beyond, where+": "+m.String()
	}
	return err
}

// endOf is what a call that ends something took beyond what it is promised to.
func endOf(m method, took time.Duration) (beyond time.Duration, ok bool) {
	switch m.String() {
	case "Conn.Close":
		return took - closeFlush, true
	case "Subscription.Unsubscribe":
		return took, true
	}
	return 0, false
}

// limitWithoutContext is how long a call may take that has no context.
func limitWithoutContext(m method, where string) time.Duration {
	switch m.String() {
	case "Conn.Close":
		return closeFlush + pastEnd
	case "Subscription.Unsubscribe":
		return pastEnd
	case "Conn.Publish", "Conn.PublishRequest", "Msg.Respond", "Msg.RespondMsg":
		if strings.Contains(where, "stopped reading") {
			return 15 * time.Second // they wait for room, until WriteTimeout has found the peer dead
		}
	}
	return pastContext
}

func stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}

// realWatchdog ends the process if a test hangs in a way that fake time does not
// see, as at a lock.
func realWatchdog(t *testing.T) {
	timer := time.AfterFunc(5*time.Minute, func() {
		fmt.Fprintf(os.Stderr, "%s hangs\n%s", t.Name(), stacks())
		os.Exit(2)
	})
	t.Cleanup(func() { timer.Stop() })
}

// contextKind is a context that a call may be given.
type contextKind struct {
	name   string
	within time.Duration
	make   func() (context.Context, context.CancelFunc)
}

var contextKinds = []contextKind{
	{"deadline", 100 * time.Millisecond, func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(context.Background(), 100*time.Millisecond)
	}},
	{"ended", 0, func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx, cancel
	}},
	{"cancelled later", time.Second, func() (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(context.Background())
		t := time.AfterFunc(time.Second, cancel)
		return ctx, func() { t.Stop(); cancel() }
	}},
}

// TestMatrixOnNobodys calls everything on what nobody made: nil, the zero value,
// and with a nil context. What can fail does, with an error of this package, and
// nothing panics. reliability L1
func TestMatrixOnNobodys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var x matrix
		for name, tg := range map[string]target{"nil": {}, "zero": {&Conn{}, &Subscription{}, Msg{}}} {
			for _, m := range matrixMethods() {
				for _, ctx := range []context.Context{nil, t.Context()} {
					err := x.call(t, name, tg, m, ctx, 0)
					if returnsError(m) == (err == nil) && m.Name != "LastError" {
						t.Errorf("%s: %v: error is %v", name, m, err)
					}
					if err != nil && !errors.Is(err, ErrInvalidOption) && !errors.Is(err, ErrSubscriptionClosed) && !errors.Is(err, ErrMsgNotBound) {
						t.Errorf("%s: %v: error is %v", name, m, err)
					}
				}
			}
		}
		if x.calls < 200 {
			t.Errorf("only %d calls", x.calls)
		}
	})
}

// returnsError reports whether the method, or the sequence it returns, can fail.
func returnsError(m method) bool {
	for i := range m.Type.NumOut() {
		switch m.Type.Out(i) {
		case reflect.TypeFor[error](), reflect.TypeFor[iter.Seq2[Msg, error]](), reflect.TypeFor[iter.Seq2[Event, error]]():
			return true
		}
	}
	return false
}

// TestNobodysConnIsClosed: what waits for the end of a Conn or a subscription
// that never was does not wait.
func TestNobodysConnIsClosed(t *testing.T) {
	var nc *Conn
	var sub *Subscription
	for _, done := range []<-chan struct{}{nc.Done(), (&Conn{}).Done(), sub.Done(), (&Subscription{}).Done()} {
		select {
		case <-done:
		default:
			t.Error("Done is open")
		}
	}
	if nc.Status() != StatusClosed || nc.NewInbox() != "" || sub.Conn() != nil {
		t.Errorf("%v %q %v", nc.Status(), nc.NewInbox(), sub.Conn())
	}
}

// dialerFunc is a function that is a Dialer.
type dialerFunc func(ctx context.Context, network, address string) (net.Conn, error)

func (f dialerFunc) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}
