package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/perigee-go/nats/core/internal/fakeserver"
)

// echo makes the server answer requests to subject with their own data.
func echo(s *fakeserver.Server, subject string) {
	s.On("PUB", func(p *fakeserver.Peer, o *fakeserver.Op) bool {
		if o.Subject != subject || o.Reply == "" {
			return false
		}
		s.Deliver(o.Reply, "", o.Header, string(o.Data))
		return true
	})
}

// swallow makes the server take publishes to subject and do nothing.
func swallow(s *fakeserver.Server, subject string) {
	s.On("PUB", func(p *fakeserver.Peer, o *fakeserver.Op) bool { return o.Subject == subject })
}

type result struct {
	msg Msg
	err error
}

// request runs a request in the background.
func request(t *testing.T, nc *Conn, ctx context.Context, subject string) <-chan result {
	done := make(chan result, 1)
	go func() {
		m, err := nc.Request(ctx, subject, []byte("q"))
		done <- result{m, err}
	}()
	synctest.Wait()
	return done
}

func TestRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		echo(s, "svc")
		for i := range 100 {
			m, err := nc.Request(t.Context(), "svc", fmt.Append(nil, i))
			must(t, err)
			if string(m.Data) != fmt.Sprint(i) || m.Sub() != nil || !strings.HasPrefix(m.Subject, "_INBOX.") {
				t.Fatalf("reply %d is %+v", i, m)
			}
		}
		if got := s.Ops("SUB"); len(got) != 1 || nc.NumSubscriptions() != 0 {
			t.Errorf("100 requests made %s; %d subscriptions", names(got), nc.NumSubscriptions())
		}
		if got := s.Ops("UNSUB"); len(got) != 0 {
			t.Errorf("and %s", names(got))
		}
		synctest.Wait() // what comes in is counted at the end of the read
		st := nc.Stats()
		if st.Requests != 100 || st.Answered != 100 || st.InReplies != 100 {
			t.Errorf("books %+v", st)
		}
		m := Msg{Subject: "svc", Data: []byte("x")}
		m.Header.Set("A", "b")
		reply, err := nc.RequestMsg(t.Context(), m)
		must(t, err)
		if reply.Header.Get("A") != "b" || m.Reply != "" {
			t.Errorf("reply %+v to %+v", reply, m)
		}
	})
}

func TestNoResponders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, _ := fakeserver.One()
		nc := connect(t, n)
		start := time.Now()
		for _, m := range []Msg{{Subject: "svc.x"}, {Subject: "svc.x", Reply: "my.inbox"}} {
			_, err := nc.RequestMsg(t.Context(), m)
			isErr(t, err, ErrNoResponders)
			var nr *NoRespondersError
			if !errors.As(err, &nr) || nr.Subject != "svc.x" || !strings.Contains(err.Error(), "svc.x") || SafeToRetry(err) {
				t.Errorf("error %v", err)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("it took %v", d)
		}
		if st := nc.Stats(); st.NoResponders != 2 {
			t.Errorf("books %+v", st)
		}
	})
}

// TestUserHeaderIsNoStatus: only the inline status of a server counts, with an
// empty body; a responder's field named Status is the user's.
func TestUserHeaderIsNoStatus(t *testing.T) {
	for code := 100; code < 600; code += 7 {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			nc := connect(t, n)
			header := fmt.Sprintf("NATS/1.0\r\nStatus: %d\r\nDescription: no\r\n\r\n", code)
			replies := []string{header, "NATS/1.0 503\r\n\r\nwith a body"}
			i := 0
			s.On("PUB", func(p *fakeserver.Peer, o *fakeserver.Op) bool {
				h, body, _ := strings.Cut(replies[i], "\r\n\r\n")
				i++
				s.Deliver(o.Reply, "", h+"\r\n\r\n", body)
				return true
			})
			m, err := nc.Request(t.Context(), "svc", nil)
			must(t, err)
			if c, _ := m.InlineStatus(); c != 0 || m.Header.Get("Status") != fmt.Sprint(code) {
				t.Errorf("status %d of %+v", c, m)
			}
			m, err = nc.Request(t.Context(), "svc", nil)
			must(t, err)
			if c, _ := m.InlineStatus(); c != 503 || string(m.Data) != "with a body" {
				t.Errorf("status %d of %+v", c, m)
			}
		})
	}
}

// TestLateReplies: late, duplicate and forged replies meet nobody.
func TestLateReplies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		var inboxes []string
		s.On("PUB", func(p *fakeserver.Peer, o *fakeserver.Op) bool {
			inboxes = append(inboxes, o.Reply)
			if o.Subject == "twice" {
				s.Deliver(o.Reply, "", "", "1")
				s.Deliver(o.Reply, "", "", "2")
			}
			return true
		})
		_, err := nc.Request(in(t, time.Second), "late", nil)
		isErr(t, err, errDeadline)
		done := request(t, nc, t.Context(), "open")
		prefix := inboxes[0][:strings.LastIndex(inboxes[0], ".")+1]
		for _, subj := range []string{
			inboxes[0], prefix + "zz", prefix + "0", prefix + "0-", prefix + "-1", prefix + "ffffffff-1",
			prefix + "0-fffffffff", prefix + "0-1-1", strings.ToLower(inboxes[1]),
		} {
			s.Peer().Msg(subj, s.Peer().Subs()[0].SID, "", "", "forged")
		}
		synctest.Wait()
		select {
		case r := <-done:
			t.Errorf("the open request got %+v", r)
		default:
		}
		if st := nc.Stats(); st.InOrphaned != 9 || st.InReplies != 0 || st.RequestsOpen != 1 {
			t.Errorf("books %+v", st)
		}
		s.Deliver(inboxes[1], "", "", "right")
		synctest.Wait()
		if r := <-done; r.err != nil || string(r.msg.Data) != "right" {
			t.Errorf("then %+v", r)
		}
		m, err := nc.Request(t.Context(), "twice", nil)
		must(t, err)
		synctest.Wait()
		if st := nc.Stats(); string(m.Data) != "1" || st.InOrphaned != 10 || st.Answered != 2 || st.TimedOut != 1 {
			t.Errorf("%q; books %+v", m.Data, st)
		}
	})
}

// TestRequestsOfALostLink: what had left is unknown; what had not is taken back,
// safe to retry, and never sent.
func TestRequestsOfALostLink(t *testing.T) {
	for _, own := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			swallow(s, "sent")
			nc := connect(t, n, WriteBufferSize(1<<20))
			ask := func(subject string) <-chan result {
				if !own {
					return request(t, nc, t.Context(), subject)
				}
				done := make(chan result, 1)
				go func() {
					m, err := nc.RequestMsg(t.Context(), Msg{Subject: subject, Reply: "r." + subject})
					done <- result{m, err}
				}()
				synctest.Wait()
				return done
			}
			sent := ask("sent")
			p := s.Peer()
			p.StallReads(true)
			// The writer hangs in this one, so what follows has not left.
			must(t, nc.Publish("big", make([]byte, 900_000)))
			synctest.Wait()
			must(t, nc.Publish("big", make([]byte, 300_000)))
			synctest.Wait()
			unsent := ask("unsent")
			start := time.Now()
			lose(s)
			r := <-sent
			isErr(t, r.err, ErrDisconnected, ErrOutcomeUnknown)
			if SafeToRetry(r.err) {
				t.Errorf("sent: %v is safe to retry", r.err)
			}
			r = <-unsent
			isErr(t, r.err, ErrDisconnected)
			if !SafeToRetry(r.err) || errors.Is(r.err, ErrOutcomeUnknown) {
				t.Errorf("unsent: %v", r.err)
			}
			if d := time.Since(start); d != 0 {
				t.Errorf("they knew after %v", d)
			}
			must(t, nc.Flush(in(t, time.Minute)))
			for _, o := range s.Ops("PUB") {
				if o.Subject == "unsent" {
					t.Error("the request was sent on the next link")
				}
			}
			if st := nc.Stats(); st.RequestsUnknown != 1 || st.Cancelled != 1 || st.OutDropped != 1 {
				t.Errorf("books %+v", st)
			}
			for _, sub := range s.Peer().Subs() {
				if own {
					t.Errorf("a dead request's inbox was subscribed again: %+v", sub)
				}
			}
		})
	}
}

func TestRequestWhileDisconnected(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		nc := connect(t, n)
		echo(s, "svc")
		s.Refuse(true)
		lose(s)
		start := time.Now()
		_, err := nc.Request(in(t, time.Second), "svc", nil)
		isErr(t, err, errDeadline)
		if !SafeToRetry(err) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		_, err = nc.Request(t.Context(), "svc", nil)
		isErr(t, err, errDeadline)
		if !SafeToRetry(err) || !strings.Contains(err.Error(), "default timeout") || time.Since(start) != 6*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := request(t, nc, ctx, "svc")
		cancel()
		r := <-done
		isErr(t, r.err, context.Canceled)

		done = request(t, nc, in(t, time.Minute), "svc")
		s.Refuse(false)
		if r := <-done; r.err != nil {
			t.Errorf("with the next link: %v", r.err)
		}
		flush(t, nc)
		if got := len(s.Payloads("svc")); got != 1 {
			t.Errorf("%d requests arrived", got)
		}

		s.Refuse(true)
		lose(s)
		done = request(t, nc, t.Context(), "svc")
		must(t, nc.Close())
		r = <-done
		isErr(t, r.err, ErrClosed)
		if !SafeToRetry(r.err) {
			t.Errorf("%v is not safe to retry, though nothing left", r.err)
		}
		_, err = nc.Request(t.Context(), "svc", nil)
		isErr(t, err, ErrClosed)
		if !SafeToRetry(err) {
			t.Errorf("%v is not safe to retry, though nothing left", err)
		}
	})
}

func TestRequestTimeouts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		swallow(s, "svc")
		nc := connect(t, n, RequestTimeout(3*time.Second))
		for range 3 {
			start := time.Now()
			_, err := nc.Request(t.Context(), "svc", nil)
			isErr(t, err, errDeadline)
			if d := time.Since(start); d != 3*time.Second || SafeToRetry(err) || !strings.Contains(err.Error(), "default timeout") || t.Context().Err() != nil {
				t.Errorf("after %v: %v", d, err)
			}
		}
		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := request(t, nc, ctx, "svc")
		cancel(cause)
		isErr(t, (<-done).err, cause)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		_, err := nc.Request(ctx, "svc", nil)
		isErr(t, err, context.Canceled)
		if !SafeToRetry(err) {
			t.Errorf("%v: nothing was begun", err)
		}
		if st := nc.Stats(); st.TimedOut != 3 || st.Cancelled != 1 || st.Requests != 4 {
			t.Errorf("books %+v", st)
		}
	})
}

// TestRequestRefused: the server's refusal of the publish, of the reply, or of
// the inbox fails the request at once.
func TestRequestRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		reply string
		on    string
		text  func(o *fakeserver.Op) string
		op    string
	}{
		{"publish", "", "PUB", func(o *fakeserver.Op) string {
			return fmt.Sprintf("Permissions Violation for Publish to %q", o.Subject)
		}, "publish"},
		{"reply", "", "PUB", func(o *fakeserver.Op) string {
			return fmt.Sprintf("Permissions Violation for Publish with Reply of %q", o.Reply)
		}, "publish"},
		{"own reply", "r.1", "PUB", func(o *fakeserver.Op) string {
			return fmt.Sprintf("Permissions Violation for Publish with Reply of %q", o.Reply)
		}, "publish"},
		{"mux", "", "SUB", func(o *fakeserver.Op) string {
			return fmt.Sprintf("Permissions Violation for Subscription to %q", o.Subject)
		}, "subscription"},
		{"own inbox", "r.1", "SUB", func(o *fakeserver.Op) string {
			return fmt.Sprintf("Permissions Violation for Subscription to %q", o.Subject)
		}, "subscription"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n, s := fakeserver.One()
				log := &eventLog{}
				nc := connect(t, n, log.option())
				s.On("PUB", func(*fakeserver.Peer, *fakeserver.Op) bool { return true })
				s.On(c.on, func(p *fakeserver.Peer, o *fakeserver.Op) bool { p.Err(c.text(o)); return true })
				start := time.Now()
				_, err := nc.RequestMsg(t.Context(), Msg{Subject: "svc", Reply: c.reply})
				var pe *PermissionError
				isErr(t, err, ErrPermission)
				// The word about a SUB may be there before the request left.
				cancelled := uint64(1)
				if c.on == "SUB" && SafeToRetry(err) {
					cancelled = 0
				}
				if !errors.As(err, &pe) || pe.Operation != c.op || time.Since(start) != 0 || cancelled == 1 && SafeToRetry(err) {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				synctest.Wait()
				for _, e := range of[SubscriptionEnded](log) {
					t.Errorf("event about a subscription nobody made: %v", e)
				}
				// And it works when it is permitted.
				s.On(c.on, nil)
				echo(s, "svc")
				_, err = nc.RequestMsg(t.Context(), Msg{Subject: "svc", Reply: c.reply})
				must(t, err)
				if st := nc.Stats(); st.Cancelled != cancelled || st.Answered != 1 {
					t.Errorf("books %+v", st)
				}
			})
		})
	}
}

func TestRequestWithOwnInbox(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		log := &eventLog{}
		nc := connect(t, n, log.option())
		echo(s, "svc")
		m, err := nc.RequestMsg(t.Context(), Msg{Subject: "svc", Reply: "my.inbox", Data: []byte("x")})
		must(t, err)
		if m.Subject != "my.inbox" || string(m.Data) != "x" || m.Sub() != nil {
			t.Errorf("reply %+v", m)
		}
		swallow(s, "svc")
		_, err = nc.RequestMsg(in(t, time.Second), Msg{Subject: "svc", Reply: "my.inbox"})
		isErr(t, err, errDeadline)
		flush(t, nc)
		if len(s.Peer().Subs()) != 0 || nc.NumSubscriptions() != 0 || len(log.all()) != 1 {
			t.Errorf("left: %+v, %d, %v", s.Peer().Subs(), nc.NumSubscriptions(), log.all())
		}
	})
}

// TestDefaultTimeouts: what a context without a deadline gets when no option
// says otherwise; a context's own deadline is the user's, longer or shorter.
func TestDefaultTimeouts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, s := fakeserver.One()
		swallow(s, "svc")
		nc := connect(t, n)
		for _, own := range []time.Duration{0, time.Second, time.Hour} {
			ctx, want := t.Context(), 5*time.Second
			if own > 0 {
				ctx, want = in(t, own), own
			}
			start := time.Now()
			_, err := nc.Request(ctx, "svc", nil)
			isErr(t, err, errDeadline)
			if d := time.Since(start); d != want {
				t.Errorf("after %v, want %v: %v", d, want, err)
			}
		}
		if nc.RequestTimeout() != 5*time.Second {
			t.Errorf("RequestTimeout is %v", nc.RequestTimeout())
		}
		for _, d := range []time.Duration{0, -1} {
			_, err := Connect(t.Context(), "server", options(n, []Option{RequestTimeout(d)})...)
			isErr(t, err, ErrInvalidOption)
		}
	})
}

// TestLongRequestSubject: the reply subject counts, so that no line is longer
// than servers take. reliability B14
func TestLongRequestSubject(t *testing.T) {
	for _, prefix := range []string{"_INBOX", strings.Repeat("i", 1000)} {
		bubble(t, func(t *testing.T) {
			n, s := fakeserver.One()
			nc := connect(t, n, CustomInboxPrefix(prefix))
			m := Msg{Header: header(t, "A", "b"), Data: make([]byte, 1<<20-30)}
			sent := 0
			for size := maxSubject - len(prefix) - 100; size <= maxSubject; size++ {
				m.Subject = strings.Repeat("a", size)
				_, err := nc.RequestMsg(t.Context(), m)
				switch {
				case errors.Is(err, ErrNoResponders):
					sent++
				case !errors.Is(err, ErrBadSubject) || !SafeToRetry(err):
					t.Fatalf("a subject of %d: %v", size, err)
				}
				if size%100 > 0 {
					m.Data = m.Data[:1] // the size of the last one is what counts
				}
			}
			for _, o := range s.Ops("PUB") {
				if len(o.Line) > 4096 {
					t.Fatalf("a line of %d bytes", len(o.Line))
				}
			}
			if sent == 0 {
				t.Error("none was sent")
			}
		})
	}
}
