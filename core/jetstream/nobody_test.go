package jetstream

import (
	"context"
	"reflect"
	"testing"
)

// TestNobodysMethods: every method of a handle that nobody made gives an error or
// a zero value, and none panics.
func TestNobodysMethods(t *testing.T) {
	calls := 0
	for _, handle := range []any{
		(*JetStream)(nil), &JetStream{}, (*Stream)(nil), &Stream{}, (*JetStream)(nil).StreamHandle("S"), (&JetStream{}).StreamHandle("S"),
		(*Consumer)(nil), &Consumer{}, (*Stream)(nil).ConsumerHandle("c"), (*PushConsumer)(nil), &PushConsumer{},
		(*Receiver)(nil), &Receiver{}, (*Consumption)(nil), &Consumption{}, (*Msg)(nil), &Msg{},
	} {
		for m := range reflect.TypeOf(handle).Methods() {
			calls++
			out := m.Func.Call(arguments(t.Context(), handle, m.Type))
			for _, v := range out {
				if worked(v) {
					t.Errorf("%T.%s has worked", handle, m.Name)
				}
			}
		}
	}
	if calls < 100 {
		t.Errorf("only %d calls", calls)
	}
}

// arguments are a context where one is wanted, and else zero values.
func arguments(ctx context.Context, handle any, method reflect.Type) []reflect.Value {
	args := []reflect.Value{reflect.ValueOf(handle)}
	for i := 1; i < method.NumIn(); i++ {
		switch in := method.In(i); {
		case in == reflect.TypeFor[context.Context]():
			args = append(args, reflect.ValueOf(ctx))
		case method.IsVariadic() && i == method.NumIn()-1:
		default:
			args = append(args, reflect.Zero(in))
		}
	}
	return args
}

// worked reports whether a result is an error that is nil, or a sequence without
// an error in it.
func worked(v reflect.Value) bool {
	switch {
	case v.Type() == reflect.TypeFor[error]():
		return v.IsNil()
	case v.Kind() != reflect.Func:
		return false
	}
	for _, err := range v.Seq2() {
		if !err.IsNil() {
			return false
		}
	}
	return true
}
