package jetstream

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// putStreams are the calls that take a configuration of a stream.
func (s *scene) putStreams() map[string]func(context.Context, StreamConfig) error {
	return map[string]func(context.Context, StreamConfig) error{
		"JetStream.CreateStream":         func(ctx context.Context, c StreamConfig) error { return only(s.CreateStream(ctx, c)) },
		"JetStream.UpdateStream":         func(ctx context.Context, c StreamConfig) error { return only(s.UpdateStream(ctx, c)) },
		"JetStream.CreateOrUpdateStream": func(ctx context.Context, c StreamConfig) error { return only(s.CreateOrUpdateStream(ctx, c)) },
	}
}

// putConsumers are those that take one of a pull consumer.
func (s *scene) putConsumers() map[string]func(context.Context, ConsumerConfig) error {
	return map[string]func(context.Context, ConsumerConfig) error{
		"Stream.CreateConsumer": func(ctx context.Context, c ConsumerConfig) error { return only(s.stream.CreateConsumer(ctx, c)) },
		"Stream.UpdateConsumer": func(ctx context.Context, c ConsumerConfig) error { return only(s.stream.UpdateConsumer(ctx, c)) },
		"Stream.CreateOrUpdateConsumer": func(ctx context.Context, c ConsumerConfig) error {
			return only(s.stream.CreateOrUpdateConsumer(ctx, c))
		},
		"JetStream.CreateConsumer":         func(ctx context.Context, c ConsumerConfig) error { return only(s.CreateConsumer(ctx, "S", c)) },
		"JetStream.UpdateConsumer":         func(ctx context.Context, c ConsumerConfig) error { return only(s.UpdateConsumer(ctx, "S", c)) },
		"JetStream.CreateOrUpdateConsumer": func(ctx context.Context, c ConsumerConfig) error { return only(s.CreateOrUpdateConsumer(ctx, "S", c)) },
	}
}

// putPushConsumers are those that take one of a push consumer.
func (s *scene) putPushConsumers() map[string]func(context.Context, ConsumerConfig) error {
	return map[string]func(context.Context, ConsumerConfig) error{
		"Stream.CreatePushConsumer": func(ctx context.Context, c ConsumerConfig) error { return only(s.stream.CreatePushConsumer(ctx, c)) },
		"Stream.UpdatePushConsumer": func(ctx context.Context, c ConsumerConfig) error { return only(s.stream.UpdatePushConsumer(ctx, c)) },
		"Stream.CreateOrUpdatePushConsumer": func(ctx context.Context, c ConsumerConfig) error {
			return only(s.stream.CreateOrUpdatePushConsumer(ctx, c))
		},
	}
}

// badConfig spoils one field of a configuration that is good.
type badConfig[C any] struct {
	field, kind string
	spoil       func(*C)
}

// badStreamConfigs are those beside names and subjects.
var badStreamConfigs = []badConfig[StreamConfig]{
	{"Retention", "above", func(c *StreamConfig) { c.Retention = 3 }},
	{"Retention", "below", func(c *StreamConfig) { c.Retention = math.MinInt }},
	{"Discard", "above", func(c *StreamConfig) { c.Discard = 2 }},
	{"Discard", "below", func(c *StreamConfig) { c.Discard = math.MinInt }},
	{"Storage", "above", func(c *StreamConfig) { c.Storage = 2 }},
	{"Storage", "below", func(c *StreamConfig) { c.Storage = math.MinInt }},
	{"Compression", "above", func(c *StreamConfig) { c.Compression = 2 }},
	{"Compression", "below", func(c *StreamConfig) { c.Compression = math.MinInt }},
	{"PersistMode", "above", func(c *StreamConfig) { c.PersistMode = 2 }},
	{"PersistMode", "below", func(c *StreamConfig) { c.PersistMode = math.MinInt }},
	{"MaxConsumers", "-2", func(c *StreamConfig) { c.MaxConsumers = -2 }},
	{"MaxConsumers", "least", func(c *StreamConfig) { c.MaxConsumers = math.MinInt }},
	{"MaxMsgs", "-2", func(c *StreamConfig) { c.MaxMsgs = -2 }},
	{"MaxMsgs", "least", func(c *StreamConfig) { c.MaxMsgs = math.MinInt64 }},
	{"MaxBytes", "-2", func(c *StreamConfig) { c.MaxBytes = -2 }},
	{"MaxBytes", "least", func(c *StreamConfig) { c.MaxBytes = math.MinInt64 }},
	{"MaxMsgsPerSubject", "-2", func(c *StreamConfig) { c.MaxMsgsPerSubject = -2 }},
	{"MaxMsgsPerSubject", "least", func(c *StreamConfig) { c.MaxMsgsPerSubject = math.MinInt64 }},
	{"MaxMsgSize", "-2", func(c *StreamConfig) { c.MaxMsgSize = -2 }},
	{"MaxMsgSize", "least", func(c *StreamConfig) { c.MaxMsgSize = math.MinInt32 }},
	{"MaxAge", "-1", func(c *StreamConfig) { c.MaxAge = -1 }},
	{"MaxAge", "least", func(c *StreamConfig) { c.MaxAge = math.MinInt64 }},
	{"MaxAge", "too short", func(c *StreamConfig) { c.MaxAge = leastAge - 1 }},
	{"Duplicates", "-1", func(c *StreamConfig) { c.Duplicates = -1 }},
	{"Duplicates", "least", func(c *StreamConfig) { c.Duplicates = math.MinInt64 }},
	{"Duplicates", "too short", func(c *StreamConfig) { c.Duplicates = leastAge - 1 }},
	{"Duplicates", "above MaxAge", func(c *StreamConfig) { c.MaxAge, c.Duplicates = time.Second, time.Second+1 }},
	{"SubjectDeleteMarkerTTL", "-1", func(c *StreamConfig) { c.SubjectDeleteMarkerTTL = -1 }},
	{"SubjectDeleteMarkerTTL", "too short", func(c *StreamConfig) { c.SubjectDeleteMarkerTTL = time.Second - 1 }},
	{"Replicas", "-1", func(c *StreamConfig) { c.Replicas = -1 }},
	{"Replicas", "6", func(c *StreamConfig) { c.Replicas = 6 }},
	{"Replicas", "most", func(c *StreamConfig) { c.Replicas = math.MaxInt }},
	{"DiscardNewPerSubject", "with DiscardOld", func(c *StreamConfig) { c.DiscardNewPerSubject = true }},
	{"ConsumerLimits.InactiveThreshold", "-1", func(c *StreamConfig) { c.ConsumerLimits.InactiveThreshold = -1 }},
	{"ConsumerLimits.MaxAckPending", "-2", func(c *StreamConfig) { c.ConsumerLimits.MaxAckPending = -2 }},
	{"Mirror", "beside Subjects", func(c *StreamConfig) { c.Subjects, c.Mirror = []string{"a"}, &StreamSource{Name: "M"} }},
	{"Mirror", "beside Sources", func(c *StreamConfig) {
		c.Mirror, c.Sources = &StreamSource{Name: "M"}, []*StreamSource{{Name: "T"}}
	}},
	{"Sources[0]", "nil", func(c *StreamConfig) { c.Sources = []*StreamSource{nil} }},
	{"Sources[1]", "nil", func(c *StreamConfig) { c.Sources = []*StreamSource{{Name: "A"}, nil} }},
	{"RePublish.Destination", "empty", func(c *StreamConfig) { c.RePublish = &RePublish{} }},
}

// badSources are those of a StreamSource, in each place where there is one.
var badSources = []badConfig[StreamSource]{
	{"FilterSubject", "beside SubjectTransforms", func(s *StreamSource) { s.FilterSubject, s.SubjectTransforms = "a", []SubjectTransformConfig{{}} }},
	{"OptStartSeq", "beside OptStartTime", func(s *StreamSource) { s.OptStartSeq, s.OptStartTime = 1, time.Now() }},
	{"Domain", "beside External", func(s *StreamSource) { s.Domain, s.External = "d", &ExternalStream{APIPrefix: "$JS.d.API"} }},
	{"Domain", "two tokens", func(s *StreamSource) { s.Domain = "a.b" }},
	{"Domain", "a blank", func(s *StreamSource) { s.Domain = "a b" }},
	{"Domain", "a line end", func(s *StreamSource) { s.Domain = "a\r\nb" }},
	{"Domain", "a wildcard", func(s *StreamSource) { s.Domain = "*" }},
}

// badPullConfigs are those of pull consumers, badPushConfigs of push consumers,
// and badBothConfigs of both.
var (
	badPullConfigs = []badConfig[ConsumerConfig]{
		{"DeliverGroup", "of a pull consumer", func(c *ConsumerConfig) { c.DeliverGroup = "g" }},
		{"FlowControl", "of a pull consumer", func(c *ConsumerConfig) { c.FlowControl = true }},
		{"IdleHeartbeat", "of a pull consumer", func(c *ConsumerConfig) { c.IdleHeartbeat = time.Second }},
		{"RateLimit", "of a pull consumer", func(c *ConsumerConfig) { c.RateLimit = 1 }},
		{"AckPolicy", "flow control of a pull consumer", func(c *ConsumerConfig) { c.AckPolicy = AckFlowControlPolicy }},
		{"MaxWaiting", "-1", func(c *ConsumerConfig) { c.MaxWaiting = -1 }},
		{"MaxWaiting", "least", func(c *ConsumerConfig) { c.MaxWaiting = math.MinInt }},
		{"MaxRequestBatch", "-1", func(c *ConsumerConfig) { c.MaxRequestBatch = -1 }},
		{"MaxRequestExpires", "-1", func(c *ConsumerConfig) { c.MaxRequestExpires = -1 }},
		{"MaxRequestExpires", "too short", func(c *ConsumerConfig) { c.MaxRequestExpires = time.Millisecond - 1 }},
		{"MaxRequestMaxBytes", "-1", func(c *ConsumerConfig) { c.MaxRequestMaxBytes = -1 }},
	}
	badPushConfigs = []badConfig[ConsumerConfig]{
		{"IdleHeartbeat", "-1", func(c *ConsumerConfig) { c.IdleHeartbeat = -1 }},
		{"IdleHeartbeat", "too short", func(c *ConsumerConfig) { c.IdleHeartbeat = leastAge - 1 }},
		{"FlowControl", "without IdleHeartbeat", func(c *ConsumerConfig) { c.FlowControl = true }},
		{"MaxWaiting", "of a push consumer", func(c *ConsumerConfig) { c.MaxWaiting = 1 }},
		{"PriorityGroups", "of a push consumer", func(c *ConsumerConfig) { c.PriorityGroups = []string{"g"} }},
	}
	badBothConfigs = []badConfig[ConsumerConfig]{
		{"Durable", "another Name", func(c *ConsumerConfig) { c.Durable = "D" }},
		{"DeliverPolicy", "above", func(c *ConsumerConfig) { c.DeliverPolicy = 6 }},
		{"DeliverPolicy", "below", func(c *ConsumerConfig) { c.DeliverPolicy = math.MinInt }},
		{"AckPolicy", "above", func(c *ConsumerConfig) { c.AckPolicy = 4 }},
		{"AckPolicy", "below", func(c *ConsumerConfig) { c.AckPolicy = math.MinInt }},
		{"ReplayPolicy", "above", func(c *ConsumerConfig) { c.ReplayPolicy = 2 }},
		{"ReplayPolicy", "below", func(c *ConsumerConfig) { c.ReplayPolicy = math.MinInt }},
		{"PriorityPolicy", "above", func(c *ConsumerConfig) { c.PriorityPolicy = 4 }},
		{"PriorityPolicy", "below", func(c *ConsumerConfig) { c.PriorityPolicy = math.MinInt }},
		{"OptStartSeq", "without its policy", func(c *ConsumerConfig) { c.OptStartSeq = 1 }},
		{"OptStartSeq", "missing", func(c *ConsumerConfig) { c.DeliverPolicy = DeliverByStartSequencePolicy }},
		{"OptStartTime", "without its policy", func(c *ConsumerConfig) { c.OptStartTime = time.Now() }},
		{"OptStartTime", "missing", func(c *ConsumerConfig) { c.DeliverPolicy = DeliverByStartTimePolicy }},
		{"FilterSubject", "beside FilterSubjects", func(c *ConsumerConfig) { c.FilterSubject, c.FilterSubjects = "a", []string{"b"} }},
		{"FilterSubjects[1]", "empty", func(c *ConsumerConfig) { c.FilterSubjects = []string{"a", ""} }},
		{"AckWait", "-1", func(c *ConsumerConfig) { c.AckWait = -1 }},
		{"AckWait", "least", func(c *ConsumerConfig) { c.AckWait = math.MinInt64 }},
		{"MaxDeliver", "-2", func(c *ConsumerConfig) { c.MaxDeliver = -2 }},
		{"BackOff[1]", "-1", func(c *ConsumerConfig) { c.BackOff = []time.Duration{1, -1} }},
		{"BackOff", "longer than MaxDeliver", func(c *ConsumerConfig) { c.MaxDeliver, c.BackOff = 1, []time.Duration{1, 2} }},
		{"MaxAckPending", "-2", func(c *ConsumerConfig) { c.MaxAckPending = -2 }},
		{"InactiveThreshold", "-1", func(c *ConsumerConfig) { c.InactiveThreshold = -1 }},
		{"Replicas", "-1", func(c *ConsumerConfig) { c.Replicas = -1 }},
		{"Replicas", "6", func(c *ConsumerConfig) { c.Replicas = 6 }},
		{"PinnedTTL", "-1", func(c *ConsumerConfig) { c.PinnedTTL = -1 }},
		{"PriorityGroups[0]", "empty", func(c *ConsumerConfig) { c.PriorityGroups = []string{""} }},
		{"PriorityGroups[1]", "a blank", func(c *ConsumerConfig) { c.PriorityGroups = []string{"ok", "a b"} }},
		{"PriorityGroups[0]", "17 bytes", func(c *ConsumerConfig) { c.PriorityGroups = []string{strings.Repeat("g", 17)} }},
		{"PriorityGroups[0]", "a line end", func(c *ConsumerConfig) { c.PriorityGroups = []string{"g\n"} }},
	}
)

func badStreams(s *scene) {
	ctx := s.t.Context()
	for on, put := range s.putStreams() {
		for _, b := range badStreamConfigs {
			cfg := StreamConfig{Name: "S"}
			b.spoil(&cfg)
			s.refuse(on, b.field+": "+b.kind, badField(b.field), func() error { return put(ctx, cfg) })
		}
		for _, b := range badSources {
			src := StreamSource{Name: "M"}
			b.spoil(&src)
			s.refuse(on, "Mirror."+b.field+": "+b.kind, badField("Mirror."+b.field), func() error {
				return put(ctx, StreamConfig{Name: "S", Mirror: &src})
			})
			s.refuse(on, "Sources."+b.field+": "+b.kind, badField("Sources[1]."+b.field), func() error {
				return put(ctx, StreamConfig{Name: "S", Sources: []*StreamSource{{Name: "A"}, &src}})
			})
		}
		s.refuse(on, "zero value", badField("Name"), func() error { return put(ctx, StreamConfig{}) })
		s.refuse(on, "two bad fields", all(badField("MaxAge"), badField("Replicas")), func() error {
			return put(ctx, StreamConfig{Name: "S", MaxAge: -1, Replicas: 9})
		})
	}
}

func badConsumers(s *scene) {
	ctx := s.t.Context()
	each := func(puts map[string]func(context.Context, ConsumerConfig) error, good ConsumerConfig, lists ...[]badConfig[ConsumerConfig]) {
		for on, put := range puts {
			for _, list := range lists {
				for _, b := range list {
					cfg := good
					b.spoil(&cfg)
					s.refuse(on, b.field+": "+b.kind, badField(b.field), func() error { return put(ctx, cfg) })
				}
			}
			s.refuse(on, "two bad fields", all(badField("AckWait"), badField("Replicas")), func() error {
				cfg := good
				cfg.AckWait, cfg.Replicas = -1, 9
				return put(ctx, cfg)
			})
		}
	}
	each(s.putConsumers(), ConsumerConfig{Name: "C"}, badBothConfigs, badPullConfigs)
	each(s.putPushConsumers(), ConsumerConfig{Name: "C", DeliverSubject: "d"}, badBothConfigs, badPushConfigs)
	for on, put := range s.putConsumers() {
		s.refuse(on, "of a push consumer", is(ErrNotPullConsumer), func() error { return put(ctx, ConsumerConfig{Name: "C", DeliverSubject: "d"}) })
	}
	for on, put := range s.putPushConsumers() {
		s.refuse(on, "of a pull consumer", is(ErrNotPushConsumer), func() error { return put(ctx, ConsumerConfig{Name: "C"}) })
		s.refuse(on, "zero value", is(ErrNotPushConsumer), func() error { return put(ctx, ConsumerConfig{}) })
	}
}

// unchecked are fields of which a server knows what is right, or of which
// nothing is wrong.
var unchecked = map[string]string{
	"StreamConfig.Description": "text", "StreamConfig.Metadata": "text", "StreamConfig.NoAck": "a bool", "StreamConfig.Sealed": "a bool",
	"StreamConfig.DenyDelete": "a bool", "StreamConfig.DenyPurge": "a bool", "StreamConfig.AllowRollup": "a bool", "StreamConfig.AllowDirect": "a bool",
	"StreamConfig.MirrorDirect": "a bool", "StreamConfig.AllowMsgTTL": "a bool", "StreamConfig.AllowMsgCounter": "a bool",
	"StreamConfig.AllowAtomicPublish": "a bool", "StreamConfig.AllowMsgSchedules": "a bool", "StreamConfig.AllowBatchPublish": "a bool",
	"StreamConfig.FirstSeq": "any", "StreamConfig.Placement": "the servers' names", "StreamConfig.SubjectTransform": "a language of the server",
	"StreamSource.SubjectTransforms": "likewise", "StreamSource.External": "any prefix", "StreamSource.Consumer": "a name elsewhere",
	"StreamSource.OptStartTime":  "checked beside OptStartSeq",
	"ConsumerConfig.Description": "text", "ConsumerConfig.Metadata": "text", "ConsumerConfig.SampleFrequency": "a percentage, by the server",
	"ConsumerConfig.HeadersOnly": "a bool", "ConsumerConfig.MemoryStorage": "a bool", "ConsumerConfig.PauseUntil": "any time",
}

// TestConfigFieldsAreChecked: each field has a bad value in the corpus, or a
// reason why there is none.
func TestConfigFieldsAreChecked(t *testing.T) {
	have := make(map[string]bool)
	note := func(of, field string) {
		name, _, _ := strings.Cut(field, "[")
		name, _, _ = strings.Cut(name, ".")
		have[of+"."+name] = true
	}
	for _, b := range badStreamConfigs {
		note("StreamConfig", b.field)
	}
	for _, b := range badSources {
		note("StreamSource", b.field)
	}
	for _, list := range [][]badConfig[ConsumerConfig]{badPullConfigs, badPushConfigs, badBothConfigs} {
		for _, b := range list {
			note("ConsumerConfig", b.field)
		}
	}
	// In badnames_test.go and badsubjects_test.go.
	for _, name := range []string{"StreamConfig.Name", "StreamConfig.Subjects", "StreamSource.Name", "ConsumerConfig.Name", "ConsumerConfig.DeliverSubject"} {
		have[name] = true
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[StreamConfig](), reflect.TypeFor[StreamSource](), reflect.TypeFor[ConsumerConfig]()} {
		for f := range typ.Fields() {
			name := fmt.Sprintf("%s.%s", typ.Name(), f.Name)
			if have[name] == (unchecked[name] != "") {
				t.Errorf("%s: cases: %v, a reason for none: %q", name, have[name], unchecked[name])
			}
		}
	}
}
