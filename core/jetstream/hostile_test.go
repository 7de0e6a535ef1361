package jetstream

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	nats "github.com/perigee-go/nats/core"
	"github.com/perigee-go/nats/core/internal/fakeserver"
	"github.com/perigee-go/nats/core/internal/figure"
)

// TestHostileStatuses: no status line and no header of a pull's answer stops a
// session, floods the server, or is taken for a message.
func TestHostileStatuses(t *testing.T) {
	fields := func(line string, nameValues ...string) string {
		text := "NATS/1.0" + line + "\r\n"
		for i := 0; i < len(nameValues); i += 2 {
			text += nameValues[i] + ": " + nameValues[i+1] + "\r\n"
		}
		return text + "\r\n"
	}
	const msgs, bytes = pendingMessages, pendingBytes
	for name, block := range map[string]string{
		"no status":             fields(""),
		"a blank":               fields(" "),
		"text":                  fields(" Request Timeout"),
		"two digits":            fields(" 40 Request Timeout"),
		"a code of 5 digits":    fields(" 40800 Request Timeout"),
		"a code without end":    fields(" " + strings.Repeat("4", 2000)),
		"a code below 0":        fields(" -408 Request Timeout"),
		"an unknown code":       fields(" 999 Whatever"),
		"no text":               fields(" 409"),
		"a text without end":    fields(" 409 " + strings.Repeat("x", 3000)),
		"a limit that is none":  fields(" 409 Exceeded MaxRequestBatch of many"),
		"a limit of 0":          fields(" 409 Exceeded MaxRequestBatch of 0"),
		"a limit below 0":       fields(" 409 Exceeded MaxRequestBatch of -5"),
		"a limit of 65 bits":    fields(" 409 Exceeded MaxRequestBatch of 18446744073709551616"),
		"a time that is none":   fields(" 409 Exceeded MaxRequestExpires of soon"),
		"a time below 0":        fields(" 409 Exceeded MaxRequestExpires of -1s"),
		"no time at all":        fields(" 409 Exceeded MaxRequestExpires of "),
		"bytes below 0":         fields(" 409 Exceeded MaxRequestMaxBytes of -1"),
		"pending below 0":       fields(" 408 Request Timeout", msgs, "-5", bytes, "-5"),
		"pending text":          fields(" 408 Request Timeout", msgs, "all", bytes, "all"),
		"pending of 65 bits":    fields(" 408 Request Timeout", msgs, "18446744073709551616", bytes, "18446744073709551616"),
		"pending of 64 bits":    fields(" 408 Request Timeout", msgs, "18446744073709551615", bytes, "18446744073709551615"),
		"pending of 31 bits":    fields(" 100 Idle Heartbeat", msgs, "2147483648", bytes, "2147483648"),
		"pending with blanks":   fields(" 408 Request Timeout", msgs, "  7  ", bytes, ""),
		"half of pending":       fields(" 408 Request Timeout", msgs, "7"),
		"pending twice":         fields(" 408 Request Timeout", msgs, "7", bytes, "0", msgs, "500", bytes, "x"),
		"more than was asked":   fields(" 409 Batch Completed", msgs, "501", bytes, "1"),
		"a flow control of old": fields(" 100 FlowControl Request"),
		"a stalled consumer":    fields(" 100 Idle Heartbeat", "Nats-Consumer-Stalled", "$JS.FC.S.C.x", "Nats-Last-Consumer", "-1"),
		"a pin":                 fields(" 423 Nats-Wrong-Pin-Id", PinIDHeader, "x"),
	} {
		t.Run(name, func(t *testing.T) {
			scripted(t, silent, func(t *testing.T, r *rig) {
				var told errorLog
				rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver(told.option())
				if err != nil {
					t.Fatal(err)
				}
				defer rec.Stop()
				synctest.Wait()
				for range 20 {
					r.srv.Deliver(r.pulls()[len(r.pulls())-1].Reply, "", block, "")
					synctest.Wait()
				}
				r.message(r.pulls()[0], 1, "")
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if m, err := rec.Next(ctx); err != nil || string(m.Data) != "data" {
					t.Errorf("no message: %v", err)
				}
				pass(10 * time.Second)
				if n := len(r.pulls()); n > 60 {
					t.Errorf("%d pulls in 10 s", n)
				}
				for _, err := range told.all {
					if !isTyped(err) || len(err.Error()) > 5000 {
						t.Errorf("told %.200v", err)
					}
				}
			})
		})
	}
}

// TestStrangeAckSubjects: a message whose ack subject is well formed is one,
// however strange its names are; what cannot be acknowledged says so.
func TestStrangeAckSubjects(t *testing.T) {
	for ack, can := range map[string]bool{
		"$JS.ACK.S.C.1.2.3.4.5": true, "$JS.ACK.ä.ö.1.2.3.4.5": true, "$JS.ACK.$SYS.$JS.1.2.3.4.5": true, "$JS.ACK._._.1.2.3.4.5": true,
		"$JS.ACK.d.h.S.C.0.0.0.0.0.a.b.c": true, "$JS.ACK.S.C.18446744073709551615.18446744073709551615.18446744073709551615.18446744073709551615.18446744073709551615": true,
		"$JS.ACK.*.C.1.2.3.4.5": false, "$JS.ACK.S.>.1.2.3.4.5": false, "$JS.ACK.d.h.S.C.1.2.3.4.5.>": false, "$JS.ACK..h.S.C.1.2.3.4.5": false, "$JS.ACK.d..S.C.1.2.3.4.5": false,
	} {
		scripted(t, silent, func(t *testing.T, r *rig) {
			rec, err := r.StreamHandle("S").ConsumerHandle("C").Receiver()
			if err != nil {
				t.Fatal(err)
			}
			defer rec.Stop()
			synctest.Wait()
			r.messageWith(r.wantPulls(t, 1), ack, "")
			m, err := rec.Next(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", ack, err)
			}
			if _, err := m.Metadata(); err != nil {
				t.Errorf("%s: %v", ack, err)
			}
			if err := m.Ack(); (err == nil) != can || !can && !errors.Is(err, nats.ErrBadSubject) {
				t.Errorf("%s: ack: %v", ack, err)
			}
			if _, settled := m.Acked(); settled != can {
				t.Errorf("%s: a verdict: %v", ack, settled)
			}
		})
	}
}

// TestHostilePages: what a server says about pages is believed only as far as it
// sends any.
func TestHostilePages(t *testing.T) {
	for name, page := range map[string]string{
		"a total of 63 bits":       `{"total":9223372036854775807,"offset":0,"limit":1,%s}`,
		"a total below 0":          `{"total":-9223372036854775808,%s}`,
		"an offset of 63 bits":     `{"total":5,"offset":9223372036854775807,%s}`,
		"an offset below 0":        `{"total":5,"offset":-1,%s}`,
		"a limit of 0":             `{"total":5,"limit":0,%s}`,
		"missing without end":      `{"total":9,"missing":["` + strings.Repeat(`m","`, 1000) + `"],%s}`,
		"offline without a reason": `{"total":9,"offline":{"":""},%s}`,
	} {
		for _, items := range []string{`"streams":["a"]`, `"streams":[]`, `"streams":null`, `"streams":["a","a","a"]`, `"streams":[""]`} {
			scripted(t, func(string, string) answer { return answer{data: fmt.Sprintf(page, items)} }, func(t *testing.T, r *rig) {
				names, _ := nats.Collect(r.StreamNames(t.Context())) // with or without an error
				if n := len(r.subjects()); n > 2 || len(names) > 1 {
					t.Errorf("%s with %s: %d pages, names %q", name, items, n, names)
				}
			})
		}
	}
	for _, data := range []string{
		`{"total":9223372036854775807,"config":{"name":"S"},"state":{"subjects":{"a":1}}}`, `{"total":9,"config":{"name":"S"},"state":{"subjects":{}}}`,
		`{"total":9,"config":{"name":"S"},"state":{}}`, `{"total":-1,"config":{"name":"S"},"state":{"subjects":null}}`,
	} {
		scripted(t, func(string, string) answer { return answer{data: data} }, func(t *testing.T, r *rig) {
			_, _ = r.StreamHandle("S").Info(t.Context(), FilterSubject(">"), DeletedDetails()) // with or without an error
			if n := len(r.subjects()); n > 2 {
				t.Errorf("%s: %d pages", data, n)
			}
		})
	}
}

// TestManySubjects: the state of a stream with very many subjects comes in pages
// and is complete.
func TestManySubjects(t *testing.T) {
	total, per := figure.Size(100_000, 1_000_000), figure.Size(20_000, 100_000)
	asked := 0
	scripted(t, func(_, body string) answer {
		offset := asked * per
		asked++
		var b strings.Builder
		fmt.Fprintf(&b, `{"total":%d,"offset":%d,"limit":%d,"config":{"name":"S"},"state":{"messages":%d,"subjects":{`, total, offset, per, total)
		for i := range per {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"s.%d":%d`, offset+i, i)
		}
		b.WriteString(`}}}`)
		return answer{data: b.String()}
	}, func(t *testing.T, r *rig) {
		info, err := r.StreamHandle("S").Info(t.Context(), FilterSubject("s.>"))
		if err != nil || len(info.State.Subjects) != total || asked != total/per {
			t.Errorf("%d pages, %v", asked, err)
		}
	})
}

// TestMemoryOfHostileAnswers: what decoding takes depends on the bytes that
// came, not on the numbers in them.
func TestMemoryOfHostileAnswers(t *testing.T) {
	const size = 200_000
	fill := func(s string) string { return strings.Repeat(s, size/len(s)) }
	for name, data := range map[string]string{
		"arrays":   strings.Repeat("[", size),
		"objects":  fill(`{"a":`),
		"numbers":  `{"total":9223372036854775807,"offset":9223372036854775807,"limit":9223372036854775807,"state":{"messages":18446744073709551615,"num_deleted":9223372036854775807,"num_subjects":18446744073709551615}}`,
		"deleted":  `{"state":{"deleted":[` + fill("1,") + `1]}}`,
		"subjects": `{"state":{"subjects":{` + fill(`"":1,`) + `"":1}}}`,
		"replicas": `{"cluster":{"replicas":[` + fill(`{},`) + `{}]}}`,
		"text":     `{"config":{"description":"` + fill("x") + `"}}`,
		"escapes":  `{"config":{"description":"` + fill(`\u0000`) + `"}}`,
		"error":    `{"error":{"code":400,"description":"` + fill("x") + `"}}`,
	} {
		m := nats.Msg{Data: []byte(data)}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := DecodeResponse(m, new(StreamInfo))
		runtime.ReadMemStats(&after)
		// A replica of "{}," is 80 bytes, and a slice that grows is copied.
		if took := after.TotalAlloc - before.TotalAlloc; took > 200*size {
			t.Errorf("%s: %d bytes took %d, %.100v", name, len(data), took, err)
		}
	}
}

// TestAnswersOfMany: several answers to one request, and answers that come late,
// change nothing: the first one counts.
func TestAnswersOfMany(t *testing.T) {
	n := 0
	scripted(t, silent, func(t *testing.T, r *rig) {
		r.srv.On("PUB", func(_ *fakeserver.Peer, o *fakeserver.Op) bool {
			n++
			for i := range 3 {
				r.srv.Deliver(o.Reply, "", "", fmt.Sprintf(`{"stream":"S","seq":%d}`, n+i*100))
			}
			return true
		})
		for want := range uint64(5) {
			if ack, err := r.Publish(t.Context(), "s", nil); err != nil || ack.Sequence != want+1 {
				t.Errorf("%+v, %v", ack, err)
			}
		}
	})
}
