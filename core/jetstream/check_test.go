package jetstream

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// fields are those that an error complains of.
func fields(err error) []string {
	var all []string
	var visit func(error)
	visit = func(err error) {
		switch e := err.(type) {
		case *ConfigError:
			all = append(all, e.Field)
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				visit(err)
			}
		case interface{ Unwrap() error }:
			visit(e.Unwrap())
		}
	}
	visit(err)
	return all
}

// TestBadStreamConfig: what cannot be is refused before a byte leaves, and all
// of it at once.
func TestBadStreamConfig(t *testing.T) {
	ok := StreamConfig{Name: "S"}
	with := func(change func(*StreamConfig)) StreamConfig {
		cfg := ok
		change(&cfg)
		return cfg
	}
	source := func(change func(*StreamSource)) StreamConfig {
		s := &StreamSource{Name: "M"}
		change(s)
		return StreamConfig{Name: "S", Mirror: s}
	}
	for _, tt := range []struct {
		cfg  StreamConfig
		want string
	}{
		{StreamConfig{}, "Name"},
		{StreamConfig{Name: "a.b"}, "Name"},
		{StreamConfig{Name: strings.Repeat("x", 256)}, "Name"},
		{with(func(c *StreamConfig) { c.Subjects = []string{"a", "b..c", ""} }), "Subjects[1] Subjects[2]"},
		{with(func(c *StreamConfig) { c.Retention, c.Discard, c.Storage = 9, 9, 9 }), "Retention Discard Storage"},
		{with(func(c *StreamConfig) { c.Compression, c.PersistMode = 2, -9 }), "Compression PersistMode"},
		{with(func(c *StreamConfig) {
			c.MaxConsumers, c.MaxMsgs, c.MaxBytes, c.MaxMsgsPerSubject, c.MaxMsgSize = -2, -2, -2, -2, -2
		}),
			"MaxConsumers MaxMsgs MaxBytes MaxMsgsPerSubject MaxMsgSize"},
		{with(func(c *StreamConfig) { c.MaxAge = -1 }), "MaxAge"},
		{with(func(c *StreamConfig) { c.MaxAge = time.Millisecond }), "MaxAge"},
		{with(func(c *StreamConfig) { c.MaxAge, c.Duplicates = time.Second, time.Minute }), "Duplicates"},
		{with(func(c *StreamConfig) { c.SubjectDeleteMarkerTTL = time.Millisecond }), "SubjectDeleteMarkerTTL"},
		{with(func(c *StreamConfig) { c.Replicas = 6 }), "Replicas"},
		{with(func(c *StreamConfig) { c.Replicas = -1 }), "Replicas"},
		{with(func(c *StreamConfig) { c.DiscardNewPerSubject = true }), "DiscardNewPerSubject"},
		{with(func(c *StreamConfig) { c.ConsumerLimits = StreamConsumerLimits{-1, -2} }), "ConsumerLimits.InactiveThreshold ConsumerLimits.MaxAckPending"},
		{with(func(c *StreamConfig) { c.Sources = []*StreamSource{nil, {Name: "a b"}} }), "Sources[0] Sources[1].Name"},
		{with(func(c *StreamConfig) { c.RePublish = &RePublish{Source: "a..b"} }), "RePublish.Source RePublish.Destination"},
		{source(func(s *StreamSource) { s.Name = "" }), "Mirror.Name"},
		{source(func(s *StreamSource) { s.FilterSubject, s.SubjectTransforms = "a..", []SubjectTransformConfig{{}} }), "Mirror.FilterSubject Mirror.FilterSubject"},
		{source(func(s *StreamSource) { s.OptStartSeq, s.OptStartTime = 1, time.Now() }), "Mirror.OptStartSeq"},
		{source(func(s *StreamSource) { s.Domain, s.External = "a.b", &ExternalStream{} }), "Mirror.Domain Mirror.Domain"},
		{StreamConfig{Name: "S", Subjects: []string{"a"}, Sources: []*StreamSource{{Name: "T"}}, Mirror: &StreamSource{Name: "M"}}, "Mirror Mirror"},
	} {
		scripted(t, each(), func(t *testing.T, r *rig) {
			_, err1 := r.CreateStream(t.Context(), tt.cfg)
			_, err2 := r.UpdateStream(t.Context(), tt.cfg)
			_, err3 := r.CreateOrUpdateStream(t.Context(), tt.cfg)
			for _, err := range []error{err1, err2, err3} {
				if got := strings.Join(fields(err), " "); got != tt.want || !errors.Is(err, ErrInvalidConfig) || errors.Is(err, ErrInvalidName) != strings.HasPrefix(tt.want, "Name") {
					t.Errorf("%+v: %v", tt.cfg, err)
				}
			}
			if asked := r.subjects(); len(asked) > 0 {
				t.Errorf("something has left: %q", asked)
			}
		})
	}
}

func TestBadConsumerConfig(t *testing.T) {
	push := func(change func(*ConsumerConfig)) ConsumerConfig {
		cfg := ConsumerConfig{DeliverSubject: "deliver"}
		change(&cfg)
		return cfg
	}
	now := time.Now()
	for _, tt := range []struct {
		cfg  ConsumerConfig
		want string
	}{
		{ConsumerConfig{Name: "a b"}, "Name"},
		{ConsumerConfig{Durable: "a>b"}, "Durable"},
		{ConsumerConfig{Name: "a", Durable: "b"}, "Durable"},
		{ConsumerConfig{DeliverPolicy: 7, AckPolicy: 7, ReplayPolicy: 7, PriorityPolicy: 7}, "DeliverPolicy AckPolicy ReplayPolicy PriorityPolicy"},
		{ConsumerConfig{OptStartSeq: 1, OptStartTime: now}, "OptStartSeq OptStartTime"},
		{ConsumerConfig{DeliverPolicy: DeliverByStartSequencePolicy}, "OptStartSeq"},
		{ConsumerConfig{DeliverPolicy: DeliverByStartTimePolicy}, "OptStartTime"},
		{ConsumerConfig{FilterSubject: "a", FilterSubjects: []string{"b", ""}}, "FilterSubject FilterSubjects[1]"},
		{ConsumerConfig{FilterSubject: "a b"}, "FilterSubject"},
		{ConsumerConfig{AckWait: -1, MaxDeliver: -2, MaxAckPending: -2, InactiveThreshold: -1, Replicas: 6, PinnedTTL: -1},
			"AckWait MaxDeliver MaxAckPending InactiveThreshold Replicas PinnedTTL"},
		{ConsumerConfig{MaxDeliver: 1, BackOff: []time.Duration{1, -1}}, "BackOff[1] BackOff"},
		{ConsumerConfig{PriorityGroups: []string{"ok", "not ok", "", strings.Repeat("x", 17)}}, "PriorityGroups[1] PriorityGroups[2] PriorityGroups[3]"},
		{ConsumerConfig{DeliverGroup: "g", FlowControl: true, IdleHeartbeat: time.Second, RateLimit: 1, AckPolicy: AckFlowControlPolicy},
			"DeliverGroup FlowControl IdleHeartbeat RateLimit AckPolicy"},
		{ConsumerConfig{MaxWaiting: -1, MaxRequestBatch: -1, MaxRequestExpires: 1, MaxRequestMaxBytes: -1}, "MaxWaiting MaxRequestBatch MaxRequestExpires MaxRequestMaxBytes"},
		{push(func(c *ConsumerConfig) { c.DeliverSubject = "a.*" }), "DeliverSubject"},
		{push(func(c *ConsumerConfig) { c.IdleHeartbeat = 1 }), "IdleHeartbeat"},
		{push(func(c *ConsumerConfig) { c.FlowControl = true }), "FlowControl"},
		{push(func(c *ConsumerConfig) { c.MaxWaiting, c.PriorityGroups, c.DeliverGroup = 1, []string{"g"}, "a b" }), "MaxWaiting PriorityGroups DeliverGroup"},
	} {
		scripted(t, each(), func(t *testing.T, r *rig) {
			s := r.StreamHandle("S")
			var err error
			if tt.cfg.DeliverSubject == "" {
				_, err = s.CreateConsumer(t.Context(), tt.cfg)
			} else {
				_, err = s.CreatePushConsumer(t.Context(), tt.cfg)
			}
			if got := strings.Join(fields(err), " "); got != tt.want || !errors.Is(err, ErrInvalidConfig) {
				t.Errorf("%+v: %v", tt.cfg, err)
			}
			if asked := r.subjects(); len(asked) > 0 {
				t.Errorf("something has left: %q", asked)
			}
		})
	}
}

// TestBadNames: no call sends a name that cannot be.
func TestBadNames(t *testing.T) {
	scripted(t, each(), func(t *testing.T, r *rig) {
		ctx := t.Context()
		for _, name := range []string{"", "a.b", "a b", "a*", ">", "a/b", `a\b`, "a\tb", "a\rb", "a\x00", "\x7f", strings.Repeat("n", 256)} {
			bad, good := r.StreamHandle(name), r.StreamHandle("S")
			calls := []func() error{
				func() error { _, err := r.Stream(ctx, name); return err },
				func() error { return r.DeleteStream(ctx, name) },
				func() error { _, err := bad.Info(ctx); return err },
				func() error { _, err := bad.Purge(ctx); return err },
				func() error { _, err := bad.GetMsg(ctx, 1); return err },
				func() error { _, err := bad.GetLastMsgForSubject(ctx, "s"); return err },
				func() error { return bad.DeleteMsg(ctx, 1) },
				func() error { return bad.SecureDeleteMsg(ctx, 1) },
				func() error { _, err := nats.Collect(bad.Consumers(ctx)); return err },
				func() error { _, err := nats.Collect(bad.ConsumerNames(ctx)); return err },
				func() error { _, err := bad.CreateConsumer(ctx, ConsumerConfig{}); return err },
				func() error { _, err := r.CreateConsumer(ctx, name, ConsumerConfig{Name: "c"}); return err },
				func() error { _, err := good.UpdateConsumer(ctx, ConsumerConfig{Name: name}); return err },
				func() error { _, err := good.Consumer(ctx, name); return err },
				func() error { _, err := good.PushConsumer(ctx, name); return err },
				func() error { return good.DeleteConsumer(ctx, name) },
				func() error { _, err := good.PauseConsumer(ctx, name, time.Now()); return err },
				func() error { _, err := good.ResumeConsumer(ctx, name); return err },
				func() error { _, err := good.ResetConsumer(ctx, name, 1); return err },
				func() error { return good.UnpinConsumer(ctx, name, "g") },
				func() error { _, err := good.ConsumerHandle(name).Info(ctx); return err },
			}
			for i, f := range calls {
				if err := f(); !errors.Is(err, ErrInvalidName) {
					t.Errorf("call %d with %q: %v", i, name, err)
				}
			}
		}
		if asked := r.subjects(); len(asked) > 0 {
			t.Errorf("something has left: %q", asked)
		}
	})
	for _, name := range []string{"ORDERS", "a-b_c", "ü", "$KV", strings.Repeat("n", 255)} {
		if p := nameProblem(name); p != "" {
			t.Errorf("%q: %s", name, p)
		}
	}
}

func TestBadQueries(t *testing.T) {
	scripted(t, each(), func(t *testing.T, r *rig) {
		ctx, s := t.Context(), r.StreamHandle("S")
		_, err1 := s.Purge(ctx, PurgeBelow(1), PurgeKeep(1))
		_, err2 := s.Purge(ctx, PurgeBelow(0))
		_, err3 := s.Purge(ctx, PurgeKeep(0))
		_, err4 := s.GetMsg(ctx, 0)
		_, err5 := s.GetMsg(ctx, 1, StartTime(time.Now()))
		_, err6 := s.GetMsg(ctx, 0, StartTime(time.Time{}))
		_, err7 := s.GetLastMsgForSubject(ctx, "s", FilterSubject("t"))
		_, err8 := s.Info(ctx, FilterSubject(""))
		_, err9 := s.Info(ctx, nil)
		_, err10 := r.StreamNameBySubject(ctx, "a..b")
		for i, err := range []error{err1, err2, err3, err4, err5, err6, err7, err8, err9, err10} {
			if !errors.Is(err, ErrInvalidOption) {
				t.Errorf("query %d: %v", i+1, err)
			}
		}
		if _, err := s.GetLastMsgForSubject(ctx, "a..b"); !errors.Is(err, nats.ErrBadSubject) {
			t.Error(err)
		}
		if _, err := s.GetMsg(noContext, 1); err == nil {
			t.Error("no context")
		}
		if asked := r.subjects(); len(asked) > 0 {
			t.Errorf("something has left: %q", asked)
		}
	})
}

func TestEnumerations(t *testing.T) {
	for name, values := range map[string][]interface {
		String() string
		MarshalText() ([]byte, error)
	}{
		"limits interest workqueue": {LimitsPolicy, InterestPolicy, WorkQueuePolicy},
		"old new":                   {DiscardOld, DiscardNew},
		"file memory":               {FileStorage, MemoryStorage},
		"none s2":                   {NoCompression, S2Compression},
		"default async":             {DefaultPersistMode, AsyncPersistMode},
		"all last new by_start_sequence by_start_time last_per_subject": {
			DeliverAllPolicy, DeliverLastPolicy, DeliverNewPolicy, DeliverByStartSequencePolicy, DeliverByStartTimePolicy, DeliverLastPerSubjectPolicy},
		"explicit all none flow_control":          {AckExplicitPolicy, AckAllPolicy, AckNonePolicy, AckFlowControlPolicy},
		"instant original":                        {ReplayInstantPolicy, ReplayOriginalPolicy},
		"none pinned_client overflow prioritized": {PriorityPolicyNone, PriorityPolicyPinned, PriorityPolicyOverflow, PriorityPolicyPrioritized},
	} {
		for i, want := range strings.Fields(name) {
			text, err := values[i].MarshalText()
			if values[i].String() != want || string(text) != want || err != nil {
				t.Errorf("%s is %s, %s, %v", want, values[i], text, err)
			}
			back := reflect.New(reflect.TypeOf(values[i]))
			if err := json.Unmarshal([]byte(`"`+want+`"`), back.Interface()); err != nil || back.Elem().Interface() != values[i] {
				t.Errorf("%s becomes %v, %v", want, back.Elem(), err)
			}
		}
	}
	if RetentionPolicy(9).String() != "invalid(9)" || RetentionPolicy(-99).String() != "invalid(-99)" {
		t.Error("what is no value has a name")
	}
	if _, err := json.Marshal(StreamConfig{Name: "S", Retention: 9}); !errors.Is(err, ErrInvalidConfig) {
		t.Errorf("what is no value is sent: %v", err)
	}
}

// TestNewEnumerationNames: what a newer server says is kept, told apart, and
// sent back; but not without bound.
func TestNewEnumerationNames(t *testing.T) {
	var a, b, c StreamConfig
	for cfg, name := range map[*StreamConfig]string{&a: "forever", &b: "forever", &c: "whim"} {
		if err := json.Unmarshal([]byte(`{"name":"S","retention":"`+name+`"}`), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if a.Retention != b.Retention || a.Retention == c.Retention || a.Retention >= 0 || a.Retention.String() != "forever" {
		t.Errorf("%v, %v and %v", a.Retention, b.Retention, c.Retention)
	}
	if data, err := json.Marshal(a); err != nil || string(data) != `{"name":"S","retention":"forever"}` {
		t.Errorf("%s, %v", data, err)
	}
	if err := a.check(); err != nil {
		t.Errorf("it cannot be sent back: %v", err)
	}
	e := enumeration{known: []string{"a"}}
	for i := range maxUnknown {
		if v, err := e.parse([]byte{'b', byte(i)}); err != nil || v != -1-i {
			t.Errorf("%d: %d, %v", i, v, err)
		}
	}
	if _, err := e.parse([]byte("one more")); !errors.Is(err, ErrInvalidResponse) || len(e.unknown) != maxUnknown {
		t.Errorf("%v, %d are kept", err, len(e.unknown))
	}
}

// TestClone: a copy has everything and shares nothing.
func TestClone(t *testing.T) {
	now := time.Now()
	retention := WorkQueuePolicy
	info := &StreamInfo{
		Config: StreamConfig{
			Name: "S", Subjects: []string{"a"}, Placement: &Placement{Tags: []string{"t"}}, Metadata: map[string]string{"k": "v"},
			Mirror: &StreamSource{SubjectTransforms: []SubjectTransformConfig{{"a", "b"}}, External: &ExternalStream{"a", "b"}, OptStartTime: now},
		},
		Created: now, State: StreamState{Deleted: []uint64{1}, Subjects: map[string]uint64{"a": 1}, Lost: &LostStreamData{Msgs: []uint64{5}}},
		Cluster:    &ClusterInfo{Replicas: []PeerInfo{{Name: "n"}}, Desired: &DesiredCluster{Origin: &DesiredOrigin{Retention: &retention}}},
		Alternates: []StreamAlternate{{Name: "x"}},
	}
	c := info.clone()
	if !reflect.DeepEqual(c, info) {
		t.Errorf("%+v", c)
	}
	c.Config.Subjects[0], c.Config.Placement.Tags[0], c.Config.Metadata["k"] = "x", "x", "x"
	c.Config.Mirror.SubjectTransforms[0].Source, c.Config.Mirror.External.APIPrefix = "x", "x"
	c.State.Deleted[0], c.State.Subjects["a"], c.State.Lost.Msgs[0] = 9, 9, 9
	c.Cluster.Replicas[0].Name, *c.Cluster.Desired.Origin.Retention, c.Alternates[0].Name = "y", LimitsPolicy, "y"
	if info.Config.Subjects[0] != "a" || info.Config.Placement.Tags[0] != "t" || info.Config.Metadata["k"] != "v" ||
		info.Config.Mirror.SubjectTransforms[0].Source != "a" || info.Config.Mirror.External.APIPrefix != "a" || info.State.Deleted[0] != 1 ||
		info.State.Subjects["a"] != 1 || info.State.Lost.Msgs[0] != 5 || info.Cluster.Replicas[0].Name != "n" || retention != WorkQueuePolicy || info.Alternates[0].Name != "x" {
		t.Errorf("the original has changed: %+v", info)
	}
	if (*StreamInfo)(nil).clone() != nil || (*ConsumerInfo)(nil).clone() != nil {
		t.Error("nil has a copy that is none")
	}
}

// TestCallersConfigIsNotChanged: what is sent for Domain is put into a copy.
func TestCallersConfigIsNotChanged(t *testing.T) {
	scripted(t, func(string, string) answer { return answer{data: `{"config":{"name":"S"}}`} }, func(t *testing.T, r *rig) {
		cfg := StreamConfig{Name: "S", Sources: []*StreamSource{{Name: "A", Domain: "d"}, {Name: "B"}}}
		if _, err := r.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if cfg.Sources[0].External != nil || cfg.Sources[0].Domain != "d" {
			t.Errorf("it became %+v", cfg.Sources[0])
		}
		if !strings.Contains(string(r.last().Data), `"external":{"api":"$JS.d.API","deliver":""}`) {
			t.Errorf("sent %s", r.last().Data)
		}
	})
}

func TestErrorTexts(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want []string
	}{
		{ErrStreamNotFound, []string{"jetstream: stream not found"}},
		{ErrorCode(65000), []string{"jetstream: error 65000"}},
		{&APIError{Code: 404, ErrorCode: ErrStreamNotFound}, []string{"jetstream: stream not found (10059)"}},
		{&APIError{Code: 503, ErrorCode: ErrJetStreamNotEnabledForAccount, Description: "JetStream not enabled for account"}, []string{"(10039)", "configuration"}},
		{&APIError{Code: 418, Description: "teapot"}, []string{"jetstream: teapot (418)"}},
		{&ConfigError{"Name", "it is empty"}, []string{"field Name: it is empty"}},
		{&OptionError{"MsgID", "it is empty"}, []string{"option MsgID: it is empty"}},
		{&APILevelError{"AllowMsgTTL", 1, 0}, []string{"AllowMsgTTL needs server 2.11 (API level 1)", "level 0"}},
		{&APILevelError{"the request", 77, 5}, []string{"a server of API level 77"}},
		{&IncompleteListError{[]string{"a", "b"}, map[string]string{"y": "why", "x": "because"}}, []string{"no answer from a, b", "x is offline (because): y is offline (why)"}},
		{call{op: "delete consumer", stream: "S", consumer: "c"}.failed(ErrConsumerNotFound), []string{`jetstream: delete consumer "c" of stream "S": consumer not found`}},
		{call{op: "delete stream", stream: "S"}.failed(both{nats.ErrOutcomeUnknown, nats.ErrDisconnected}), []string{`jetstream: delete stream "S": outcome unknown: disconnected`}},
	} {
		for _, want := range tt.want {
			if !strings.Contains(tt.err.Error(), want) {
				t.Errorf("%q lacks %q", tt.err, want)
			}
		}
	}
	var code ErrorCode
	err := call{op: "x"}.failed(&APIError{Code: 404, ErrorCode: ErrConsumerNotFound})
	if !errors.As(err, &code) || code != ErrConsumerNotFound {
		t.Errorf("the code is %v", code)
	}
	if errors.Is(err, ErrStreamNotFound) || !errors.Is(err, &APIError{ErrorCode: ErrConsumerNotFound}) || errors.Is(err, &APIError{}) || errors.Is(err, &APIError{Code: 404}) {
		t.Error("it is not matched by its code")
	}
	if errors.Is(ErrJetStreamNotEnabled, ErrJetStreamNotEnabledForAccount) || !errors.Is(ErrJetStreamNotEnabledForAccount, ErrJetStreamNotEnabled) {
		t.Error("an account without JetStream is a case of no JetStream, and not the other way round")
	}
	for code := range hints {
		if !slices.Contains(strings.Split((&APIError{ErrorCode: code}).Error(), ": "), hints[code]) && !strings.HasSuffix((&APIError{ErrorCode: code}).Error(), hints[code]) {
			t.Errorf("%d has no hint", code)
		}
	}
}
