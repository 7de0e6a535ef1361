package nats

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"testing"

	"github.com/perigee-go/nats/core/internal/exported"
)

// zeroValues are the exported types that are no interfaces and no functions, as
// values and as pointers to them.
var zeroValues = []any{
	AsyncError{}, Auth{}, AuthRequest{}, Closed{}, Connected{}, ConnectFailed{}, Disconnected{}, Draining{}, LameDuck{},
	Reconnected{}, ServersDiscovered{}, SlowConsumer{}, SubscriptionEnded{},
	&ConnectError{}, &HeaderError{}, &LossError{}, &NoRespondersError{}, &OptionError{}, &PermissionError{}, &ServerError{},
	&SlowConsumerError{}, &SubjectError{},
	&Header{}, &Conn{}, &Link{}, &Subscription{}, &Msg{}, Operation{}, Server{}, ServerInfo{}, Stats{}, SubStats{},
	Status(0), Status(-1), Status(99), OperationKind(0), OverflowPolicy(0), DisconnectedPolicy(0),
}

// TestZeroValues calls every method of every zero value, and prints it in every
// way. Nothing panics. reliability L1
func TestZeroValues(t *testing.T) {
	var names []string
	for _, v := range zeroValues {
		typ := reflect.TypeOf(v)
		callAll(t, reflect.ValueOf(v))
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			_ = fmt.Sprintf(verb, v)
		}
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		names = append(names, typ.Name())
	}
	for _, name := range exported.Types(t, ".") {
		switch name {
		case "ConnSubOption", "Option", "SubOption", "Dialer", "Event", "InProcessProvider", "Tracer", // interfaces
			"SignatureHandler", "UserJWTHandler": // functions
		default:
			if !slices.Contains(names, name) {
				t.Errorf("%s is not among the zero values", name)
			}
		}
	}
}

// TestNilHeader: what changes a nil *Header does nothing, so a Tracer needs no
// look at Operation.Header.
func TestNilHeader(t *testing.T) {
	var h *Header
	byValue := reflect.TypeFor[Header]()
	v := reflect.ValueOf(h)
	for i := range v.NumMethod() {
		if m := v.Type().Method(i); !hasMethod(byValue, m.Name) {
			callMethod(t, v, m)
		}
	}
	if err := h.UnmarshalText(nil); err == nil {
		t.Error("it was read into nothing")
	}
}

func hasMethod(t reflect.Type, name string) bool {
	_, ok := t.MethodByName(name)
	return ok
}

func callAll(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumMethod() {
		if m := v.Type().Method(i); m.Name != "Format" { // what fmt calls
			callMethod(t, v, m)
		}
	}
}

func callMethod(t *testing.T, v reflect.Value, m reflect.Method) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("%v.%s panics: %v", v.Type(), m.Name, r)
		}
	}()
	args := []reflect.Value{v}
	for i := 1; i < m.Type.NumIn(); i++ {
		in := m.Type.In(i)
		a, ok := argument(in, context.Background())
		switch {
		case ok:
		case in == reflect.TypeFor[error]():
			a = reflect.Zero(in)
		default:
			t.Errorf("%v.%s: no value of %v is known to call it with", v.Type(), m.Name, in)
			return
		}
		args = append(args, a)
	}
	call := m.Func.Call
	if m.Type.IsVariadic() {
		call = m.Func.CallSlice
	}
	for _, r := range call(args) {
		switch v := r.Interface().(type) {
		case iter.Seq2[string, string]:
			for range v {
			}
		case iter.Seq2[Event, error]:
			_, _ = Collect(v)
		}
	}
}
