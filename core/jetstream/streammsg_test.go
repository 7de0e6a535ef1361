package jetstream

import (
	"errors"
	"strings"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
)

// direct is an answer to a direct get, as it comes from a server.
func direct(t *testing.T, block, data string) nats.Msg {
	t.Helper()
	var m nats.Msg
	scripted(t, func(string, string) answer { return answer{strings.ReplaceAll(block, "\n", "\r\n"), data} }, func(t *testing.T, r *rig) {
		var err error
		if m, err = r.Conn().RequestMsg(t.Context(), nats.Msg{Subject: "x", Reply: r.Conn().NewInbox()}); err != nil {
			t.Fatal(err)
		}
	})
	return m
}

func TestDecodeStreamMsg(t *testing.T) {
	const own = "Nats-Stream: S\nNats-Subject: s.1\nNats-Sequence: 7\nNats-Time-Stamp: 2026-01-02T03:04:05.000000006Z\n"
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, tt := range []struct {
		name, block, data string
		header            string // its fields
		pending           uint64
	}{
		{"without a header", "NATS/1.0\n" + own + "\n", "x", "", 0},
		{"with one", "NATS/1.0\nA: 1\nA: 2\n" + own + "\n", "x", "A=1 A=2", 0},
		{"republished once", "NATS/1.0\nNats-Stream: O\nNats-Subject: o\nNats-Sequence: 1\nNats-Time-Stamp: no\nNats-Last-Sequence: 0\n" + own + "\n", "x",
			"Nats-Stream=O Nats-Subject=o Nats-Sequence=1 Nats-Time-Stamp=no Nats-Last-Sequence=0", 0},
		{"in a batch", "NATS/1.0\nA: 1\n" + own + "Nats-Num-Pending: 9\nNats-Last-Sequence: 3\n\n", "x", "A=1", 9},
		{"that looks like a batch", "NATS/1.0\nNats-Num-Pending: 9\nNats-Last-Sequence: 3\n" + own + "\n", "x", "Nats-Num-Pending=9 Nats-Last-Sequence=3", 0},
		{"that was stored with a status", "NATS/1.0 404 Message Not Found\nA: 1\n" + own + "\n", "", "A=1", 0},
		{"that was stored with the end of a batch", "NATS/1.0 204 EOB\n" + own + "\n", "", "", 0},
		{"of an old server", "NATS/1.0\n" + strings.Replace(own, "2026-01-02T03:04:05.000000006Z", "2026-01-02 03:04:05.000000006 +0000 UTC", 1) + "\n", "x", "", 0},
	} {
		raw, err := DecodeStreamMsg(direct(t, tt.block, tt.data))
		var fields []string
		for name, value := range raw.Header.All() {
			fields = append(fields, name+"="+value)
		}
		if err != nil || raw.Subject != "s.1" || raw.Sequence != 7 || !raw.Time.Equal(at) || string(raw.Data) != tt.data ||
			strings.Join(fields, " ") != tt.header || raw.Pending != tt.pending {
			t.Errorf("a message %s: %+v with %q, %v", tt.name, raw, fields, err)
		}
	}
	var api *APIError
	for block, want := range map[string]error{
		"NATS/1.0 404 Message Not Found\n\n":                               ErrMsgNotFound,
		"NATS/1.0 404 No Results\n\n":                                      ErrMsgNotFound,
		"NATS/1.0 204 EOB\nNats-Num-Pending: 0\nNats-Last-Sequence: 5\n\n": ErrNoMessages,
		"NATS/1.0 408 Bad Request\n\n":                                     &APIError{Code: 408},
		"NATS/1.0 413 Too Many Results\n\n":                                &APIError{Code: 413},
		"NATS/1.0 412 Required Api Level\n\n":                              ErrRequiredAPILevel,
		"NATS/1.0\nA: 1\n\n":                                               ErrInvalidResponse,
		"NATS/1.0\n" + strings.Replace(own, ": 7", ": x", 1) + "\n":        ErrInvalidResponse,
		"NATS/1.0\n" + strings.Replace(own, "2026", "soon", 1) + "\n":      ErrInvalidResponse,
	} {
		_, err := DecodeStreamMsg(direct(t, block, ""))
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", block, err, want)
		}
		if errors.Is(err, ErrMsgNotFound) && (!errors.As(err, &api) || api.Code != 404) {
			t.Errorf("%q: %v is no APIError", block, err)
		}
	}
	if _, err := DecodeStreamMsg(nats.Msg{}); !errors.Is(err, ErrInvalidResponse) {
		t.Errorf("nothing: %v", err)
	}
}

// TestGetMsgRequests: which way a message is asked for.
func TestGetMsgRequests(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		allowed bool
		get     func(*Stream, *testing.T) error
		subject string
		body    string
	}{
		{false, func(s *Stream, t *testing.T) error { _, err := s.GetMsg(t.Context(), 5); return err }, "STREAM.MSG.GET.S", `{"seq":5}`},
		{true, func(s *Stream, t *testing.T) error { _, err := s.GetMsg(t.Context(), 5); return err }, "DIRECT.GET.S", `{"seq":5}`},
		{true, func(s *Stream, t *testing.T) error { _, err := s.GetMsg(t.Context(), 5, FromLeader()); return err }, "STREAM.MSG.GET.S", `{"seq":5}`},
		{true, func(s *Stream, t *testing.T) error {
			_, err := s.GetMsg(t.Context(), 0, StartTime(start), FilterSubject("a.>"))
			return err
		}, "DIRECT.GET.S", `{"next_by_subj":"a.\u003e","start_time":"2026-01-02T03:04:05Z"}`},
		{true, func(s *Stream, t *testing.T) error { _, err := s.GetLastMsgForSubject(t.Context(), "a.b"); return err }, "DIRECT.GET.S.a.b", ``},
		{true, func(s *Stream, t *testing.T) error { _, err := s.GetLastMsgForSubject(t.Context(), "a.*"); return err }, "DIRECT.GET.S", `{"last_by_subj":"a.*"}`},
		{false, func(s *Stream, t *testing.T) error { _, err := s.GetLastMsgForSubject(t.Context(), "a.b"); return err }, "STREAM.MSG.GET.S", `{"last_by_subj":"a.b"}`},
	} {
		scripted(t, func(subject, _ string) answer {
			if subject == "STREAM.INFO.S" {
				return jsonAnswer(t, map[string]any{"config": map[string]any{"name": "S", "allow_direct": tt.allowed}})
			}
			return answer{header: "NATS/1.0 404 Message Not Found\r\n\r\n"}
		}, func(t *testing.T, r *rig) {
			s, err := r.Stream(t.Context(), "S")
			if err != nil {
				t.Fatal(err)
			}
			if err := tt.get(s, t); err == nil {
				t.Error("no error")
			}
			if op := r.last(); withoutPrefix(op.Subject) != tt.subject || string(op.Data) != tt.body {
				t.Errorf("asked %s with %s; want %s with %s", op.Subject, op.Data, tt.subject, tt.body)
			}
		})
	}
	// 503 is the answer of a server that does not allow it any more.
	scripted(t, func(subject, _ string) answer {
		switch subject {
		case "STREAM.INFO.S":
			return answer{data: `{"config":{"name":"S","allow_direct":true}}`}
		case "STREAM.MSG.GET.S":
			return answer{data: `{"message":{"subject":"s","seq":5,"hdrs":"TkFUUy8xLjANCkE6IDENCg0K","data":"eA==","time":"2026-01-02T03:04:05Z"}}`}
		}
		return nobody
	}, func(t *testing.T, r *rig) {
		s, err := r.Stream(t.Context(), "S")
		if err != nil {
			t.Fatal(err)
		}
		raw, err := s.GetMsg(t.Context(), 5)
		if err != nil || raw.Subject != "s" || raw.Sequence != 5 || raw.Header.Get("A") != "1" || string(raw.Data) != "x" || !raw.Time.Equal(start) {
			t.Errorf("%+v, %v", raw, err)
		}
	})
}
