package jetstream

import (
	"fmt"
	"math"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// badValue is an option with a value that makes no sense.
type badValue[O any] struct {
	name, kind string
	option     O
}

func badJSOptions() []badValue[Option] {
	return []badValue[Option]{
		{"DefaultTimeout", "0", DefaultTimeout(0)}, {"DefaultTimeout", "-1", DefaultTimeout(-1)}, {"DefaultTimeout", "least", DefaultTimeout(math.MinInt64)},
		{"RetryWait", "0", RetryWait(0)}, {"RetryWait", "-1", RetryWait(-1)}, {"RetryWait", "least", RetryWait(math.MinInt64)},
		{"PublishAsyncMaxPending", "0", PublishAsyncMaxPending(0)}, {"PublishAsyncMaxPending", "-1", PublishAsyncMaxPending(-1)},
		{"PublishAsyncMaxPending", "too many", PublishAsyncMaxPending(maxWindow + 1)}, {"PublishAsyncMaxPending", "most", PublishAsyncMaxPending(math.MaxInt)},
		{"PublishAsyncHandler", "nil", PublishAsyncHandler(nil)},
		{"AckTimeout", "0", AckTimeout(0)}, {"AckTimeout", "-1", AckTimeout(-1)}, {"AckTimeout", "least", AckTimeout(math.MinInt64)},
		{"nil", "nil", nil},
	}
}

// badHeaderOptions are those of a publish that are about the message.
func badHeaderOptions() []badValue[[]PublishOption] {
	now := time.Now()
	target, at, cron := ScheduleTarget("t"), ScheduleAt(now), ScheduleCron(ScheduleDaily)
	one := func(name, kind string, o ...PublishOption) badValue[[]PublishOption] {
		return badValue[[]PublishOption]{name, kind, o}
	}
	return []badValue[[]PublishOption]{
		one("MsgID", "empty", MsgID("")),
		one("MsgTTL", "0", MsgTTL(0)), one("MsgTTL", "below a second", MsgTTL(time.Second-1)), one("MsgTTL", "a second and a half", MsgTTL(1500*time.Millisecond)),
		one("MsgTTL", "-2", MsgTTL(-2)), one("MsgTTL", "least", MsgTTL(math.MinInt64)), one("MsgTTL", "most", MsgTTL(math.MaxInt64)),
		one("ExpectLastMsgID", "empty", ExpectLastMsgID("")),
		one("Rollup", "empty", Rollup("")), one("Rollup", "another", Rollup("none")), one("Rollup", "upper case", Rollup("ALL")), one("Rollup", "a line end", Rollup("all\r\nA: b")),
		one("nil", "nil", nil), one("nil", "nil behind a good one", MsgID("a"), nil),
		one("ScheduleAt", "zero time", ScheduleAt(time.Time{}), target), one("ScheduleAt", "beside ScheduleEvery", at, ScheduleEvery(time.Hour), target),
		one("ScheduleAt", "beside ScheduleCron", at, cron, target),
		one("ScheduleEvery", "0", ScheduleEvery(0), target), one("ScheduleEvery", "below a second", ScheduleEvery(time.Second-1), target),
		one("ScheduleEvery", "-1", ScheduleEvery(-1), target), one("ScheduleEvery", "least", ScheduleEvery(math.MinInt64), target),
		one("ScheduleCron", "empty", ScheduleCron(""), target), one("ScheduleCron", "five fields", ScheduleCron("* * * * *"), target),
		one("ScheduleCron", "seven fields", ScheduleCron("* * * * * * *"), target), one("ScheduleCron", "no such word", ScheduleCron("@often"), target),
		one("ScheduleCron", "a sentence", ScheduleCron("now and then"), target),
		one("ScheduleTarget", "missing", at), one("ScheduleTarget", "without a schedule", target), one("ScheduleTarget", "the schedule itself", at, ScheduleTarget("subject")),
		one("ScheduleTarget", "missing beside ScheduleSource", at, ScheduleSource("a")),
		one("ScheduleSource", "the target", at, target, ScheduleSource("t")), one("ScheduleSource", "the schedule itself", at, target, ScheduleSource("subject")),
		one("ScheduleTTL", "0", at, target, ScheduleTTL(0)), one("ScheduleTTL", "below a second", at, target, ScheduleTTL(time.Millisecond)),
		one("ScheduleTTL", "-2", at, target, ScheduleTTL(-2)),
		one("ScheduleTimeZone", "empty", cron, target, ScheduleTimeZone("")), one("ScheduleTimeZone", "beside ScheduleAt", at, target, ScheduleTimeZone("UTC")),
		one("ScheduleTimeZone", "beside ScheduleEvery", ScheduleEvery(time.Hour), target, ScheduleTimeZone("UTC")),
		one("CancelSchedule", "this message", CancelSchedule("subject")),
	}
}

// badPullOptions are those of sessions, and of sessions and fetches.
func badPullOptions() []badValue[PullOption] {
	bads := []badValue[PullOption]{
		{"Expiry", "0", Expiry(0)}, {"Expiry", "-1", Expiry(-1)}, {"Expiry", "below a second", Expiry(time.Second - 1)},
		{"ErrorHandler", "nil", ErrorHandler(nil)}, {"nil", "nil", nil},
		{"Threshold", "-1", Threshold(-1)}, {"Threshold", "least", Threshold(math.MinInt)}, {"Threshold", "as MaxMessages", Threshold(usualMessages)},
		{"Threshold", "most", Threshold(math.MaxInt)},
		{"Heartbeat", "above half of Expiry", Heartbeat(usualExpiry/2 + 1)}, {"Heartbeat", "most", Heartbeat(math.MaxInt64)},
	}
	for name, o := range map[string]func(int) PullOption{
		"MaxMessages": MaxMessages, "StopAfter": StopAfter, "Concurrency": Concurrency, "MaxBytes": func(n int) PullOption { return MaxBytes(n) },
	} {
		for _, n := range []int{0, -1, math.MinInt} {
			bads = append(bads, badValue[PullOption]{name, fmt.Sprint(n), o(n)})
		}
	}
	for _, d := range []time.Duration{0, 1, 100*time.Millisecond - 1} {
		bads = append(bads, badValue[PullOption]{"Heartbeat", d.String(), Heartbeat(d)})
	}
	return bads
}

func badFetchOptions() []badValue[FetchOption] {
	return []badValue[FetchOption]{
		{"MaxWait", "0", MaxWait(0)}, {"MaxWait", "-1", MaxWait(-1)}, {"MaxWait", "below a millisecond", MaxWait(time.Millisecond - 1)},
		{"MaxWait", "least", MaxWait(math.MinInt64)}, {"nil", "nil", nil},
		{"MaxBytes", "0", MaxBytes(0)}, {"MaxBytes", "-1", MaxBytes(-1)},
		{"Heartbeat", "0", Heartbeat(0)}, {"Heartbeat", "1", Heartbeat(1)}, {"Heartbeat", "most", Heartbeat(math.MaxInt64)},
	}
}

func badOptions(s *scene) {
	badNewOptions(s)
	badPublishOptions(s)
	badSessionOptions(s)
	badQueries(s)
}

func badNewOptions(s *scene) {
	s.refuse("New", "no connection", badOption("nc"), func() error { return only(New(nil)) })
	for _, b := range badJSOptions() {
		on := b.name
		if on == "nil" {
			on = "New"
		}
		s.refuse(on, "to New, "+b.kind, badOption(b.name), func() error { return only(New(s.Conn(), b.option)) })
	}
	s.refuse("Domain", "beside APIPrefix", badOption("Domain"), func() error { return only(New(s.Conn(), Domain("d"), APIPrefix("p"))) })
	s.refuse("New", "two bad options", all(badOption("DefaultTimeout"), badOption("RetryWait")), func() error {
		return only(New(s.Conn(), DefaultTimeout(0), RetryWait(0)))
	})
}

func badPublishOptions(s *scene) {
	ctx := s.t.Context()
	m := nats.Msg{Subject: "subject", Data: []byte("x")}
	calls := map[string]func(...PublishOption) error{
		"JetStream.Publish":    func(o ...PublishOption) error { return only(s.Publish(ctx, m.Subject, m.Data, o...)) },
		"JetStream.PublishMsg": func(o ...PublishOption) error { return only(s.PublishMsg(ctx, m, o...)) },
		"ApplyPublishOptions":  func(o ...PublishOption) error { return only(ApplyPublishOptions(m, o...)) },
	}
	for to, call := range calls {
		for _, b := range badHeaderOptions() {
			on := b.name
			if on == "nil" {
				on = to
			}
			s.refuse(on, "to "+to+", "+b.kind, badOption(b.name), func() error { return call(b.option...) })
		}
		s.refuse(to, "two bad options", all(badOption("MsgID"), badOption("MsgTTL")), func() error { return call(MsgID(""), MsgTTL(0)) })
		if to != "ApplyPublishOptions" {
			for _, d := range []time.Duration{0, -1} {
				s.refuse("RetryWait", fmt.Sprintf("to %s, %d", to, d), badOption("RetryWait"), func() error { return call(RetryWait(d)) })
			}
		}
		for name, o := range map[string]func(string) PublishOption{
			"MsgID": MsgID, "ExpectLastMsgID": ExpectLastMsgID,
			"ScheduleTimeZone": func(z string) PublishOption { return ScheduleTimeZone(z) },
		} {
			for kind, value := range map[string]string{"line feed": "a\nb", "carriage return": "a\rb", "a field": "a\r\nB: c", "an end": "a\r\n\r\nPUB b 0\r\n\r\n", "NUL": "a\x00b"} {
				opts := []PublishOption{o(value)}
				if name == "ScheduleTimeZone" {
					opts = append(opts, ScheduleCron(ScheduleDaily), ScheduleTarget("t"))
				}
				s.refuse(name, "to "+to+", "+kind, is(nats.ErrBadHeader), func() error { return call(opts...) })
			}
		}
		s.refuse("ScheduleCron", "to "+to+", line ends between fields", is(nats.ErrBadHeader), func() error {
			return call(ScheduleCron("* * * *\r\n* *"), ScheduleTarget("t"))
		})
	}
	for name, o := range map[string]PublishOption{"RetryAttempts": RetryAttempts(1), "RetryWait": RetryWait(time.Second), "AutoMsgID": AutoMsgID()} {
		s.refuse("ApplyPublishOptions", name+", which is no field", badOption(name), func() error { return calls["ApplyPublishOptions"](o) })
	}
}

func badSessionOptions(s *scene) {
	ctx := s.t.Context()
	handler := func(*Msg) {}
	pulls := map[string]func(...PullOption) error{
		"Consumer.Messages": func(o ...PullOption) error { return collect(s.pull.Messages(ctx, o...)) },
		"Consumer.Receiver": func(o ...PullOption) error { return only(s.pull.Receiver(o...)) },
		"Consumer.Consume":  func(o ...PullOption) error { return only(s.pull.Consume(handler, o...)) },
	}
	for to, call := range pulls {
		for _, b := range badPullOptions() {
			on := b.name
			if on == "nil" {
				on = to
			}
			s.refuse(on, "to "+to+", "+b.kind, badOption(b.name), func() error { return call(b.option) })
		}
		s.refuse("Threshold", "to "+to+", as its MaxMessages", badOption("Threshold"), func() error { return call(MaxMessages(10), Threshold(10)) })
		s.refuse("Heartbeat", "to "+to+", above half of its Expiry", badOption("Heartbeat"), func() error { return call(Expiry(time.Second), Heartbeat(501*time.Millisecond)) })
		s.refuse(to, "two bad options", all(badOption("MaxMessages"), badOption("Expiry")), func() error { return call(MaxMessages(0), Expiry(0)) })
		if to != "Consumer.Consume" {
			s.refuse("Concurrency", "to "+to+", where is no handler", badOption("Concurrency"), func() error { return call(Concurrency(2)) })
		}
	}
	s.refuse("Consumer.Consume", "no handler", badOption("handler"), func() error { return only(s.pull.Consume(nil)) })
	fetches := map[string]func(...FetchOption) error{
		"Consumer.Fetch": func(o ...FetchOption) error { return collect(s.pull.Fetch(ctx, 5, o...)) },
		"Consumer.Next":  func(o ...FetchOption) error { return only(s.pull.Next(ctx, o...)) },
	}
	for to, call := range fetches {
		for _, b := range badFetchOptions() {
			on := b.name
			if on == "nil" {
				on = to
			}
			s.refuse(on, "to "+to+", "+b.kind, badOption(b.name), func() error { return call(b.option) })
		}
		s.refuse("MaxWait", "to "+to+", beside NoWait", badOption("NoWait"), func() error { return call(NoWait(), MaxWait(time.Second)) })
		s.refuse("Heartbeat", "to "+to+", above half of the wait", badOption("Heartbeat"), func() error { return call(MaxWait(time.Second), Heartbeat(501*time.Millisecond)) })
		s.refuse(to, "two bad options", all(badOption("MaxBytes"), badOption("MaxWait")), func() error { return call(MaxBytes(0), MaxWait(0)) })
	}
	for _, n := range []int{0, -1, math.MinInt} {
		s.refuse("Consumer.Fetch", fmt.Sprintf("%d messages", n), badOption("n"), func() error { return collect(s.pull.Fetch(ctx, n)) })
	}
}

// badQueries are bad options of calls about stored messages and lists, and
// sequences that are none.
func badQueries(s *scene) {
	ctx := s.t.Context()
	for kind, call := range map[string]func() error{
		"PurgeBelow": func() error { return only(s.stream.Purge(ctx, PurgeBelow(0))) },
		"PurgeKeep":  func() error { return only(s.stream.Purge(ctx, PurgeKeep(0))) },
		"StartTime":  func() error { return only(s.stream.GetMsg(ctx, 0, StartTime(time.Time{}))) },
	} {
		s.refuse(kind, "zero", badOption(kind), call)
	}
	s.refuse("PurgeBelow", "beside PurgeKeep", badOption("PurgeBelow"), func() error { return only(s.stream.Purge(ctx, PurgeBelow(1), PurgeKeep(1))) })
	s.refuse("StartTime", "beside a sequence", badOption("StartTime"), func() error { return only(s.stream.GetMsg(ctx, 1, StartTime(time.Now()))) })
	s.refuse("Stream.GetMsg", "sequence 0", badOption("GetMsg"), func() error { return only(s.stream.GetMsg(ctx, 0)) })
	s.refuse("Stream.GetMsg", "sequence 0, from the leader", badOption("GetMsg"), func() error { return only(s.stream.GetMsg(ctx, 0, FromLeader())) })
	s.refuse("Stream.DeleteMsg", "sequence 0", badOption("seq"), func() error { return s.stream.DeleteMsg(ctx, 0) })
	s.refuse("Stream.SecureDeleteMsg", "sequence 0", badOption("seq"), func() error { return s.stream.SecureDeleteMsg(ctx, 0) })
	for kind, o := range map[string]GetMsgOption{"FilterSubject": FilterSubject("a"), "StartTime": StartTime(time.Now())} {
		s.refuse("Stream.GetLastMsgForSubject", "with "+kind, badOption("GetLastMsgForSubject"), func() error {
			return only(s.stream.GetLastMsgForSubject(ctx, "a", o))
		})
	}
	for _, n := range []int{-1, math.MinInt} {
		s.refuse("RequiredAPILevel", fmt.Sprint(n), badOption("RequiredAPILevel"), func() error { return s.Request(ctx, "X", nil, nil, RequiredAPILevel(n)) })
	}
	for on, call := range map[string]func() error{
		"JetStream.Streams":           func() error { return collect(s.Streams(ctx, nil)) },
		"JetStream.StreamNames":       func() error { return collect(s.StreamNames(ctx, nil)) },
		"JetStream.Request":           func() error { return s.Request(ctx, "X", nil, nil, nil) },
		"Stream.Info":                 func() error { return only(s.stream.Info(ctx, nil)) },
		"Stream.Purge":                func() error { return only(s.stream.Purge(ctx, nil)) },
		"Stream.GetMsg":               func() error { return only(s.stream.GetMsg(ctx, 1, nil)) },
		"Stream.GetLastMsgForSubject": func() error { return only(s.stream.GetLastMsgForSubject(ctx, "a", nil)) },
	} {
		s.refuse(on, "option: nil", badOption("nil"), call)
	}
	for kind, group := range map[string]string{"empty": "", "a blank": "a b", "17 bytes": "12345678901234567", "a line end": "g\n", "a dot": "a.b", "not ASCII": "ä"} {
		s.refuse("Stream.UnpinConsumer", "group: "+kind, badOption("group"), func() error { return s.stream.UnpinConsumer(ctx, "C", group) })
	}
}
