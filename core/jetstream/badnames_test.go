package jetstream

import (
	"strings"
	"time"

	nats "github.com/perigee-go/nats/core"
)

func only[T any](_ T, err error) error { return err }

// collect is for sequences.
func collect[T any](seq func(yield func(T, error) bool)) error { return only(nats.Collect(seq)) }

// bad is a piece of bad input.
type bad struct{ kind, value string }

// badBytes are the kinds of bytes that no name and no subject has, each with
// those that it stands for.
var badBytes = []bad{
	{"NUL", "\x00"}, {"control", "\x01\x02\x03\x04\x05\x06\x07\x08"}, {"tab", "\t"}, {"line feed", "\n"}, {"vertical tab", "\v"},
	{"form feed", "\f"}, {"carriage return", "\r"},
	{"further control", "\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"}, {"space", " "}, {"DEL", "\x7f"},
}

// nameBytes are those that a subject may have, and a name may not.
var nameBytes = []bad{{"dot", "."}, {"star", "*"}, {"greater than", ">"}, {"slash", "/"}, {"backslash", `\`}}

// places are where in a text something bad may be.
var places = []struct{ name, before, after string }{
	{"alone", "", ""}, {"at the start", "", "ab"}, {"inside", "ab", "cd"}, {"at the end", "ab", ""},
}

// spoiled are texts with a bad byte in each place; of each kind of byte all
// bytes, of which the first counts as the case.
func spoiled(kinds []bad, each func(b bad, first bool)) {
	for _, k := range kinds {
		for _, p := range places {
			for i := range len(k.value) {
				each(bad{k.kind + " " + p.name, p.before + k.value[i:i+1] + p.after}, i == 0)
			}
		}
	}
	each(bad{"a line behind it", "a\r\nPUB b 0\r\n\r\n"}, true)
	each(bad{"a size behind it", "a 0\r\n\r\nPING"}, true)
}

// spoiledNames are names that nothing can have.
func spoiledNames(each func(b bad, first bool)) {
	spoiled(append(append([]bad(nil), badBytes...), nameBytes...), each)
	each(bad{"a byte too long", strings.Repeat("n", maxName+1)}, true)
	each(bad{"far too long", strings.Repeat("n", 100_000)}, true)
}

// door is where a text goes in.
type door struct {
	on, part string
	call     func(text string) error
	want     func(text string) expect
}

// ofStream are the doors for names of streams.
func (s *scene) ofStream() []door {
	ctx, h := s.t.Context(), s.StreamHandle
	cfg := ConsumerConfig{Name: "C"}
	push := ConsumerConfig{Name: "C", DeliverSubject: "d"}
	doors := []door{
		{"JetStream.Stream", "", func(n string) error { return only(s.Stream(ctx, n)) }, badName},
		{"JetStream.DeleteStream", "", func(n string) error { return s.DeleteStream(ctx, n) }, badName},
		{"JetStream.CreateConsumer", "", func(n string) error { return only(s.CreateConsumer(ctx, n, cfg)) }, badName},
		{"JetStream.UpdateConsumer", "", func(n string) error { return only(s.UpdateConsumer(ctx, n, cfg)) }, badName},
		{"JetStream.CreateOrUpdateConsumer", "", func(n string) error { return only(s.CreateOrUpdateConsumer(ctx, n, cfg)) }, badName},
		{"JetStream.Consumer", "", func(n string) error { return only(s.Consumer(ctx, n, "C")) }, badName},
		{"JetStream.PushConsumer", "", func(n string) error { return only(s.PushConsumer(ctx, n, "C")) }, badName},
		{"JetStream.DeleteConsumer", "", func(n string) error { return s.DeleteConsumer(ctx, n, "C") }, badName},
		{"Stream.Info", "", func(n string) error { return only(h(n).Info(ctx)) }, badName},
		{"Stream.Purge", "", func(n string) error { return only(h(n).Purge(ctx)) }, badName},
		{"Stream.DeleteMsg", "", func(n string) error { return h(n).DeleteMsg(ctx, 1) }, badName},
		{"Stream.SecureDeleteMsg", "", func(n string) error { return h(n).SecureDeleteMsg(ctx, 1) }, badName},
		{"Stream.GetMsg", "", func(n string) error { return only(h(n).GetMsg(ctx, 1)) }, badName},
		{"Stream.GetLastMsgForSubject", "", func(n string) error { return only(h(n).GetLastMsgForSubject(ctx, "s")) }, badName},
		{"Stream.Consumers", "", func(n string) error { return collect(h(n).Consumers(ctx)) }, badName},
		{"Stream.ConsumerNames", "", func(n string) error { return collect(h(n).ConsumerNames(ctx)) }, badName},
		{"Stream.CreateConsumer", "", func(n string) error { return only(h(n).CreateConsumer(ctx, cfg)) }, badName},
		{"Stream.UpdateConsumer", "", func(n string) error { return only(h(n).UpdateConsumer(ctx, cfg)) }, badName},
		{"Stream.CreateOrUpdateConsumer", "", func(n string) error { return only(h(n).CreateOrUpdateConsumer(ctx, cfg)) }, badName},
		{"Stream.CreatePushConsumer", "", func(n string) error { return only(h(n).CreatePushConsumer(ctx, push)) }, badName},
		{"Stream.UpdatePushConsumer", "", func(n string) error { return only(h(n).UpdatePushConsumer(ctx, push)) }, badName},
		{"Stream.CreateOrUpdatePushConsumer", "", func(n string) error { return only(h(n).CreateOrUpdatePushConsumer(ctx, push)) }, badName},
		{"ExpectStream", "", func(n string) error { return only(s.Publish(ctx, "s", nil, ExpectStream(n))) }, func(string) expect { return badOption("ExpectStream") }},
	}
	doors = append(doors, s.ofConsumer("of its stream, ", func(n string) *Stream { return h(n) }, func(string) string { return "C" })...)
	return append(doors, s.configuredNames()...)
}

// configuredNames are the doors for names in configurations of streams.
func (s *scene) configuredNames() []door {
	ctx := s.t.Context()
	var doors []door
	for on, put := range s.putStreams() {
		field := func(part, field string, cfg func(n string) StreamConfig) {
			doors = append(doors, door{on, part, func(n string) error { return put(ctx, cfg(n)) }, func(string) expect { return badField(field) }})
		}
		field("Name, ", "Name", func(n string) StreamConfig { return StreamConfig{Name: n} })
		field("Mirror.Name, ", "Mirror.Name", func(n string) StreamConfig { return StreamConfig{Name: "S", Mirror: &StreamSource{Name: n}} })
		field("Sources.Name, ", "Sources[1].Name", func(n string) StreamConfig {
			return StreamConfig{Name: "S", Sources: []*StreamSource{{Name: "A"}, {Name: n}}}
		})
	}
	return doors
}

// ofConsumer are the doors that both a stream's and a consumer's name go through.
func (s *scene) ofConsumer(part string, stream func(n string) *Stream, name func(n string) string) []door {
	ctx := s.t.Context()
	handle := func(n string) *Consumer { return stream(n).ConsumerHandle(name(n)) }
	return []door{
		{"Stream.Consumer", part, func(n string) error { return only(stream(n).Consumer(ctx, name(n))) }, badName},
		{"Stream.PushConsumer", part, func(n string) error { return only(stream(n).PushConsumer(ctx, name(n))) }, badName},
		{"Stream.DeleteConsumer", part, func(n string) error { return stream(n).DeleteConsumer(ctx, name(n)) }, badName},
		{"Stream.PauseConsumer", part, func(n string) error { return only(stream(n).PauseConsumer(ctx, name(n), time.Now())) }, badName},
		{"Stream.ResumeConsumer", part, func(n string) error { return only(stream(n).ResumeConsumer(ctx, name(n))) }, badName},
		{"Stream.ResetConsumer", part, func(n string) error { return only(stream(n).ResetConsumer(ctx, name(n), 1)) }, badName},
		{"Stream.UnpinConsumer", part, func(n string) error { return stream(n).UnpinConsumer(ctx, name(n), "g") }, badName},
		{"Consumer.Info", part, func(n string) error { return only(handle(n).Info(ctx)) }, badName},
		{"PushConsumer.Info", part, func(n string) error {
			return only((&PushConsumer{consumerHandle{stream: stream(n), name: name(n)}}).Info(ctx))
		}, badName},
		{"Consumer.Next", part, func(n string) error { return only(handle(n).Next(ctx)) }, badName},
		{"Consumer.Fetch", part, func(n string) error { return collect(handle(n).Fetch(ctx, 1)) }, badName},
		{"Consumer.Messages", part, func(n string) error { return collect(handle(n).Messages(ctx)) }, badName},
		{"Consumer.Receiver", part, func(n string) error { return only(handle(n).Receiver()) }, badName},
		{"Consumer.Consume", part, func(n string) error { return only(handle(n).Consume(func(*Msg) {})) }, badName},
	}
}

func badNames(s *scene) {
	ctx := s.t.Context()
	streams := s.ofStream()
	same := func(n string) string { return n }
	consumers := append(s.ofConsumer("name, ", func(string) *Stream { return s.stream }, same),
		door{"JetStream.Consumer", "name, ", func(n string) error { return only(s.Consumer(ctx, "S", n)) }, badName},
		door{"JetStream.PushConsumer", "name, ", func(n string) error { return only(s.PushConsumer(ctx, "S", n)) }, badName},
		door{"JetStream.DeleteConsumer", "name, ", func(n string) error { return s.DeleteConsumer(ctx, "S", n) }, badName},
	)
	for on, put := range s.putConsumers() {
		for _, field := range []string{"Name", "Durable"} {
			consumers = append(consumers, door{on, field + ", ", func(n string) error {
				cfg := ConsumerConfig{Name: n}
				if field == "Durable" {
					cfg = ConsumerConfig{Durable: n}
				}
				return put(ctx, cfg)
			}, func(string) expect { return all(badField(field), is(ErrInvalidName)) }})
		}
	}
	put := func(d door, b bad, first bool) {
		s.uncounted(!first, func() {
			s.refuse(d.on, d.part+b.kind, d.want(b.value), func() error { return d.call(b.value) })
		})
	}
	spoiledNames(func(b bad, first bool) {
		for _, d := range append(streams, consumers...) {
			put(d, b, first)
		}
	})
	for _, d := range append(streams, consumers...) {
		// A consumer that is created without a name gets one.
		if strings.HasSuffix(d.on, "Consumer") && (d.part == "Name, " || d.part == "Durable, ") && !strings.Contains(d.on, ".Update") {
			continue
		}
		if d.part == "Durable, " {
			d.want = func(string) expect { return badField("Name") }
		}
		put(d, bad{"empty", ""}, true)
	}
}

// uncounted leaves the cases that f makes out of the count.
func (s *scene) uncounted(yes bool, f func()) {
	c := s.c
	if yes {
		s.c = nil
	}
	f()
	s.c = c
}
