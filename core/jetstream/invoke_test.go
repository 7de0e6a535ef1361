package jetstream

import (
	"context"
	"iter"
	"reflect"
	"strings"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// invoke calls a method of a handle with arguments that are good, and uses what
// comes back: sequences are ranged over to their end, sessions stopped. It
// returns the last error. ctx may be nil.
func invoke(t *testing.T, handle any, m reflect.Method, ctx context.Context) (err error) {
	args := []reflect.Value{reflect.ValueOf(handle)}
	for i := 1; i < m.Type.NumIn(); i++ {
		a, ok := argument(m, m.Type.In(i), ctx)
		if !ok {
			t.Errorf("%T.%s: no value of %v is known to call it with", handle, m.Name, m.Type.In(i))
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
		case *Consumption:
			v.Stop()
		case *Receiver:
			v.Stop()
		case iter.Seq2[*Msg, error]:
			err = collect(v)
		case iter.Seq2[string, error]:
			err = collect(v)
		case iter.Seq2[*StreamInfo, error]:
			err = collect(v)
		case iter.Seq2[*ConsumerInfo, error]:
			err = collect(v)
		}
	}
	return err
}

// argument makes one of a type; ok is false for a type that it does not know.
func argument(m reflect.Method, t reflect.Type, ctx context.Context) (v reflect.Value, ok bool) {
	switch {
	case t == reflect.TypeFor[context.Context]():
		if ctx == nil {
			return reflect.Zero(t), true
		}
		return reflect.ValueOf(ctx), true
	case t == reflect.TypeFor[any](), t.Kind() == reflect.Slice && strings.HasSuffix(t.Elem().Name(), "Option"):
		return reflect.Zero(t), true
	case t == reflect.TypeFor[ConsumerConfig]():
		cfg := ConsumerConfig{Name: "C"}
		if strings.Contains(m.Name, "Push") {
			cfg.DeliverSubject = "d"
		}
		return reflect.ValueOf(cfg), true
	}
	for _, known := range []any{
		"x", []byte("data"), 1, uint64(1), time.Second, time.Now(), nats.Msg{Subject: "x", Data: []byte("data")}, StreamConfig{Name: "S"}, func(*Msg) {},
	} {
		if reflect.TypeOf(known) == t {
			return reflect.ValueOf(known), true
		}
	}
	return reflect.Value{}, false
}

// canFail reports whether a method, or the sequence that it returns, can.
func canFail(method reflect.Type) bool {
	for out := range method.Outs() {
		if out == reflect.TypeFor[error]() || out.Kind() == reflect.Func && out.NumIn() == 1 && out.In(0).NumIn() == 2 && out.In(0).In(1) == reflect.TypeFor[error]() {
			return true
		}
	}
	return false
}
