package jetstream_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
	"github.com/perigee-go/nats/orbit/natstest"
)

// What a server makes of configurations: rules that it keeps, and copies that it
// makes.

// arrived waits until a stream has a number of messages.
func arrived(t *testing.T, s *jetstream.Stream, n uint64) {
	t.Helper()
	ctx := in(t, 20*time.Second)
	for {
		info, err := s.Info(ctx)
		if err != nil {
			t.Fatalf("%s never has %d messages: %v", s.Name(), n, err)
		}
		if info.State.Msgs == n {
			return
		}
	}
}

// TestCopies: mirrors and sources begin where they are told to, change subjects,
// and a mirror becomes a stream of its own.
func TestCopies(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	create(t, js, jetstream.StreamConfig{Name: "A", Subjects: []string{"a.*"}})
	create(t, js, jetstream.StreamConfig{Name: "B", Subjects: []string{"b.*"}})
	for i := range 5 {
		publish(t, js, "a."+string(rune('0'+i)), "x")
		publish(t, js, "b."+string(rune('0'+i)), "x")
	}
	mirror := create(t, js, jetstream.StreamConfig{Name: "M", Mirror: &jetstream.StreamSource{Name: "A", OptStartSeq: 3}})
	both := create(t, js, jetstream.StreamConfig{Name: "BOTH", Sources: []*jetstream.StreamSource{
		{Name: "A", OptStartSeq: 5},
		{Name: "B", SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "b.*", Destination: "from.b.{{wildcard(1)}}"}}},
	}})
	arrived(t, mirror, 3)
	arrived(t, both, 6)
	if raw, err := mirror.GetMsg(ctx, 3); err != nil || raw.Subject != "a.2" {
		t.Errorf("%+v, %v", raw, err)
	}
	info, err := both.Info(ctx, jetstream.FilterSubject(">"))
	if err != nil || info.State.Subjects["from.b.0"] != 1 || info.State.Subjects["a.4"] != 1 || len(info.State.Subjects) != 6 {
		t.Errorf("%+v, %v", info.State, err)
	}
	// The stream goes, and its mirror takes its place.
	if err := js.DeleteStream(ctx, "A"); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "a.9", nil, jetstream.RetryAttempts(0)); !errors.Is(err, jetstream.ErrNoStreamResponse) {
		t.Errorf("published to what is gone: %v", err)
	}
	cfg := mirror.CachedInfo().Config
	cfg.Mirror, cfg.Subjects = nil, []string{"a.*"}
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	if seq := publish(t, js, "a.9", ""); seq != 6 {
		t.Errorf("the next sequence is %d", seq)
	}
}

// TestTransform: a stream stores under another subject than was published to.
func TestTransform(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	s := create(t, js, jetstream.StreamConfig{
		Name: "S", Subjects: []string{"in.*"}, SubjectTransform: &jetstream.SubjectTransformConfig{Source: "in.*", Destination: "stored.{{wildcard(1)}}"},
	})
	publish(t, js, "in.7", "x")
	if raw, err := s.GetMsg(t.Context(), 1); err != nil || raw.Subject != "stored.7" {
		t.Errorf("%+v, %v", raw, err)
	}
}

// TestServerRules: what only a server can refuse is a typed error.
func TestServerRules(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	full := create(t, js, jetstream.StreamConfig{
		Name: "FULL", Subjects: []string{"full.*"}, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, MaxMsgsPerSubject: 1, MaxMsgSize: 100,
		ConsumerLimits: jetstream.StreamConsumerLimits{MaxAckPending: 10},
	})
	publish(t, js, "full.a", "x")
	publish(t, js, "full.b", "x")
	long := map[string]string{"a": strings.Repeat("x", 129<<10)}
	for name, c := range map[string]struct {
		call func() error
		want error
	}{
		"a subject that is full":      {func() error { _, err := js.Publish(ctx, "full.a", nil); return err }, jetstream.ErrStreamStoreFailed},
		"a message that is too large": {func() error { _, err := js.Publish(ctx, "full.c", make([]byte, 101)); return err }, jetstream.ErrStreamMessageExceedsMaximum},
		"filters that overlap": {func() error {
			_, err := full.CreateConsumer(ctx, jetstream.ConsumerConfig{Name: "c", FilterSubjects: []string{"full.a", "full.*"}})
			return err
		}, jetstream.ErrOverlappingFilterSubjects},
		"metadata of a consumer": {func() error {
			_, err := full.CreateConsumer(ctx, jetstream.ConsumerConfig{Name: "c", Metadata: long})
			return err
		}, jetstream.ErrConsumerMetadataLength},
		"metadata of a stream": {func() error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "LONG", Metadata: long})
			return err
		}, jetstream.ErrStreamInvalidConfig},
		"more than the stream's limit for consumers": {func() error {
			_, err := full.CreateConsumer(ctx, jetstream.ConsumerConfig{Name: "c", MaxAckPending: 11})
			return err
		}, jetstream.ErrConsumerMaxPendingAckExcess},
	} {
		var api *jetstream.APIError
		if err := c.call(); !errors.Is(err, c.want) || !errors.As(err, &api) || api.Description == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The server's own keys come back and do not disturb.
	cfg := full.CachedInfo().Config
	if cfg.Metadata["_nats.level"] == "" {
		t.Errorf("metadata %v", cfg.Metadata)
	}
	if _, err := js.CreateStream(ctx, cfg); err != nil {
		t.Errorf("the same again: %v", err)
	}
}

// TestDeleteMarker: the last message of a subject leaves a marker when its age
// removes it.
func TestDeleteMarker(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	s := create(t, js, jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s.*"}, MaxAge: 500 * time.Millisecond, AllowMsgTTL: true, AllowRollup: true, SubjectDeleteMarkerTTL: time.Hour,
	})
	publish(t, js, "s.a", "x")
	ctx := in(t, 20*time.Second)
	for {
		raw, err := s.GetLastMsgForSubject(ctx, "s.a")
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Fatal(err)
		}
		if reason := raw.Header.Get(jetstream.MarkerReasonHeader); reason != "" {
			if reason != "MaxAge" || len(raw.Data) != 0 || raw.Header.Get(jetstream.MsgTTLHeader) == "" {
				t.Errorf("%+v with %v", raw, raw.Header)
			}
			return
		}
	}
}

// TestPausedFromTheStart: a consumer may be made paused, and resumes by itself.
func TestPausedFromTheStart(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	until := time.Now().Add(time.Second)
	c := worker(t, js, jetstream.ConsumerConfig{PauseUntil: until, SampleFrequency: "10%"})
	if info := c.CachedInfo(); !info.Paused || info.PauseRemaining <= 0 {
		t.Errorf("%+v", info)
	}
	fill(t, js, "s.a", 1)
	if m := take(t, c); time.Now().Before(until.Add(-50 * time.Millisecond)) {
		t.Errorf("%s came while it was paused", m.Data)
	}
}

// TestResetWhileConsuming: somebody resets the consumer, so its own sequence
// begins again; that is no fault.
func TestResetWhileConsuming(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	c := worker(t, js, jetstream.ConsumerConfig{})
	fill(t, js, "s.a", 3)
	rec, err := c.Receiver(jetstream.ErrorHandler(func(err error) { t.Errorf("told %v", err) }))
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Stop()
	next := func() jetstream.SequencePair {
		t.Helper()
		m, err := rec.Next(in(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		return meta.Sequence
	}
	for range 3 {
		next()
	}
	if _, err := c.Stream().ResetConsumer(t.Context(), c.Name(), 2); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(2) {
		if got := next(); got != (jetstream.SequencePair{Consumer: i + 1, Stream: i + 2}) {
			t.Errorf("after the reset came %+v", got)
		}
	}
}

// TestLeastPermissions: who may pull and acknowledge, and nothing else, consumes.
func TestLeastPermissions(t *testing.T) {
	t.Parallel()
	srv := natstest.Run(t, natstest.JetStream(), natstest.Config(`
		accounts { A { jetstream: enabled, users: [
			{user: all, password: all}
			{user: some, password: some, permissions: {publish: ["$JS.API.CONSUMER.MSG.NEXT.S.C", "$JS.ACK.S.C.>"], subscribe: ["_INBOX.>"]}}
		] } }`))
	user := func(name string) *jetstream.JetStream {
		return handle(t, strings.Replace(srv.URL(), "://", "://"+name+":"+name+"@", 1))
	}
	admin := user("all")
	full := worker(t, admin, jetstream.ConsumerConfig{})
	fill(t, admin, "s.a", 20)
	c := user("some").StreamHandle("S").ConsumerHandle("C")
	var got []string
	for m, err := range c.Messages(in(t, 20*time.Second), jetstream.StopAfter(10)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Data))
		if err := m.AckSync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for m, err := range c.Fetch(in(t, 20*time.Second), 10) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(m.Data))
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 20 || !slices.Contains(got, "19") {
		t.Errorf("got %q", got)
	}
	eventually(t, full, "acknowledged", acked(20))
	var refused *nats.PermissionError
	if _, err := c.Info(t.Context()); !errors.As(err, &refused) {
		t.Errorf("information that is not permitted: %v", err)
	}
}
