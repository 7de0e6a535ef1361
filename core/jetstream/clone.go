package jetstream

import (
	"reflect"
	"time"
)

func (i *StreamInfo) clone() *StreamInfo     { return deepCopy(i) }
func (i *ConsumerInfo) clone() *ConsumerInfo { return deepCopy(i) }

// deepCopy returns a copy that shares nothing with v. Infos and configurations
// are made of values, pointers, slices and maps.
func deepCopy[T any](v T) T {
	c := reflect.New(reflect.TypeFor[T]()).Elem()
	copyInto(c, reflect.ValueOf(&v).Elem())
	return c.Interface().(T)
}

var timeType = reflect.TypeFor[time.Time]()

func copyInto(to, from reflect.Value) {
	switch {
	case from.Type() == timeType:
		to.Set(from)
	case from.Kind() == reflect.Pointer && !from.IsNil():
		to.Set(reflect.New(from.Type().Elem()))
		copyInto(to.Elem(), from.Elem())
	case from.Kind() == reflect.Slice && !from.IsNil():
		to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			copyInto(to.Index(i), from.Index(i))
		}
	case from.Kind() == reflect.Map && !from.IsNil():
		to.Set(reflect.MakeMapWithSize(from.Type(), from.Len()))
		for k, v := range from.Seq2() {
			to.SetMapIndex(k, v)
		}
	case from.Kind() == reflect.Struct:
		for i := range from.NumField() {
			copyInto(to.Field(i), from.Field(i))
		}
	default:
		to.Set(from)
	}
}
