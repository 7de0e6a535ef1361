package jetstream

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/exported"
	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/figure"
)

// reentry is a stage with a callback of which one call makes the call under test.
type reentry struct {
	*stage
	handler  func(*Msg)
	pullOpts []PullOption
	armed    atomic.Bool
	called   chan struct{} // closed when the call is over
	call     func(own *Msg)
}

// here is where a callback makes the call, once. own is its message, if it has
// one.
func (r *reentry) here(own *Msg) {
	if r.armed.CompareAndSwap(true, false) {
		r.call(own)
		close(r.called)
	}
}

// bound is a context for what triggers a callback.
func (r *reentry) bound(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	r.t.Cleanup(cancel)
	return ctx
}

// callback is a way from the package to a user's code.
type callback struct {
	name    string
	by      string // what it is given to
	set     func(r *reentry)
	trigger func(r *reentry)
}

func (r *reentry) lose() { r.srv.Peer().Cut(); synctest.Wait() }

// handedOut makes a session read a message ahead.
func (r *reentry) handedOut() { r.deliver("R") }

// spy is a Tracer that calls back at one kind of operation.
type spy struct {
	r    *reentry
	kind nats.OperationKind
	end  bool
}

func (s spy) Start(ctx context.Context, op *nats.Operation) context.Context {
	if op.Kind == s.kind && !s.end {
		s.r.here(nil)
	}
	return ctx
}

func (s spy) End(_ context.Context, op *nats.Operation, _ error) {
	if op.Kind == s.kind && s.end {
		s.r.here(nil)
	}
}

func onTrace(name string, kind nats.OperationKind, end bool, trigger func(r *reentry)) callback {
	if end {
		name += ", at its end"
	}
	return callback{"Tracer: " + name, "nats.UseTracer", func(r *reentry) { r.opts = append(r.opts, nats.UseTracer(spy{r, kind, end})) }, trigger}
}

// callbacks are all of them.
func callbacks() []callback {
	handled := func(r *reentry) { r.deliver("H") }
	inHandler := func(r *reentry) { r.handler = r.here }
	list := func(script string) func(r *reentry) {
		return func(r *reentry) { r.script(func(string) answer { return answer{data: script} }) }
	}
	all := []callback{
		{"handler", "Consumer.Consume", inHandler, handled},
		{"handler of many", "Consumer.Consume", func(r *reentry) { inHandler(r); r.pullOpts = []PullOption{Concurrency(3)} }, handled},
		{"handler, the last of StopAfter", "Consumer.Consume", func(r *reentry) { inHandler(r); r.pullOpts = []PullOption{StopAfter(1)} }, handled},
		{"handler, behind Drain", "Consumer.Consume", inHandler, func(r *reentry) {
			r.srv.On("UNSUB", func(*fakeserver.Peer, *fakeserver.Op) bool { // it was on its way
				r.srv.On("UNSUB", nil)
				r.deliverNow("H")
				return false
			})
			_ = r.running.Drain(r.bound(time.Minute))
		}},
		{"ErrorHandler, a status", "ErrorHandler", errorHandler, func(r *reentry) {
			r.srv.Deliver(r.inbox["H"], "", "NATS/1.0 409 Leadership Change\r\n\r\n", "")
		}},
		{"ErrorHandler, what is no message", "ErrorHandler", errorHandler, func(r *reentry) {
			r.srv.Deliver(r.inbox["H"], "", "", "forged")
		}},
		{"ErrorHandler, silence", "ErrorHandler", errorHandler, func(*reentry) {}},
		{"range over Messages", "Consumer.Messages", nil, func(r *reentry) {
			go func() {
				synctest.Wait()
				r.deliver("C")
			}()
			for m, err := range r.pull.Messages(r.bound(time.Minute)) {
				r.must(err)
				r.here(m)
				return
			}
		}},
		{"range over Fetch", "Consumer.Fetch", nil, func(r *reentry) {
			go func() {
				synctest.Wait()
				r.deliver("C")
			}()
			for m, err := range r.pull.Fetch(r.bound(time.Minute), 5) {
				r.must(err)
				r.here(m)
				return
			}
		}},
		{"range over Receiver.Messages", "Receiver.Messages", nil, func(r *reentry) {
			r.handedOut()
			for m, err := range r.rec.Messages(r.bound(time.Minute)) {
				r.must(err)
				r.here(m)
				return
			}
		}},
		{"range over Streams", "JetStream.Streams", list(`{"total":9,"streams":[{"config":{"name":"A"}}]}`), func(r *reentry) {
			for range r.js.Streams(r.bound(time.Minute)) {
				r.here(nil)
				return
			}
		}},
		{"range over StreamNames", "JetStream.StreamNames", list(`{"total":9,"streams":["A"]}`), func(r *reentry) {
			for range r.js.StreamNames(r.bound(time.Minute)) {
				r.here(nil)
				return
			}
		}},
		{"range over Consumers", "Stream.Consumers", list(`{"total":9,"consumers":[{"name":"A"}]}`), func(r *reentry) {
			for range r.stream.Consumers(r.bound(time.Minute)) {
				r.here(nil)
				return
			}
		}},
		{"range over ConsumerNames", "Stream.ConsumerNames", list(`{"total":9,"consumers":["A"]}`), func(r *reentry) {
			for range r.stream.ConsumerNames(r.bound(time.Minute)) {
				r.here(nil)
				return
			}
		}},
		{"the acknowledgement of NewMsg", "NewMsg", nil, func(r *reentry) {
			m := NewMsg(nats.Msg{Subject: "s"}, MsgMetadata{}, nil)
			m = NewMsg(m.Msg(), MsgMetadata{}, func(context.Context, AckKind, []byte) error { r.here(m); return nil })
			r.must(m.Ack())
		}},
		{"handler of advisories", "nats.Conn.Subscribe", func(r *reentry) {}, func(r *reentry) {
			_, err := r.nc.Subscribe(AdvisorySubjects, func(m nats.Msg) {
				if _, err := DecodeAdvisory(m); err == nil {
					r.here(nil)
				}
			})
			r.must(err)
			r.must(r.nc.Flush(r.bound(time.Second)))
			r.srv.Deliver("$JS.EVENT.ADVISORY.STREAM.CREATED.S", "", "", `{"type":"io.nats.jetstream.advisory.v1.stream_action"}`)
		}},
		onEvent[nats.Disconnected]((*reentry).lose), onEvent[nats.Reconnected]((*reentry).lose),
		onEvent[nats.SubscriptionEnded](func(r *reentry) {
			sub, err := r.nc.SubscribeSync("x", nats.EventHandler(func(*nats.Conn, nats.Event) { r.here(nil) }))
			r.must(err)
			r.must(sub.Unsubscribe())
		}),
		{"PublishAsyncHandler", "PublishAsyncHandler", func(r *reentry) {
			r.jsOpts = []Option{PublishAsyncHandler(func(nats.Msg, PubAck, error) { r.here(nil) })}
		}, func(r *reentry) {
			_, err := r.js.PublishAsync(r.bound(time.Second), "s", nil)
			r.must(err)
		}},
		{"OnDrain", "nats.Conn.OnDrain", nil, func(r *reentry) {
			r.nc.OnDrain(func(context.Context) error { r.here(nil); return nil })
			_ = r.nc.Drain(r.bound(time.Minute))
		}},
	}
	for _, end := range []bool{false, true} {
		all = append(all,
			onTrace("API", nats.OpAPI, end, func(r *reentry) { _, _ = r.js.AccountInfo(r.bound(time.Second)) }),
			onTrace("publish", nats.OpPublishAck, end, func(r *reentry) { _, _ = r.js.Publish(r.bound(time.Second), "s", nil) }),
			onTrace("ack", nats.OpAck, end, func(r *reentry) { r.handedOut(); m, err := r.rec.Next(r.bound(time.Second)); r.must(err); _ = m.Ack() }),
			onTrace("pull", nats.OpPull, end, func(r *reentry) { _, _ = r.pull.Next(r.bound(time.Second)) }),
			onTrace("delivery", nats.OpDeliver, end, handled),
		)
	}
	return all
}

func errorHandler(r *reentry) {
	r.pullOpts = []PullOption{ErrorHandler(func(error) { r.here(nil) })}
}

// onEvent is a callback for one kind of event of the connection.
func onEvent[E nats.Event](trigger func(r *reentry)) callback {
	var zero E
	return callback{
		name: "EventHandler of " + fmt.Sprintf("%T", zero), by: "nats.EventHandler",
		set: func(r *reentry) {
			r.opts = append(r.opts, nats.EventHandler(func(_ *nats.Conn, e nats.Event) {
				if _, ok := e.(E); ok {
					r.here(nil)
				}
			}))
		},
		trigger: trigger,
	}
}

// TestFigure10EveryMethodFromEveryCallback calls every method from every place
// where users' code is called. Each comes back in its time, and things go on.
func TestFigure10EveryMethodFromEveryCallback(t *testing.T) {
	realWatchdog(t)
	var x matrix
	all := callbacks()
	for _, cb := range all {
		t.Run(cb.name, func(t *testing.T) {
			for _, m := range matrixMethods() {
				for _, own := range []bool{false, true} {
					if own && (m.recv != "Msg" || !strings.Contains(cb.name, "handler") && !strings.Contains(cb.name, "range")) {
						continue
					}
					synctest.Test(t, func(t *testing.T) { reenter(t, &x, cb, m, own) })
				}
			}
		})
	}
	figure.Print(t, 10, "50 ms", "JetStream: %d calls with a context, of %d of all %d methods from %d callbacks, outlived it by at most %v (%s)",
		x.contexts, x.calls, len(matrixMethods()), len(all), x.worst, x.worstBy)
}

func reenter(t *testing.T, x *matrix, cb callback, m method, own bool) {
	r := &reentry{stage: newStage(t), called: make(chan struct{}), handler: func(*Msg) {}}
	if cb.set != nil {
		cb.set(r)
	}
	const within = 100 * time.Millisecond
	r.call = func(mine *Msg) {
		if own && mine != nil {
			r.msg = mine
		}
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		_ = x.call(r.stage, cb.name, m, ctx, within)
	}
	r.connect()
	defer func() {
		_ = r.nc.Close()
		pass(time.Minute)
	}()
	r.consume(r.handler, r.pullOpts...)
	r.armed.Store(true)
	triggered := make(chan struct{})
	go func() {
		defer close(triggered)
		cb.trigger(r)
	}()
	select {
	case <-r.called:
	case <-time.After(time.Hour):
		panic(cb.name + " was not called, or did not come back from " + m.String() + string(stacks()))
	}
	<-triggered
	pass(10 * time.Second)
	if cb.name == "OnDrain" {
		return
	}
	r.script(works)
	if _, err := r.js.AccountInfo(r.bound(time.Minute)); err != nil {
		t.Errorf("%s: after %v: %v", cb.name, m, err)
	}
	r.goesOn(cb.name, m)
}

// goesOn checks that the session of Receiver still gets messages, if the method
// did not end it.
func (r *reentry) goesOn(where string, m method) {
	if m.recv == "Receiver" && (m.Name == "Stop" || m.Name == "Drain") {
		return
	}
	r.deliver("R")
	if _, err := r.rec.Next(r.bound(time.Minute)); err != nil {
		r.t.Errorf("%s: after %v: %v", where, m, err)
	}
}

// TestCallbacksAreComplete: whatever takes users' code is in the matrix.
func TestCallbacksAreComplete(t *testing.T) {
	var have []string
	for _, cb := range callbacks() {
		have = append(have, cb.by)
	}
	for _, f := range exported.Funcs(t, ".") {
		takes := slices.ContainsFunc(slices.Concat(f.Params, f.Results), func(s string) bool {
			return strings.Contains(s, "func(") || strings.Contains(s, "iter.")
		})
		takes = takes && f.Name != "NewPubAckFuture" // gives a function
		if takes && !slices.Contains(have, f.Name) {
			t.Errorf("%s takes users' code and is not in the matrix", f.Name)
		}
	}
}
