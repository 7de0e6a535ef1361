package nats

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// silentTracer is a Tracer that does nothing.
type silentTracer struct{}

func (silentTracer) Start(ctx context.Context, _ *Operation) context.Context { return ctx }
func (silentTracer) End(context.Context, *Operation, error)                  {}

func only[T any](_ T, err error) error { return err }

// bad is a piece of bad input.
type bad struct {
	kind   string
	value  string
	offset int // of what is wrong; -1: it is wrong as a whole
}

// badBytes are the kinds of bytes that no subject has, each with those that it
// stands for.
var badBytes = []struct{ kind, bytes string }{
	{"NUL", "\x00"}, {"control", "\x01\x02\x03\x04\x05\x06\x07\x08"}, {"tab", "\t"}, {"line feed", "\n"}, {"vertical tab", "\v"},
	{"form feed", "\f"}, {"carriage return", "\r"},
	{"further control", "\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"}, {"space", " "}, {"DEL", "\x7f"},
}

// places are where in a text something bad may be.
var places = []struct{ name, before, after string }{
	{"alone", "", ""}, {"at the start", "", "a.b"}, {"inside", "a.b", "c.d"}, {"at the end", "a.b", ""},
}

// spoiled are texts with a bad byte in each place; for each kind of byte all
// bytes of the kind, of which the first counts as the case.
func spoiled(each func(b bad, first bool)) {
	for _, kind := range badBytes {
		for _, p := range places {
			for i := range len(kind.bytes) {
				each(bad{kind.kind + " " + p.name, p.before + kind.bytes[i:i+1] + p.after, len(p.before)}, i == 0)
			}
		}
	}
	for _, line := range []bad{
		{"a line behind it", "a\r\nPUB b 0\r\n\r\n", 1}, {"a line before it", "\r\nPUB b 0\r\n\r\na", 0},
		{"an argument behind it", "a b", 1}, {"a size behind it", "a 0\r\n\r\nPING", 1},
	} {
		each(line, true)
	}
}

// misshapen are subjects of legal bytes that are none.
var misshapen = []bad{
	{"empty first token", ".a", 0}, {"empty token inside", "a..b", 2}, {"empty last token", "a.", -1}, {"a dot", ".", 0},
	{"two dots", "..", 0}, {"three dots at the end", "a...", 2}, {"too long", strings.Repeat("a", 4033), -1},
	{"far too long", strings.Repeat("a.", 40_000) + "a", -1},
}

// wild are subjects that one cannot publish to.
var wild = []bad{
	{"*", "*", 0}, {">", ">", 0}, {"* as first token", "*.a", 0}, {"* inside", "a.*.b", 2}, {"* as last token", "a.*", 2},
	{"> as first token", ">.a", 0}, {"> inside", "a.>.b", 2}, {"> as last token", "a.>", 2},
}

// door is where a text goes in.
type door struct {
	on, part string
	call     func(text string) error
}

// publishing are the doors for subjects to publish to, and for replies.
func (s *scene) publishing() (subjects, replies []door) {
	nc, ctx := s.nc, s.t.Context()
	link, _ := nc.Link()
	if link == nil {
		link = &Link{nc: nc}
	}
	subjects = []door{
		{"Link.PublishMsg", "subject", func(b string) error { return only(link.PublishMsg(ctx, Msg{Subject: b})) }},
		{"Conn.Publish", "subject", func(b string) error { return nc.Publish(b, nil) }},
		{"Conn.PublishMsg", "subject", func(b string) error { return nc.PublishMsg(ctx, Msg{Subject: b}) }},
		{"Conn.PublishRequest", "subject", func(b string) error { return nc.PublishRequest(b, "r", nil) }},
		{"Conn.Request", "subject", func(b string) error { return only(nc.Request(ctx, b, nil)) }},
		{"Conn.RequestMsg", "subject", func(b string) error { return only(nc.RequestMsg(ctx, Msg{Subject: b})) }},
		{"Conn.RequestMsg", "subject beside a reply", func(b string) error { return only(nc.RequestMsg(ctx, Msg{Subject: b, Reply: "r"})) }},
	}
	replies = []door{
		{"Link.PublishMsg", "reply", func(b string) error { return only(link.PublishMsg(ctx, Msg{Subject: "a", Reply: b})) }},
		{"Conn.PublishRequest", "reply", func(b string) error { return nc.PublishRequest("a", b, nil) }},
		{"Conn.PublishMsg", "reply", func(b string) error { return nc.PublishMsg(ctx, Msg{Subject: "a", Reply: b}) }},
		{"Conn.RequestMsg", "reply", func(b string) error { return only(nc.RequestMsg(ctx, Msg{Subject: "a", Reply: b})) }},
		{"Msg.Respond", "reply of the message", func(b string) error { m := s.bound; m.Reply = b; return m.Respond(nil) }},
		{"Msg.RespondMsg", "reply of the message", func(b string) error { m := s.bound; m.Reply = b; return m.RespondMsg(Msg{}) }},
		{"Msg.RespondMsg", "reply of the response", func(b string) error { return s.bound.RespondMsg(Msg{Reply: b}) }},
	}
	return subjects, replies
}

// subscribing are the doors for subjects to subscribe to.
func (s *scene) subscribing() []door {
	nc := s.nc
	return []door{
		{"Conn.Subscribe", "subject", func(b string) error { return only(nc.Subscribe(b, func(Msg) {})) }},
		{"Conn.SubscribeSync", "subject", func(b string) error { return only(nc.SubscribeSync(b)) }},
		{"Conn.SubscribeChan", "subject", func(b string) error { return only(nc.SubscribeChan(b, make(chan Msg))) }},
	}
}

// queueing are the doors for names of queue groups.
func (s *scene) queueing() []door {
	nc := s.nc
	return []door{
		{"Queue", "of Subscribe", func(b string) error { return only(nc.Subscribe("a", func(Msg) {}, Queue(b))) }},
		{"Queue", "of SubscribeSync", func(b string) error { return only(nc.SubscribeSync("a", Queue(b))) }},
		{"Queue", "of SubscribeChan", func(b string) error { return only(nc.SubscribeChan("a", make(chan Msg), Queue(b))) }},
	}
}

func badSubjects(s *scene) {
	subjects, replies := s.publishing()
	put := func(d door, b bad, counted bool, want expect) {
		c := s.c
		if !counted {
			s.c = nil
		}
		s.refuse(d.on, d.part+": "+b.kind, retryable(want), func() error { return d.call(b.value) })
		s.c = c
	}
	spoiled(func(b bad, first bool) {
		for _, d := range append(append(subjects, replies...), s.subscribing()...) {
			put(d, b, first, badSubject(b.value, b.offset))
		}
		for _, d := range s.queueing() {
			put(d, b, first, badQueue(b.value, b.offset))
		}
	})
	for _, b := range append(misshapen, wild...) {
		for _, d := range subjects {
			put(d, b, true, badSubject(b.value, b.offset))
		}
		for _, d := range replies {
			want := badSubject(b.value, b.offset)
			if b.offset < 0 && strings.HasPrefix(b.value, "aaaa") || len(b.value) > 4096 {
				want = is(ErrBadSubject) // both together are too long
			}
			put(d, b, true, want)
		}
	}
	for _, b := range append(misshapen, bad{"> before the last token", "a.>.b", 2}, bad{"> twice", ">.>", 0}) {
		for _, d := range s.subscribing() {
			put(d, b, true, badSubject(b.value, b.offset))
		}
	}
	for _, d := range append(subjects, s.subscribing()...) {
		put(d, bad{"empty", "", -1}, true, badSubject("", -1))
	}
	for _, d := range s.queueing() {
		put(d, bad{"empty", "", -1}, true, badQueue("", -1))
		put(d, bad{"too long beside the subject", strings.Repeat("q", 4032), -1}, true, is(ErrBadSubject))
	}
}

// badHeaders: names and values, through everything that makes a header and
// everything that sends one.
func badHeaders(s *scene) {
	ctx := s.t.Context()
	senders := []struct {
		on   string
		send func(m Msg) error
	}{
		{"Conn.PublishMsg", func(m Msg) error { return s.nc.PublishMsg(ctx, m) }},
		{"Conn.RequestMsg", func(m Msg) error { return only(s.nc.RequestMsg(ctx, m)) }},
		{"Msg.RespondMsg", func(m Msg) error { return s.bound.RespondMsg(m) }},
	}
	field := func(kind, name, value string, offset int, counted bool) {
		c := s.c
		if !counted {
			s.c = nil
		}
		defer func() { s.c = c }()
		want := badHeader(name, offset)
		s.refuse("NewHeader", kind, retryable(want), func() error { return only(NewHeader("Good", "1", name, value)) })
		shown := badHeader(strings.ReplaceAll(name, "\x00", "\uFFFD"), offset)
		for on, put := range map[string]func(h *Header){
			"Header.Set": func(h *Header) { h.Set(name, value) }, "Header.Add": func(h *Header) { h.Add(name, value) },
		} {
			h := header(s.t, "Good", "1")
			put(&h)
			s.refuse(on, kind, retryable(shown), h.Err)
			s.refuse("Header.MarshalText", kind+", by "+on, retryable(shown), func() error { return only(h.MarshalText()) })
			for _, to := range senders {
				m := Msg{Subject: "a", Header: h, Data: []byte("data")}
				s.refuse(to.on, "header, by "+on+": "+kind, retryable(shown), func() error { return to.send(m) })
				if m.Subject != "a" || string(m.Data) != "data" || m.Header.Get("Good") != "1" || m.Header.Len() != 1 {
					s.t.Errorf("%s: the message is %+v now", kind, m)
				}
			}
		}
	}
	spoiled(func(b bad, first bool) { field("name: "+b.kind, b.value, "v", b.offset, first) })
	field("name: empty", "", "v", -1, true)
	field("name: a colon at the end", "A:", "v", 1, true)
	field("name: a colon inside", "A:B", "v", 1, true)
	field("name: not ASCII", "Ä", "v", 0, true)
	for _, p := range places {
		for name, b := range map[string]string{"NUL": "\x00", "line feed": "\n", "carriage return": "\r", "both": "\r\n", "a field": "\r\nB: c", "an end and more": "\r\n\r\nPUB b 0\r\n\r\n"} {
			field("value: "+name+" "+p.name, "A", p.before+b+p.after, len(p.before), true)
		}
	}
	for kind, args := range map[string][]string{"one argument": {"A"}, "three arguments": {"A", "1", "B"}} {
		s.refuse("NewHeader", kind, retryable(badHeader(args[len(args)-1], -1)), func() error { return only(NewHeader(args...)) })
	}
	for kind, text := range map[string]string{
		"no first line": "A: b\r\n\r\n", "another protocol": "HTTP/1.0\r\nA: b\r\n\r\n", "lower case": "nats/1.0\r\n\r\n", "a NUL": "\x00",
		"a NUL in a value": "NATS/1.0\r\nA: \x00\r\n\r\n", "a control byte in a name": "NATS/1.0\r\nA\x01: b\r\n\r\n",
		"a return in a value": "NATS/1.0\r\nA: b\rc\r\n\r\n",
	} {
		h := header(s.t, "Good", "1")
		s.refuse("Header.UnmarshalText", kind, is(ErrBadHeader), func() error { return h.UnmarshalText([]byte(text)) })
		if h.Get("Good") != "1" || h.Len() != 1 {
			s.t.Errorf("%s: the header is %v now", kind, h)
		}
	}
}

// badSizes: more than the server takes. The limit is 1,000.
func badSizes(s *scene) {
	ctx, nc := s.t.Context(), s.nc
	for kind, m := range map[string]Msg{
		"payload, by a byte":        {Data: make([]byte, 1001)},
		"payload, by far":           {Data: make([]byte, 1<<20)},
		"header":                    {Header: header(s.t, "A", strings.Repeat("x", 1000))},
		"header and payload":        {Header: header(s.t, "A", strings.Repeat("x", 500)), Data: make([]byte, 500)},
		"payload and a reply":       {Reply: "r", Data: make([]byte, 1001)},
		"payload and a small field": {Header: header(s.t, "A", "b"), Data: make([]byte, 1000)},
	} {
		m.Subject = "big"
		want := retryable(all(is(ErrMaxPayload), says("1000", fmt.Sprint(m.Size()))))
		s.refuse("Conn.PublishMsg", kind, all(want, says(`"big"`)), func() error { return nc.PublishMsg(ctx, m) })
		s.refuse("Conn.RequestMsg", kind, all(want, says(`"big"`)), func() error { return only(nc.RequestMsg(ctx, m)) })
		s.refuse("Msg.RespondMsg", kind, all(want, says(`"reply"`)), func() error { return s.bound.RespondMsg(m) })
		if m.Header.Len() > 0 || m.Reply != "" {
			continue
		}
		s.refuse("Conn.Publish", kind, all(want, says(`"big"`)), func() error { return nc.Publish("big", m.Data) })
		s.refuse("Conn.PublishRequest", kind, all(want, says(`"big"`)), func() error { return nc.PublishRequest("big", "r", m.Data) })
		s.refuse("Conn.Request", kind, all(want, says(`"big"`)), func() error { return only(nc.Request(ctx, "big", m.Data)) })
		s.refuse("Msg.Respond", kind, all(want, says(`"reply"`)), func() error { return s.bound.Respond(m.Data) })
	}
}

// badContexts: nil for everything that takes one, and ended for what waits.
func badContexts(s *scene) {
	ended, cancel := context.WithCancel(s.t.Context())
	cancel()
	passed, cancel2 := context.WithDeadline(s.t.Context(), time.Now().Add(-time.Second))
	defer cancel2()
	tg := newTarget(s.nc, s.open)
	for _, m := range matrixMethods() {
		if !m.takesContext() || m.String() == "Conn.Drain" { // which ends the Conn
			continue
		}
		s.refuse(m.String(), "context: nil", retryable(badOption("ctx")), func() error { return invoke(s.t, tg, m, nil) })
		// Requests that are refused are counted as cancelled; the others of these change something.
		switch m.Name {
		case "Request", "RequestMsg", "Drain", "PublishMsg", "Barrier":
			continue
		}
		s.refuse(m.String(), "context: cancelled", is(context.Canceled), func() error { return invoke(s.t, tg, m, ended) })
		s.refuse(m.String(), "context: its deadline has passed", is(context.DeadlineExceeded), func() error { return invoke(s.t, tg, m, passed) })
	}
	s.refuse("Conn.Drain", "context: nil", retryable(badOption("ctx")), func() error { return s.nc.Drain(noContext) })
	s.refuse("Connect", "context: nil", retryable(badOption("ctx")), func() error { return only(Connect(noContext, "server")) })
	s.refuse("Conn.Request", "context: cancelled", retryable(all(is(context.Canceled), says(`request "a"`))), func() error { return only(s.nc.Request(ended, "a", nil)) })
	s.refuse("Conn.RequestMsg", "context: cancelled", retryable(is(context.Canceled)), func() error { return only(s.nc.RequestMsg(ended, Msg{Subject: "a"})) })
}

// noContext is what a careless caller passes.
var noContext context.Context

// badArguments are nil functions, numbers and whatever else is left.
func badArguments(s *scene) {
	nc := s.nc
	s.refuse("Conn.Subscribe", "handler: nil", retryable(badOption("handler")), func() error { return only(nc.Subscribe("a", nil)) })
	s.refuse("Conn.SubscribeChan", "channel: nil", retryable(badOption("ch")), func() error { return only(nc.SubscribeChan("a", nil)) })
	subscribe := map[string]func(o ...SubOption) error{
		"Conn.Subscribe":     func(o ...SubOption) error { return only(nc.Subscribe("a", func(Msg) {}, o...)) },
		"Conn.SubscribeSync": func(o ...SubOption) error { return only(nc.SubscribeSync("a", o...)) },
		"Conn.SubscribeChan": func(o ...SubOption) error { return only(nc.SubscribeChan("a", make(chan Msg), o...)) },
	}
	for on, call := range subscribe {
		s.refuse(on, "option: nil", retryable(badOption("nil")), func() error { return call(nil) })
		s.refuse(on, "option: nil behind a good one", retryable(badOption("nil")), func() error { return call(Queue("q"), nil) })
		for name, values := range map[string][]SubOption{
			"AutoUnsubscribe": {AutoUnsubscribe(0), AutoUnsubscribe(-1), AutoUnsubscribe(-1 << 31)},
			"Concurrency":     {Concurrency(0), Concurrency(-1)},
			"PendingLimits":   {PendingLimits(0, 1), PendingLimits(1, 0), PendingLimits(0, 0), PendingLimits(-1, 0)},
			"Overflow":        {Overflow(-1), Overflow(3), Overflow(1 << 20)},
			"EventHandler":    {EventHandler(nil)},
		} {
			for i, o := range values {
				s.refuse(name, fmt.Sprintf("value %d to %s", i, on), retryable(all(badOption(name), says(`subscribe to "a"`))), func() error { return call(o) })
			}
		}
		s.refuse(on, "two bad options", retryable(all(badOption("Concurrency"), badOption("Overflow"))), func() error { return call(Concurrency(0), Overflow(9)) })
		s.refuse(on, "OnReader beside Concurrency", retryable(badOption("OnReader")), func() error { return call(OnReader(), Concurrency(2)) })
		if on != "Conn.Subscribe" {
			s.refuse(on, "OnReader without a handler", retryable(badOption("OnReader")), func() error { return call(OnReader()) })
			s.refuse(on, "Concurrency without a handler", retryable(badOption("Concurrency")), func() error { return call(Concurrency(2)) })
		}
	}
	for _, n := range []int{0, -1, -1 << 31} {
		s.refuse("Subscription.AutoUnsubscribe", fmt.Sprint(n), retryable(badOption("AutoUnsubscribe")), func() error { return s.open.AutoUnsubscribe(n) })
	}
	for _, l := range [][2]int{{0, 1}, {1, 0}, {0, 0}, {-1, 0}} {
		s.refuse("Subscription.SetPendingLimits", fmt.Sprint(l), retryable(badOption("PendingLimits")), func() error { return s.open.SetPendingLimits(l[0], l[1]) })
	}
	if st := s.open.Stats(); st.LimitMsgs != 500_000 || st.LimitBytes != 64<<20 || !st.Active {
		s.t.Errorf("the limits are %+v", st)
	}
	ctx := s.t.Context()
	s.refuse("Subscription.Next", "of a handler's subscription", is(ErrSyncSubRequired), func() error { return only(s.handed.Next(ctx)) })
	s.refuse("Subscription.Messages", "of a handler's subscription", is(ErrSyncSubRequired), func() error { return only(Collect(s.handed.Messages(ctx))) })
	s.refuse("Msg.Respond", "to what did not arrive", retryable(is(ErrMsgNotBound)), func() error { return Msg{Subject: "x", Reply: "r"}.Respond(nil) })
	s.refuse("Msg.RespondMsg", "to what did not arrive", retryable(is(ErrMsgNotBound)), func() error { return Msg{Subject: "x", Reply: "r"}.RespondMsg(Msg{}) })
	unasked := s.bound
	unasked.Reply = ""
	s.refuse("Msg.Respond", "without a reply subject", retryable(all(is(ErrMsgNoReply), says(`"in"`))), func() error { return unasked.Respond(nil) })
	s.refuse("Msg.RespondMsg", "without a reply subject", retryable(is(ErrMsgNoReply)), func() error { return unasked.RespondMsg(Msg{Reply: "x"}) })
	s.refuse("Msg.Respond", "bound to nothing", retryable(is(ErrMsgNotBound)), func() error { return Msg{Reply: "r"}.Bind(nil).Respond(nil) })
	badNobodys(s)
}

// badNobodys: what nobody made, for every method that can fail.
func badNobodys(s *scene) {
	for name, tg := range map[string]target{"nil": {}, "zero": {&Conn{}, &Subscription{}, Msg{}}} {
		for _, m := range matrixMethods() {
			if !returnsError(m) || m.Name == "LastError" {
				continue
			}
			want := map[string]expect{"Conn": badOption("Conn"), "Subscription": is(ErrSubscriptionClosed), "Msg": is(ErrMsgNotBound)}[m.recv]
			if m.recv == "Msg" && name == "zero" {
				continue // there is no nil
			}
			s.refuse(m.String(), "of a "+name+" "+m.recv, want, func() error { return invoke(s.t, tg, m, s.t.Context()) })
		}
	}
}
