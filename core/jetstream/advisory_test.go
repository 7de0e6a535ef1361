package jetstream

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
)

func TestDecodeAdvisory(t *testing.T) {
	decode := func(data string) (Advisory, error) { return DecodeAdvisory(nats.Msg{Data: []byte(data)}) }
	for name := range advisories {
		kind := "advisory"
		if name == "consumer_ack" {
			kind = "metric"
		}
		a, err := decode(fmt.Sprintf(`{"type":"io.nats.jetstream.%s.v1.%s","id":"x","timestamp":"2026-01-02T03:04:05Z","stream":"S","new":{"field":1}}`, kind, name))
		if err != nil || a.Head().ID != "x" || !a.Head().Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
			t.Errorf("%s: %+v, %v", name, a, err)
			continue
		}
		if f := reflect.ValueOf(a).FieldByName("Stream"); f.IsValid() && f.String() != "S" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	for _, typ := range []string{"io.nats.jetstream.advisory.v1.invented", "io.nats.server.advisory.v1.nak", "nak", ""} {
		a, err := decode(`{"type":"` + typ + `","id":"x","more":1}`)
		u, ok := a.(UnknownAdvisory)
		if err != nil || !ok || u.Head().Type != typ || string(u.Data) != `{"type":"`+typ+`","id":"x","more":1}` {
			t.Errorf("%s: %#v, %v", typ, a, err)
		}
	}
	for _, data := range []string{"", "x", `{"type":5}`, `{"type":"io.nats.jetstream.advisory.v1.nak","stream_seq":"x"}`} {
		if a, err := decode(data); !errors.Is(err, ErrInvalidResponse) {
			t.Errorf("%s: %#v, %v", data, a, err)
		}
	}
}

func TestUserInfo(t *testing.T) {
	for data, want := range map[string]error{
		`{"server":{},"data":{"user":"u","account":"A","expires":5000000000}}`: nil,
		`{"error":{"code":400}}`: &APIError{Code: 400},
		`{"server":{}}`:          ErrInvalidResponse,
		`x`:                      ErrInvalidResponse,
	} {
		scripted(t, func(string, string) answer { return answer{data: data} }, func(t *testing.T, r *rig) {
			info, err := r.UserInfo(t.Context())
			if !errors.Is(err, want) || err == nil && (info.User != "u" || info.Expires != 5*time.Second) {
				t.Errorf("%s: %+v, %v", data, info, err)
			}
			if asked := r.last().Subject; asked != "$SYS.REQ.USER.INFO" {
				t.Errorf("asked %s", asked)
			}
			if _, err := r.UserInfo(noContext); err == nil {
				t.Error("no context")
			}
		}, Domain("elsewhere"))
	}
}
