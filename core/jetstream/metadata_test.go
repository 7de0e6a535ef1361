package jetstream

import (
	"errors"
	"strings"
	"testing"
	"time"

	nats "github.com/perigee-go/nats/core"
)

func TestParseAckSubject(t *testing.T) {
	want := MsgMetadata{
		Stream: "S", Consumer: "C", NumDelivered: 1, NumPending: 5, Timestamp: time.Unix(0, 4), Sequence: SequencePair{Consumer: 3, Stream: 2},
	}
	inDomain := want
	inDomain.Domain = "hub"
	for subject, want := range map[string]MsgMetadata{
		"$JS.ACK.S.C.1.2.3.4.5":                want,
		"$JS.ACK._.hash.S.C.1.2.3.4.5":         want,
		"$JS.ACK._.hash.S.C.1.2.3.4.5.token":   want,
		"$JS.ACK.hub.hash.S.C.1.2.3.4.5":       inDomain,
		"$JS.ACK.hub.hash.S.C.1.2.3.4.5.x.y.z": inDomain,
		"$JS.ACK.S.C.1.2.3.4.18446744073709551615": {
			Stream: "S", Consumer: "C", NumDelivered: 1, NumPending: 1<<64 - 1, Timestamp: time.Unix(0, 4), Sequence: SequencePair{3, 2},
		},
	} {
		if got, ok := parseAckSubject(subject); !ok || got != want {
			t.Errorf("%s: %+v %v, want %+v", subject, got, ok, want)
		}
	}
	for _, subject := range []string{
		"", "$JS.ACK", "$JS.ACK.", "$JS.ACK.S.C", "$JS.ACK.S.C.1.2.3.4", "$JS.ACK.a.b.c.1.2.3.4.5", "$JS.ACK.S.C.1.2.3.4.x", "$JS.ACK.S.C.1.2.3.4.",
		"$JS.ACK.S.C.1.2.3.4.-5", "$JS.ACK.S.C.1.2.3.4.18446744073709551616", "$JS.ACK..C.1.2.3.4.5", "$JS.ACK.S..1.2.3.4.5",
		"$JS.API.S.C.1.2.3.4.5", "x$JS.ACK.S.C.1.2.3.4.5", "$JS.ACK.S.C.1.2.3.4.99999999999999999999999",
	} {
		if got, ok := parseAckSubject(subject); ok || got != (MsgMetadata{}) {
			t.Errorf("%q: %+v", subject, got)
		}
		if _, err := FromMsg(nats.Msg{Reply: subject}); !errors.Is(err, ErrNotJSMessage) {
			t.Errorf("%q: %v", subject, err)
		}
	}
}

// Whatever stands in an ack subject: no panic, and what is read stands in it.
func FuzzAckSubject(f *testing.F) {
	f.Add("$JS.ACK.S.C.1.2.3.4.5")
	f.Add("$JS.ACK._.hash.S.C.1.2.3.4.5.token")
	f.Add("$JS.ACK.S.C.1.2.3.4.18446744073709551616")
	f.Fuzz(func(t *testing.T, subject string) {
		meta, ok := parseAckSubject(subject)
		if !ok {
			if meta != (MsgMetadata{}) {
				t.Errorf("%+v of what is none", meta)
			}
			return
		}
		if !strings.HasPrefix(subject, ackPrefix) || !strings.Contains(subject, "."+meta.Stream+"."+meta.Consumer+".") {
			t.Errorf("%+v", meta)
		}
	})
}

func TestAckSubjectAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _, _ = parseAckSubject("$JS.ACK.hub.hash.ORDERS.worker.1.2.3.4.5") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestMsgQueue(t *testing.T) {
	var q msgQueue
	next, last := 0, 0
	msgs := make([]*Msg, 10_000)
	for i := range msgs {
		msgs[i] = new(Msg)
	}
	for round := range 100 {
		for range round % 37 {
			q.push(msgs[last])
			last++
		}
		for range min(round%31, q.len()) {
			if q.pop() != msgs[next] {
				t.Fatalf("message %d is another", next)
			}
			next++
		}
	}
	for _, m := range q.takeAll() {
		if m != msgs[next] {
			t.Fatalf("message %d is another", next)
		}
		next++
	}
	if next != last || q.len() != 0 {
		t.Errorf("%d in, %d out", last, next)
	}
}
