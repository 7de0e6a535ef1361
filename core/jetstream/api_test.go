package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
)

func TestNew(t *testing.T) {
	if _, err := New(nil); err == nil {
		t.Error("of no connection")
	}
	scripted(t, each(), func(t *testing.T, r *rig) {
		var problem *OptionError
		for i, opts := range [][]Option{
			{Domain("")}, {Domain("a.b")}, {Domain("a b")}, {Domain("*")}, {APIPrefix("")}, {APIPrefix("a..b")}, {APIPrefix(">")},
			{Domain("a"), APIPrefix("b")}, {DefaultTimeout(0)}, {DefaultTimeout(-1)}, {RetryWait(-1)}, {nil},
		} {
			if _, err := New(r.Conn(), opts...); !errors.Is(err, ErrInvalidOption) || !errors.As(err, &problem) {
				t.Errorf("%d: %v", i, err)
			}
		}
		for want, opts := range map[string][]Option{
			"$JS.API.INFO": nil, "$JS.d.API.INFO": {Domain("d")}, "from.a.INFO": {APIPrefix("from.a")}, "from.INFO": {APIPrefix("from.")},
		} {
			js, err := New(r.Conn(), opts...)
			if err != nil || js.APISubject("INFO") != want || js.Conn() != r.Conn() || js.DefaultTimeout() != 5*time.Second {
				t.Errorf("%s: %v", want, err)
			}
		}
	})
}

// TestDefaultTimeout: a call without a deadline cannot hang, and tells whose
// deadline it was.
func TestDefaultTimeout(t *testing.T) {
	scripted(t, each(), func(t *testing.T, r *rig) {
		var err error
		took := elapsed(func() { _, err = r.Stream(t.Context(), "S") })
		if !errors.Is(err, context.DeadlineExceeded) || took != time.Second || !strings.Contains(err.Error(), `info of stream "S"`) || !strings.Contains(err.Error(), "default timeout 1s") {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		took = elapsed(func() { _, err = r.Stream(ctx, "S") })
		if !errors.Is(err, context.DeadlineExceeded) || took != time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
		cancel()
		if _, err = r.Stream(ctx, "S"); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}, DefaultTimeout(time.Second))
}

func TestDecodeResponse(t *testing.T) {
	status := func(line string) nats.Msg {
		var m nats.Msg
		scripted(t, func(string, string) answer { return answer{header: "NATS/1.0 " + line + "\r\n\r\n"} }, func(t *testing.T, r *rig) {
			m, _ = r.Conn().Request(t.Context(), "x", nil)
		})
		return m
	}
	data := func(s string) nats.Msg { return nats.Msg{Data: []byte(s)} }
	var value struct{ A int }
	for _, tt := range []struct {
		name string
		m    nats.Msg
		want error
	}{
		{"a value", data(`{"type":"x","a":5}`), nil},
		{"an error", data(`{"type":"x","error":{"code":404,"err_code":10059,"description":"stream not found"}}`), ErrStreamNotFound},
		{"an error and a value", data(`{"a":9,"error":{"code":404,"err_code":10014}}`), ErrConsumerNotFound},
		{"an error without a code of its own", data(`{"error":{"code":503,"description":"no"}}`), &APIError{Code: 503}},
		{"an account without JetStream", data(`{"error":{"code":503,"err_code":10039}}`), ErrJetStreamNotEnabled},
		{"of another type", data(`{"a":"b"}`), ErrInvalidResponse},
		{"no JSON", data(`nope`), ErrInvalidResponse},
		{"half of it", data(`{"a":`), ErrInvalidResponse},
		{"nothing", data(``), ErrInvalidResponse},
		{"too old", status("412 Required Api Level"), ErrRequiredAPILevel},
		{"a status", status("408 Bad Request"), &APIError{Code: 408}},
	} {
		value.A = 0
		err := DecodeResponse(tt.m, &value)
		if !errors.Is(err, tt.want) || (err == nil) != (value.A == 5) {
			t.Errorf("%s: %+v, %v", tt.name, value, err)
		}
	}
	var raw []byte
	if err := DecodeResponse(data(`{"any": 1}`), &raw); err != nil || string(raw) != `{"any": 1}` {
		t.Errorf("raw: %s, %v", raw, err)
	}
	if err := DecodeResponse(data(`{"any": 1}`), nil); err != nil {
		t.Errorf("only checked: %v", err)
	}
}

func TestRequest(t *testing.T) {
	ok := answer{data: `{}`}
	scripted(t, func(string, string) answer { return ok }, func(t *testing.T, r *rig) {
		for _, tt := range []struct {
			req  any
			want string
		}{{nil, ""}, {[]byte("raw"), "raw"}, {map[string]int{"a": 1}, `{"a":1}`}, {json.RawMessage(`{"b":2}`), `{"b":2}`}} {
			if err := r.Request(t.Context(), "ANY.THING", tt.req, nil); err != nil || string(r.last().Data) != tt.want || r.last().Subject != "$JS.API.ANY.THING" {
				t.Errorf("%v: sent %s, %v", tt.req, r.last().Data, err)
			}
		}
		if r.last().Header != "" {
			t.Errorf("header %q", r.last().Header)
		}
		if err := r.Request(t.Context(), "X", nil, nil, RequiredAPILevel(5)); err != nil || !strings.Contains(r.last().Header, RequiredAPILevelHeader+": 5\r\n") {
			t.Errorf("header %q, %v", r.last().Header, err)
		}
		before := len(r.subjects())
		for _, err := range []error{
			r.Request(t.Context(), "X", nil, nil, RequiredAPILevel(-1)),
			r.Request(t.Context(), "X", nil, nil, nil),
		} {
			if !errors.Is(err, ErrInvalidOption) {
				t.Error(err)
			}
		}
		if err := r.Request(t.Context(), "a b", nil, nil); !errors.Is(err, nats.ErrBadSubject) {
			t.Error(err)
		}
		if err := r.Request(t.Context(), "X", func() {}, nil); err == nil {
			t.Error("a function is no JSON")
		}
		if err := r.Request(noContext, "X", nil, nil); err == nil {
			t.Error("no context")
		}
		if n := len(r.subjects()); n != before {
			t.Errorf("%d requests have left", n-before)
		}
	})
}

// TestAPILevels: what a server is too old for is refused before anything is
// done, since old servers leave out silently what they do not know.
func TestAPILevels(t *testing.T) {
	streams := map[int]StreamConfig{
		0: {Name: "S"},
		1: {Name: "S", AllowMsgTTL: true},
		2: {Name: "S", AllowMsgTTL: true, AllowMsgCounter: true},
		4: {Name: "S", AllowBatchPublish: true, AllowMsgSchedules: true},
	}
	consumers := map[int]ConsumerConfig{
		0: {Name: "c"},
		1: {Name: "c", PauseUntil: time.Now()},
		2: {Name: "c", PriorityGroups: []string{"g"}, PriorityPolicy: PriorityPolicyPrioritized},
	}
	for _, server := range []int{0, 1, 2, 4} {
		told := func(subject, body string) answer {
			switch {
			case subject == "INFO":
				return jsonAnswer(t, map[string]any{"api": map[string]int{"level": server}})
			case strings.HasPrefix(subject, "STREAM."):
				return answer{data: `{"config":{"name":"S"}}`}
			}
			return answer{data: `{"name":"c","stream_name":"S"}`}
		}
		check := func(t *testing.T, r *rig, needs int, err error) {
			t.Helper()
			var level *APILevelError
			refused := errors.Is(err, ErrRequiredAPILevel) && errors.As(err, &level) && level.Required == needs && level.Server == server && level.Feature != ""
			if refused != (needs > server) || !refused && err != nil {
				t.Errorf("server %d, needs %d: %v", server, needs, err)
			}
			if refused && r.last().Subject != "$JS.d.API.INFO" {
				t.Errorf("asked for %s all the same", r.last().Subject)
			}
			if want := needs > 0 && err == nil; strings.Contains(r.last().Header, RequiredAPILevelHeader) != want {
				t.Errorf("the header of the request is %q", r.last().Header)
			}
		}
		for needs, cfg := range streams {
			scripted(t, told, func(t *testing.T, r *rig) {
				_, err := r.CreateStream(t.Context(), cfg)
				check(t, r, needs, err)
				_, err = r.UpdateStream(t.Context(), cfg)
				check(t, r, needs, err)
			}, Domain("d")) // so what the connected server says does not count
		}
		for needs, cfg := range consumers {
			scripted(t, told, func(t *testing.T, r *rig) {
				_, err := r.CreateConsumer(t.Context(), "S", cfg)
				check(t, r, needs, err)
			}, Domain("d"))
		}
		scripted(t, told, func(t *testing.T, r *rig) {
			s := r.StreamHandle("S")
			_, err := s.PauseConsumer(t.Context(), "c", time.Now())
			check(t, r, 1, err)
			check(t, r, 1, s.UnpinConsumer(t.Context(), "c", "g"))
			_, err = s.ResetConsumer(t.Context(), "c", 0)
			check(t, r, 4, err)
		}, Domain("d"))
	}
}

// TestAPILevelIsAskedOnce, and not at all if the connected server is new enough.
func TestAPILevelIsAskedOnce(t *testing.T) {
	script := func(subject, body string) answer {
		if strings.HasSuffix(subject, "INFO") {
			return answer{data: `{"api":{"level":5}}`}
		}
		return answer{data: `{"config":{"name":"S"}}`}
	}
	for _, tt := range []struct {
		name string
		opts []Option
		want []string
	}{
		{"connected", nil, []string{"STREAM.CREATE.S", "STREAM.CREATE.S"}},
		{"behind a leaf node", []Option{Domain("d")}, []string{"INFO", "STREAM.CREATE.S", "STREAM.CREATE.S"}},
	} {
		scripted(t, script, func(t *testing.T, r *rig) {
			for range 2 {
				if _, err := r.CreateStream(t.Context(), StreamConfig{Name: "S", AllowMsgTTL: true}); err != nil {
					t.Error(err)
				}
			}
			if got := r.subjects(); !slices.Equal(got, tt.want) {
				t.Errorf("%s: asked %q", tt.name, got)
			}
		}, tt.opts...)
	}
}

// TestOnlyWhatIsSetIsSent: servers before a field refuse it.
func TestOnlyWhatIsSetIsSent(t *testing.T) {
	script := func(subject, _ string) answer {
		if strings.HasPrefix(subject, "STREAM.") {
			return answer{data: `{"config":{"name":"S"},"purged":3}`}
		}
		_, name, _ := strings.Cut(subject, "S.")
		name, _, _ = strings.Cut(name, ".")
		return answer{data: `{"stream_name":"S","name":"` + name + `"}`}
	}
	scripted(t, script, func(t *testing.T, r *rig) {
		ctx, s := t.Context(), r.StreamHandle("S")
		start := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
		for _, tt := range []struct {
			call       func() error
			asked, was string
		}{
			{func() error { _, err := r.CreateStream(ctx, StreamConfig{Name: "S"}); return err }, `STREAM.CREATE.S`, `{"name":"S"}`},
			{func() error {
				_, err := r.UpdateStream(ctx, StreamConfig{Name: "S", MaxAge: time.Second, Mirror: &StreamSource{Name: "M", Domain: "d", OptStartTime: start}})
				return err
			}, `STREAM.UPDATE.S`, `{"name":"S","max_age":1000000000,"mirror":{"name":"M","opt_start_time":"2026-01-02T03:04:05.000000006Z","external":{"api":"$JS.d.API","deliver":""}}}`},
			{func() error { _, err := s.Info(ctx); return err }, `STREAM.INFO.S`, ``},
			{func() error { _, err := s.Info(ctx, DeletedDetails()); return err }, `STREAM.INFO.S`, `{"deleted_details":true}`},
			{func() error { _, err := s.Purge(ctx); return err }, `STREAM.PURGE.S`, `{}`},
			{func() error { _, err := s.Purge(ctx, FilterSubject("a"), PurgeBelow(5)); return err }, `STREAM.PURGE.S`, `{"filter":"a","seq":5}`},
			{func() error { return r.DeleteStream(ctx, "S") }, `STREAM.DELETE.S`, ``},
			{func() error { _, err := s.CreateConsumer(ctx, ConsumerConfig{Durable: "c"}); return err },
				`CONSUMER.CREATE.S.c`, `{"stream_name":"S","config":{"name":"c","durable_name":"c","ack_policy":"explicit"},"action":"create"}`},
			{func() error {
				_, err := s.UpdateConsumer(ctx, ConsumerConfig{Name: "c", FilterSubject: "a.b"})
				return err
			}, `CONSUMER.CREATE.S.c.a.b`, `{"stream_name":"S","config":{"name":"c","ack_policy":"explicit","filter_subject":"a.b"},"action":"update"}`},
			{func() error {
				_, err := s.CreateOrUpdateConsumer(ctx, ConsumerConfig{Name: "c", FilterSubject: "a.*"})
				return err
			}, `CONSUMER.CREATE.S.c`, `{"stream_name":"S","config":{"name":"c","ack_policy":"explicit","filter_subject":"a.*"}}`},
			{func() error { _, err := s.Consumer(ctx, "c"); return err }, `CONSUMER.INFO.S.c`, ``},
			{func() error { return s.DeleteConsumer(ctx, "c") }, `CONSUMER.DELETE.S.c`, ``},
			{func() error { _, err := s.PauseConsumer(ctx, "c", start); return err }, `CONSUMER.PAUSE.S.c`, `{"pause_until":"2026-01-02T03:04:05.000000006Z"}`},
			{func() error { _, err := s.ResumeConsumer(ctx, "c"); return err }, `CONSUMER.PAUSE.S.c`, `{}`},
			{func() error { _, err := s.ResetConsumer(ctx, "c", 0); return err }, `CONSUMER.RESET.S.c`, `{}`},
			{func() error { _, err := s.ResetConsumer(ctx, "c", 5); return err }, `CONSUMER.RESET.S.c`, `{"seq":5}`},
			{func() error { return s.UnpinConsumer(ctx, "c", "g") }, `CONSUMER.UNPIN.S.c`, `{"group":"g"}`},
			{func() error { _, err := nats.Collect(r.StreamNames(ctx)); return err }, `STREAM.NAMES`, `{}`},
			{func() error { _, err := nats.Collect(r.Streams(ctx, FilterSubject("a.>"))); return err }, `STREAM.LIST`, `{"subject":"a.\u003e"}`},
			{func() error { _, err := nats.Collect(s.Consumers(ctx)); return err }, `CONSUMER.LIST.S`, `{}`},
		} {
			if err := tt.call(); err != nil {
				t.Errorf("%s: %v", tt.asked, err)
			}
			if op := r.last(); strings.TrimPrefix(op.Subject, "$JS.API.") != tt.asked || string(op.Data) != tt.was {
				t.Errorf("asked %s with %s, want %s with %s", op.Subject, op.Data, tt.asked, tt.was)
			}
		}
	})
}

// TestWrongAnswers: a server, or somebody else, answers for another stream or
// consumer, or leaves out what was asked for.
func TestWrongAnswers(t *testing.T) {
	for _, data := range []string{`{}`, `{"config":{"name":"T"}}`, `{"name":"d","stream_name":"S"}`, `[]`, `{"config":5}`} {
		scripted(t, func(string, string) answer { return answer{data: data} }, func(t *testing.T, r *rig) {
			ctx := t.Context()
			_, err1 := r.CreateStream(ctx, StreamConfig{Name: "S"})
			_, err2 := r.Stream(ctx, "S")
			_, err3 := r.CreateConsumer(ctx, "S", ConsumerConfig{Name: "c"})
			_, err4 := r.Consumer(ctx, "S", "c")
			_, err5 := r.StreamHandle("S").GetMsg(ctx, 1)
			for i, err := range []error{err1, err2, err3, err4, err5} {
				if !errors.Is(err, ErrInvalidResponse) || !strings.Contains(err.Error(), `"S"`) {
					t.Errorf("%s: call %d: %v", data, i+1, err)
				}
			}
		})
	}
	scripted(t, func(string, string) answer {
		return answer{data: `{"name":"c","stream_name":"S","config":{"filter_subject":"a"}}`}
	}, func(t *testing.T, r *rig) {
		if _, err := r.CreateConsumer(t.Context(), "S", ConsumerConfig{Name: "c", FilterSubjects: []string{"a", "b"}}); !errors.Is(err, ErrInvalidResponse) {
			t.Errorf("a server that knows one filter only: %v", err)
		}
	})
}

// TestNobodysHandle: a handle that New did not make gives an error.
func TestNobodysHandle(t *testing.T) {
	for _, c := range []*Consumer{nil, {}, (*JetStream)(nil).StreamHandle("S").ConsumerHandle("C")} {
		_, err1 := c.Receiver()
		_, err2 := c.Consume(func(*Msg) {})
		_, err3 := c.Next(t.Context())
		_, err4 := nats.Collect(c.Fetch(t.Context(), 1))
		_, err5 := nats.Collect(c.Messages(t.Context()))
		_, err6 := c.Next(t.Context(), NoWait())
		for i, err := range []error{err1, err2, err3, err4, err5, err6} {
			if !errors.Is(err, errNoHandle) {
				t.Errorf("call %d of a consumer: %v", i+1, err)
			}
		}
	}
	for _, js := range []*JetStream{nil, {}} {
		ctx, s := t.Context(), js.StreamHandle("S")
		_, err1 := js.AccountInfo(ctx)
		_, err2 := js.Publish(ctx, "s", nil)
		_, err3 := s.GetMsg(ctx, 1)
		_, err4 := s.CreateConsumer(ctx, ConsumerConfig{Name: "c"})
		_, err5 := js.UserInfo(ctx)
		_, err6 := nats.Collect(js.StreamNames(ctx))
		err7 := js.Request(ctx, "X", nil, nil)
		_, err8 := js.CreateStream(ctx, StreamConfig{Name: "S"})
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8} {
			if !errors.Is(err, errNoHandle) {
				t.Errorf("call %d: %v", i+1, err)
			}
		}
	}
}
