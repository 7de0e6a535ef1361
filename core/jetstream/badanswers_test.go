package jetstream

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	nats "github.com/perigee-go/nats/core"
)

// nonsense are documents that are no answer to anything.
var nonsense = map[string]string{
	"nothing": "", "a blank": " ", "text": "nope", "half an object": `{"a":`, "half a string": `{"a":"b`, "two objects": `{}{}`, "a number": "5", "a string": `"a"`, "an array": "[]",
	"a bool": "true", "NUL": "\x00", "not UTF-8 and no JSON": "\xff\xfe", "an error that is text": `{"error":"no"}`, "an error that is a list": `{"error":[]}`,
	"a code that is text": `{"error":{"code":"400"}}`, "a code with a fraction": `{"error":{"code":1.5}}`, "a code below 0": `{"error":{"err_code":-1}}`,
	"a code of 17 bits": `{"error":{"err_code":65536}}`, "a code of 65 bits": `{"error":{"code":18446744073709551616}}`, "a description that is a number": `{"error":{"description":5}}`,
	"arrays without end": strings.Repeat("[", 20_000), "objects without end": strings.Repeat(`{"a":`, 20_000), "an error in which are errors": `{"error":` + strings.Repeat(`{"error":`, 20_000),
}

// wrongTypes are documents of which a field is of another type, or out of range.
var wrongTypes = map[string][]string{
	"stream info": {
		`{"config":5}`, `{"config":[]}`, `{"config":{"name":5}}`, `{"config":{"subjects":"a"}}`, `{"config":{"subjects":[1]}}`, `{"config":{"max_age":"1s"}}`, `{"config":{"max_age":1.5}}`,
		`{"config":{"max_age":9223372036854775808}}`, `{"config":{"max_msg_size":2147483648}}`, `{"config":{"retention":5}}`, `{"config":{"metadata":["a"]}}`, `{"config":{"sources":{}}}`,
		`{"created":5}`, `{"created":"yesterday"}`, `{"state":[]}`, `{"state":{"messages":-1}}`, `{"state":{"messages":18446744073709551616}}`, `{"state":{"messages":1e400}}`,
		`{"state":{"first_ts":"soon"}}`, `{"state":{"deleted":[-1]}}`, `{"state":{"subjects":[]}}`, `{"state":{"subjects":{"a":-1}}}`, `{"cluster":"c"}`, `{"cluster":{"replicas":[{"active":"1s"}]}}`,
		`{"sources":[{"lag":-1}]}`, `{"mirror":{"error":5}}`, `{"alternates":{}}`,
	},
	"consumer info": {
		`{"name":5}`, `{"config":{"ack_policy":1}}`, `{"config":{"backoff":["1s"]}}`, `{"config":{"opt_start_seq":-1}}`, `{"delivered":[]}`, `{"delivered":{"consumer_seq":-1}}`, `{"num_pending":-1}`,
		`{"num_waiting":"5"}`, `{"priority_groups":{}}`, `{"priority_groups":[{"pinned_ts":5}]}`, `{"pause_remaining":"1s"}`, `{"ts":0}`, `{"paused":"yes"}`,
	},
	"account info": {`{"memory":-1}`, `{"api":[]}`, `{"api":{"level":"5"}}`, `{"tiers":[]}`, `{"tiers":{"R1":5}}`, `{"limits":{"max_streams":"no"}}`},
	"receipt": {
		`{"stream":7}`, `{"stream":"S","seq":-1}`, `{"stream":"S","seq":"6"}`, `{"stream":"S","seq":1.5}`, `{"stream":"S","seq":18446744073709551616}`, `{"stream":"S","duplicate":"yes"}`,
		`{"stream":"S","domain":5}`, `{"stream":"S","val":7}`, `{"stream":"S","batch":5}`, `{"stream":"S","count":"5"}`, `{"stream":"S","count":1.5}`, `{"stream":["S"]}`, `{"seq":6}`, `{"stream":""}`, `null`, `{}`,
	},
	"advisory": {
		`{"type":5}`, `{"type":"io.nats.jetstream.advisory.v1.nak","stream_seq":"x"}`, `{"type":"io.nats.jetstream.advisory.v1.nak","stream_seq":-1}`, `{"timestamp":"soon"}`, `{"id":{}}`,
		`{"type":"io.nats.jetstream.advisory.v1.api_audit","client":"c"}`, `{"type":"io.nats.jetstream.advisory.v1.stream_leader_elected","replicas":"r"}`,
		`{"type":"io.nats.jetstream.advisory.v1.restore_complete","bytes":"5"}`, `{"type":"io.nats.jetstream.metric.v1.consumer_ack","ack_time":"1s"}`,
	},
}

// badAnswers: what a server may answer, or somebody in its place, to everything
// that reads it.
func badAnswers(t *testing.T, c *corpus) {
	refuse := func(on, kind string, want error, read func(nats.Msg) error, data string) {
		t.Helper()
		c.add(t, on, kind)
		defer func() {
			if r := recover(); r != nil {
				t.Errorf("%s: %s: it panics: %v", on, kind, r)
			}
		}()
		err := read(nats.Msg{Data: []byte(data)})
		if !errors.Is(err, want) {
			t.Errorf("%s: %s: %v, want %v", on, kind, err, want)
		} else if n := len(err.Error()); n > 500 {
			t.Errorf("%s: %s: a text of %d bytes", on, kind, n)
		}
	}
	decode := func(resp any) func(nats.Msg) error { return func(m nats.Msg) error { return DecodeResponse(m, resp) } }
	receipt := func(m nats.Msg) error { return only(DecodePubAck(m)) }
	advisory := func(m nats.Msg) error { return only(DecodeAdvisory(m)) }
	for kind, data := range nonsense {
		refuse("DecodeResponse", kind, ErrInvalidResponse, decode(nil), data)
		refuse("DecodePubAck", kind, ErrInvalidPubAck, receipt, data)
		refuse("DecodeStreamMsg", kind, ErrInvalidResponse, func(m nats.Msg) error { return only(DecodeStreamMsg(m)) }, data)
		if !strings.Contains(kind, "error") && !strings.Contains(kind, "code") && !strings.Contains(kind, "description") {
			refuse("DecodeAdvisory", kind, ErrInvalidResponse, advisory, data)
		}
	}
	for kind, list := range wrongTypes {
		for i, data := range list {
			kind := fmt.Sprintf("%s %d", kind, i)
			switch {
			case strings.HasPrefix(kind, "receipt"):
				refuse("DecodePubAck", kind, ErrInvalidPubAck, receipt, data)
			case strings.HasPrefix(kind, "advisory"):
				refuse("DecodeAdvisory", kind, ErrInvalidResponse, advisory, data)
			case strings.HasPrefix(kind, "stream info"):
				refuse("DecodeResponse", kind, ErrInvalidResponse, decode(new(StreamInfo)), data)
			case strings.HasPrefix(kind, "consumer info"):
				refuse("DecodeResponse", kind, ErrInvalidResponse, decode(new(ConsumerInfo)), data)
			default:
				refuse("DecodeResponse", kind, ErrInvalidResponse, decode(new(AccountInfo)), data)
			}
		}
	}
	for kind, fields := range badDirects {
		c.add(t, "DecodeStreamMsg", kind)
		h, err := nats.NewHeader(fields...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeStreamMsg(nats.Msg{Header: h, Data: []byte("x")}); !errors.Is(err, ErrInvalidResponse) {
			t.Errorf("direct get, %s: %v", kind, err)
		}
	}
}

const someTime = "2026-01-02T03:04:05Z"

// badDirects are headers of answers to a direct get that lack something.
var badDirects = map[string][]string{
	"no fields":           {},
	"no stream":           {SubjectHeader, "s", SequenceHeader, "1", TimeStampHeader, someTime},
	"no subject":          {StreamHeader, "S", SequenceHeader, "1", TimeStampHeader, someTime},
	"no sequence":         {StreamHeader, "S", SubjectHeader, "s", TimeStampHeader, someTime},
	"no time":             {StreamHeader, "S", SubjectHeader, "s", SequenceHeader, "1"},
	"another order":       {SubjectHeader, "s", StreamHeader, "S", SequenceHeader, "1", TimeStampHeader, someTime},
	"something behind":    {StreamHeader, "S", SubjectHeader, "s", SequenceHeader, "1", TimeStampHeader, someTime, "A", "1"},
	"lower case":          {"nats-stream", "S", "nats-subject", "s", "nats-sequence", "1", "nats-time-stamp", someTime},
	"a sequence of text":  {StreamHeader, "S", SubjectHeader, "s", SequenceHeader, "one", TimeStampHeader, someTime},
	"a sequence below 0":  {StreamHeader, "S", SubjectHeader, "s", SequenceHeader, "-1", TimeStampHeader, someTime},
	"a sequence too high": {StreamHeader, "S", SubjectHeader, "s", SequenceHeader, "18446744073709551616", TimeStampHeader, someTime},
	"an empty sequence":   {StreamHeader, "S", SubjectHeader, "s", SequenceHeader, "", TimeStampHeader, someTime},
	"a time of text":      {StreamHeader, "S", SubjectHeader, "s", SequenceHeader, "1", TimeStampHeader, "soon"},
	"an empty time":       {StreamHeader, "S", SubjectHeader, "s", SequenceHeader, "1", TimeStampHeader, ""},
	"half of a batch":     {StreamHeader, "S", SubjectHeader, "s", SequenceHeader, "1", TimeStampHeader, someTime, NumPendingHeader, "1"},
	"a batch backwards":   {StreamHeader, "S", SubjectHeader, "s", SequenceHeader, "1", TimeStampHeader, someTime, LastSequenceHeader, "1", NumPendingHeader, "1"},
}
