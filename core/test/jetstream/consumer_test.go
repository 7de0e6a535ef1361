package jetstream_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
)

func TestConsumerLife(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	s := create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	cfg := jetstream.ConsumerConfig{Durable: "worker", FilterSubject: "s.new"}

	if _, err := s.Consumer(ctx, "worker"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("get before there is one: %v", err)
	}
	if _, err := s.UpdateConsumer(ctx, cfg); !errors.Is(err, jetstream.ErrConsumerDoesNotExist) {
		t.Errorf("update before there is one: %v", err)
	}
	c, err := s.CreateConsumer(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	info := c.CachedInfo()
	if c.Name() != "worker" || c.Stream() != s || info.Stream != "S" || info.Config.AckPolicy != jetstream.AckExplicitPolicy ||
		info.Config.AckWait != 30*time.Second || info.Config.MaxAckPending != 1000 {
		t.Errorf("defaults: %+v", info)
	}
	if _, err := s.CreateConsumer(ctx, cfg); err != nil {
		t.Errorf("create the same: %v", err)
	}
	cfg.MaxAckPending = 5
	_, err = s.CreateConsumer(ctx, cfg)
	if !errors.Is(err, jetstream.ErrConsumerExists) || !strings.Contains(err.Error(), `"worker" of stream "S"`) {
		t.Errorf("create another: %v", err)
	}
	if c, err = s.UpdateConsumer(ctx, cfg); err != nil || c.CachedInfo().Config.MaxAckPending != 5 {
		t.Errorf("update: %v", err)
	}
	cfg.MaxAckPending = 6
	if c, err = s.CreateOrUpdateConsumer(ctx, cfg); err != nil || c.CachedInfo().Config.MaxAckPending != 6 {
		t.Errorf("create or update what there is: %v", err)
	}
	if _, err = s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "other"}); err != nil {
		t.Errorf("create or update what there is not: %v", err)
	}
	publish(t, js, "s.new", "x")
	eventually(t, c, "the message is pending", func(info *jetstream.ConsumerInfo) bool { return info.NumPending == 1 })
	if info, err := c.Info(ctx); err != nil || info.NumPending != 1 || c.CachedInfo().NumPending != 1 {
		t.Errorf("info: %+v, %v", info, err)
	}
	if h := s.ConsumerHandle("worker"); h.CachedInfo() != nil {
		t.Error("a handle knows something that it was not told")
	} else if info, err := h.Info(ctx); err != nil || info.Name != "worker" {
		t.Errorf("info of a handle: %v", err)
	}
	if _, err := s.PushConsumer(ctx, "worker"); !errors.Is(err, jetstream.ErrNotPushConsumer) {
		t.Errorf("as a push consumer: %v", err)
	}
	if err := s.DeleteConsumer(ctx, "worker"); err != nil {
		t.Error(err)
	}
	if err := s.DeleteConsumer(ctx, "worker"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("delete again: %v", err)
	}
	if _, err := js.CreateConsumer(ctx, "NONE", cfg); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("of a stream that does not exist: %v", err)
	}
}

func TestConsumersByStreamName(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	create(t, js, jetstream.StreamConfig{Name: "S"})
	cfg := jetstream.ConsumerConfig{Durable: "c"}
	if c, err := js.CreateConsumer(ctx, "S", cfg); err != nil || c.Stream().Name() != "S" {
		t.Fatal(err)
	}
	cfg.Description = "changed"
	if _, err := js.UpdateConsumer(ctx, "S", cfg); err != nil {
		t.Error(err)
	}
	cfg.Description = "again"
	if _, err := js.CreateOrUpdateConsumer(ctx, "S", cfg); err != nil {
		t.Error(err)
	}
	if c, err := js.Consumer(ctx, "S", "c"); err != nil || c.CachedInfo().Config.Description != "again" {
		t.Error(err)
	}
	if _, err := js.PushConsumer(ctx, "S", "c"); !errors.Is(err, jetstream.ErrNotPushConsumer) {
		t.Error(err)
	}
	if err := js.DeleteConsumer(ctx, "S", "c"); err != nil {
		t.Error(err)
	}
}

func TestConsumerConfigRoundTrip(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	s := create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>", "t"}})
	for _, cfg := range []jetstream.ConsumerConfig{
		{
			Name: "pull", Durable: "pull", Description: "all of it", DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: 7,
			AckPolicy: jetstream.AckAllPolicy, AckWait: time.Second, MaxDeliver: 5, BackOff: []time.Duration{time.Second, time.Minute},
			FilterSubjects: []string{"s.a", "t"}, ReplayPolicy: jetstream.ReplayOriginalPolicy, SampleFrequency: "50", MaxWaiting: 9,
			MaxAckPending: 8, HeadersOnly: true, MaxRequestBatch: 7, MaxRequestExpires: time.Minute, MaxRequestMaxBytes: 6000,
			InactiveThreshold: time.Hour, Replicas: 1, MemoryStorage: true, Metadata: map[string]string{"owner": "us"},
			PauseUntil: time.Now().Add(time.Hour).UTC().Truncate(time.Second),
		},
		{Name: "time", DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: time.Now().UTC().Truncate(time.Second), FilterSubject: "s.*"},
		{Name: "last", DeliverPolicy: jetstream.DeliverLastPolicy, FilterSubject: "s.a", AckPolicy: jetstream.AckNonePolicy},
		{Name: "new", DeliverPolicy: jetstream.DeliverNewPolicy},
		{Name: "per", DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubject: ">"},
		{Name: "pinned", PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{"g"}, PinnedTTL: time.Minute},
		{Name: "overflow", PriorityPolicy: jetstream.PriorityPolicyOverflow, PriorityGroups: []string{"a/b"}},
		{Name: "prioritized", PriorityPolicy: jetstream.PriorityPolicyPrioritized, PriorityGroups: []string{"g"}},
		{
			Name: "push", DeliverSubject: "deliver.here", DeliverGroup: "group", FlowControl: true, IdleHeartbeat: time.Second, RateLimit: 4096,
		},
		{
			Name: "fc", DeliverSubject: "deliver.fc", FlowControl: true, IdleHeartbeat: time.Second, AckPolicy: jetstream.AckFlowControlPolicy, MaxAckPending: 10,
		},
	} {
		t.Run(cfg.Name, func(t *testing.T) {
			var got jetstream.ConsumerConfig
			if cfg.DeliverSubject == "" {
				c, err := s.CreateConsumer(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				got = c.CachedInfo().Config
			} else {
				c, err := s.CreatePushConsumer(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				got = c.CachedInfo().Config
			}
			if owner := cfg.Metadata["owner"]; got.Metadata["owner"] != owner {
				t.Errorf("metadata %v", got.Metadata)
			}
			cfg.Metadata = nil
			want := reflect.ValueOf(cfg)
			for i := range want.NumField() {
				v, g := want.Field(i), reflect.ValueOf(got).Field(i)
				if !v.IsZero() && !reflect.DeepEqual(v.Interface(), g.Interface()) {
					t.Errorf("%s is %+v, want %+v", want.Type().Field(i).Name, g, v)
				}
			}
			// What came back can be sent again.
			if got.DeliverSubject == "" {
				if _, err := s.UpdateConsumer(t.Context(), got); err != nil {
					t.Errorf("update with what was read: %v", err)
				}
			}
		})
	}
}

func TestEphemeralConsumer(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	s := create(t, js, jetstream.StreamConfig{Name: "S"})
	a, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{})
	b, err2 := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{})
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if a.Name() == b.Name() || a.CachedInfo().Config.Durable != "" || a.CachedInfo().Config.InactiveThreshold == 0 {
		t.Errorf("%q and %q: %+v", a.Name(), b.Name(), a.CachedInfo().Config)
	}
}

func TestPushConsumer(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	s := create(t, js, jetstream.StreamConfig{Name: "S"})
	cfg := jetstream.ConsumerConfig{Durable: "push", DeliverSubject: "deliver"}
	if _, err := s.UpdatePushConsumer(ctx, cfg); !errors.Is(err, jetstream.ErrConsumerDoesNotExist) {
		t.Errorf("update before there is one: %v", err)
	}
	if _, err := s.CreateConsumer(ctx, cfg); !errors.Is(err, jetstream.ErrNotPullConsumer) {
		t.Errorf("create as a pull consumer: %v", err)
	}
	if _, err := s.CreatePushConsumer(ctx, jetstream.ConsumerConfig{Durable: "push"}); !errors.Is(err, jetstream.ErrNotPushConsumer) {
		t.Errorf("create without a subject: %v", err)
	}
	c, err := s.CreatePushConsumer(ctx, cfg)
	if err != nil || c.Name() != "push" || c.Stream() != s {
		t.Fatal(err)
	}
	cfg.Description = "changed"
	if c, err = s.UpdatePushConsumer(ctx, cfg); err != nil || c.CachedInfo().Config.Description != "changed" {
		t.Errorf("update: %v", err)
	}
	cfg.Description = "again"
	if _, err = s.CreateOrUpdatePushConsumer(ctx, cfg); err != nil {
		t.Errorf("create or update: %v", err)
	}
	if c, err = s.PushConsumer(ctx, "push"); err != nil || c.CachedInfo().Config.Description != "again" {
		t.Errorf("get: %v", err)
	}
	if info, err := c.Info(ctx); err != nil || info.PushBound || info.Config.DeliverSubject != "deliver" {
		t.Errorf("info: %+v, %v", info, err)
	}
	if _, err := s.Consumer(ctx, "push"); !errors.Is(err, jetstream.ErrNotPullConsumer) {
		t.Errorf("as a pull consumer: %v", err)
	}
	if _, err := s.PushConsumer(ctx, "none"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("get what there is not: %v", err)
	}
}

func TestConsumerLists(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	s := create(t, js, jetstream.StreamConfig{Name: "S"})
	if names, err := nats.Collect(s.ConsumerNames(ctx)); err != nil || len(names) != 0 {
		t.Errorf("of nothing: %q, %v", names, err)
	}
	var want []string
	for i := range 300 { // more than a page of infos
		name := fmt.Sprintf("c%03d", i)
		want = append(want, name)
		if _, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{Name: name, MemoryStorage: true, InactiveThreshold: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
	names, err := nats.Collect(s.ConsumerNames(ctx))
	slices.Sort(names)
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("%d names, %v", len(names), err)
	}
	var got []string
	for info, err := range s.Consumers(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, info.Name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%d consumers", len(got))
	}
	if _, err := nats.Collect(js.StreamHandle("NONE").Consumers(ctx)); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("of a stream that does not exist: %v", err)
	}
	if _, err := nats.Collect(js.StreamHandle("no name").ConsumerNames(ctx)); !errors.Is(err, jetstream.ErrInvalidName) {
		t.Errorf("of a name that cannot be: %v", err)
	}
}

func TestPauseResume(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	s := create(t, js, jetstream.StreamConfig{Name: "S"})
	c, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "c"})
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	state, err := s.PauseConsumer(ctx, "c", until)
	if err != nil || !state.Paused || !state.Until.Equal(until) || state.Remaining <= 59*time.Minute {
		t.Errorf("%+v, %v", state, err)
	}
	if info, err := c.Info(ctx); err != nil || !info.Paused || info.PauseRemaining <= 59*time.Minute || !info.Config.PauseUntil.Equal(until) {
		t.Errorf("%+v, %v", info, err)
	}
	if state, err = s.ResumeConsumer(ctx, "c"); err != nil || state.Paused {
		t.Errorf("%+v, %v", state, err)
	}
	if info, err := c.Info(ctx); err != nil || info.Paused {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := s.PauseConsumer(ctx, "none", until); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("of what there is not: %v", err)
	}
}

// next pulls one message by hand. It comes on the subject it is stored with, so
// it needs an inbox of its own.
func next(js *jetstream.JetStream, consumer, request string) (nats.Msg, error) {
	return js.Conn().RequestMsg(context.Background(), nats.Msg{
		Subject: js.APISubject("CONSUMER.MSG.NEXT." + consumer), Reply: js.Conn().NewInbox(), Data: []byte(request),
	})
}

func TestResetConsumer(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	s := create(t, js, jetstream.StreamConfig{Name: "S"})
	for range 5 {
		publish(t, js, "S", "x")
	}
	if _, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "c"}); err != nil {
		t.Fatal(err)
	}
	take := func(want uint64) {
		t.Helper()
		m, err := next(js, "S.c", `{"batch":1,"no_wait":true}`)
		if err != nil || !strings.Contains(m.Reply, fmt.Sprintf(".%d.", want)) {
			t.Errorf("took %q, %v; want sequence %d", m.Reply, err, want)
		}
	}
	take(1)
	take(2)
	if info, err := s.ResetConsumer(ctx, "c", 0); err != nil || info.NumPending != 5 || info.NumAckPending != 0 {
		t.Errorf("to the ack floor: %+v, %v", info, err)
	}
	take(1)
	if info, err := s.ResetConsumer(ctx, "c", 4); err != nil || info.NumPending != 2 {
		t.Errorf("to a sequence: %+v, %v", info, err)
	}
	take(4)
	if _, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "new", DeliverPolicy: jetstream.DeliverNewPolicy}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ResetConsumer(ctx, "new", 2); !errors.Is(err, jetstream.ErrConsumerInvalidReset) {
		t.Errorf("of a policy that has no past: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := s.ResetConsumer(short, "none", 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("of what there is not: %v", err)
	}
}

func TestUnpinConsumer(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	s := create(t, js, jetstream.StreamConfig{Name: "S"})
	c, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "c", PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{"g"}})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, js, "S", "x")
	m, err := next(js, "S.c", `{"batch":1,"group":"g","expires":5000000000}`)
	pin := m.Header.Get(jetstream.PinIDHeader)
	if err != nil || pin == "" {
		t.Fatalf("no pin: %v", err)
	}
	if info, err := c.Info(ctx); err != nil || len(info.PriorityGroups) != 1 || info.PriorityGroups[0].PinnedClientID != pin || info.PriorityGroups[0].PinnedTS.IsZero() {
		t.Errorf("%+v, %v", info.PriorityGroups, err)
	}
	if err := s.UnpinConsumer(ctx, "c", "g"); err != nil {
		t.Error(err)
	}
	if info, err := c.Info(ctx); err != nil || info.PriorityGroups[0].PinnedClientID != "" {
		t.Errorf("%+v, %v", info.PriorityGroups, err)
	}
	if err := s.UnpinConsumer(ctx, "c", "h"); !errors.Is(err, jetstream.ErrConsumerInvalidPriorityGroup) {
		t.Errorf("of a group that there is not: %v", err)
	}
}
