package jetstream

import (
	"errors"
	"testing"

	nats "github.com/perigee-go/nats/core"
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
