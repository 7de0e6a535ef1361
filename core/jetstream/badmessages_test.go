package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// badMessages are headers that are none, more than the server takes, and what is
// no JSON.
func badMessages(s *scene) {
	ctx := s.t.Context()
	send := func(m nats.Msg, o ...PublishOption) error { m.Subject = "s"; return only(s.PublishMsg(ctx, m, o...)) }
	apply := func(m nats.Msg, o ...PublishOption) error {
		return only(ApplyPublishOptions(m, append(o, MsgID("id"))...))
	}
	for kind, field := range map[string][2]string{
		"name: empty": {"", "v"}, "name: blank": {"a b", "v"}, "name: colon": {"a:b", "v"}, "name: line end": {"a\r\nb", "v"}, "name: not ASCII": {"ä", "v"},
		"value: line feed": {"a", "b\nc"}, "value: carriage return": {"a", "b\rc"}, "value: an end": {"a", "b\r\n\r\nPUB x 0\r\n\r\n"}, "value: NUL": {"a", "\x00"},
	} {
		var h nats.Header
		h.Set("Good", "1")
		h.Set(field[0], field[1])
		m := nats.Msg{Subject: "s", Header: h}
		s.refuse("JetStream.PublishMsg", "header, "+kind, is(nats.ErrBadHeader), func() error { return send(m) })
		s.refuse("JetStream.PublishMsgAsync", "header, "+kind, is(nats.ErrBadHeader), func() error { return only(s.PublishMsgAsync(ctx, nats.Msg{Subject: "s", Header: m.Header})) })
		s.refuse("JetStream.PublishMsg", "header beside options, "+kind, is(nats.ErrBadHeader), func() error { return send(m, MsgID("id"), Rollup(RollupAll)) })
		s.refuse("ApplyPublishOptions", "header, "+kind, is(nats.ErrBadHeader), func() error { return apply(m) })
		if m.Header.Get(MsgIDHeader) != "" {
			s.t.Errorf("%s: the message of the caller has changed", kind)
		}
	}
	big, long := make([]byte, 1001), strings.Repeat("x", 1001)
	tooBig := all(is(nats.ErrMaxPayload), says("1000"))
	var h nats.Header
	h.Set("A", long[:600])
	for kind, call := range map[string]func() error{
		"JetStream.Publish: payload":           func() error { return only(s.Publish(ctx, "s", big)) },
		"JetStream.PublishMsg: payload":        func() error { return send(nats.Msg{Data: big}) },
		"JetStream.PublishMsg: header":         func() error { return send(nats.Msg{Header: h, Data: big[:600]}) },
		"JetStream.Publish: header by options": func() error { return only(s.Publish(ctx, "s", nil, MsgID(long))) },
		"JetStream.Publish: with options":      func() error { return only(s.Publish(ctx, "s", big[:990], MsgID("an id of ours"))) },
		"JetStream.Request: bytes":             func() error { return s.Request(ctx, "X", big, nil) },
		"JetStream.Request: JSON":              func() error { return s.Request(ctx, "X", long, nil) },
		"JetStream.CreateStream: description":  func() error { return only(s.CreateStream(ctx, StreamConfig{Name: "S", Description: long})) },
		"JetStream.UpdateStream: description":  func() error { return only(s.UpdateStream(ctx, StreamConfig{Name: "S", Description: long})) },
		"JetStream.CreateOrUpdateStream: metadata": func() error {
			return only(s.CreateOrUpdateStream(ctx, StreamConfig{Name: "S", Metadata: map[string]string{"a": long}}))
		},
		"Stream.CreateConsumer: description": func() error { return only(s.stream.CreateConsumer(ctx, ConsumerConfig{Name: "C", Description: long})) },
		"Stream.CreateOrUpdateConsumer: many filters": func() error {
			return only(s.stream.CreateOrUpdateConsumer(ctx, ConsumerConfig{Name: "C", FilterSubjects: strings.Split(strings.Repeat("a ", 600)+"a", " ")}))
		},
	} {
		on, part, _ := strings.Cut(kind, ": ")
		s.refuse(on, "too large, "+part, tooBig, call)
	}
	badDocuments(s)
}

// badDocuments are requests that are no JSON, and answers that cannot be put
// anywhere.
func badDocuments(s *scene) {
	ctx := s.t.Context()
	type broken struct{ F func() }
	loop := map[string]any{}
	loop["a"] = loop
	for kind, req := range map[string]any{"a function": func() {}, "a channel": make(chan int), "a field that is a function": broken{}, "a loop": loop, "a complex number": 1i} {
		s.fail("JetStream.Request", "request: "+kind, func(err error) string {
			var typ *json.UnsupportedTypeError
			var value *json.UnsupportedValueError
			if !errors.As(err, &typ) && !errors.As(err, &value) {
				return "is none of encoding/json"
			}
			return says(`"X"`)(err)
		}, func() error { return s.Request(ctx, "X", req, nil) })
	}
	good := nats.Msg{Data: []byte(`{}`)}
	for kind, resp := range map[string]any{"no pointer": StreamInfo{}, "a nil pointer": (*StreamInfo)(nil), "a map": map[string]any{}, "a number": 5, "a nil *[]byte": (*[]byte)(nil)} {
		s.refuse("JetStream.Request", "response: "+kind, badOption("resp"), func() error { return s.Request(ctx, "X", nil, resp) })
		s.refuse("DecodeResponse", "response: "+kind, badOption("resp"), func() error { return DecodeResponse(good, resp) })
	}
	for kind, reply := range map[string]string{
		"nothing": "", "an inbox": "_INBOX.a.b", "the prefix alone": "$JS.ACK", "the prefix and a dot": "$JS.ACK.", "too few tokens": "$JS.ACK.S.C.1.2.3.4", "eight tokens": "$JS.ACK.a.b.c.1.2.3.4.5",
		"no number": "$JS.ACK.S.C.1.2.3.4.x", "an empty number": "$JS.ACK.S.C.1.2.3.4.", "a number below 0": "$JS.ACK.S.C.1.2.3.4.-5", "a sign": "$JS.ACK.S.C.1.2.3.4.+5",
		"a number of 65 bits": "$JS.ACK.S.C.1.2.3.4.18446744073709551616", "a number without end": "$JS.ACK.S.C.1.2.3.4." + strings.Repeat("9", 5000),
		"hexadecimal": "$JS.ACK.S.C.0x1.2.3.4.5", "a float": "$JS.ACK.S.C.1e5.2.3.4.5", "digits of another script": "$JS.ACK.S.C.١.2.3.4.5", "no stream": "$JS.ACK..C.1.2.3.4.5",
		"no consumer": "$JS.ACK.S..1.2.3.4.5", "another API": "$JS.API.S.C.1.2.3.4.5", "something in front": "x$JS.ACK.S.C.1.2.3.4.5", "lower case": "$js.ack.S.C.1.2.3.4.5",
		"only dots": "$JS.ACK........", "many dots": "$JS.ACK." + strings.Repeat(".", 4000), "a NUL": "$JS.ACK.S.C.1.2.3.4.5\x00",
	} {
		s.fail("FromMsg", kind, is(ErrNotJSMessage), func() error { return only(FromMsg(nats.Msg{Subject: "s", Reply: reply})) })
	}
}

// takesContext are the methods of all handles that take a context, by reflection.
func takesContext(each func(recv string, handle any, m reflect.Method), handles ...any) {
	for _, h := range handles {
		typ := reflect.TypeOf(h)
		for m := range typ.Methods() {
			if m.Type.NumIn() > 1 && m.Type.In(1) == reflect.TypeFor[context.Context]() {
				each(typ.Elem().Name(), h, m)
			}
		}
	}
}

// badContexts: nil for everything that takes one, and ended for what asks a
// server.
func badContexts(s *scene) {
	ended, cancel := context.WithCancel(s.t.Context())
	cancel()
	passed, cancel2 := context.WithDeadline(s.t.Context(), time.Now().Add(-time.Second))
	defer cancel2()
	takesContext(func(recv string, h any, m reflect.Method) {
		on := recv + "." + m.Name
		s.refuse(on, "context: nil", badOption("ctx"), func() error { return invoke(s.t, h, m, nil) })
		s.fail(on, "context: cancelled", is(context.Canceled), func() error { return invoke(s.t, h, m, ended) })
		s.fail(on, "context: its deadline has passed", is(context.DeadlineExceeded), func() error { return invoke(s.t, h, m, passed) })
		s.stats = s.Conn().Stats()
	}, s.JetStream, s.stream, s.pull, &PushConsumer{consumerHandle{stream: s.stream, name: "C"}})
	// These have a session, or a message, that nothing has happened to yet.
	s.refuse("PubAckFuture.Wait", "context: nil", badOption("ctx"), func() error {
		f, _ := NewPubAckFuture(nats.Msg{})
		return only(f.Wait(noContext))
	})
	s.refuse("AckTimeout", "to JetStream.Publish", badOption("AckTimeout"), func() error { return only(s.Publish(s.t.Context(), "s", nil, AckTimeout(time.Second))) })
	s.refuse("Msg.AckSync", "context: nil", badOption("ctx"), func() error { return newMsg(nats.Msg{Reply: goodAck}, time.Second).AckSync(noContext) })
}

const goodAck = "$JS.ACK.S.C.1.2.3.4.5"

// badHandles: what nobody made, for every method that can fail.
func badHandles(s *scene) {
	nobodys := map[string][]any{
		"nil":             {(*JetStream)(nil), (*Stream)(nil), (*Consumer)(nil), (*PushConsumer)(nil), (*Receiver)(nil), (*Consumption)(nil), (*Msg)(nil)},
		"zero":            {&JetStream{}, &Stream{}, &Consumer{}, &PushConsumer{}, &Receiver{}, &Consumption{}, &Msg{}},
		"made of nothing": {(*JetStream)(nil).StreamHandle("S"), (*JetStream)(nil).StreamHandle("S").ConsumerHandle("C")},
	}
	for kind, handles := range nobodys {
		for _, h := range handles {
			typ := reflect.TypeOf(h)
			for m := range typ.Methods() {
				if !canFail(m.Type) {
					continue
				}
				want := badOption("handle")
				switch {
				case typ.Elem().Name() == "Msg" && m.Name == "Metadata":
					want = is(ErrNotJSMessage)
				case typ.Elem().Name() == "Msg":
					want = is(nats.ErrMsgNotBound)
				case kind != "made of nothing" && typ != reflect.TypeFor[*JetStream]():
					want = func(err error) string { // it has no name either
						if badOption("handle")(err) != "" && is(ErrInvalidName)(err) != "" {
							return "is neither of the handle nor of its name"
						}
						return ""
					}
				}
				s.fail(typ.Elem().Name()+"."+m.Name, "handle: "+kind, want, func() error { return invoke(s.t, h, m, s.t.Context()) })
			}
		}
	}
}
