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
	"github.com/perigee-go/nats/orbit/natstest"
)

func TestStreamLife(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	cfg := jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}}

	if _, err := js.Stream(ctx, "ORDERS"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("get before there is one: %v", err)
	}
	if _, err := js.UpdateStream(ctx, cfg); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("update before there is one: %v", err)
	}
	s, err := js.CreateStream(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if info := s.CachedInfo(); s.Name() != "ORDERS" || s.JetStream() != js || info == nil || info.Config.Storage != jetstream.FileStorage ||
		info.Config.MaxMsgs != -1 || info.Config.Duplicates != 2*time.Minute || info.Config.Metadata["_nats.req.level"] != "0" {
		t.Errorf("defaults: %+v", info)
	}
	if _, err := js.CreateStream(ctx, cfg); err != nil {
		t.Errorf("create the same: %v", err)
	}
	cfg.MaxMsgs = 10
	_, err = js.CreateStream(ctx, cfg)
	if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) || !strings.Contains(err.Error(), `"ORDERS"`) {
		t.Errorf("create another: %v", err)
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.Code != 400 || api.ErrorCode != 10058 || api.Description == "" {
		t.Errorf("it is %+v", api)
	}
	if s, err = js.UpdateStream(ctx, cfg); err != nil || s.CachedInfo().Config.MaxMsgs != 10 {
		t.Errorf("update: %v", err)
	}
	cfg.MaxMsgs = 20
	if s, err = js.CreateOrUpdateStream(ctx, cfg); err != nil || s.CachedInfo().Config.MaxMsgs != 20 {
		t.Errorf("create or update what there is: %v", err)
	}
	if _, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "NEW"}); err != nil {
		t.Errorf("create or update what there is not: %v", err)
	}

	// A copy is a copy.
	s.CachedInfo().Config.Subjects[0] = "changed"
	if got := s.CachedInfo().Config.Subjects[0]; got != "orders.>" {
		t.Errorf("the cached information became %q", got)
	}
	handle := js.StreamHandle("ORDERS")
	if handle.CachedInfo() != nil {
		t.Error("a handle knows something that it was not told")
	}
	publish(t, js, "orders.new", "x")
	if info, err := handle.Info(ctx); err != nil || info.State.Msgs != 1 || handle.CachedInfo().State.LastSeq != 1 {
		t.Errorf("info: %+v, %v", info, err)
	}

	if err := js.DeleteStream(ctx, "ORDERS"); err != nil {
		t.Error(err)
	}
	if err := js.DeleteStream(ctx, "ORDERS"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("delete again: %v", err)
	}
	if _, err := handle.Info(ctx); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("info after delete: %v", err)
	}
}

// fullStream has every field that can be set beside the others.
func fullStream() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "FULL", Description: "all of it", Subjects: []string{"full.>", "more"}, Retention: jetstream.InterestPolicy,
		MaxConsumers: 7, MaxMsgs: 100, MaxBytes: 1 << 20, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
		MaxAge: time.Hour, MaxMsgsPerSubject: 9, MaxMsgSize: 4096, Storage: jetstream.MemoryStorage, Replicas: 1,
		Duplicates: time.Minute, Placement: &jetstream.Placement{}, DenyDelete: true, AllowRollup: true,
		Compression: jetstream.S2Compression, FirstSeq: 5,
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: "full.a.*", Destination: "full.b.{{wildcard(1)}}"},
		RePublish:        &jetstream.RePublish{Source: "full.>", Destination: "again.>", HeadersOnly: true},
		AllowDirect:      true, ConsumerLimits: jetstream.StreamConsumerLimits{InactiveThreshold: time.Minute, MaxAckPending: 50},
		Metadata: map[string]string{"owner": "us"}, AllowMsgTTL: true, SubjectDeleteMarkerTTL: time.Minute,
		AllowAtomicPublish: true, AllowBatchPublish: true,
	}
}

func TestStreamConfigRoundTrip(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	want := fullStream()
	s, err := js.CreateStream(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	got := s.CachedInfo().Config
	if level := got.Metadata["_nats.req.level"]; level != "4" {
		t.Errorf("the server says it needs level %s", level)
	}
	got.Metadata = want.Metadata
	want.Placement = got.Placement
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	// What came back can be sent again.
	back := s.CachedInfo().Config
	back.Description = "changed"
	if s, err = js.UpdateStream(t.Context(), back); err != nil || s.CachedInfo().Config.Description != "changed" {
		t.Errorf("update with what was read: %v", err)
	}

	_, err = create(t, js, jetstream.StreamConfig{Name: "COPIED"}).CreatePushConsumer(t.Context(), jetstream.ConsumerConfig{
		Durable: "copier", DeliverSubject: "deliver.copier", AckPolicy: jetstream.AckFlowControlPolicy,
		FlowControl: true, IdleHeartbeat: time.Second, MaxAckPending: 100,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []jetstream.StreamConfig{
		{Name: "COUNTER", AllowMsgCounter: true, AllowDirect: true},
		{Name: "SCHEDULES", AllowMsgSchedules: true, AllowMsgTTL: true},
		{Name: "ASYNC", PersistMode: jetstream.AsyncPersistMode},
		{Name: "NOACK", NoAck: true},
		{Name: "QUEUE", Retention: jetstream.WorkQueuePolicy, DenyPurge: true},
		{Name: "MIRROR", MirrorDirect: true, Mirror: &jetstream.StreamSource{Name: "COUNTER", OptStartSeq: 3, FilterSubject: "COUNTER"}},
		{Name: "SOURCED", Sources: []*jetstream.StreamSource{
			{Name: "NOACK", OptStartTime: time.Now().UTC().Truncate(time.Second), SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "NOACK", Destination: "OK"}}},
			{Name: "COPIED", Consumer: &jetstream.StreamConsumerSource{Name: "copier", DeliverSubject: "deliver.copier"}},
		}},
	} {
		t.Run(cfg.Name, func(t *testing.T) {
			s, err := js.CreateStream(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			settle(t, s)
			want := reflect.ValueOf(cfg)
			for i := range want.NumField() {
				if v := want.Field(i); !v.IsZero() && !reflect.DeepEqual(v.Interface(), reflect.ValueOf(got.Config).Field(i).Interface()) {
					t.Errorf("%s is %+v, want %+v", want.Type().Field(i).Name, reflect.ValueOf(got.Config).Field(i), v)
				}
			}
		})
	}
}

// settle waits until the streams that s copies from have answered. A server waits
// for them up to half a minute, also when it is stopped meanwhile.
func settle(t *testing.T, s *jetstream.Stream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		info, err := s.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		sources := info.Sources
		if info.Mirror != nil {
			sources = append(sources, info.Mirror)
		}
		waits := func(i *jetstream.StreamSourceInfo) bool { return i.Active < 0 && i.Error == nil }
		if !slices.ContainsFunc(sources, waits) {
			return
		}
	}
}

func TestSealedStream(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	s := create(t, js, jetstream.StreamConfig{Name: "S"})
	cfg := s.CachedInfo().Config
	cfg.Sealed = true
	if s, err := js.UpdateStream(t.Context(), cfg); err != nil || !s.CachedInfo().Config.Sealed {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "S", nil); !errors.Is(err, jetstream.ErrStreamSealed) {
		t.Errorf("publish: %v", err)
	}
	if _, err := s.Purge(t.Context()); !errors.Is(err, jetstream.ErrStreamSealed) {
		t.Errorf("purge: %v", err)
	}
}

func TestPedantic(t *testing.T) {
	t.Parallel()
	js, srv := run(t)
	strict := handle(t, srv.URL(), jetstream.Pedantic())
	cfg := jetstream.StreamConfig{Name: "S", MaxAge: time.Minute, Duplicates: time.Minute}
	if _, err := strict.CreateStream(t.Context(), cfg); err != nil {
		t.Error(err)
	}
	consumer := jetstream.ConsumerConfig{Durable: "c", AckWait: time.Minute, BackOff: []time.Duration{time.Second}}
	if _, err := strict.CreateConsumer(t.Context(), "S", consumer); !errors.Is(err, jetstream.ErrPedantic) {
		t.Errorf("the server changed AckWait silently: %v", err)
	}
	if c, err := js.CreateConsumer(t.Context(), "S", consumer); err != nil || c.CachedInfo().Config.AckWait != time.Second {
		t.Errorf("not pedantic: %v", err)
	}
}

func TestStreamLists(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	if names, err := nats.Collect(js.StreamNames(ctx)); err != nil || len(names) != 0 {
		t.Errorf("of nothing: %q, %v", names, err)
	}
	var want []string
	for i := range 300 { // more than a page of infos
		name := fmt.Sprintf("S%03d", i)
		want = append(want, name)
		create(t, js, jetstream.StreamConfig{Name: name, Subjects: []string{fmt.Sprintf("s.%d.%d", i%3, i)}})
	}
	if names, err := nats.Collect(js.StreamNames(ctx)); err != nil || !slices.Equal(names, want) {
		t.Errorf("%d names, %v", len(names), err)
	}
	infos, err := nats.Collect(js.Streams(ctx))
	var got []string
	for _, info := range infos {
		got = append(got, info.Config.Name)
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%d streams, %v", len(got), err)
	}
	if names, err := nats.Collect(js.StreamNames(ctx, jetstream.FilterSubject("s.1.>"))); err != nil || len(names) != 100 {
		t.Errorf("%d names with a filter, %v", len(names), err)
	}
	if infos, err := nats.Collect(js.Streams(ctx, jetstream.FilterSubject("s.1.4"))); err != nil || len(infos) != 1 || infos[0].Config.Name != "S004" {
		t.Errorf("%d streams with a filter, %v", len(infos), err)
	}
	for range js.Streams(ctx) {
		break
	}
	if name, err := js.StreamNameBySubject(ctx, "s.2.5"); err != nil || name != "S005" {
		t.Errorf("%q, %v", name, err)
	}
	if _, err := js.StreamNameBySubject(ctx, "nobody"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("of a subject that nobody listens to: %v", err)
	}
}

func TestStreamInfoDetails(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	s := create(t, js, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	for i := range 6 {
		publish(t, js, fmt.Sprintf("s.%d", i%3), "x")
	}
	if err := s.DeleteMsg(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context())
	if err != nil || info.State.Msgs != 5 || info.State.NumDeleted != 1 || info.State.NumSubjects != 3 || info.State.Subjects != nil || info.State.Deleted != nil {
		t.Errorf("%+v, %v", info.State, err)
	}
	info, err = s.Info(t.Context(), jetstream.DeletedDetails(), jetstream.FilterSubject("s.>"))
	if err != nil || !slices.Equal(info.State.Deleted, []uint64{2}) ||
		!reflect.DeepEqual(info.State.Subjects, map[string]uint64{"s.0": 2, "s.1": 1, "s.2": 2}) {
		t.Errorf("%+v, %v", info.State, err)
	}
	if info, err := s.Info(t.Context(), jetstream.FilterSubject("s.7")); err != nil || len(info.State.Subjects) != 0 {
		t.Errorf("%+v, %v", info.State, err)
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	for _, tt := range []struct {
		name         string
		opts         []jetstream.PurgeOption
		purged, left uint64
	}{
		{"all", nil, 12, 0},
		{"below", []jetstream.PurgeOption{jetstream.PurgeBelow(5)}, 4, 8},
		{"keep", []jetstream.PurgeOption{jetstream.PurgeKeep(5)}, 7, 5},
		{"subject", []jetstream.PurgeOption{jetstream.FilterSubject("purge.0")}, 4, 8},
		{"subject below", []jetstream.PurgeOption{jetstream.FilterSubject("purge.0"), jetstream.PurgeBelow(5)}, 2, 10},
		{"subject keep", []jetstream.PurgeOption{jetstream.FilterSubject("purge.*"), jetstream.PurgeKeep(2)}, 10, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := create(t, js, jetstream.StreamConfig{Name: "PURGE", Subjects: []string{"purge.*"}})
			for i := range 12 {
				publish(t, js, fmt.Sprintf("purge.%d", i%3), "x")
			}
			purged, err := s.Purge(t.Context(), tt.opts...)
			if err != nil || purged != tt.purged {
				t.Errorf("purged %d, %v; want %d", purged, err, tt.purged)
			}
			if info, err := s.Info(t.Context()); err != nil || info.State.Msgs != tt.left {
				t.Errorf("%d are left, %v; want %d", info.State.Msgs, err, tt.left)
			}
			if err := js.DeleteStream(t.Context(), "PURGE"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAccountInfo(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	create(t, js, jetstream.StreamConfig{Name: "S"})
	info, err := js.AccountInfo(t.Context())
	if err != nil || info.Streams != 1 || info.API.Level != 5 || info.API.Total == 0 || info.Limits.MaxStreams != -1 || info.Limits.MaxStore == 0 {
		t.Errorf("%+v, %v", info, err)
	}

	bare := natstest.Run(t)
	_, err = handle(t, bare.URL()).AccountInfo(t.Context())
	if !errors.Is(err, jetstream.ErrJetStreamNotEnabled) || !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("without JetStream: %v", err)
	}
}

func TestAccountsAndTiers(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.JetStream(), natstest.Config(`
		accounts {
			A { jetstream: {max_mem: 1M, max_file: 1M, max_streams: 1, max_consumers: 3, max_ack_pending: 9, max_bytes_required: true}
			    users: [{user: a, password: a}] }
			B { users: [{user: b, password: b}] }
		}`))
	url := func(user string) string { return strings.Replace(srv.URL(), "://", "://"+user+":"+user+"@", 1) }
	js := handle(t, url("a"))
	info, err := js.AccountInfo(t.Context())
	want := jetstream.AccountLimits{MaxMemory: 1_000_000, MaxStore: 1_000_000, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1, MaxStreams: 1, MaxConsumers: 3, MaxAckPending: 9, MaxBytesRequired: true}
	if err != nil || !reflect.DeepEqual(info.Limits, want) {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"}); !errors.Is(err, jetstream.ErrStreamMaxBytesRequired) {
		t.Errorf("MaxBytes is required: %v", err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", MaxBytes: 1000}); err != nil {
		t.Error(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S2", MaxBytes: 1000}); !errors.Is(err, jetstream.ErrMaximumStreamsLimit) {
		t.Errorf("a second stream: %v", err)
	}
	other := handle(t, url("b"))
	_, err = other.AccountInfo(t.Context())
	if !errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		t.Errorf("of an account without JetStream: %v", err)
	}
	if _, err = other.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"}); !errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		t.Errorf("a stream in an account without JetStream: %v", err)
	}
}

func TestDomainAndPrefix(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.JetStreamDomain("hub"))
	js := handle(t, srv.URL(), jetstream.Domain("hub"))
	if got := js.APISubject("INFO"); got != "$JS.hub.API.INFO" {
		t.Error(got)
	}
	create(t, js, jetstream.StreamConfig{Name: "S"})
	info, err := js.AccountInfo(t.Context())
	if err != nil || info.Domain != "hub" {
		t.Errorf("%+v, %v", info, err)
	}
	if ack, err := js.Publish(t.Context(), "S", nil); err != nil || ack.Domain != "hub" {
		t.Errorf("%+v, %v", ack, err)
	}
	elsewhere := handle(t, srv.URL(), jetstream.Domain("elsewhere"))
	if _, err := elsewhere.AccountInfo(t.Context()); !errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		t.Errorf("of no domain: %v", err)
	}

	shared := natstest.Run(t, natstest.JetStream(), natstest.Config(`
		accounts {
			OWNER { jetstream: enabled, users: [{user: o, password: o}], exports: [{service: "$JS.API.>"}] }
			GUEST { users: [{user: g, password: g}], imports: [{service: {account: OWNER, subject: "$JS.API.>"}, to: "fromOwner.>"}] }
		}`))
	url := func(user string) string { return strings.Replace(shared.URL(), "://", "://"+user+":"+user+"@", 1) }
	create(t, handle(t, url("o")), jetstream.StreamConfig{Name: "OWNED"})
	guest := handle(t, url("g"), jetstream.APIPrefix("fromOwner"))
	if names, err := nats.Collect(guest.StreamNames(t.Context())); err != nil || !slices.Equal(names, []string{"OWNED"}) {
		t.Errorf("%q, %v", names, err)
	}
	if _, err := guest.CreateStream(t.Context(), jetstream.StreamConfig{Name: "TTL", AllowMsgTTL: true}); err != nil {
		t.Errorf("a field that needs an API level, over a prefix: %v", err)
	}
}

func TestRequestDoor(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	create(t, js, jetstream.StreamConfig{Name: "S"})
	ctx := t.Context()
	var names struct{ Streams []string }
	if err := js.Request(ctx, "STREAM.NAMES", map[string]any{"offset": 0}, &names); err != nil || !slices.Equal(names.Streams, []string{"S"}) {
		t.Errorf("%+v, %v", names, err)
	}
	var raw []byte
	if err := js.Request(ctx, "STREAM.INFO.S", []byte(`{"deleted_details":true}`), &raw); err != nil || !strings.Contains(string(raw), `"config"`) {
		t.Errorf("%s, %v", raw, err)
	}
	if err := js.Request(ctx, "STREAM.INFO.T", nil, nil); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("only an error counts: %v", err)
	}
	if err := js.Request(ctx, "STREAM.NAMES", map[string]any{"no such field": 1}, nil); !errors.Is(err, jetstream.ErrInvalidJSON) {
		t.Errorf("strict: %v", err)
	}
	if err := js.Request(ctx, "STREAM.INFO.S", nil, nil, jetstream.RequiredAPILevel(5)); err != nil {
		t.Error(err)
	}
	err := js.Request(ctx, "STREAM.INFO.S", nil, nil, jetstream.RequiredAPILevel(99))
	var level *jetstream.APILevelError
	if !errors.Is(err, jetstream.ErrRequiredAPILevel) || !errors.As(err, &level) || level.Required != 99 || level.Server != 5 {
		t.Errorf("level 99: %v", err)
	}
	// The header alone is refused by the server, too.
	h := header(t, jetstream.RequiredAPILevelHeader, "99")
	m, err := js.Conn().RequestMsg(ctx, nats.Msg{Subject: js.APISubject("STREAM.INFO.S"), Header: h})
	if err != nil {
		t.Fatal(err)
	}
	if err := jetstream.DecodeResponse(m, nil); !errors.Is(err, jetstream.ErrRequiredAPILevel) {
		t.Errorf("the header: %v", err)
	}
}
