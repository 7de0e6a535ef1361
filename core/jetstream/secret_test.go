package jetstream

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// whispers is a Tracer that keeps everything it is told.
type whispers struct {
	mu   sync.Mutex
	text strings.Builder
}

func (w *whispers) Start(ctx context.Context, op *nats.Operation) context.Context {
	w.keep(op, nil)
	return ctx
}

func (w *whispers) End(_ context.Context, op *nats.Operation, err error) { w.keep(op, err) }

func (w *whispers) keep(op *nats.Operation, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if op.Header != nil {
		fmt.Fprintln(&w.text, *op.Header)
	}
	fmt.Fprintf(&w.text, "%+v %v %+v\n", *op, err, err)
}

// all is what was kept.
func (w *whispers) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// TestNoSecretShows: neither errors, traces nor printed values of this package
// have credentials of the connection, or the data of a message, in them.
func TestNoSecretShows(t *testing.T) {
	const secret = "s3cr3tw0rd"
	shows := func(where string, text string) {
		t.Helper()
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s shows a secret: %.200s", where, text[max(i-100, 0):])
		}
	}
	credentials := map[string]nats.Option{
		"UserInfo": nats.UserInfo("user", secret), "Token": nats.Token(secret),
		"TokenHandler": nats.TokenHandler(func() string { return secret }),
	}
	for _, state := range matrixStates {
		for kind, o := range credentials {
			t.Run(state.name+", "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var w whispers
					s := newStage(t)
					s.opts = []nats.Option{o, nats.UseTracer(&w)}
					state.make(s)
					ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
					defer cancel()
					for _, m := range matrixMethods() {
						if err := invoke(t, s.receiver(m), m.Method, ctx); err != nil {
							shows(m.String(), fmt.Sprintf("%v %+v %#v", err, err, err))
						}
					}
					_, err := s.js.Publish(ctx, "s", []byte(secret), MsgID("id"))
					shows("Publish", fmt.Sprintf("%v %+v", err, err))
					shows("the Tracer", w.all())
					if w.all() == "" {
						t.Error("nothing was traced")
					}
					close(s.block)
					_ = s.nc.Close()
					s.srv.Hang(false)
					pass(time.Minute)
					for _, v := range []any{s.js, s.stream, s.pull, s.push, s.rec, s.running, s.msg} {
						shows(fmt.Sprintf("%T", v), fmt.Sprintf("%v %+v %#v %s", v, v, v, v))
					}
				})
			})
		}
	}
}

// TestHandlesCanBePrinted: whoever logs a handle does not read a map that changes
// meanwhile, which would end the process.
func TestHandlesCanBePrinted(t *testing.T) {
	var visit func(path string, typ reflect.Type)
	visit = func(path string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Map:
			t.Errorf("%s is a map in the handle", path)
		case reflect.Struct:
			for f := range typ.Fields() {
				visit(path+"."+f.Name, f.Type)
			}
		}
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[JetStream](), reflect.TypeFor[Stream](), reflect.TypeFor[Consumer](), reflect.TypeFor[PushConsumer](),
		reflect.TypeFor[Receiver](), reflect.TypeFor[Consumption](),
	} {
		visit(typ.Name(), typ)
	}
}
