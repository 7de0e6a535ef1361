package jetstream

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/pull"
)

// FuzzDecode gives what servers may answer to all that reads it: there is an
// error of ours or a value that makes sense, whatever comes.
func FuzzDecode(f *testing.F) {
	for _, data := range []string{
		`{"stream":"S","seq":6,"duplicate": true}`, `{"error":{"code":400,"err_code":10071}}`, `{"total":5,"streams":[null]}`, `{"config":{"retention":"new"}}`,
		`{"type":"io.nats.jetstream.advisory.v1.nak","stream_seq":5}`, `[]`, `null`, `"`, ``,
	} {
		f.Add("NATS/1.0\r\nNats-Stream: S\r\nNats-Subject: s\r\nNats-Sequence: 7\r\nNats-Time-Stamp: 2026-01-02T03:04:05Z\r\n\r\n", data)
	}
	f.Add("NATS/1.0 404 Message Not Found\r\n\r\n", "")
	f.Fuzz(func(t *testing.T, block, data string) {
		m := nats.Msg{Subject: "s", Data: []byte(data)}
		_ = m.Header.UnmarshalText([]byte(block)) // a bad one is none
		var api *APIError
		ours := func(err error) bool {
			return errors.As(err, &api) || errors.Is(err, ErrInvalidResponse) || errors.Is(err, ErrInvalidPubAck) ||
				errors.Is(err, ErrNoMessages) || errors.Is(err, nats.ErrNoResponders)
		}
		if ack, err := DecodePubAck(m); err == nil && ack.Stream == "" || err != nil && !ours(err) {
			t.Errorf("receipt %+v, %v", ack, err)
		}
		if raw, err := DecodeStreamMsg(m); err != nil && !ours(err) || err == nil && raw.Header.Err() != nil {
			t.Errorf("message %+v, %v", raw, err)
		}
		var info StreamInfo
		if err := DecodeResponse(m, &info); err != nil && !ours(err) {
			t.Errorf("info %+v, %v", info, err)
		} else if err == nil {
			_ = info.clone()
			_ = info.Config.check()
		}
		if a, err := DecodeAdvisory(m); err != nil && !ours(err) || err == nil && a == nil {
			t.Errorf("advisory %+v, %v", a, err)
		}
	})
}

// FuzzStatus gives what may come to the inbox of a session to what reads it, and
// to the machine: it never asks for what makes no sense, and never all the time.
func FuzzStatus(f *testing.F) {
	for _, block := range []string{
		"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 5\r\nNats-Pending-Bytes: 0\r\n\r\n", "NATS/1.0 409 Exceeded MaxRequestBatch of 3\r\n\r\n",
		"NATS/1.0 409 Exceeded MaxRequestExpires of 2s\r\n\r\n", "NATS/1.0 409 Message Size Exceeds MaxBytes\r\n\r\n", "NATS/1.0 503\r\n\r\n", "NATS/1.0 100 Idle Heartbeat\r\n\r\n",
	} {
		f.Add(block, "1", "", uint8(3))
	}
	f.Fuzz(func(t *testing.T, block, token, data string, times uint8) {
		const prefix = "_INBOX.x.1."
		m := nats.Msg{Subject: prefix + token, Data: []byte(data)}
		_ = m.Header.UnmarshalText([]byte(block)) // a bad one is none
		s, ok := readStatus(&m, prefix)
		if ok && (s.Code == 0 || len(data) > 0 || s.Msgs < 0 || s.Bytes < 0) {
			t.Errorf("%+v", s)
		}
		now := time.Hour
		machine := pull.New(pull.Config{MaxMessages: 10, MaxBytes: 1000, Threshold: 5, Expiry: 30 * time.Second, Heartbeat: 5 * time.Second})
		machine.LinkUp(now, 0, 0)
		pulls := 0
		for range times {
			for {
				a := machine.Next(now)
				if a.Kind == pull.Wait || a.Kind == pull.End {
					break
				}
				if r := a.Request; a.Kind == pull.Pull {
					pulls++
					if r.Batch < 1 || r.Batch > 10 || r.MaxBytes < 1 || r.MaxBytes > 1000 || r.Expires < 1 || r.Heartbeat < 0 {
						t.Errorf("asks for %+v", r)
					}
					if ok { // about each pull
						s.Token = r.Token
					}
				}
			}
			if ok {
				machine.Status(now, s)
			} else {
				machine.Noise()
			}
			now += time.Millisecond
		}
		if pulls > 20 {
			t.Errorf("%d pulls in %v", pulls, now-time.Hour)
		}
	})
}

// FuzzPubAck holds the short way to read a receipt against the JSON decoder.
func FuzzPubAck(f *testing.F) {
	for _, data := range []string{
		`{"stream":"S","seq":6,"duplicate": true}`, `{"stream":"ORDERS","seq":18446744073709551615}`, `{"stream":"S","seq":18446744073709551616}`,
		`{"stream":"S", "domain":"D","seq":1}`, `{"stream":"S","seq":01}`, `{"stream":"S\u00e4","seq":1}`, `{}`, `{"stream":"S","seq":1,"val":"5"}`,
		`{"stream":"S","seq":1,}`, `{,"stream":"S"}`, `{"stream":"S"}x`, `{"seq":1,"seq":2,"stream":"S"}`, `{"stream":"S","seq":-1}`, `{"stream":"S","seq":1.0}`,
		`{"error":{"code":400},"stream":"S","seq":0}`, `{"stream":"S","seq":0,"duplicate":false}`, `{"stream":"","seq":1}`,
	} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data string) {
		for _, last := range []*PubAck{nil, {Stream: "S", Domain: "D"}} {
			ack, ok := parsePubAck([]byte(data), last)
			if !ok {
				continue
			}
			var resp struct {
				Error *APIError `json:"error"`
				PubAck
			}
			if err := json.Unmarshal([]byte(data), &resp); err != nil || resp.Error != nil || resp.PubAck != ack {
				t.Errorf("%q is %+v, want %+v, %v", data, ack, resp, err)
			}
		}
	})
}
