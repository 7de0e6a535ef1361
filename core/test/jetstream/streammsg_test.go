package jetstream_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/jetstream"
)

// TestGetMsg reads the same messages directly and from the leader.
func TestGetMsg(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	for _, direct := range []bool{false, true} {
		name := fmt.Sprintf("DIRECT%v", direct)
		s := create(t, js, jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}, AllowDirect: direct})
		subject := func(i int) string { return fmt.Sprintf("%s.%d", name, i%2) }
		var times []time.Time
		for i := 1; i <= 6; i++ {
			m := nats.Msg{Subject: subject(i), Data: fmt.Appendf(nil, "data %d", i)}
			if i == 3 {
				m.Header = header(t, "A", "1", "A", "2", "b", "")
			}
			if _, err := js.PublishMsg(ctx, m); err != nil {
				t.Fatal(err)
			}
			raw, err := s.GetMsg(ctx, uint64(i), jetstream.FromLeader())
			if err != nil {
				t.Fatal(err)
			}
			times = append(times, raw.Time)
		}
		for _, leader := range []bool{false, true} {
			opts := func(opts ...jetstream.GetMsgOption) []jetstream.GetMsgOption {
				if leader {
					opts = append(opts, jetstream.FromLeader())
				}
				return opts
			}
			t.Run(fmt.Sprintf("direct %v, from the leader %v", direct, leader), func(t *testing.T) {
				check := func(what string, raw jetstream.RawStreamMsg, err error, want int) {
					t.Helper()
					if err != nil || raw.Sequence != uint64(want) || raw.Subject != subject(want) || string(raw.Data) != fmt.Sprintf("data %d", want) ||
						!raw.Time.Equal(times[want-1]) {
						t.Errorf("%s: %+v, %v; want %d", what, raw, err, want)
					}
					if h := raw.Header; want == 3 && !(h.Len() == 3 && fmt.Sprint(h.Values("A")) == "[1 2]") || want != 3 && h.Len() != 0 {
						t.Errorf("%s: header %v", what, raw.Header)
					}
				}
				raw, err := s.GetMsg(ctx, 3, opts()...)
				check("by sequence", raw, err, 3)
				raw, err = s.GetMsg(ctx, 2, opts(jetstream.FilterSubject(subject(1)))...)
				check("next of a subject", raw, err, 3)
				raw, err = s.GetMsg(ctx, 0, opts(jetstream.FilterSubject(subject(2)))...)
				check("first of a subject", raw, err, 2)
				raw, err = s.GetMsg(ctx, 0, opts(jetstream.StartTime(times[3]))...)
				check("by time", raw, err, 4)
				raw, err = s.GetMsg(ctx, 0, opts(jetstream.StartTime(times[3]), jetstream.FilterSubject(subject(1)))...)
				check("by time, of a subject", raw, err, 5)
				raw, err = s.GetLastMsgForSubject(ctx, subject(1), opts()...)
				check("last of a subject", raw, err, 5)
				raw, err = s.GetLastMsgForSubject(ctx, name+".*", opts()...)
				check("last of a wildcard", raw, err, 6)
				_, err = s.GetMsg(ctx, 99, opts()...)
				_, err2 := s.GetLastMsgForSubject(ctx, name+".none", opts()...)
				_, err3 := s.GetMsg(ctx, 0, opts(jetstream.StartTime(time.Now().Add(time.Hour)))...)
				for _, err := range []error{err, err2, err3} {
					if !errors.Is(err, jetstream.ErrMsgNotFound) {
						t.Errorf("what there is not: %v", err)
					}
				}
			})
		}
	}
	_, err := js.StreamHandle("NONE").GetMsg(ctx, 1)
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("of a stream that there is not: %v", err)
	}
}

// TestDirectGetWasTurnedOff: the handle remembers AllowDirect, the server does
// not answer any more.
func TestDirectGetWasTurnedOff(t *testing.T) {
	t.Parallel()
	js, srv := run(t)
	s := create(t, js, jetstream.StreamConfig{Name: "S", AllowDirect: true})
	publish(t, js, "S", "x")
	if _, err := s.GetMsg(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := handle(t, srv.URL()).UpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	if raw, err := s.GetMsg(t.Context(), 1); err != nil || string(raw.Data) != "x" {
		t.Errorf("%+v, %v", raw, err)
	}
}

// TestDirectGetOfRepublished: a message that was read and stored once more has
// the server's fields twice, and the last ones are its own.
func TestDirectGetOfRepublished(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	s := create(t, js, jetstream.StreamConfig{Name: "COPY", AllowDirect: true})
	create(t, js, jetstream.StreamConfig{
		Name: "ORIGIN", Subjects: []string{"origin"}, RePublish: &jetstream.RePublish{Source: "origin", Destination: "COPY"},
	})
	publish(t, js, "COPY", "first")
	publish(t, js, "origin", "again")
	var raw jetstream.RawStreamMsg
	for err := error(jetstream.ErrMsgNotFound); errors.Is(err, jetstream.ErrMsgNotFound); {
		if raw, err = s.GetMsg(t.Context(), 2); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Fatal(err)
		}
	}
	if raw.Sequence != 2 || raw.Subject != "COPY" || raw.Header.Get(jetstream.StreamHeader) != "ORIGIN" || raw.Header.Get(jetstream.SequenceHeader) != "1" {
		t.Errorf("%+v, header %v", raw, raw.Header)
	}
	leader, err := s.GetMsg(t.Context(), 2, jetstream.FromLeader())
	if err != nil || leader.Header != raw.Header {
		t.Errorf("the leader tells the header %v, %v", leader.Header, err)
	}
}

// TestDecodeStreamMsg reads a batched direct get, as helpers do.
func TestDecodeStreamMsg(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	create(t, js, jetstream.StreamConfig{Name: "S", AllowDirect: true})
	for i := range 3 {
		publish(t, js, "S", fmt.Sprint(i), jetstream.MsgID(fmt.Sprint(i)))
	}
	inbox := js.Conn().NewInbox()
	sub, err := js.Conn().SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.Conn().PublishRequest(js.APISubject("DIRECT.GET.S"), inbox, []byte(`{"seq":1,"batch":5}`)); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		m, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := jetstream.DecodeStreamMsg(m)
		if err != nil || raw.Sequence != uint64(i+1) || raw.Pending != uint64(2-i) || raw.Header.Len() != 1 || raw.Header.Get(jetstream.MsgIDHeader) != fmt.Sprint(i) {
			t.Errorf("%+v, %v", raw, err)
		}
	}
	m, err := sub.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jetstream.DecodeStreamMsg(m); !errors.Is(err, jetstream.ErrNoMessages) {
		t.Errorf("the end of the batch: %v", err)
	}
	for _, body := range []string{"", "{}", "[", `{"seq":1,"last_by_subj":"S"}`} {
		m, err := js.Conn().Request(t.Context(), js.APISubject("DIRECT.GET.S"), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		var api *jetstream.APIError
		if _, err := jetstream.DecodeStreamMsg(m); !errors.As(err, &api) || api.Code != 408 {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestDeleteMsg(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	ctx := t.Context()
	s := create(t, js, jetstream.StreamConfig{Name: "S"})
	for range 3 {
		publish(t, js, "S", "x")
	}
	if err := s.DeleteMsg(ctx, 1); err != nil {
		t.Error(err)
	}
	if err := s.SecureDeleteMsg(ctx, 2); err != nil {
		t.Error(err)
	}
	for seq := range uint64(3) {
		if _, err := s.GetMsg(ctx, seq+1); (err == nil) != (seq == 2) {
			t.Errorf("message %d: %v", seq+1, err)
		}
	}
	if err := s.DeleteMsg(ctx, 1); !errors.Is(err, jetstream.ErrSequenceNotFound) {
		t.Errorf("once more: %v", err)
	}
	denied := create(t, js, jetstream.StreamConfig{Name: "D", DenyDelete: true})
	publish(t, js, "D", "x")
	if err := denied.DeleteMsg(ctx, 1); err == nil {
		t.Error("deleted although that is denied")
	}
}

// TestErase: the two ways to delete differ in what they ask the server for.
func TestErase(t *testing.T) {
	t.Parallel()
	js, _ := run(t)
	create(t, js, jetstream.StreamConfig{Name: "S"})
	publish(t, js, "S", "x")
	publish(t, js, "S", "x")
	sub, err := js.Conn().SubscribeSync(js.APISubject("STREAM.MSG.DELETE.S"))
	if err != nil {
		t.Fatal(err)
	}
	s := js.StreamHandle("S")
	if err := errors.Join(s.DeleteMsg(t.Context(), 1), s.SecureDeleteMsg(t.Context(), 2)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`{"seq":1,"no_erase":true}`, `{"seq":2}`} {
		if m, err := sub.Next(t.Context()); err != nil || !bytes.Equal(m.Data, []byte(want)) {
			t.Errorf("asked %s, %v", m.Data, err)
		}
	}
}
