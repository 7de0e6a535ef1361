package jetstream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// The re-entrancy matrix: every method of every handle, found by reflection, in
// every state of the connection and the server, and from every callback. A new
// method is in it by itself, or fails the test for want of an argument.

const (
	// pastContext is what a call may outlive its context by.
	pastContext = 50 * time.Millisecond
	// roomWithin is how long a call without a context may wait for room, when the
	// peer stopped reading, until WriteTimeout has found it dead.
	roomWithin = 15 * time.Second
)

// method is one of a handle's.
type method struct {
	recv string // JetStream, Stream, …
	reflect.Method
}

func (m method) String() string { return m.recv + "." + m.Name }

func (m method) takesContext() bool {
	return m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[context.Context]()
}

// matrixMethods are the rows.
func matrixMethods() (all []method) {
	for _, typ := range []reflect.Type{
		reflect.TypeFor[*JetStream](), reflect.TypeFor[*Stream](), reflect.TypeFor[*Consumer](), reflect.TypeFor[*PushConsumer](),
		reflect.TypeFor[*Receiver](), reflect.TypeFor[*Consumption](), reflect.TypeFor[*Msg](),
	} {
		for m := range typ.Methods() {
			all = append(all, method{typ.Elem().Name(), m})
		}
	}
	return all
}

// stage is a handle with sessions and a message, which methods are called on.
type stage struct {
	jsOpts []Option // of the handle
	t      *testing.T
	net    *fakeserver.Net
	srv    *fakeserver.Server
	opts   []nats.Option
	nc     *nats.Conn
	js     *JetStream
	block  chan struct{} // closed when the call under test is over

	stream  *Stream
	pull    *Consumer
	push    *PushConsumer
	rec     *Receiver
	running *Consumption
	msg     *Msg

	mu     sync.Mutex
	answer func(subject string) answer
	inbox  map[string]string // of the last pull, by consumer
}

// works answers as a server with JetStream does, which has no messages.
func works(subject string) answer {
	switch {
	case strings.HasPrefix(subject, "$JS.API.CONSUMER.MSG.NEXT"), strings.HasPrefix(subject, ackPrefix):
		return answer{}
	case strings.HasPrefix(subject, "$JS.API.STREAM.NAMES"), strings.HasPrefix(subject, "$JS.API.STREAM.LIST"), strings.HasPrefix(subject, "$JS.API.CONSUMER.LIST"):
		return answer{data: `{"total":0}`}
	case strings.HasPrefix(subject, "$JS.API.STREAM"):
		return answer{data: `{"config":{"name":"S"}}`}
	case strings.HasPrefix(subject, "$"):
		return answer{data: `{"name":"C","stream_name":"S"}`}
	}
	return stored
}

func newStage(t *testing.T) *stage {
	n, s := fakeserver.One()
	s.SetInfo("jetstream", true).SetInfo("api_lvl", 5)
	st := &stage{t: t, net: n, srv: s, block: make(chan struct{}), answer: works, inbox: make(map[string]string)}
	s.On("PUB", func(_ *fakeserver.Peer, o *fakeserver.Op) bool {
		st.mu.Lock()
		if name, ok := strings.CutPrefix(o.Subject, "$JS.API.CONSUMER.MSG.NEXT.S."); ok {
			st.inbox[name] = o.Reply
		}
		a := st.answer(o.Subject)
		st.mu.Unlock()
		if a != (answer{}) {
			s.Deliver(o.Reply, "", a.header, a.data)
		}
		return true
	})
	return st
}

// connect makes what methods are called on.
func (s *stage) connect(opts ...nats.Option) {
	opts = slices.Concat([]nats.Option{nats.UseDialer(s.net), nats.Logger(nil)}, s.opts, opts)
	nc, err := nats.Connect(s.t.Context(), s.srv.URL(), opts...)
	s.must(err)
	s.nc = nc
	s.js, err = New(nc, s.jsOpts...)
	s.must(err)
	s.stream = s.js.StreamHandle("S")
	s.pull = s.stream.ConsumerHandle("C")
	s.push = &PushConsumer{consumerHandle{stream: s.stream, name: "C"}}
}

// consume begins the sessions, and takes a message of one.
func (s *stage) consume(handler func(*Msg), opts ...PullOption) {
	var err error
	s.rec, err = s.stream.ConsumerHandle("R").Receiver()
	s.must(err)
	s.running, err = s.stream.ConsumerHandle("H").Consume(handler, opts...)
	s.must(err)
	synctest.Wait()
	s.deliver("R")
	s.msg, err = s.rec.Next(s.t.Context())
	s.must(err)
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// deliver sends a message to the session of a consumer.
func (s *stage) deliver(consumer string) {
	s.deliverNow(consumer)
	synctest.Wait()
}

// deliverNow is deliver from a hook.
func (s *stage) deliverNow(consumer string) {
	s.mu.Lock()
	reply := s.inbox[consumer]
	s.mu.Unlock()
	p := s.srv.Peer()
	inbox := reply[:strings.LastIndexByte(reply, '.')] + ".*"
	p.Msg("orders.new", p.SID(inbox), "$JS.ACK.S."+consumer+".1.1.1.0.0", "", "data")
}

// script changes what the server answers.
func (s *stage) script(f func(subject string) answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// over ends the sessions and gives the verdict.
func (s *stage) over() {
	s.rec.Stop()
	s.running.Stop()
	s.must(s.msg.Ack())
	synctest.Wait()
}

func (s *stage) receiver(m method) any {
	return map[string]any{
		"JetStream": s.js, "Stream": s.stream, "Consumer": s.pull, "PushConsumer": s.push, "Receiver": s.rec, "Consumption": s.running, "Msg": s.msg,
	}[m.recv]
}

// matrix keeps what calls took.
type matrix struct {
	mu       sync.Mutex
	calls    int
	contexts int           // calls with a context
	worst    time.Duration // beyond the context
	worstBy  string
}

// call makes one call under a watchdog, on fake time. within is how long the
// call's context lasts.
func (x *matrix) call(s *stage, where string, m method, ctx context.Context, within time.Duration) error {
	limit := within + pastContext
	if !m.takesContext() {
		limit = pastContext
		if strings.Contains(where, "stopped reading") {
			limit = roomWithin
		}
	}
	watchdog := time.AfterFunc(time.Hour, func() { panic(fmt.Sprintf("%s: %v hangs\n%s", where, m, stacks())) })
	defer watchdog.Stop()
	defer func() {
		if r := recover(); r != nil {
			s.t.Errorf("%s: %v panics: %v", where, m, r)
		}
	}()
	start := time.Now()
	err := invoke(s.t, s.receiver(m), m.Method, ctx)
	took := time.Since(start)
	if took > limit {
		s.t.Errorf("%s: %v took %v, may take %v: %v", where, m, took, limit, err)
	}
	if err != nil && !isTyped(err) {
		s.t.Errorf("%s: %v: the error has no type: %v", where, m, err)
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
	return err
}

// isTyped reports whether a program can tell what the error is about.
func isTyped(err error) bool {
	var api *APIError
	var refused *nats.PermissionError
	if errors.As(err, &api) || errors.As(err, &refused) {
		return true
	}
	for _, known := range []error{
		context.DeadlineExceeded, context.Canceled, nats.ErrClosed, nats.ErrDraining, nats.ErrDisconnected, nats.ErrOutcomeUnknown, nats.ErrNoResponders,
		nats.ErrSubscriptionClosed, nats.ErrReconnectBufExceeded, nats.ErrStaleConnection, nats.ErrInvalidOption, nats.ErrMsgNotBound,
		ErrInvalidResponse, ErrInvalidPubAck, ErrNotPushConsumer, ErrNotPullConsumer, ErrStreamNotFound, ErrRequiredAPILevel,
		ErrConsumptionEnded, ErrConsumerDeleted, ErrMsgAlreadyAckd, ErrNoLeader, ErrNoHeartbeat, ErrNoMessages, ErrNotJSMessage, ErrStreamRegressed,
		ErrBatchTooLarge, ErrPinIDMismatch, ErrMaxWaiting, ErrMaxBytesExceeded, ErrConsumerLeadershipChanged, ErrServerShutdown,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
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
	{"nil", 0, func() (context.Context, context.CancelFunc) { return nil, func() {} }},
}
