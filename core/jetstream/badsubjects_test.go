package jetstream

import (
	"strings"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// misshapen are subjects of legal bytes that are none.
var misshapen = []bad{
	{"empty first token", ".a"}, {"empty token inside", "a..b"}, {"empty last token", "a."}, {"a dot", "."}, {"three dots at the end", "a..."},
}

// long are subjects that fit into no line of the protocol.
var long = []bad{{"too long", strings.Repeat("a", 5000)}, {"far too long", strings.Repeat("a.", 40_000) + "a"}}

// wild are subjects that one cannot publish to.
var wild = []bad{
	{"*", "*"}, {">", ">"}, {"* as first token", "*.a"}, {"* inside", "a.*.b"}, {"* as last token", "a.*"}, {"> as last token", "a.>"},
}

func option(name string) func(string) expect { return func(string) expect { return badOption(name) } }
func field(name string) func(string) expect  { return func(string) expect { return badField(name) } }

// filters are the doors for subjects that may have wildcards.
func (s *scene) filters() []door {
	ctx := s.t.Context()
	doors := []door{
		{"FilterSubject", "of Streams, ", func(f string) error { return collect(s.Streams(ctx, FilterSubject(f))) }, option("FilterSubject")},
		{"FilterSubject", "of StreamNames, ", func(f string) error { return collect(s.StreamNames(ctx, FilterSubject(f))) }, option("FilterSubject")},
		{"FilterSubject", "of Info, ", func(f string) error { return only(s.stream.Info(ctx, FilterSubject(f))) }, option("FilterSubject")},
		{"FilterSubject", "of Purge, ", func(f string) error { return only(s.stream.Purge(ctx, FilterSubject(f))) }, option("FilterSubject")},
		{"FilterSubject", "of GetMsg, ", func(f string) error { return only(s.stream.GetMsg(ctx, 1, FilterSubject(f))) }, option("FilterSubject")},
		{"JetStream.StreamNameBySubject", "", func(f string) error { return only(s.StreamNameBySubject(ctx, f)) }, option("FilterSubject")},
		{"Stream.GetLastMsgForSubject", "subject, ", func(f string) error { return only(s.stream.GetLastMsgForSubject(ctx, f)) }, badSubject},
		{"ExpectLastSequenceForSubject", "", func(f string) error {
			return only(s.Publish(ctx, "s", nil, ExpectLastSequenceForSubject(1, f)))
		}, option("ExpectLastSequenceForSubject")},
	}
	for on, put := range s.putStreams() {
		for name, cfg := range map[string]func(f string) StreamConfig{
			"Subjects[1]":          func(f string) StreamConfig { return StreamConfig{Subjects: []string{"a", f}} },
			"Mirror.FilterSubject": func(f string) StreamConfig { return StreamConfig{Mirror: &StreamSource{Name: "M", FilterSubject: f}} },
			"Sources[0].FilterSubject": func(f string) StreamConfig {
				return StreamConfig{Sources: []*StreamSource{{Name: "M", FilterSubject: f}}}
			},
			"RePublish.Source": func(f string) StreamConfig {
				return StreamConfig{RePublish: &RePublish{Source: f, Destination: "d"}}
			},
		} {
			doors = append(doors, door{on, name + ", ", func(f string) error { c := cfg(f); c.Name = "S"; return put(ctx, c) }, field(name)})
		}
	}
	for on, put := range s.putConsumers() {
		doors = append(doors,
			door{on, "FilterSubject, ", func(f string) error { return put(ctx, ConsumerConfig{Name: "C", FilterSubject: f}) }, field("FilterSubject")},
			door{on, "FilterSubjects, ", func(f string) error { return put(ctx, ConsumerConfig{Name: "C", FilterSubjects: []string{"a", f}}) }, field("FilterSubjects[1]")})
	}
	return doors
}

// targets are the doors for subjects that something is published to.
func (s *scene) targets() []door {
	ctx := s.t.Context()
	later := ScheduleAt(time.Now().Add(time.Hour))
	send := func(opts ...PublishOption) error { return only(s.Publish(ctx, "s", nil, opts...)) }
	doors := []door{
		{"JetStream.Publish", "subject, ", func(p string) error { return only(s.Publish(ctx, p, nil)) }, badSubject},
		{"JetStream.PublishAsync", "subject, ", func(p string) error { return only(s.PublishAsync(ctx, p, nil)) }, badSubject},
		{"JetStream.PublishMsgAsync", "subject, ", func(p string) error { return only(s.PublishMsgAsync(ctx, nats.Msg{Subject: p})) }, badSubject},
		{"JetStream.PublishMsg", "subject, ", func(p string) error { return only(s.PublishMsg(ctx, nats.Msg{Subject: p})) }, badSubject},
		{"JetStream.Request", "subject, ", func(p string) error { return s.Request(ctx, p, nil, nil) }, badSubject},
		{"ScheduleTarget", "", func(p string) error { return send(later, ScheduleTarget(p)) }, option("ScheduleTarget")},
		{"ScheduleSource", "", func(p string) error { return send(later, ScheduleTarget("t"), ScheduleSource(p)) }, option("ScheduleSource")},
		{"CancelSchedule", "", func(p string) error { return send(CancelSchedule(p)) }, option("CancelSchedule")},
		{"Domain", "", func(p string) error { return only(New(s.Conn(), Domain(p))) }, option("Domain")},
		{"APIPrefix", "", func(p string) error { return only(New(s.Conn(), APIPrefix(p))) }, option("APIPrefix")},
	}
	for on, put := range s.putPushConsumers() {
		doors = append(doors, door{on, "DeliverSubject, ", func(p string) error { return put(ctx, ConsumerConfig{Name: "C", DeliverSubject: p}) },
			field("DeliverSubject")})
	}
	return doors
}

// queues are the doors for queue groups.
func (s *scene) queues() []door {
	var doors []door
	for on, put := range s.putPushConsumers() {
		doors = append(doors, door{on, "DeliverGroup, ", func(q string) error {
			return put(s.t.Context(), ConsumerConfig{Name: "C", DeliverSubject: "d", DeliverGroup: q})
		}, field("DeliverGroup")})
	}
	return doors
}

func badSubjects(s *scene) {
	put := func(d door, b bad, first bool) {
		s.uncounted(!first, func() {
			s.refuse(d.on, d.part+b.kind, d.want(b.value), func() error { return d.call(b.value) })
		})
	}
	filters, targets := s.filters(), s.targets()
	spoiled(badBytes, func(b bad, first bool) {
		for _, d := range append(append(filters, targets...), s.queues()...) {
			put(d, b, first)
		}
	})
	for _, b := range misshapen {
		for _, d := range append(filters, targets...) {
			if d.on != "APIPrefix" || b.value != "a." { // a dot at its end is taken off
				put(d, b, true)
			}
		}
	}
	for _, b := range long {
		for _, d := range targets[:3] { // those that are sent as such
			put(d, b, true)
		}
	}
	for _, b := range wild {
		for _, d := range targets {
			put(d, b, true)
		}
	}
	for _, d := range filters {
		put(d, bad{"> inside", "a.>.b"}, true)
		// Configurations without a subject are good.
		if !strings.Contains(d.on, "Consumer") && !strings.Contains(d.part, "FilterSubject") && !strings.Contains(d.part, "RePublish") {
			put(d, bad{"empty", ""}, true)
		}
	}
	for _, d := range targets {
		if d.part != "DeliverSubject, " { // which makes the difference between push and pull
			put(d, bad{"empty", ""}, true)
		}
	}
	s.refuse("Domain", "two tokens", badOption("Domain"), func() error { return only(New(s.Conn(), Domain("a.b"))) })
}
