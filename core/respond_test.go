package nats

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

func TestRespond(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		_, err := nc.Subscribe("svc", func(m Msg) {
			r := Msg{Subject: "ignored", Reply: "next", Data: []byte("re " + string(m.Data))}
			r.Header.Set("A", "b")
			if err := m.RespondMsg(r); err != nil || r.Subject != "ignored" {
				t.Errorf("%v, %+v", err, r)
			}
		})
		must(t, err)
		m, err := nc.Request(t.Context(), "svc", []byte("x"))
		must(t, err)
		if string(m.Data) != "re x" || m.Header.Get("A") != "b" || m.Reply != "next" {
			t.Errorf("reply %+v", m)
		}
		must(t, m.Respond([]byte("and on")))
		flush(t, nc)
		if got := s.Payloads("next"); len(got) != 1 {
			t.Errorf("published %q", got)
		}
		sub, err := nc.SubscribeSync("plain")
		must(t, err)
		must(t, nc.Publish("plain", nil))
		m, err = sub.Next(t.Context())
		must(t, err)
		isErr(t, m.Respond(nil), ErrMsgNoReply)
		isErr(t, Msg{Subject: "a", Reply: "b"}.Respond(nil), ErrMsgNotBound)
		isErr(t, Msg{}.RespondMsg(Msg{}), ErrMsgNotBound)

		var got Msg
		bound := Msg{Subject: "a", Reply: "b"}.Bind(func(m Msg) error { got = m; return ErrNoServers })
		isErr(t, bound.Respond([]byte("z")), ErrNoServers)
		if got.Subject != "b" || string(got.Data) != "z" {
			t.Errorf("bound: %+v", got)
		}
	})
}

// TestManyRequesters: 64 at a time, each with its own answers.
func TestManyRequesters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		echo(s, "svc")
		nc := connect(t, n)
		const requesters, each = 64, 50
		var wg sync.WaitGroup
		for r := range requesters {
			wg.Go(func() {
				for i := range each {
					q := fmt.Sprint(r, i)
					m, err := nc.Request(t.Context(), "svc", []byte(q))
					if err != nil || string(m.Data) != q {
						t.Errorf("%q for %q, %v", m.Data, q, err)
						return
					}
				}
			})
		}
		wg.Wait()
		if st := nc.Stats(); st.Requests != requesters*each || st.Answered != st.Requests || len(s.Ops("SUB")) != 1 {
			t.Errorf("books %+v", st)
		}
	})
}

// TestRequestsAndCuts: whatever happens to links, every request ends, and its
// error says the truth about whether it was received.
func TestRequestsAndCuts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		echo(s, "svc")
		nc := connect(t, n)
		var mu sync.Mutex
		outcome := make(map[string]error)
		var wg sync.WaitGroup
		for r := range 16 {
			wg.Go(func() {
				for i := range 100 {
					q := fmt.Sprint(r, " ", i)
					_, err := nc.Request(t.Context(), "svc", []byte(q))
					mu.Lock()
					outcome[q] = err
					mu.Unlock()
					<-time.After(time.Duration(r+1) * time.Millisecond)
				}
			})
		}
		for k := range 30 {
			<-time.After(17 * time.Millisecond)
			s.Peer().CutAfter(100+13*k, k%2 == 0)
		}
		wg.Wait()
		arrived := make(map[string]int)
		for _, q := range s.Payloads("svc") {
			arrived[q]++
		}
		for q, err := range outcome {
			switch {
			case arrived[q] > 1:
				t.Errorf("%q arrived %d times", q, arrived[q])
			case err == nil && arrived[q] != 1:
				t.Errorf("%q was answered and did not arrive", q)
			case err != nil && SafeToRetry(err) && arrived[q] != 0:
				t.Errorf("%q arrived, but %v is safe to retry", q, err)
			case err != nil && !SafeToRetry(err) && !errors.Is(err, ErrOutcomeUnknown):
				t.Errorf("%q: %v", q, err)
			}
		}
		if st := nc.Stats(); st.Reconnects == 0 || st.RequestsUnknown == 0 {
			t.Errorf("books %+v", st)
		}
	})
}

func TestNewInbox(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n, CustomInboxPrefix("my.inbox"))
		other := connect(t, n)
		seen := make(map[string]bool)
		for range 1000 {
			i := nc.NewInbox()
			if seen[i] || !strings.HasPrefix(i, "my.inbox.") {
				t.Fatalf("inbox %q", i)
			}
			seen[i] = true
			if o := other.NewInbox(); !strings.HasPrefix(o, "_INBOX.") || len(o) < len("_INBOX.")+26 {
				t.Fatalf("inbox %q", o)
			}
		}
		echo(s, "svc")
		m, err := nc.Request(t.Context(), "svc", nil)
		must(t, err)
		if !strings.HasPrefix(m.Subject, "my.inbox.") {
			t.Errorf("reply to %q", m.Subject)
		}
		prefix := nc.NewInbox()
		prefix = prefix[:strings.LastIndex(prefix, ".")]
		if strings.HasPrefix(m.Subject, prefix) {
			t.Error("NewInbox is under the multiplexer's subject")
		}
	})
}
